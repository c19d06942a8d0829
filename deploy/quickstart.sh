#!/bin/bash
# From a fresh clone to a running registry, and one real session with it.
#
#   deploy/quickstart.sh [--serve] [--data-dir DIR] [--listen ADDR]
#
# Installs the packages that are missing, builds the two programs, starts a server on an
# embedded RocksDB, pushes a real .pth file, looks at it, checks it against a schema, pulls
# it as .dat and as safetensors, and shows that all three hold the same weights.
#
# --serve      leaves the server running and says how to use and stop it
# --data-dir   keeps the registry there (default: a temporary folder, removed at the end
#              unless --serve)
# --listen     default 127.0.0.1:0, a free port
set -euo pipefail
cd "$(dirname "$0")/.."
. deploy/packages.sh

usage() {
  sed -n '2,14s/^# \{0,1\}//p' deploy/quickstart.sh >&2
  exit 2
}

serve=no data_dir='' listen=127.0.0.1:0
while [ $# -gt 0 ]; do
  case "$1" in
    --serve) serve=yes && shift ;;
    --data-dir | --listen)
      [ $# -ge 2 ] || usage
      if [ "$1" = --listen ]; then listen=$2; else data_dir=$2; fi
      shift 2
      ;;
    *) usage ;;
  esac
done

work=$(mktemp -d "${TMPDIR:-/tmp}/ballast-quickstart-XXXXXX")
server_pid=''
cleanup() {
  local code=$?
  trap - EXIT
  if [ -n "$server_pid" ] && { [ "$serve" = no ] || [ "$code" -ne 0 ]; }; then
    kill "$server_pid" 2>/dev/null || true
    wait "$server_pid" 2>/dev/null || true
    server_pid=''
  fi
  [ -n "$server_pid" ] || rm -rf "$work"
  [ "$code" -eq 0 ] || echo "quickstart: failed with exit code $code" >&2
  exit "$code"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

say() { printf '\n== %s\n' "$*"; }
# Shows a command as one would type it, then runs it.
show() {
  printf '$'
  printf ' %q' "$@"
  printf '\n'
  "$@"
}

say "Packages"
ensure_packages "${BALLAST_BUILD_PACKAGES[@]}"
ensure_extra_packages "${BALLAST_EXTRA_PACKAGES[@]}"

say "Build"
cmake --preset release
cmake --build --preset release --target ballast ballastd
PATH=$PWD/build/release/bin:$PATH

say "Server"
data_dir=${data_dir:-$work/data}
mkdir -p "$data_dir"
echo "$ ballastd --data-dir $data_dir --listen $listen &"
setsid ballastd --data-dir "$data_dir" --listen "$listen" \
  >"$work/stdout" 2>"$work/log" </dev/null &
server_pid=$!
for _ in $(seq 300); do
  grep -q '^listening on ' "$work/stdout" && break
  kill -0 "$server_pid" 2>/dev/null || break
  sleep 0.1
done
address=$(sed -n '1s/^listening on //p' "$work/stdout")
if [ -z "$address" ]; then
  echo "quickstart: the server did not start:" >&2
  cat "$work/log" >&2
  exit 1
fi
echo "listening on $address"
export BALLAST_SERVER=$address

digest_of() { sed -n 's/.*"digest": *"\(sha256:[0-9a-f]\{64\}\)".*/\1/p' "$1"; }
golden=tests/golden

say "Push a state dict that torch.save wrote, and look at it"
show ballast inspect "$golden/digits.pth"
show ballast push "$golden/digits.pth" demo/digits --message "first" --json | tee "$work/pth.json"
show ballast ls
show ballast versions demo/digits
show ballast schema demo/digits

say "Does it fit the module that will load it?"
show ballast validate demo/digits --schema "$golden/digits.schema.json"

say "Pull it for TorchSharp and as safetensors"
show ballast pull demo/digits --format torchsharp -o "$work/digits.dat"
show ballast pull demo/digits --format safetensors -o "$work/digits.safetensors"
ls -l "$work/digits.dat" "$work/digits.safetensors"

say "Push what was pulled: other containers, the same weights"
show ballast push "$work/digits.dat" demo/digits --json | tee "$work/dat.json"
show ballast push "$work/digits.safetensors" demo/digits --json | tee "$work/safetensors.json"
want=$(digest_of "$work/pth.json")
for name in pth dat safetensors; do
  got=$(digest_of "$work/$name.json")
  printf '%-12s %s\n' "$name" "$got"
  if [ -z "$got" ] || [ "$got" != "$want" ]; then
    echo "quickstart: digest of $name is '$got', want '$want'" >&2
    exit 1
  fi
done

if [ "$serve" = yes ]; then
  say "The server goes on"
  cat <<USE
  export PATH=$PWD/build/release/bin:\$PATH BALLAST_SERVER=$address
  ballast versions demo/digits
  ballast help
Its data is in $data_dir, its log in $work/log. Stop it with
  kill $server_pid
USE
else
  say "Stop"
  kill "$server_pid"
  code=0
  wait "$server_pid" || code=$?
  server_pid=''
  echo "ballastd ended with exit code $code"
  [ "$code" -eq 0 ]
fi
say "Done"
