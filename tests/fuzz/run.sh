#!/bin/bash
# Builds the fuzz targets (clang, libFuzzer, AddressSanitizer, UBSan) and runs them.
#
#   tests/fuzz/run.sh [--runs N | --seconds N] [--only TARGET]… [--jobs J] [--build-only]
#
# --runs N      N executions each, always the same ones; nothing is kept (default 2000)
# --seconds N   N seconds each; what reaches new code is kept in build/fuzz/corpus
# --only T      only this target; may be repeated
# --jobs J      so many processes a target, for --seconds
#
# Starts from the seeds of make_seeds, from tests/golden and, if it is there, from the small
# files of the corpus that BALLAST_CORPUS names. Prints a line for each target. Exit code 1 if
# something was found (the input is then in build/fuzz/findings), 77 without clang.
set -euo pipefail
cd "$(dirname "$0")/../.."

usage() {
  sed -n '2,10s/^# \{0,1\}//p' tests/fuzz/run.sh >&2
  exit 2
}

runs=2000 seconds= jobs=1 build_only= only=()
while [ $# -gt 0 ]; do
  case "$1" in
    --build-only) build_only=1 && shift && continue ;;
    --runs | --seconds | --only | --jobs) [ $# -ge 2 ] || usage ;;
    *) usage ;;
  esac
  case "$1" in
    --runs) runs=$2 ;;
    --seconds) seconds=$2 ;;
    --only) only+=("$2") ;;
    --jobs) jobs=$2 ;;
  esac
  shift 2
done

if ! command -v clang++-14 >/dev/null; then
  echo "fuzz: skipped: clang++-14 is missing (Debian: clang-14, libclang-rt-14-dev)" >&2
  exit 77
fi

build=build/fuzz
cmake --preset fuzz >/dev/null
cmake --build --preset fuzz -- -j "${BALLAST_JOBS:-$(nproc)}" fuzz_targets >&2
[ -z "$build_only" ] || exit 0

# 512 MiB in all; a freed byte is watched for a while, but not for a quarter of a gigabyte.
export ASAN_OPTIONS="quarantine_size_mb=16:strict_string_checks=1"
export UBSAN_OPTIONS="print_stacktrace=1"
limits=(-rss_limit_mb=512 -malloc_limit_mb=64 -timeout=10 -max_len=8192)

dictionary_of() {
  case "$1" in
    pickle | objects | legacy) echo pickle ;;
    auto | zip) echo zip ;;
    safetensors | schema | shards) echo json ;;
    tar | torchsharp | names) echo "$1" ;;
  esac
}

make_seeds() {
  local folder=${BALLAST_CORPUS:-../shared}/corpus files=()
  mapfile -t files < <(find tests/golden -type f ! -name '*.py'
    [ ! -d "$folder" ] || find "$folder" -type f -size -64k ! -name '*.json' ! -name '*.md')
  rm -rf "$build/seeds"
  "$build/bin/make_seeds" "$build/seeds" "${files[@]}"
}

# run_target NAME: one line of numbers, or libFuzzer's report.
run_target() {
  local name=$1 dictionary corpus log=$build/$1.log flags=() folders=("$build/seeds/$1")
  local start=$SECONDS result=0
  dictionary=$(dictionary_of "$name")
  [ -z "$dictionary" ] || flags+=("-dict=tests/fuzz/dictionaries/$dictionary.dict")
  if [ -n "$seconds" ]; then
    corpus=$build/corpus/$name
    flags+=("-max_total_time=$seconds")
    [ "$jobs" -eq 1 ] || flags+=("-fork=$jobs")
  else
    corpus=$(mktemp -d)
    flags+=(-seed=1 "-runs=$runs")
  fi
  mkdir -p "$corpus" "$build/seeds/$name" "$build/findings"
  [ ! -d "tests/fuzz/regressions/$name" ] || folders+=("tests/fuzz/regressions/$name")
  "$build/bin/fuzz_$name" "${limits[@]}" "${flags[@]}" -print_final_stats=1 \
    "-artifact_prefix=$build/findings/$name-" "$corpus" "${folders[@]}" >"$log" 2>&1 || result=$?
  [ -n "$seconds" ] || rm -rf "$corpus"
  if [ "$result" -ne 0 ]; then
    tail -n 60 "$log" >&2
    echo "fuzz: $name: found something; the input is under $build/findings" >&2
    return 1
  fi
  awk -v name="$name" -v seconds=$((SECONDS - start)) '
    match($0, /cov: [0-9]+/) { cov = substr($0, RSTART + 5, RLENGTH - 5) }
    match($0, /corp: [0-9]+/) { corp = substr($0, RSTART + 6, RLENGTH - 6) }
    /^#[0-9]+/ { executions = substr($1, 2) + 0 }
    /number_of_executed_units/ { executions = $2 }
    /peak_rss_mb/ { rss = $2 }
    END { printf "%-12s %10d executions  %6d edges  %5d inputs  %4d s  %4d MiB\n",
          name, executions, cov, corp, seconds, rss }' "$log"
}

mapfile -t targets < <(cd "$build/bin" && ls fuzz_* | sed 's/^fuzz_//')
[ ${#only[@]} -eq 0 ] || targets=("${only[@]}")
make_seeds
failed=0
for target in "${targets[@]}"; do
  if [ ! -x "$build/bin/fuzz_$target" ]; then
    echo "fuzz: target is $target, want one of $(ls "$build/bin" | sed -n 's/^fuzz_//p' | xargs)" >&2
    exit 2
  fi
  run_target "$target" || failed=1
done
exit "$failed"
