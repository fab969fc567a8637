// Life under a memory limit (ulimit -v, ulimit -d).
//
// OpenBLAS asks again for ever when the system has no memory for its buffers, libdispatch when it
// has none for a thread, and Swift's runtime ends the process without a word. What can be known
// ahead is therefore taken ahead, and what is small is kept small.
#define _GNU_SOURCE  // pthread_setattr_default_np
#include "CKernels.h"

#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

// ---- OpenBLAS without threads of its own -------------------------------------------------------

// OpenBLAS starts a thread per processor while it is loaded, each with a buffer of 128 MiB, which
// nothing here ever uses: products run on the threads of the engine. Only its variable in the
// environment keeps it from that, and only before any library's constructor has run. There is no
// room to add a variable at that time, so one is exchanged until the constructors are done; not one
// that other constructors read.
static char blas_alone[] = "OPENBLAS_NUM_THREADS=1";
static char **exchanged;
static char *original;

static bool begins(const char *text, const char *start) {
    while (*start) {
        if (*text++ != *start++) return false;
    }
    return true;
}

__attribute__((no_sanitize("address", "thread"))) static void before_libraries(
    int count, char **arguments, char **environment) {
    (void)count, (void)arguments;
    if (!environment) return;
    for (char **entry = environment; *entry; entry++) {
        bool is_read = begins(*entry, "SWIFT_") || begins(*entry, "LIBDISPATCH_");
        if (!is_read) exchanged = entry;
        if (begins(*entry, "OPENBLAS_NUM_THREADS=")) break;
    }
    if (!exchanged) return;
    original = *exchanged;
    *exchanged = blas_alone;
}

__attribute__((section(".preinit_array"), used)) static void (*const first)(int, char **, char **) =
    before_libraries;

// ---- Limits ------------------------------------------------------------------------------------

// Pages of the process from /proc/self/statm: all, and private ones that can be written.
static bool pages_in_use(size_t *all, size_t *data) {
    char text[256];
    int file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (file < 0) return false;
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    if (length <= 0) return false;
    text[length] = 0;
    size_t numbers[7] = {0};
    const char *at = text;
    for (int i = 0; i < 7; i++) {
        while (*at == ' ') at++;
        for (; *at >= '0' && *at <= '9'; at++) numbers[i] = 10 * numbers[i] + (size_t)(*at - '0');
    }
    *all = numbers[0];
    *data = numbers[5];
    return *all > 0;
}

static void tighten(tsr_memory_limit *limit, rlim_t allowed, const char *name, size_t used) {
    if (allowed == RLIM_INFINITY) return;
    size_t left = allowed > used ? allowed - used : 0;
    if (limit->name && left >= limit->allowed - limit->used) return;
    *limit = (tsr_memory_limit){.name = name, .allowed = used + left, .used = used};
}

bool tsr_memory_limit_now(tsr_memory_limit *limit) {
    *limit = (tsr_memory_limit){0};
    struct rlimit addresses, data;
    if (getrlimit(RLIMIT_AS, &addresses) != 0 || getrlimit(RLIMIT_DATA, &data) != 0) return false;
    size_t all_pages, data_pages;
    if ((addresses.rlim_cur == RLIM_INFINITY && data.rlim_cur == RLIM_INFINITY)
        || !pages_in_use(&all_pages, &data_pages)) {
        return false;
    }
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    tighten(limit, addresses.rlim_cur, "ulimit -v", all_pages * page);
    tighten(limit, data.rlim_cur, "ulimit -d", data_pages * page);
    return true;
}

// Whether the system would map so much now.
static bool has_room(size_t bytes) {
    void *probe = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (probe == MAP_FAILED) return false;
    munmap(probe, bytes);
    return true;
}

// OpenBLAS's own, in no header of it; absent from builds that name it differently.
extern void *blas_memory_alloc(int) __attribute__((weak));
extern void blas_memory_free(void *) __attribute__((weak));

bool tsr_reserve_blas(int threads) {
    tsr_memory_limit limit;
    if (!tsr_memory_limit_now(&limit) || !blas_memory_alloc || !blas_memory_free) return true;
    void *buffers[TSR_MAXIMUM_THREADS];
    int taken = 0;
    while (taken < threads && has_room(TSR_BLAS_BUFFER)) buffers[taken++] = blas_memory_alloc(0);
    for (int i = 0; i < taken; i++) blas_memory_free(buffers[i]);
    return taken == threads;
}

// ---- Last words --------------------------------------------------------------------------------

static size_t append(char *text, size_t length, const char *more) {
    size_t count = strlen(more);
    memcpy(text + length, more, count);
    return length + count;
}

static size_t append_number(char *text, size_t length, size_t number) {
    char digits[24];
    int at = sizeof digits - 1;
    digits[at] = 0;
    do digits[--at] = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    return append(text, length, digits + at);
}

// With so much left, in bytes, it was hardly memory that was missing.
enum { NEARLY_NOTHING = 32 << 20 };

// For what could not be refused: Swift's runtime and the libraries end the process when a small
// allocation fails. Calls nothing that a signal handler may not.
static void last_words(int signal) {
    tsr_memory_limit limit;
    if (!tsr_memory_limit_now(&limit) || limit.allowed - limit.used > NEARLY_NOTHING) return;
    char text[320];
    size_t length = append(text, 0, "\ntessera: out of memory, it seems (signal ");
    length = append_number(text, length, (size_t)signal);
    length = append(text, length, "): ");
    length = append(text, length, limit.name);
    length = append(text, length, " allows ");
    length = append_number(text, length, limit.allowed >> 20);
    length = append(text, length, " MiB, of which ");
    length = append_number(text, length, limit.used >> 20);
    length = append(text, length, " MiB are taken; raise it\n");
    ssize_t written = write(STDERR_FILENO, text, length);
    (void)written;
    _exit(65);
}

static void on_death(int signal) {
    last_words(signal);
    // The handler is gone by now: what happens next is what would have happened without it.
    raise(signal);
}

__attribute__((constructor)) static void after_libraries(void) {
    if (exchanged) *exchanged = original;
    tsr_memory_limit limit;
    if (!tsr_memory_limit_now(&limit)) return;
    // By default every thread reserves 64 MiB of addresses for its allocations, and 8 for its
    // stack.
    mallopt(M_ARENA_MAX, 1);
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) == 0) {
        pthread_attr_setstacksize(&attributes, 2 << 20);
        pthread_setattr_default_np(&attributes);
        pthread_attr_destroy(&attributes);
    }
    const int signals[] = {SIGABRT, SIGILL, SIGTRAP, SIGSEGV};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        struct sigaction before, action = {.sa_handler = on_death, .sa_flags = SA_RESETHAND};
        // A debugger's or the Swift runtime's own handler says more.
        if (sigaction(signals[i], NULL, &before) == 0 && before.sa_handler == SIG_DFL) {
            sigaction(signals[i], &action, NULL);
        }
    }
}
