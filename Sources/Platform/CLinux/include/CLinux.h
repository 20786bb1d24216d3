#pragma once
// What Swift cannot import from the kernel's headers: variadic calls (ioctl, prctl, syscall), macros with casts, and
// structs with flexible arrays. linux/fs.h stays in shim.c, because it clashes with sys/mount.h.
//
// Every function returns a value of zero or more, or a negative errno.

#include <stddef.h>
#include <stdint.h>

// futex(2) has no wrapper in glibc; the private forms, for one process.
int CLinux_futex_wait(uint32_t *address, uint32_t expected, int64_t timeout_nanoseconds);
int CLinux_futex_wake(uint32_t *address, int32_t count);

// prctl is variadic.
int CLinux_set_io_flusher(int on);
int CLinux_get_io_flusher(void);
int CLinux_set_name(const char *name);

// mlockall's flags, among them MCL_ONFAULT, which needs _GNU_SOURCE.
int CLinux_lock_all_on_fault(void);
int CLinux_unlock_all(void);
// mallopt's parameters are macros. Returns -EINVAL where the C library does not know one.
int CLinux_bound_allocator(int arenas, int mapped_bytes_min);
// MADV_DONTNEED on memory that is locked fails; MADV_DONTNEED_LOCKED (Linux 5.18) is younger than glibc's headers.
int CLinux_discard_memory(void *base, size_t length);

// ioctl is variadic. Filesystems that cannot clone answer EOPNOTSUPP, EXDEV, EINVAL or ENOTTY.
int CLinux_clone_range(int target, int source, uint64_t source_offset, uint64_t length, uint64_t target_offset);
int CLinux_block_size_bytes(int descriptor, uint64_t *bytes);
int CLinux_punch_hole(int descriptor, int64_t offset, int64_t length);
int CLinux_allocate(int descriptor, int64_t offset, int64_t length);
int64_t CLinux_copy_range(int source, int64_t source_offset, int target, int64_t target_offset, size_t length);
int64_t CLinux_seek_data(int descriptor, int64_t offset);
int64_t CLinux_seek_hole(int descriptor, int64_t offset);
int CLinux_start_write_back(int descriptor, int64_t offset, int64_t length);

typedef struct {
    uint64_t logical;
    uint64_t physical;
    uint64_t length;
    uint32_t flags;
} CLinux_extent;

// FS_IOC_FIEMAP's struct ends in a flexible array. Returns the number of extents found from `start` on, at most
// `capacity`; with `capacity` 0, how many there are.
int CLinux_extents(int descriptor, uint64_t start, int sync, CLinux_extent *extents, uint32_t capacity);
// XFS_IOC_GETBMAPX, for directories of xfs, on which FIEMAP does not work; linux's own headers lack it. Like
// CLinux_extents, without holes and without what has no place yet; the flags are 0. `attributes` asks for the extended
// attributes that lie outside of the inode.
int CLinux_xfs_extents(
    int descriptor, uint64_t start, int attributes, CLinux_extent *extents, uint32_t capacity);

// syncfs needs _GNU_SOURCE.
int CLinux_sync_filesystem(int descriptor);

// O_DIRECT needs _GNU_SOURCE, and differs between machines.
int CLinux_direct_flag(void);

// The device number of st_rdev and st_dev: major and minor are macros.
uint32_t CLinux_device_major(uint64_t device);
uint32_t CLinux_device_minor(uint64_t device);

// statfs's header is not in Swift's Glibc module.
int CLinux_filesystem_magic(const char *path, uint64_t *magic);

// Extensions of glibc, which Swift's Glibc module does not show.
int CLinux_pipe(int ends[2]);
// `actions` is a posix_spawn_file_actions_t.
int CLinux_spawn_closes_from(void *actions, int first);
// Starts a thread with all signals blocked; `handle` becomes its pthread_t.
int CLinux_start_thread(const char *name, size_t stack_bytes, void *(*body)(void *), void *argument, uint64_t *handle);
void CLinux_join_thread(uint64_t handle);
void CLinux_detach_thread(uint64_t handle);
uint64_t CLinux_current_thread(void);

// pidfd_open has no wrapper in Debian 12's glibc that Swift's Glibc module shows.
int CLinux_open_process(int32_t process);
// WIFEXITED and friends are macros: the exit status, or 128 + the signal's number, as a shell has it.
int CLinux_exit_status(int status);
