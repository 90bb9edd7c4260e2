# Installs to PREFIX, builds the project beside this file against it, and runs its
# programs, which must all print the same number.

function(run)
  cmake_parse_arguments(ARG "" "OUTPUT" "COMMAND" ${ARGN})
  execute_process(COMMAND ${ARG_COMMAND} RESULT_VARIABLE result
    OUTPUT_VARIABLE output ERROR_VARIABLE error OUTPUT_STRIP_TRAILING_WHITESPACE)
  if(result)
    message(FATAL_ERROR "${ARG_COMMAND} failed:\n${output}\n${error}")
  endif()
  if(ARG_OUTPUT)
    set(${ARG_OUTPUT} "${output}" PARENT_SCOPE)
  endif()
endfunction()

file(REMOVE_RECURSE ${PREFIX} ${PREFIX}-consumer)
run(COMMAND ${CMAKE_COMMAND} --install ${BUILD} --prefix ${PREFIX} --strip)
run(COMMAND ${CMAKE_COMMAND} -S ${SOURCE} -B ${PREFIX}-consumer -G ${GENERATOR}
  -D CMAKE_PREFIX_PATH=${PREFIX} -D DATA=${DATA} -D CMAKE_BUILD_TYPE=Release
  -D CMAKE_C_COMPILER=${CC} -D CMAKE_CXX_COMPILER=${CXX})
run(COMMAND ${CMAKE_COMMAND} --build ${PREFIX}-consumer -j2)

set(model ${DATA}/models/rnnoise/bd/model.hdf5)
run(COMMAND ${PREFIX}/bin/gru-opt ${model} --emit=shared -o ${PREFIX}-consumer/denoise.so)
run(COMMAND ${PREFIX}-consumer/with-compiler ${model} OUTPUT compiled)
run(COMMAND ${PREFIX}-consumer/with-runtime ${PREFIX}-consumer/denoise.so OUTPUT loaded)
run(COMMAND ${PREFIX}-consumer/alone OUTPUT alone)
message(STATUS "with the compiler ${compiled}, with the runtime ${loaded}, alone ${alone}")
if(NOT compiled MATCHES "^[01][.][0-9]+$" OR NOT compiled STREQUAL loaded OR
   NOT compiled STREQUAL alone)
  message(FATAL_ERROR "they differ")
endif()

file(GLOB_RECURSE runtime ${PREFIX}/libgru-runtime.a)
file(GLOB_RECURSE libraries ${PREFIX}/libgru*)
foreach(library ${libraries})
  if(NOT IS_SYMLINK ${library})
    file(SIZE ${library} size)
    cmake_path(GET library FILENAME name)
    message(STATUS "${name}: ${size} bytes")
  endif()
endforeach()
file(SIZE ${runtime} size)
if(size GREATER 1048576)
  message(FATAL_ERROR "the runtime is larger than 1 MB")
endif()

# pkg-config finds the same.
find_program(PKG_CONFIG pkg-config)
if(PKG_CONFIG)
  file(GLOB_RECURSE file ${PREFIX}/gru-runtime.pc)
  cmake_path(GET file PARENT_PATH folder)
  run(COMMAND ${CMAKE_COMMAND} -E env PKG_CONFIG_PATH=${folder}
    ${PKG_CONFIG} --cflags --libs gru gru-runtime OUTPUT flags)
  run(COMMAND ${CMAKE_COMMAND} -E env PKG_CONFIG_PATH=${folder}
    ${PKG_CONFIG} --variable=includedir gru OUTPUT includes)
  if(NOT flags MATCHES "-lgru-runtime" OR NOT EXISTS ${includes}/gru/gru.hpp)
    message(FATAL_ERROR "pkg-config says: ${flags}")
  endif()
endif()
