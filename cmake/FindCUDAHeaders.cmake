# The headers of the CUDA driver and of cuDNN, from a toolkit or from where
# setup.sh puts those of the PyPI wheels. Nothing is linked: the runtime loads the
# libraries when a program asks for a device.
#
# Defines CUDAHeaders_FOUND, the target CUDAHeaders::CUDAHeaders, and GRU_PTXAS,
# the assembler that tests run (may be missing).

set(_hints ${CMAKE_CURRENT_LIST_DIR}/../build/cuda /usr/local/cuda)
find_path(CUDAHeaders_CUDA cuda.h HINTS ${_hints} PATH_SUFFIXES include)
find_path(CUDAHeaders_CUDNN cudnn.h HINTS ${_hints} PATH_SUFFIXES include)
find_program(GRU_PTXAS ptxas HINTS ${_hints} PATH_SUFFIXES bin)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(CUDAHeaders REQUIRED_VARS CUDAHeaders_CUDA CUDAHeaders_CUDNN)
if(CUDAHeaders_FOUND AND NOT TARGET CUDAHeaders::CUDAHeaders)
  add_library(CUDAHeaders::CUDAHeaders INTERFACE IMPORTED)
  target_include_directories(CUDAHeaders::CUDAHeaders SYSTEM INTERFACE
    ${CUDAHeaders_CUDA} ${CUDAHeaders_CUDNN})
endif()
mark_as_advanced(CUDAHeaders_CUDA CUDAHeaders_CUDNN GRU_PTXAS)
