# What the benchmarks share: a folder of their own, the three systems, and their end. Sourced, never run.
#
#   loop             a loop device (direct I/O) on a plain sparse file: the disk's limit
#   passthrough_ll   the same on libfuse's example of that name, in C: FUSE's limit
#   vdrive           the same on vdrive's disk.img, its remote a local folder

. "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/../setup.sh"

SYSTEMS=(loop passthrough_ll vdrive)
SIZE=${SIZE:-1G}                                       # of the region that the jobs use
BIN=${VDRIVE_BIN:-$PROJECT/.build/release}
declare -A LOOP PID                                    # by system: its loop device, its program
[ "$(id -u)" -eq 0 ] || die "benchmarks need root: loop devices, FUSE, dropping caches"
mkdir -p "${BENCH_DIR:=/var/tmp}"                      # on the disk whose speed is meant; never a tmpfs
W=$(mktemp -d "$BENCH_DIR/vdrive-bench.XXXXXX")
trap 'set +e; down' EXIT
trap 'exit 130' INT TERM

vdrivectl() { "$BIN/vdrivectl" --socket "$W/socket" "$@"; }
field() { vdrivectl status bench --json | jq -r "$1"; }
wait_mount() { for _ in $(seq 100); do ! mountpoint -q "$1" || return 0; sleep 0.1; done; die "no mount at $1"; }
loop_on() { # loop_on SYSTEM FILE
  LOOP[$1]=$(losetup --find --show --direct-io=on --sector-size 4096 "$2")
  [ "$(losetup -nO DIO "${LOOP[$1]}" | tr -d ' ')" = 1 ] || die "the loop device on $2 refuses direct I/O"; }

# libfuse's example comes as source, in its -dev package. One change: the loop device's direct I/O sends buffers that
# an O_DIRECT file would refuse, so the example must not pass that flag on.
build_passthrough() {
  local source=/usr/share/doc/libfuse3-dev/examples
  if [ ! -e $source/passthrough_ll.c ]; then # containers leave documents out; the package itself has them
    (cd "$W" && apt-get download -qq libfuse3-dev && dpkg-deb -x libfuse3-dev_*.deb "$W/deb")
    source=$W/deb$source
  fi
  cp "$source/passthrough_ll.c" "$source/passthrough_helpers.h" "$W"
  sed -i 's/fi->flags & ~O_NOFOLLOW/fi->flags \& ~(O_NOFOLLOW | O_DIRECT)/' "$W/passthrough_ll.c"
  # shellcheck disable=SC2046
  gcc -O2 -D_FILE_OFFSET_BITS=64 "$W/passthrough_ll.c" -o "$W/passthrough_ll" $(pkg-config fuse3 --cflags --libs)
}

loop_up() { truncate -s "$SIZE" "$W/plain.img"; loop_on loop "$W/plain.img"; }

# Each _up may be given a command to run the program under.
passthrough_ll_up() {
  [ -x "$W/passthrough_ll" ] || build_passthrough
  mkdir -p "$W/source" "$W/passthrough"
  truncate -s "$SIZE" "$W/source/disk.img"
  "$@" "$W/passthrough_ll" -f -o source="$W/source" "$W/passthrough" & PID[passthrough_ll]=$!
  wait_mount "$W/passthrough"
  loop_on passthrough_ll "$W/passthrough/disk.img"
}

vdrive_up() {
  [ -x "$BIN/vdrived" ] || die "there is no $BIN/vdrived; build it: swift build -c release"
  mkdir -p "$W/remote"
  "$@" "$BIN/vdrived" --socket "$W/socket" --state-dir "$W/state" --run-dir "$W/run" >"$W/vdrived.log" 2>&1 &
  PID[vdrive]=$!
  for _ in $(seq 100); do ! vdrivectl status >/dev/null 2>&1 || break; sleep 0.1; done
  vdrivectl create bench --size "$SIZE" --remote "file://$W/remote" --cache-size "${CACHE_SIZE:-8G}" >/dev/null
  vdrivectl attach bench --fs none >/dev/null
  loop_on vdrive "$(field .image)"
}

down() {
  local system
  for system in "${!LOOP[@]}"; do losetup -d "${LOOP[$system]}"; done
  for system in "${!LOOP[@]}"; do
    for _ in $(seq 50); do losetup "${LOOP[$system]}" >/dev/null 2>&1 || break; sleep 0.1; done
  done
  if mountpoint -q "$W/passthrough"; then umount "$W/passthrough"; fi
  if [ -n "${PID[vdrive]:-}" ]; then
    timeout 60 "$BIN/vdrivectl" --socket "$W/socket" detach bench >/dev/null
    kill "${PID[vdrive]}"
    for _ in $(seq 300); do kill -0 "${PID[vdrive]}" 2>/dev/null || break; sleep 0.1; done
    if kill -0 "${PID[vdrive]}" 2>/dev/null; then
      echo "the daemon did not end; killed. The end of its log:" >&2
      tail -n 20 "$W/vdrived.log" >&2
      kill -9 "${PID[vdrive]}"
    fi
  fi
  if declare -F extra_down >/dev/null; then extra_down; fi # what one benchmark alone has started
  findmnt -rno TARGET | grep -F "$W/" | while read -r mount; do umount -l "$mount"; done
  rm -rf --one-file-system "$W"
}

# job SYSTEM FILE OPTION...: one run of fio on a system's loop device; its JSON goes to FILE.
job() {
  timeout -k 5 120 fio --name=job --filename="${LOOP[$1]}" --ioengine=libaio --direct=1 --size="$SIZE" \
    --randrepeat=0 --norandommap --buffer_compress_percentage=66 --refill_buffers --output-format=json \
    --output="$2" "${@:3}"
}

fill() { # the same text-like bytes all over, so that reads find data and not holes
  job "$1" /dev/null --rw=write --bs=1M --iodepth=8 --end_fsync=1
}

# A cold start: nothing in any cache.
make_cold() {
  sync -f "$W"
  if [ "$1" = vdrive ]; then vdrivectl sync bench >/dev/null && vdrivectl cache evict bench --wait >/dev/null; fi
  echo 3 >/proc/sys/vm/drop_caches
}
