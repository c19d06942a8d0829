# Headers that are parsed once instead of in every source: half of what a source costs.
# Only with GCC, whose precompiled headers bear other include folders and most definitions;
# not for storage/schema, where re2 brings -pthread, which they do not bear.
# No source may rely on them: what it uses it includes, and a build without them has to pass.
#
#   ballast_precompiled        the standard library and abseil, for libraries
#   ballast_test_precompiled   these and GoogleTest, for test programs
include(CMakeDependentOption)
cmake_dependent_option(BALLAST_PRECOMPILE "Precompile headers of others" ON
                       "CMAKE_CXX_COMPILER_ID STREQUAL GNU" OFF)

if(BALLAST_PRECOMPILE)
  find_package(Threads REQUIRED)
  add_library(ballast_precompiled OBJECT ${CMAKE_CURRENT_LIST_DIR}/precompiled/empty.cc)
  target_link_libraries(ballast_precompiled PRIVATE ballast_flags absl::base Threads::Threads)
  target_precompile_headers(ballast_precompiled PRIVATE
    <algorithm> <array> <atomic> <cstdint> <cstring> <functional> <map> <memory> <mutex>
    <optional> <string> <thread> <utility> <vector>
    <absl/container/flat_hash_map.h> <absl/container/flat_hash_set.h>
    <absl/container/inlined_vector.h> <absl/status/status.h> <absl/status/statusor.h>
    <absl/strings/match.h> <absl/strings/numbers.h> <absl/strings/str_cat.h>
    <absl/strings/str_join.h> <absl/strings/string_view.h> <absl/time/time.h>
    <absl/types/span.h>)
endif()

# ballast_precompile(target [from]): uses what `from` has precompiled.
function(ballast_precompile target)
  if(BALLAST_PRECOMPILE)
    set(from ballast_precompiled ${ARGN})
    list(GET from -1 from)
    target_precompile_headers(${target} REUSE_FROM ${from})
  endif()
endfunction()
