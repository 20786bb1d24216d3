#pragma once
// The API version of Debian 12's libfuse 3.14; _FILE_OFFSET_BITS stays unset because it would make `struct flock`
// differ from the one in Swift's Glibc module, and on 64-bit machines off_t is 64 bits without it.
#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>
#include <linux/falloc.h>
#include <linux/fuse.h>

// In unistd.h only under _GNU_SOURCE, which Swift's Glibc module does not set.
#define CFUSE_SEEK_DATA 3
#define CFUSE_SEEK_HOLE 4

_Static_assert(sizeof(off_t) == 8, "vdrive needs a 64-bit off_t");

// Each thread's place for small replies: Swift has no thread-local storage of its own, and a malloc a read is what the
// hit path must not have.
#define CFUSE_SMALL_REPLY_BYTES 65536
static inline void *CFuse_thread_buffer(void) {
    static __thread char buffer[CFUSE_SMALL_REPLY_BYTES] __attribute__((aligned(4096)));
    return buffer;
}

// libfuse 3.14.0 has no field for parallel direct writes, so the kernel's own struct is sent.
static inline int CFuse_reply_open(fuse_req_t request, uint64_t handle, uint32_t flags) {
    struct fuse_open_out out = {.fh = handle, .open_flags = flags, .padding = 0};
    return fuse_reply_buf(request, (const char *)&out, sizeof(out));
}
