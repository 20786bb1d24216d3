#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/futex.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

_Static_assert(sizeof(off_t) == 8, "vdrive needs a 64-bit off_t");

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#define PR_GET_IO_FLUSHER 58
#endif
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif

static int answer(long result) {
    return result < 0 ? -errno : (int)result;
}

int CLinux_futex_wait(uint32_t *address, uint32_t expected, int64_t timeout_nanoseconds) {
    struct timespec timeout = {timeout_nanoseconds / 1000000000, timeout_nanoseconds % 1000000000};
    struct timespec *limit = timeout_nanoseconds < 0 ? NULL : &timeout;
    return answer(syscall(SYS_futex, address, FUTEX_WAIT_PRIVATE, expected, limit, NULL, 0));
}

int CLinux_futex_wake(uint32_t *address, int32_t count) {
    return answer(syscall(SYS_futex, address, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0));
}

int CLinux_set_io_flusher(int on) {
    return answer(prctl(PR_SET_IO_FLUSHER, (unsigned long)on, 0UL, 0UL, 0UL));
}

int CLinux_get_io_flusher(void) {
    return answer(prctl(PR_GET_IO_FLUSHER, 0UL, 0UL, 0UL, 0UL));
}

int CLinux_set_name(const char *name) {
    return answer(prctl(PR_SET_NAME, name, 0UL, 0UL, 0UL));
}

int CLinux_lock_all_on_fault(void) {
    return answer(mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT));
}

int CLinux_unlock_all(void) {
    return answer(munlockall());
}

int CLinux_discard_memory(void *base, size_t length) {
    if (madvise(base, length, MADV_DONTNEED_LOCKED) == 0) return 0;
    // Before Linux 5.18 only unlocked memory can be given back.
    if (errno != EINVAL) return -errno;
    return answer(madvise(base, length, MADV_DONTNEED));
}

int CLinux_clone_range(int target, int source, uint64_t source_offset, uint64_t length, uint64_t target_offset) {
    struct file_clone_range range = {
        .src_fd = source, .src_offset = source_offset, .src_length = length, .dest_offset = target_offset};
    return answer(ioctl(target, FICLONERANGE, &range));
}

int CLinux_block_size_bytes(int descriptor, uint64_t *bytes) {
    return answer(ioctl(descriptor, BLKGETSIZE64, bytes));
}

int CLinux_punch_hole(int descriptor, int64_t offset, int64_t length) {
    return answer(fallocate(descriptor, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length));
}

int CLinux_allocate(int descriptor, int64_t offset, int64_t length) {
    return answer(fallocate(descriptor, FALLOC_FL_KEEP_SIZE, offset, length));
}

int64_t CLinux_copy_range(int source, int64_t source_offset, int target, int64_t target_offset, size_t length) {
    off_t from = source_offset, to = target_offset;
    ssize_t count = copy_file_range(source, &from, target, &to, length, 0);
    return count < 0 ? -errno : count;
}

int64_t CLinux_seek_data(int descriptor, int64_t offset) {
    off_t found = lseek(descriptor, offset, SEEK_DATA);
    return found < 0 ? -errno : found;
}

int64_t CLinux_seek_hole(int descriptor, int64_t offset) {
    off_t found = lseek(descriptor, offset, SEEK_HOLE);
    return found < 0 ? -errno : found;
}

int CLinux_start_write_back(int descriptor, int64_t offset, int64_t length) {
    return answer(sync_file_range(descriptor, offset, length, SYNC_FILE_RANGE_WRITE));
}

int CLinux_extents(int descriptor, uint64_t start, int sync, CLinux_extent *extents, uint32_t capacity) {
    size_t bytes = sizeof(struct fiemap) + capacity * sizeof(struct fiemap_extent);
    struct fiemap *map = calloc(1, bytes);
    if (map == NULL) return -ENOMEM;
    map->fm_start = start;
    map->fm_length = FIEMAP_MAX_OFFSET - start;
    map->fm_flags = sync ? FIEMAP_FLAG_SYNC : 0;
    map->fm_extent_count = capacity;
    int result = answer(ioctl(descriptor, FS_IOC_FIEMAP, map));
    if (result >= 0) {
        result = (int)map->fm_mapped_extents;
        for (uint32_t i = 0; i < map->fm_mapped_extents && i < capacity; i++) {
            struct fiemap_extent *found = &map->fm_extents[i];
            extents[i] = (CLinux_extent){found->fe_logical, found->fe_physical, found->fe_length, found->fe_flags};
        }
    }
    free(map);
    return result;
}

// struct getbmapx of xfs_fs.h: offsets and lengths in units of 512 bytes; the first one of an array is the question.
struct xfs_mapping {
    int64_t offset;
    int64_t block;
    int64_t length;
    int32_t count;
    int32_t entries;
    int32_t question_flags;
    int32_t answer_flags;
    int32_t unused[2];
};
_Static_assert(sizeof(struct xfs_mapping) == 48, "struct getbmapx");
// The number carries the size of the older struct getbmap, 32 bytes.
#define XFS_GETBMAPX _IOC(_IOC_READ | _IOC_WRITE, 'X', 56, 32)
#define XFS_ATTRIBUTES 0x1
#define XFS_NO_HOLES 0x10

int CLinux_xfs_extents(
    int descriptor, uint64_t start, int attributes, CLinux_extent *extents, uint32_t capacity) {
    struct xfs_mapping *map = calloc(capacity + 1, sizeof(struct xfs_mapping));
    if (map == NULL) return -ENOMEM;
    map->offset = (int64_t)(start / 512);
    // Not -1, which ends at the file's size: a directory keeps its index beyond that.
    map->length = ((int64_t)1 << 54) - 1 - map->offset;
    map->count = (int32_t)capacity + 1;
    map->question_flags = XFS_NO_HOLES | (attributes ? XFS_ATTRIBUTES : 0);
    int result = answer(ioctl(descriptor, XFS_GETBMAPX, map));
    if (result >= 0) {
        result = 0;
        for (int32_t i = 1; i <= map->entries && i <= (int32_t)capacity; i++) {
            if (map[i].block < 0) continue;
            extents[result++] = (CLinux_extent){
                (uint64_t)map[i].offset * 512, (uint64_t)map[i].block * 512, (uint64_t)map[i].length * 512, 0};
        }
    }
    free(map);
    return result;
}

int CLinux_sync_filesystem(int descriptor) {
    return answer(syncfs(descriptor));
}

int CLinux_direct_flag(void) {
    return O_DIRECT;
}

uint32_t CLinux_device_major(uint64_t device) {
    return major(device);
}

uint32_t CLinux_device_minor(uint64_t device) {
    return minor(device);
}

int CLinux_filesystem_magic(const char *path, uint64_t *magic) {
    struct statfs status;
    int result = answer(statfs(path, &status));
    if (result == 0) *magic = (uint64_t)status.f_type & 0xFFFFFFFF;
    return result;
}

int CLinux_pipe(int ends[2]) {
    return answer(pipe2(ends, O_CLOEXEC));
}

int CLinux_spawn_closes_from(void *actions, int first) {
    return -posix_spawn_file_actions_addclosefrom_np(actions, first);
}

int CLinux_start_thread(const char *name, size_t stack_bytes, void *(*body)(void *), void *argument, uint64_t *handle) {
    pthread_attr_t attributes;
    sigset_t all, before;
    pthread_t thread;
    int result = pthread_attr_init(&attributes);
    if (result != 0) return -result;
    pthread_attr_setstacksize(&attributes, stack_bytes);
    // A new thread inherits the mask, so that no signal ever finds it unprepared.
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    result = pthread_create(&thread, &attributes, body, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    if (result != 0) return -result;
    char kept[16] = {0};
    strncpy(kept, name, sizeof kept - 1);
    pthread_setname_np(thread, kept);
    *handle = thread;
    return 0;
}

void CLinux_join_thread(uint64_t handle) {
    pthread_join(handle, NULL);
}

void CLinux_detach_thread(uint64_t handle) {
    pthread_detach(handle);
}

uint64_t CLinux_current_thread(void) {
    return pthread_self();
}

int CLinux_open_process(int32_t process) {
    return answer(syscall(SYS_pidfd_open, process, 0));
}

int CLinux_exit_status(int status) {
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int CLinux_bound_allocator(int arenas, int mapped_bytes_min) {
    int done = mallopt(M_ARENA_MAX, arenas) && mallopt(M_MMAP_THRESHOLD, mapped_bytes_min) &&
               mallopt(M_TRIM_THRESHOLD, mapped_bytes_min);
    return done ? 0 : -EINVAL;
}
