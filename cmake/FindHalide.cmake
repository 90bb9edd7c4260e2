# Finds Halide as PyPI's package has it, and defines Halide::Halide. Halide's own
# CMake package asks for a newer CMake than ours.
#
#   GRU_HALIDE_DIR   folder with include/Halide.h and lib64/libHalide.so;
#                    setup.sh installs it into build/halide

set(GRU_HALIDE_DIR "" CACHE PATH "Halide 21: the folder with include/ and lib64/")
set(_halide_places ${GRU_HALIDE_DIR} ${PROJECT_SOURCE_DIR}/build/halide)
find_path(Halide_INCLUDE_DIR Halide.h
  PATHS ${_halide_places} PATH_SUFFIXES include NO_DEFAULT_PATH)
find_library(Halide_LIBRARY Halide
  PATHS ${_halide_places} PATH_SUFFIXES lib64 lib NO_DEFAULT_PATH)

if(Halide_INCLUDE_DIR)
  file(STRINGS ${Halide_INCLUDE_DIR}/HalideRuntime.h _halide_version
    REGEX "#define HALIDE_VERSION_(MAJOR|MINOR|PATCH) +[0-9]+")
  string(REGEX REPLACE "[^0-9;]" "" _halide_version "${_halide_version}")
  string(REPLACE ";" "." Halide_VERSION "${_halide_version}")
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Halide
  REQUIRED_VARS Halide_LIBRARY Halide_INCLUDE_DIR VERSION_VAR Halide_VERSION)

if(Halide_FOUND AND NOT TARGET Halide::Halide)
  add_library(Halide::Halide SHARED IMPORTED GLOBAL)
  set_target_properties(Halide::Halide PROPERTIES
    IMPORTED_LOCATION ${Halide_LIBRARY}
    INTERFACE_INCLUDE_DIRECTORIES ${Halide_INCLUDE_DIR})
endif()
