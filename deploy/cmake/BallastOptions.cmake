# Options of the build, and the flags that every target of ours gets.
option(BALLAST_BUILD_TESTS "Build the tests" ON)
set(BALLAST_SANITIZE "" CACHE STRING "asan (with ubsan), tsan, fuzz, or empty")
option(BALLAST_WERROR "Treat warnings as errors" OFF)

find_program(CCACHE ccache)
if(CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # What ccache wants to be told so that it caches beside precompiled headers.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env
      CCACHE_SLOPPINESS=pch_defines,time_macros ${CCACHE})
endif()

add_library(ballast_flags INTERFACE)
target_include_directories(ballast_flags INTERFACE $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}>)
target_compile_options(ballast_flags INTERFACE -Wall -Wextra -Wpedantic
  -Wno-missing-field-initializers $<$<CXX_COMPILER_ID:GNU>:-fpch-preprocess> $<$<BOOL:${BALLAST_WERROR}>:-Werror>)

if(BALLAST_SANITIZE STREQUAL "asan")
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=undefined
                      -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
elseif(BALLAST_SANITIZE STREQUAL "tsan")
  add_compile_options(-fsanitize=thread -fno-omit-frame-pointer)
  add_link_options(-fsanitize=thread)
elseif(BALLAST_SANITIZE STREQUAL "fuzz")
  # libFuzzer's coverage in everything; its main() only in the programs of tests/fuzz.
  add_compile_options(-fsanitize=fuzzer-no-link,address,undefined
                      -fno-sanitize-recover=undefined -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
elseif(BALLAST_SANITIZE)
  message(FATAL_ERROR "BALLAST_SANITIZE is '${BALLAST_SANITIZE}', want asan, tsan or fuzz")
endif()

include(${CMAKE_CURRENT_LIST_DIR}/BallastPrecompile.cmake)
