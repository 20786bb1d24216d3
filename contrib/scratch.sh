# A folder for all that the tests make, and what clears it. Sourced after setup.sh, never run.

# Whatever a test left behind can be found by this folder's name, and nothing else can.
mkdir -p "${TMPDIR:-/tmp}"
SCRATCH=$(mktemp -d "${TMPDIR:-/tmp}/vdt.XXXXXX")
chmod 755 "$SCRATCH" # servers drop their rights and must be able to come here

mounts_below() { findmnt -rno TARGET | grep -F "$SCRATCH/" | sort -r; }
loops_below() { losetup -nlO NAME,BACK-FILE | awk -v folder="$SCRATCH/" 'index($2, folder) == 1 { print $1 }'; }
mounts_of() { findmnt -rno TARGET -S "$1"; }
processes_below() { pgrep -f -- "$SCRATCH/" || true; }

# Only what names our own folder: filesystems first, then loop devices, programs, FUSE mounts.
clear_scratch() {
  local thing mount
  for thing in $(loops_below); do
    for mount in $(mounts_of "$thing"); do
      as_root timeout 20 umount "$mount" || as_root umount -l "$mount" || true
    done
    as_root losetup -d "$thing" || true
  done
  for thing in $(processes_below); do as_root kill "$thing" 2>/dev/null || true; done
  for _ in $(seq 50); do [ -n "$(processes_below)" ] || break; sleep 0.1; done
  for thing in $(processes_below); do as_root kill -9 "$thing" 2>/dev/null || true; done
  for mount in $(mounts_below); do as_root umount -l "$mount" || true; done
  as_root rm -rf --one-file-system "$SCRATCH" "/dev/shm/${SCRATCH##*/}-"*
}
