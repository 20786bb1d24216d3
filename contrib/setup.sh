# What the scripts in contrib/ share: root's rights, Debian packages, the toolchain. Sourced, never run.

PROJECT=$(dirname "$(dirname "$(realpath "${BASH_SOURCE[0]}")")")

# The libraries that vdrive is built on, and the programs that it calls.
BUILD_PACKAGES=(pkg-config build-essential ca-certificates git
  libfuse3-dev libcurl4-openssl-dev libzstd-dev liblmdb-dev libxxhash-dev libblkid-dev
  fuse3 e2fsprogs xfsprogs util-linux mount)

say() { printf '\n== %s\n' "$*"; }
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

# as_root COMMAND...: with sudo only where it is needed.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"
  elif command -v sudo >/dev/null; then sudo "$@"
  else die "this needs root: $*. Run it as root, or install sudo."; fi
}

# install_packages NAME...: only what is missing; does not touch the network when nothing is.
install_packages() {
  local name missing=()
  for name in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null)" = installed ] || missing+=("$name")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  say "Installing ${missing[*]}"
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

need_swift() {
  command -v swift >/dev/null || die "there is no swift in PATH; install Swift 6.3 from https://swift.org/install/linux"
  local version
  version=$(swift --version 2>/dev/null | sed -n 's/.*Swift version \([0-9]*\.[0-9]*\).*/\1/p' | head -1)
  [ "$(printf '6.3\n%s\n' "$version" | sort -V | head -1)" = 6.3 ] || die "Swift $version is too old; 6.3 is needed"
}

need_fuse() {
  [ -e /dev/fuse ] || as_root modprobe fuse 2>/dev/null || true
  [ -e /dev/fuse ] || die "there is no /dev/fuse; load the fuse module (modprobe fuse)"
  [ -e /dev/loop-control ] || as_root modprobe loop 2>/dev/null || true
  [ -e /dev/loop-control ] || die "there is no /dev/loop-control; load the loop module (modprobe loop)"
}
