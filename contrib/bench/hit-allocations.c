// Counts allocations of the process it is preloaded into, in a file that others can read while it runs.
//
// ALLOCATION_COUNTS names the file; it gets two 64-bit counters: all allocations, and those that libfuse itself made
// (told by the caller's address). Only calls that give memory are counted; the memory comes from the C library as ever.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

struct counters {
    uint64_t all;
    uint64_t libfuse;
};

static struct counters before_start;
static struct counters *counters = &before_start;
static uintptr_t fuse_start, fuse_end;

static inline void count(const void *caller) {
    uintptr_t at = (uintptr_t)caller;
    __atomic_fetch_add(&counters->all, 1, __ATOMIC_RELAXED);
    if (at >= fuse_start && at < fuse_end) __atomic_fetch_add(&counters->libfuse, 1, __ATOMIC_RELAXED);
}

void *malloc(size_t size) {
    count(__builtin_return_address(0));
    return __libc_malloc(size);
}

void *calloc(size_t number, size_t size) {
    count(__builtin_return_address(0));
    return __libc_calloc(number, size);
}

void *realloc(void *old, size_t size) {
    count(__builtin_return_address(0));
    return __libc_realloc(old, size);
}

void *memalign(size_t alignment, size_t size) {
    count(__builtin_return_address(0));
    return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
    count(__builtin_return_address(0));
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **place, size_t alignment, size_t size) {
    count(__builtin_return_address(0));
    void *memory = __libc_memalign(alignment, size);
    if (!memory) return ENOMEM;
    *place = memory;
    return 0;
}

static int find_fuse(struct dl_phdr_info *info, size_t size, void *unused) {
    (void)size;
    (void)unused;
    if (!strstr(info->dlpi_name, "libfuse3.so")) return 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        if (part->p_type != PT_LOAD || !(part->p_flags & PF_X)) continue;
        fuse_start = info->dlpi_addr + part->p_vaddr;
        fuse_end = fuse_start + part->p_memsz;
    }
    return 1;
}

__attribute__((constructor)) static void start(void) {
    const char *path = getenv("ALLOCATION_COUNTS");
    int file = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (file < 0) return;
    if (ftruncate(file, sizeof(struct counters)) == 0) {
        void *shared = mmap(NULL, sizeof(struct counters), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        if (shared != MAP_FAILED) counters = shared;
    }
    close(file);
    dl_iterate_phdr(find_fuse, NULL);
    // Programs that this one starts are not meant.
    unsetenv("LD_PRELOAD");
}
