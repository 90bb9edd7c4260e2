# Compiler settings and the two helper functions that every folder uses.

find_program(GRU_CCACHE ccache)
if(GRU_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # The sloppiness is what ccache asks for where there are precompiled headers.
  set(gru_launcher ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros ${GRU_CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${gru_launcher})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${gru_launcher})
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
# One library without LLVM beside it, for hosts that have none or another one. Only
# what is used of LLVM's archives gets in, and none of its symbols out.
option(GRU_STATIC_LLVM "Link LLVM and MLIR statically" OFF)
if(GRU_STATIC_LLVM)
  if(NOT TARGET zstd::libzstd_shared)
    # LLVM's package asks for it by the name that libzstd's own package defines.
    find_library(GRU_LIBZSTD NAMES zstd libzstd.so.1 REQUIRED)
    add_library(zstd::libzstd_shared SHARED IMPORTED GLOBAL)
    set_target_properties(zstd::libzstd_shared PROPERTIES IMPORTED_LOCATION ${GRU_LIBZSTD})
  endif()
  get_property(gru_mlir_libraries GLOBAL PROPERTY MLIR_ALL_LIBS)
  # The list holds shared libraries, too, which would bring libMLIR back.
  list(FILTER gru_mlir_libraries EXCLUDE REGEX "^mlir_|^MLIR$|Shared$|^MLIRCAPI|Test|ExecutionEngine")
  # Each of MLIR's archives names the shared LLVM as what it needs.
  get_property(gru_mlir_all GLOBAL PROPERTY MLIR_ALL_LIBS)
  foreach(library ${gru_mlir_all})
    get_target_property(needs ${library} INTERFACE_LINK_LIBRARIES)
    if(needs)
      list(FILTER needs EXCLUDE REGEX "^LLVM$|^MLIR$|LINK_ONLY:LLVM>")
      set_target_properties(${library} PROPERTIES INTERFACE_LINK_LIBRARIES "${needs}")
    endif()
  endforeach()
  llvm_map_components_to_libnames(gru_llvm_libraries
    AArch64 NVPTX X86 bitreader core linker orcjit passes runtimedyld)
  target_link_libraries(gru_llvm INTERFACE ${gru_mlir_libraries} ${gru_llvm_libraries})
  add_link_options(-Wl,--gc-sections -Wl,--exclude-libs,ALL)
else()
  target_link_libraries(gru_llvm INTERFACE MLIR LLVM)
endif()

# Reading MLIR's headers is most of the time that a file of ours takes to compile.
# They are read once, here, and every library of ours starts from the result.
set(gru_precompiled_headers
  <mlir/Dialect/Arith/IR/Arith.h>
  <mlir/Dialect/Bufferization/IR/Bufferization.h>
  <mlir/Dialect/Func/IR/FuncOps.h>
  <mlir/Dialect/LLVMIR/LLVMDialect.h>
  <mlir/Dialect/Linalg/IR/Linalg.h>
  <mlir/Dialect/Math/IR/Math.h>
  <mlir/Dialect/MemRef/IR/MemRef.h>
  <mlir/Dialect/SCF/IR/SCF.h>
  <mlir/Dialect/Tensor/IR/Tensor.h>
  <mlir/Dialect/Vector/IR/VectorOps.h>
  <mlir/Pass/PassManager.h>
  <mlir/Transforms/GreedyPatternRewriteDriver.h>
  <llvm/Support/JSON.h>)
file(WRITE ${PROJECT_BINARY_DIR}/precompiled.cpp "")
add_library(gru_precompiled OBJECT ${PROJECT_BINARY_DIR}/precompiled.cpp)
target_link_libraries(gru_precompiled PUBLIC gru_settings gru_llvm)
target_precompile_headers(gru_precompiled PRIVATE ${gru_precompiled_headers})
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  # Without the time in it, ccache knows the file again.
  target_compile_options(gru_precompiled PRIVATE "SHELL:-Xclang -fno-pch-timestamp")
endif()

# gru_add_library(NAME sources... [DEPENDS targets...] [LINK targets...])
# A static library that uses LLVM and MLIR.
function(gru_add_library name)
  cmake_parse_arguments(ARG "" "" "DEPENDS;LINK" ${ARGN})
  add_library(${name} STATIC ${ARG_UNPARSED_ARGUMENTS})
  target_link_libraries(${name} PUBLIC gru_settings gru_llvm ${ARG_LINK})
  target_precompile_headers(${name} REUSE_FROM gru_precompiled)
  if(ARG_DEPENDS)
    add_dependencies(${name} ${ARG_DEPENDS})
  endif()
endfunction()
