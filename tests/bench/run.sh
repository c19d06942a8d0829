#!/bin/bash
# Measures Ballast against its peers and the machine. README.md says what and how.
#
#   tests/bench/run.sh [--quick|--full|--tiny] [--only P1,P4] [--json FILE]
#
# Builds the release preset, fetches the peers' Debian packages into build/bench-peers (unpacked there,
# not installed: no service of theirs starts), and runs the driver. --full also installs Ceph's
# daemons. Temporary files are under $TMPDIR.
set -euo pipefail
cd "$(dirname "$0")/../.."
. deploy/packages.sh

ensure_packages "${BALLAST_BUILD_PACKAGES[@]}" "${BALLAST_TEST_PACKAGES[@]}" curl

# fetch_peer PROGRAM PACKAGE: unless the program is here.
fetch_peer() {
  command -v "$1" >/dev/null && return
  [ ! -e "$peers/usr/bin/$1" ] && [ ! -e "$peers/usr/sbin/$1" ] || return 0
  echo "bench: fetching $2" >&2
  (
    cd "$downloads"
    apt-get download -q "$2" >&2 || { apt-get update -q >&2 && apt-get download -q "$2" >&2; }
    dpkg -x "$2"_*.deb "$peers"
  )
}

# The S3 gateway (P3c) is the one peer that has to be installed.
case " $* " in *" --full "*) ensure_extra_packages ceph-mon ceph-osd radosgw ;; esac

peers=$PWD/build/bench-peers
downloads=$(mktemp -d)
trap 'rm -rf "$downloads"' EXIT
mkdir -p "$peers"
fetch_peer nginx nginx
fetch_peer docker-registry docker-registry
fetch_peer restic restic

cmake --preset release >/dev/null
cmake --build --preset release -- -j "${BALLAST_JOBS:-$(nproc)}" \
  ballast ballastd bench_floor bench_client bench_local >&2

export BALLAST_BIN_DIR=$PWD/build/release/bin BALLAST_BENCH_PEERS=$peers PYTHONDONTWRITEBYTECODE=1
python=/usr/bin/python3
[ -x "$python" ] || python=python3
"$python" tests/bench/bench.py "$@"
