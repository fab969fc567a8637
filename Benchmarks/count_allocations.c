// Counts how often a process asks for memory, in all of its threads, so that `tessera bench` can
// say how many allocations one forward makes:
//
//     cc -O2 -shared -fPIC -o count_allocations.so count_allocations.c
//     LD_PRELOAD=./count_allocations.so tessera bench unet --json
//
// For glibc, whose own functions it passes every call on to by their second names: dlsym(3) would
// itself ask for memory before it is known whom to ask.
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

static _Atomic uint64_t requests;

static void count_one(void) { atomic_fetch_add_explicit(&requests, 1, memory_order_relaxed); }

/// How often memory was asked for so far. Never falls.
uint64_t tessera_allocation_count(void) {
    return atomic_load_explicit(&requests, memory_order_relaxed);
}

void *malloc(size_t size) {
    count_one();
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
    count_one();
    return __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size) {
    count_one();
    return __libc_realloc(memory, size);
}

void *memalign(size_t alignment, size_t size) {
    count_one();
    return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
    count_one();
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **memory, size_t alignment, size_t size) {
    // A power of two that is a multiple of a pointer's size (POSIX.1-2017).
    if (alignment % sizeof(void *) != 0 || alignment == 0 || (alignment & (alignment - 1)) != 0)
        return EINVAL;
    count_one();
    void *aligned = __libc_memalign(alignment, size);
    if (aligned == NULL) return ENOMEM;
    *memory = aligned;
    return 0;
}
