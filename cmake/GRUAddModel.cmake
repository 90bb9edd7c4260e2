# gru_add_model(target model [NAME name] [WEIGHTS file] [BATCH n] [TIMESTEPS n]
#               [BACKEND cpu|halide|reference] [MCPU cpu] [TRIPLE triple]
#               [EXTERNAL_WEIGHTS] [HOT_SWAP])
#
# Compiles a model file ahead of time. The library `target` has the object, and
# whoever links it can include "NAME.h" (NAME is the target's name where nothing
# is said). With EXTERNAL_WEIGHTS the property GRU_WEIGHTS_FILE of the target is
# the file that has the packed weights. docs/aot.md says what the header has.
function(gru_add_model target model)
  cmake_parse_arguments(ARG "EXTERNAL_WEIGHTS;HOT_SWAP"
    "NAME;WEIGHTS;BATCH;TIMESTEPS;BACKEND;MCPU;TRIPLE" "" ${ARGN})
  if(ARG_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "gru_add_model(${target}): unknown argument ${ARG_UNPARSED_ARGUMENTS}")
  endif()
  if(NOT ARG_NAME)
    string(MAKE_C_IDENTIFIER "${target}" ARG_NAME)
  endif()
  get_filename_component(model "${model}" ABSOLUTE)
  set(options --name=${ARG_NAME})
  set(inputs ${model})
  if(ARG_WEIGHTS)
    get_filename_component(weights "${ARG_WEIGHTS}" ABSOLUTE)
    list(APPEND options --weights=${weights})
    list(APPEND inputs ${weights})
  endif()
  foreach(pair BATCH:batch TIMESTEPS:timesteps BACKEND:target MCPU:mcpu TRIPLE:mtriple)
    string(REPLACE ":" ";" pair ${pair})
    list(GET pair 0 argument)
    list(GET pair 1 option)
    if(DEFINED ARG_${argument})
      list(APPEND options --${option}=${ARG_${argument}})
    endif()
  endforeach()
  if(ARG_HOT_SWAP)
    list(APPEND options --hot-swap)
  endif()
  if(ARG_EXTERNAL_WEIGHTS)
    list(APPEND options --external-weights)
  endif()

  if(TARGET gru::gru-opt)
    set(compiler gru::gru-opt)
  else()
    set(compiler gru-opt)
  endif()
  set(folder ${CMAKE_CURRENT_BINARY_DIR}/${target}.dir)
  set(object ${folder}/${ARG_NAME}.o)
  set(header ${folder}/${ARG_NAME}.h)
  set(outputs ${object} ${header})
  set(commands
    COMMAND ${compiler} ${model} ${options} --emit=obj -o ${object}
    COMMAND ${compiler} ${model} ${options} --emit=header -o ${header})
  if(ARG_EXTERNAL_WEIGHTS)
    set(packed ${folder}/${ARG_NAME}.weights)
    list(APPEND outputs ${packed})
    list(APPEND commands
      COMMAND ${compiler} ${model} ${options} --emit=weights -o ${packed})
  endif()
  file(MAKE_DIRECTORY ${folder})
  add_custom_command(OUTPUT ${outputs} ${commands}
    DEPENDS ${inputs} ${compiler}
    COMMENT "Compiling ${ARG_NAME} ahead of time"
    VERBATIM)
  set_source_files_properties(${object} PROPERTIES EXTERNAL_OBJECT TRUE GENERATED TRUE)
  add_library(${target} STATIC ${object} ${header} ${packed})
  # Nothing is compiled: whichever language the project has.
  if(CMAKE_C_COMPILER_LOADED)
    set_target_properties(${target} PROPERTIES LINKER_LANGUAGE C)
  else()
    set_target_properties(${target} PROPERTIES LINKER_LANGUAGE CXX)
  endif()
  # What float64 takes its functions from.
  if(UNIX)
    target_link_libraries(${target} INTERFACE m)
  endif()
  if(packed)
    set_target_properties(${target} PROPERTIES GRU_WEIGHTS_FILE ${packed})
  endif()
  target_include_directories(${target} INTERFACE ${folder})
endfunction()
