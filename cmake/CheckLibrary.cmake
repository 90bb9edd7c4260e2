# What is promised of a shared library that hosts link: at most MOST bytes without
# symbols for debuggers, and no name of anybody else's to be seen.
#
#   cmake -D LIBRARY=... -D MOST=... -D STRIP=... -D NM=... -P CheckLibrary.cmake

execute_process(COMMAND ${STRIP} --strip-all -o ${LIBRARY}.stripped ${LIBRARY}
  COMMAND_ERROR_IS_FATAL ANY)
file(SIZE ${LIBRARY}.stripped size)
file(REMOVE ${LIBRARY}.stripped)
execute_process(COMMAND ${NM} --dynamic --defined-only --format=posix ${LIBRARY}
  OUTPUT_VARIABLE names COMMAND_ERROR_IS_FATAL ANY)
string(REGEX MATCHALL "[^\n]+" names "${names}")
list(LENGTH names count)
list(FILTER names EXCLUDE REGEX "^gru_")
cmake_path(GET LIBRARY FILENAME name)
message(STATUS "${name}: ${size} bytes stripped, ${count} names")
if(size GREATER MOST)
  message(FATAL_ERROR "${name} has ${size} bytes, expected at most ${MOST}")
endif()
if(names OR count EQUAL 0)
  message(FATAL_ERROR "${name} shows ${count} names, expected those of gru_, found ${names}")
endif()
