#pragma once
// The API version of Debian 12's libfuse 3.14; _FILE_OFFSET_BITS stays unset because it would make `struct flock`
// differ from the one in Swift's Glibc module, and on 64-bit machines off_t is 64 bits without it.
#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>
#include <linux/fuse.h>

_Static_assert(sizeof(off_t) == 8, "vdrive needs a 64-bit off_t");
