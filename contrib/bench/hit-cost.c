// Counts what a hit must not do, in the process that it is preloaded into, in a file that others can read while it
// runs.
//
// ALLOCATION_COUNTS names the file; it gets five 64-bit counters: all allocations, and those that libfuse itself made
// (told by the caller's address); all locks taken, and those of libfuse; and hops, which are the calls of Swift's
// runtime that take a task to another executor or wake one. Only calls that give memory are counted; the memory comes
// from the C library as ever. Of locks those of pthreads are seen, not a Swift mutex that nobody else holds.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
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
    uint64_t locks;
    uint64_t libfuse_locks;
    uint64_t hops;
};

static struct counters before_start;
static struct counters *counters = &before_start;
static uintptr_t fuse_start, fuse_end;

static inline void add(uint64_t *all, uint64_t *libfuse, const void *caller) {
    uintptr_t at = (uintptr_t)caller;
    __atomic_fetch_add(all, 1, __ATOMIC_RELAXED);
    if (at >= fuse_start && at < fuse_end) __atomic_fetch_add(libfuse, 1, __ATOMIC_RELAXED);
}

static inline void count(const void *caller) { add(&counters->all, &counters->libfuse, caller); }

static inline void count_lock(const void *caller) { add(&counters->locks, &counters->libfuse_locks, caller); }

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

// Each lock is found when it is first needed: programs lock before any constructor has run.
#define COUNTED_LOCK(name, type)                                                                                       \
    int name(type *lock) {                                                                                             \
        static int (*real)(type *);                                                                                    \
        if (!real) real = (int (*)(type *))dlsym(RTLD_NEXT, #name);                                                    \
        count_lock(__builtin_return_address(0));                                                                       \
        return real(lock);                                                                                             \
    }

COUNTED_LOCK(pthread_mutex_lock, pthread_mutex_t)
COUNTED_LOCK(pthread_mutex_trylock, pthread_mutex_t)
COUNTED_LOCK(pthread_rwlock_rdlock, pthread_rwlock_t)
COUNTED_LOCK(pthread_rwlock_wrlock, pthread_rwlock_t)

// Swift's own calling conventions: what goes on behind must find every register but r11 as it was.
#ifndef __x86_64__
#error "hops are counted on x86-64 only"
#endif
__attribute__((used)) static uint64_t *hops = &before_start.hops;
#define COUNTED_HOP(name)                                                                                              \
    __attribute__((used)) static void *real_##name;                                                                    \
    __asm__(".globl " #name "\n.type " #name ", @function\n" #name ":\n"                                              \
            "movq hops(%rip), %r11\nlock incq (%r11)\njmp *real_" #name "(%rip)\n");

COUNTED_HOP(swift_task_switch)
COUNTED_HOP(swift_continuation_resume)
COUNTED_HOP(swift_continuation_throwingResume)

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
    real_swift_task_switch = dlsym(RTLD_NEXT, "swift_task_switch");
    real_swift_continuation_resume = dlsym(RTLD_NEXT, "swift_continuation_resume");
    real_swift_continuation_throwingResume = dlsym(RTLD_NEXT, "swift_continuation_throwingResume");
    const char *path = getenv("ALLOCATION_COUNTS");
    int file = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (file < 0) return;
    if (ftruncate(file, sizeof(struct counters)) == 0) {
        void *shared = mmap(NULL, sizeof(struct counters), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        if (shared != MAP_FAILED) counters = shared;
        hops = &counters->hops;
    }
    close(file);
    dl_iterate_phdr(find_fuse, NULL);
    // Programs that this one starts are not meant.
    unsetenv("LD_PRELOAD");
}
