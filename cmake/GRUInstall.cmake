# cmake --install, find_package(gru), pkg-config and CPack. Included at the end of
# the main CMakeLists.txt.

include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

# What a host links: the interface in gru/gru.h and gru/runtime.h, everything else
# inside and hidden, since a host may carry an LLVM of its own.
add_library(GRUShared SHARED
  $<TARGET_OBJECTS:GRUCompiler> $<TARGET_OBJECTS:GRURuntime>)
set(gru_exports ${PROJECT_SOURCE_DIR}/cmake/gru.map)
set_target_properties(GRUShared PROPERTIES
  OUTPUT_NAME gru EXPORT_NAME gru LINKER_LANGUAGE CXX
  VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}
  LINK_DEPENDS ${gru_exports})
target_link_libraries(GRUShared PRIVATE $<BUILD_INTERFACE:GRUJIT>)
target_link_options(GRUShared PRIVATE -Wl,--version-script=${gru_exports})
target_include_directories(GRUShared INTERFACE
  $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
target_compile_features(GRUShared INTERFACE cxx_std_20)
# How large it may be, and with LLVM inside of it.
if(CMAKE_BUILD_TYPE STREQUAL "Release" AND NOT GRU_SANITIZE)
  set(gru_most_bytes $<IF:$<BOOL:${GRU_STATIC_LLVM}>,90000000,8000000>)
  add_custom_command(TARGET GRUShared POST_BUILD
    COMMAND ${CMAKE_COMMAND} -D LIBRARY=$<TARGET_FILE:GRUShared> -D MOST=${gru_most_bytes}
      -D STRIP=${CMAKE_STRIP} -D NM=${CMAKE_NM}
      -P ${PROJECT_SOURCE_DIR}/cmake/CheckLibrary.cmake
    VERBATIM)
endif()

set_target_properties(GRURuntime PROPERTIES EXPORT_NAME runtime)
set(gru_tools gru-opt gru-run gru-bench gru-cache gru-lsp-server)
set_target_properties(${gru_tools} gru-plugin GRUShared PROPERTIES
  INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR}"
  INSTALL_RPATH_USE_LINK_PATH TRUE)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/gru)
install(TARGETS GRURuntime EXPORT gru-runtime)
install(DIRECTORY runtime/include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(TARGETS GRUShared ${gru_tools} EXPORT gru-compiler)
install(TARGETS gru-plugin DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY compiler/include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
foreach(component runtime compiler)
  install(EXPORT gru-${component} NAMESPACE gru:: DESTINATION ${package_dir})
endforeach()

configure_package_config_file(cmake/gru-config.cmake.in
  ${PROJECT_BINARY_DIR}/gru-config.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/gru-config-version.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/gru-config.cmake
  ${PROJECT_BINARY_DIR}/gru-config-version.cmake cmake/GRUAddModel.cmake
  DESTINATION ${package_dir})

# From where the file lies, wherever it is installed to.
file(RELATIVE_PATH gru_pc_prefix /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
foreach(name gru gru-runtime)
  configure_file(cmake/${name}.pc.in ${PROJECT_BINARY_DIR}/${name}.pc @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/${name}.pc
    DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endforeach()

set(CPACK_GENERATOR DEB TGZ)
set(CPACK_PACKAGE_NAME gru)
set(CPACK_PACKAGE_CONTACT "gru maintainers")
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SECTION libdevel)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
include(CPack)
