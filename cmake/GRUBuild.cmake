# Compiler settings and the two helper functions that every folder uses.

find_program(GRU_CCACHE ccache)
if(GRU_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_C_COMPILER_LAUNCHER ${GRU_CCACHE})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${GRU_CCACHE})
endif()

# lld has to be the compiler's own: an older one cannot read its objects.
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  find_program(GRU_LLD ld.lld PATHS ${LLVM_TOOLS_BINARY_DIR} NO_DEFAULT_PATH)
  if(GRU_LLD)
    add_link_options(--ld-path=${GRU_LLD})
  endif()
endif()

if(GRU_SANITIZE)
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -g1)
  add_link_options(-fsanitize=address,undefined)
  # The JIT verifies the IR after each pass, as gru-opt always does.
  add_compile_definitions(GRU_VERIFY_EACH)
endif()

# mlir_tablegen takes its search path from the directory property.
include_directories(${PROJECT_SOURCE_DIR} ${PROJECT_BINARY_DIR})
include_directories(SYSTEM ${LLVM_INCLUDE_DIRS} ${MLIR_INCLUDE_DIRS})

# Warnings and language settings of our own code, apart from LLVM's headers.
add_library(gru_settings INTERFACE)
target_compile_options(gru_settings INTERFACE -Wall -Wextra -Wno-unused-parameter
  $<$<BOOL:${GRU_WERROR}>:-Werror>)

add_library(gru_llvm INTERFACE)
separate_arguments(gru_llvm_definitions NATIVE_COMMAND ${LLVM_DEFINITIONS})
target_compile_options(gru_llvm INTERFACE ${gru_llvm_definitions})
target_link_libraries(gru_llvm INTERFACE MLIR LLVM)

# gru_add_library(NAME sources... [DEPENDS targets...] [LINK targets...])
# A static library that uses LLVM and MLIR.
function(gru_add_library name)
  cmake_parse_arguments(ARG "" "" "DEPENDS;LINK" ${ARGN})
  add_library(${name} STATIC ${ARG_UNPARSED_ARGUMENTS})
  target_link_libraries(${name} PUBLIC gru_settings gru_llvm ${ARG_LINK})
  if(ARG_DEPENDS)
    add_dependencies(${name} ${ARG_DEPENDS})
  endif()
endfunction()
