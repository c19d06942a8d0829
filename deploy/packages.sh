# The Debian 12 packages that Ballast needs, in lists by use, and a function that
# installs what is missing of a list. Sourced by deploy/quickstart.sh and tests/run.sh.

BALLAST_BUILD_PACKAGES=(
  g++ cmake ninja-build pkg-config
  libabsl-dev libcivetweb-dev libcli11-dev libdeflate-dev libgrpc++-dev libprotobuf-dev
  libre2-dev librocksdb-dev libspdlog-dev libssl-dev nlohmann-json3-dev prometheus-cpp-dev
  protobuf-compiler protobuf-compiler-grpc zlib1g-dev
)
BALLAST_TEST_PACKAGES=(
  binutils libgtest-dev libgmock-dev libtorch-dev openssl strace
  python3 python3-grpcio python3-numpy python3-protobuf python3-torch python3-yaml
)
# For tests/fuzz/run.sh and fuzz.short.
BALLAST_FUZZ_PACKAGES=(clang-14 libclang-rt-14-dev)
# Not needed, but a second build is much shorter with it.
BALLAST_EXTRA_PACKAGES=(ccache)
# Not needed: to make Debian packages, with manual pages, and to check them.
BALLAST_PACKAGING_PACKAGES=(dpkg-dev help2man lintian)

# missing_packages NAME…: prints those that are not installed.
missing_packages() {
  local name
  for name in "$@"; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$name" 2>/dev/null)" = installed ] || echo "$name"
  done
}

# ensure_packages NAME…: installs what is missing, as root or through sudo. Does not touch
# the network if nothing is missing.
ensure_packages() {
  local missing as_root=()
  if ! command -v dpkg-query >/dev/null; then
    echo "packages: this is not a Debian system; install these by hand: $*" >&2
    return 0
  fi
  mapfile -t missing < <(missing_packages "$@")
  [ "${#missing[@]}" -gt 0 ] || return 0
  if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
      echo "packages: missing ${missing[*]}; want root or sudo to install them" >&2
      return 1
    fi
    as_root=(sudo)
  fi
  echo "packages: installing ${missing[*]}" >&2
  # An index that is a little old is fine as long as the installation works.
  "${as_root[@]}" apt-get update -q >&2 || echo "packages: apt-get update failed" >&2
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -q --no-install-recommends "${missing[@]}" </dev/null >&2
}

# ensure_extra_packages NAME…: the same, but a failure is only said.
ensure_extra_packages() {
  ensure_packages "$@" || echo "packages: going on without $*" >&2
}
