#!/bin/bash
# Installs what the tests need, builds, and runs every test with ctest.
#
#   tests/run.sh [--sanitize asan|tsan] [--long] [--fuzz] [-R REGEX]
#
# --sanitize  the whole suite under AddressSanitizer with UBSan, or ThreadSanitizer
# --long      longer runs of the randomised tests, and files of tens of GiB
# --fuzz      also a few executions of every fuzz target, which are a build of their own
# -R REGEX    only the tests whose names match, as for ctest
#
# The last line is ctest's summary; the exit code is ctest's.
set -euo pipefail
cd "$(dirname "$0")/.."
. deploy/packages.sh

usage() {
  sed -n '2,12s/^# \{0,1\}//p' tests/run.sh >&2
  exit 2
}

preset=release
fuzz=
filter=()
while [ $# -gt 0 ]; do
  case "$1" in
    --sanitize)
      case "${2:-}" in asan | tsan) preset=$2 ;; *) usage ;; esac
      shift 2
      ;;
    --long) export BALLAST_LONG=1 && shift ;;
    --fuzz) fuzz=1 && shift ;;
    -R)
      [ $# -ge 2 ] || usage
      filter=(-R "$2")
      shift 2
      ;;
    *) usage ;;
  esac
done

ensure_packages "${BALLAST_BUILD_PACKAGES[@]}" "${BALLAST_TEST_PACKAGES[@]}"
ensure_extra_packages "${BALLAST_EXTRA_PACKAGES[@]}" "${BALLAST_PACKAGING_PACKAGES[@]}"

# Sanitizer options; what is suppressed is named in the files, with reasons.
options=$PWD/deploy/sanitizers
export ASAN_OPTIONS="detect_stack_use_after_return=1:strict_string_checks=1:abort_on_error=0"
export LSAN_OPTIONS="suppressions=$options/lsan.supp:print_suppressions=0"
export UBSAN_OPTIONS="print_stacktrace=1"
export TSAN_OPTIONS="suppressions=$options/tsan.supp:second_deadlock_stack=1:history_size=4"

if [ -n "$fuzz" ]; then
  ensure_packages "${BALLAST_FUZZ_PACKAGES[@]}"
  tests/fuzz/run.sh --build-only
else
  filter+=(-LE fuzz)
fi
cmake --preset "$preset"
cmake --build --preset "$preset" -- -j "${BALLAST_JOBS:-$(nproc)}"
exec ctest --test-dir "build/$preset" --output-on-failure --no-tests=error -j2 "${filter[@]}"
