// Instruction sets, and a team of threads that takes tiles from a shared counter.
//
// A forward pass is hundreds of short parallel loops, and waking a sleeping thread takes as long as
// many of them, longer still in a virtual machine. Waiting is therefore done by spinning for some
// microseconds, then for about a millisecond by giving way to whoever else wants the processor, and
// only then asleep on a condition variable. A loop never waits for a thread that has not come: on a
// busy machine the others do its share.
#define _GNU_SOURCE  // CPU_COUNT
#include "kernel_table.h"

#include <cblas.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

bool tsr_isa_available(tsr_isa isa) {
    switch (isa) {
    case TSR_ISA_SCALAR:
        return true;
#if defined(__x86_64__)
    case TSR_ISA_AVX2:
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")
            && __builtin_cpu_supports("f16c");
    case TSR_ISA_AVX512:
        return tsr_isa_available(TSR_ISA_AVX2) && __builtin_cpu_supports("avx512f")
            && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq")
            && __builtin_cpu_supports("avx512vl");
#endif
    default:
        return false;
    }
}

const tsr_kernels *tsr_kernels_of(tsr_isa isa) {
    switch (isa) {
#if defined(__x86_64__)
    case TSR_ISA_AVX2:
        return &tsr_kernels_avx2;
    case TSR_ISA_AVX512:
        return &tsr_kernels_avx512;
#endif
    default:
        return &tsr_kernels_scalar;
    }
}

typedef struct {
    tsr_engine *engine;
    int number;
    pthread_t thread;
} tsr_member;

struct tsr_engine {
    const tsr_kernels *kernels;
    int threads;
    tsr_member *members;  // threads 1 ..< threads; thread 0 is the caller

    // The loop in hand, written by the caller before it opens.
    tsr_tile_function function;
    void *context;
    size_t tiles;

    _Atomic size_t next_tile;
    _Atomic unsigned round;  // odd while a loop is open, moved on when it opens and when it closes
    _Atomic int active;      // members that have entered and not left
    _Atomic int sleepers;
    _Atomic bool stopping;

    pthread_mutex_t mutex;  // with `wake`, only for going to sleep and being woken
    pthread_cond_t wake;
};

enum { TSR_SPINS = 2000, TSR_YIELDS = 2000 };

static inline void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

static void take_tiles(tsr_engine *engine, int thread) {
    for (;;) {
        size_t tile = atomic_fetch_add_explicit(&engine->next_tile, 1, memory_order_relaxed);
        if (tile >= engine->tiles) return;
        engine->function(engine->context, tile, thread);
    }
}

static bool is_news(tsr_engine *engine, unsigned seen) {
    unsigned round = atomic_load(&engine->round);
    return (round % 2 == 1 && round != seen) || atomic_load(&engine->stopping);
}

// Returns when a loop is open that is not the one `seen`, or the engine stops.
static void await_news(tsr_engine *engine, unsigned seen) {
    for (int spin = 0; spin < TSR_SPINS; spin++) {
        if (is_news(engine, seen)) return;
        relax();
    }
    for (int yield = 0; yield < TSR_YIELDS; yield++) {
        if (is_news(engine, seen)) return;
        sched_yield();
    }
    pthread_mutex_lock(&engine->mutex);
    atomic_fetch_add(&engine->sleepers, 1);
    while (!is_news(engine, seen)) pthread_cond_wait(&engine->wake, &engine->mutex);
    atomic_fetch_sub(&engine->sleepers, 1);
    pthread_mutex_unlock(&engine->mutex);
}

static void wake_sleepers(tsr_engine *engine) {
    if (atomic_load(&engine->sleepers) > 0) {
        pthread_mutex_lock(&engine->mutex);
        pthread_cond_broadcast(&engine->wake);
        pthread_mutex_unlock(&engine->mutex);
    }
}

static void *member_main(void *argument) {
    tsr_member *member = argument;
    tsr_engine *engine = member->engine;
    for (unsigned seen = 0;;) {
        await_news(engine, seen);
        if (atomic_load(&engine->stopping)) return NULL;
        seen = atomic_load(&engine->round);
        // Either the caller sees this entry when it closes the loop and waits for the leaving,
        // or the loop is seen closed here and left alone.
        atomic_fetch_add(&engine->active, 1);
        if (seen % 2 == 1 && atomic_load(&engine->round) == seen) {
            take_tiles(engine, member->number);
        }
        atomic_fetch_sub(&engine->active, 1);
    }
}

void tsr_parallel_for(tsr_engine *engine, size_t tiles, tsr_tile_function function, void *context) {
    if (engine->threads == 1 || tiles <= 1) {
        for (size_t tile = 0; tile < tiles; tile++) function(context, tile, 0);
        return;
    }
    engine->function = function;
    engine->context = context;
    engine->tiles = tiles;
    atomic_store(&engine->next_tile, 0);
    atomic_fetch_add(&engine->round, 1);
    wake_sleepers(engine);
    take_tiles(engine, 0);
    atomic_fetch_add(&engine->round, 1);
    for (int spin = 0; atomic_load(&engine->active) > 0; spin++) {
        if (spin < TSR_SPINS) {
            relax();
        } else {
            sched_yield();
        }
    }
}

static void stop_members(tsr_engine *engine, int started) {
    atomic_store(&engine->stopping, true);
    wake_sleepers(engine);
    for (int i = 0; i < started; i++) pthread_join(engine->members[i].thread, NULL);
    pthread_cond_destroy(&engine->wake);
    pthread_mutex_destroy(&engine->mutex);
    free(engine->members);
    free(engine);
}

tsr_engine *tsr_engine_create(tsr_isa isa, int threads) {
    if (!tsr_isa_available(isa) || threads < 1 || threads > TSR_MAXIMUM_THREADS) return NULL;
    openblas_set_num_threads(1);
    tsr_engine *engine = calloc(1, sizeof *engine);
    tsr_member *members = calloc((size_t)threads, sizeof *members);
    if (!engine || !members) {
        free(engine);
        free(members);
        return NULL;
    }
    engine->kernels = tsr_kernels_of(isa);
    engine->threads = threads;
    engine->members = members;
    pthread_mutex_init(&engine->mutex, NULL);
    pthread_cond_init(&engine->wake, NULL);
    for (int i = 0; i < threads - 1; i++) {
        members[i].engine = engine;
        members[i].number = i + 1;
        if (pthread_create(&members[i].thread, NULL, member_main, &members[i]) != 0) {
            stop_members(engine, i);
            return NULL;
        }
    }
    return engine;
}

void tsr_engine_destroy(tsr_engine *engine) { stop_members(engine, engine->threads - 1); }

const tsr_kernels *tsr_engine_kernels(const tsr_engine *engine) { return engine->kernels; }
int tsr_engine_threads(const tsr_engine *engine) { return engine->threads; }

int tsr_processor_count(void) {
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return 1;
    int count = CPU_COUNT(&allowed);
    if (count < 1) return 1;
    return count < TSR_MAXIMUM_THREADS ? count : TSR_MAXIMUM_THREADS;
}

const char *tsr_blas_config(void) { return openblas_get_config(); }
const char *tsr_blas_core(void) { return openblas_get_corename(); }
