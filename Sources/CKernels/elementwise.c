// Operations without neighbours: an element's answer does not depend on how the work is cut, so
// blocks may run across items.
#include "kernel_table.h"

#include <stdatomic.h>
#include <string.h>

enum { TSR_BLOCK_FLOATS = 1 << 14 };

typedef struct {
    const tsr_kernels *kernels;
    size_t count;    // elements, or rows
    size_t block;    // of them per tile
    size_t left, right;  // row lengths, where rows matter
    tsr_activation activation;
    const float *a, *b;
    float *y;
    uint8_t *bytes;
    atomic_bool *is_finite;  // so far; every block may say no
} element_job;

static size_t rows_per_tile(size_t row_length) {
    size_t rows = TSR_BLOCK_FLOATS / row_length;
    return rows > 0 ? rows : 1;
}

static void run(tsr_engine *engine, element_job *job, tsr_tile_function function) {
    job->kernels = tsr_engine_kernels(engine);
    tsr_parallel_for(engine, tsr_ceil_div(job->count, job->block), function, job);
}

static void activate_tile(void *context, size_t index, int thread) {
    (void)thread;
    const element_job *job = context;
    size_t start = index * job->block;
    job->kernels->activate(
        tsr_min(job->block, job->count - start), job->activation, job->a + start, job->y + start);
}

void tsr_activate(
    tsr_engine *engine, size_t count, tsr_activation activation, const float *x, float *y) {
    element_job job = {
        .count = count, .block = TSR_BLOCK_FLOATS, .activation = activation, .a = x, .y = y,
    };
    run(engine, &job, activate_tile);
}

static void add_tile(void *context, size_t index, int thread) {
    (void)thread;
    const element_job *job = context;
    size_t start = index * job->block;
    job->kernels->add(
        tsr_min(job->block, job->count - start), job->a + start, job->b + start, job->y + start);
}

void tsr_add(tsr_engine *engine, size_t count, const float *a, const float *b, float *y) {
    element_job job = {.count = count, .block = TSR_BLOCK_FLOATS, .a = a, .b = b, .y = y};
    run(engine, &job, add_tile);
}

static void geglu_tile(void *context, size_t index, int thread) {
    (void)thread;
    const element_job *job = context;
    size_t end = tsr_min((index + 1) * job->block, job->count);
    for (size_t row = index * job->block; row < end; row++) {
        const float *values = job->a + row * 2 * job->left;
        job->kernels->gate(job->left, values, values + job->left, job->y + row * job->left);
    }
}

void tsr_geglu(tsr_engine *engine, size_t rows, size_t channels, const float *x, float *y) {
    element_job job = {
        .count = rows, .block = rows_per_tile(2 * channels), .left = channels, .a = x, .y = y,
    };
    run(engine, &job, geglu_tile);
}

static void concatenate_tile(void *context, size_t index, int thread) {
    (void)thread;
    const element_job *job = context;
    size_t end = tsr_min((index + 1) * job->block, job->count);
    for (size_t row = index * job->block; row < end; row++) {
        float *y = job->y + row * (job->left + job->right);
        memcpy(y, job->a + row * job->left, job->left * sizeof(float));
        memcpy(y + job->left, job->b + row * job->right, job->right * sizeof(float));
    }
}

void tsr_concatenate(
    tsr_engine *engine, size_t rows, size_t left, size_t right, const float *a, const float *b,
    float *y) {
    element_job job = {
        .count = rows, .block = rows_per_tile(left + right), .left = left, .right = right,
        .a = a, .b = b, .y = y,
    };
    run(engine, &job, concatenate_tile);
}

static void to_bytes_tile(void *context, size_t index, int thread) {
    (void)thread;
    const element_job *job = context;
    size_t start = index * job->block;
    bool is_finite = job->kernels->to_bytes(
        tsr_min(job->block, job->count - start), job->a + start, job->bytes + start);
    if (!is_finite) atomic_store_explicit(job->is_finite, false, memory_order_relaxed);
}

bool tsr_to_bytes(tsr_engine *engine, size_t count, const float *x, uint8_t *y) {
    atomic_bool is_finite = true;
    element_job job = {
        .count = count, .block = TSR_BLOCK_FLOATS, .a = x, .bytes = y, .is_finite = &is_finite,
    };
    run(engine, &job, to_bytes_tile);
    return atomic_load_explicit(&is_finite, memory_order_relaxed);
}

typedef struct {
    const tsr_upsample_shape *shape;
    const float *x;
    float *y;
} upsample_job;

// A tile is one row of the result.
static void upsample_tile(void *context, size_t index, int thread) {
    (void)thread;
    const upsample_job *job = context;
    const tsr_upsample_shape *shape = job->shape;
    size_t item = index / shape->out_height, row = index % shape->out_height;
    size_t source_row = row * shape->height / shape->out_height;
    size_t channels = shape->channels;
    const float *x = job->x + (item * shape->height + source_row) * shape->width * channels;
    float *y = job->y + index * shape->out_width * channels;
    for (size_t column = 0; column < shape->out_width; column++) {
        size_t source = column * shape->width / shape->out_width;
        memcpy(y + column * channels, x + source * channels, channels * sizeof(float));
    }
}

void tsr_upsample(
    tsr_engine *engine, const tsr_upsample_shape *shape, const float *x, float *y) {
    upsample_job job = {shape, x, y};
    tsr_parallel_for(engine, shape->items * shape->out_height, upsample_tile, &job);
}

typedef struct {
    size_t rows, columns;
    const float *x;
    float *y;
} transpose_job;

// A tile is one item: transposes happen only at the edges of a network, on a few channels.
static void transpose_tile(void *context, size_t item, int thread) {
    (void)thread;
    const transpose_job *job = context;
    const float *x = job->x + item * job->rows * job->columns;
    float *y = job->y + item * job->rows * job->columns;
    for (size_t r = 0; r < job->rows; r++) {
        for (size_t c = 0; c < job->columns; c++) y[c * job->rows + r] = x[r * job->columns + c];
    }
}

void tsr_transpose(
    tsr_engine *engine, size_t items, size_t rows, size_t columns, const float *x, float *y) {
    transpose_job job = {rows, columns, x, y};
    tsr_parallel_for(engine, items, transpose_tile, &job);
}

void tsr_widen(tsr_isa isa, tsr_element_type type, size_t count, const void *x, float *y) {
    tsr_kernels_of(isa)->widen(type, count, x, y);
}

size_t tsr_count_not_finite(tsr_element_type type, size_t count, const void *x) {
    // An exponent of ones only.
    size_t found = 0;
    if (type == TSR_FLOAT32) {
        for (size_t i = 0; i < count; i++) {
            uint32_t bits;
            memcpy(&bits, (const char *)x + 4 * i, 4);
            found += (bits & 0x7F800000u) == 0x7F800000u;
        }
        return found;
    }
    uint16_t ones = type == TSR_FLOAT16 ? 0x7C00u : 0x7F80u;
    for (size_t i = 0; i < count; i++) {
        uint16_t bits;
        memcpy(&bits, (const char *)x + 2 * i, 2);
        found += (bits & ones) == ones;
    }
    return found;
}
