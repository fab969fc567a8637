// Group normalisation in two passes, moments and application, over fixed blocks of positions; layer
// normalisation by blocks of rows.
#include "kernel_table.h"

#include <math.h>

enum { TSR_FEWEST_POSITIONS = 64, TSR_MOST_BLOCKS = 64, TSR_NORM_ROWS = 32 };

typedef struct {
    const tsr_kernels *kernels;
    const tsr_group_norm_shape *shape;
    size_t block, blocks;  // positions of a block, blocks per item
    const float *x, *scale, *shift;
    double *moments;        // per item and block: sums (channels), then squares (channels)
    float *item_scale;      // per item: scales (channels), then shifts (channels)
    float *y;
} group_norm_job;

static size_t block_of(const tsr_group_norm_shape *shape) {
    size_t block = tsr_ceil_div(shape->positions, TSR_MOST_BLOCKS);
    return block > TSR_FEWEST_POSITIONS ? block : TSR_FEWEST_POSITIONS;
}

static void moments_tile(void *context, size_t index, int thread) {
    (void)thread;
    const group_norm_job *job = context;
    size_t channels = job->shape->channels;
    size_t item = index / job->blocks, first = index % job->blocks * job->block;
    size_t positions = tsr_min(job->block, job->shape->positions - first);
    double *sums = job->moments + index * 2 * channels;
    job->kernels->channel_moments(
        positions, channels, job->x + (item * job->shape->positions + first) * channels, sums,
        sums + channels);
}

static void apply_tile(void *context, size_t index, int thread) {
    (void)thread;
    const group_norm_job *job = context;
    size_t channels = job->shape->channels;
    size_t item = index / job->blocks, first = index % job->blocks * job->block;
    size_t positions = tsr_min(job->block, job->shape->positions - first);
    size_t start = (item * job->shape->positions + first) * channels;
    const float *scale = job->item_scale + item * 2 * channels;
    job->kernels->scale_shift(
        positions, channels, job->x + start, scale, scale + channels, job->shape->silu,
        job->y + start);
}

// Folds mean, deviation, scale and shift of one item into one factor and one term per channel.
static void fold_item(const group_norm_job *job, size_t item) {
    const tsr_group_norm_shape *shape = job->shape;
    size_t channels = shape->channels, size = channels / shape->groups;
    double count = (double)size * (double)shape->positions;
    const double *moments = job->moments + item * job->blocks * 2 * channels;
    float *scale = job->item_scale + item * 2 * channels;
    for (size_t group = 0; group < shape->groups; group++) {
        double sum = 0, square = 0;
        for (size_t block = 0; block < job->blocks; block++) {
            const double *sums = moments + block * 2 * channels + group * size;
            for (size_t c = 0; c < size; c++) {
                sum += sums[c];
                square += sums[channels + c];
            }
        }
        double mean = sum / count;
        double variance = square / count - mean * mean;
        double factor = 1 / sqrt((variance > 0 ? variance : 0) + (double)shape->epsilon);
        for (size_t c = group * size; c < (group + 1) * size; c++) {
            scale[c] = (float)(factor * (double)job->scale[c]);
            scale[channels + c] = (float)((double)job->shift[c]
                - mean * factor * (double)job->scale[c]);
        }
    }
}

size_t tsr_group_norm_workspace(const tsr_group_norm_shape *shape) {
    size_t blocks = tsr_ceil_div(shape->positions, block_of(shape));
    size_t doubles = shape->items * blocks * 2 * shape->channels;
    return 2 * doubles + shape->items * 2 * shape->channels;
}

void tsr_group_norm(
    tsr_engine *engine, const tsr_group_norm_shape *shape, const float *x, const float *scale,
    const float *shift, float *workspace, float *y) {
    size_t block = block_of(shape);
    size_t blocks = tsr_ceil_div(shape->positions, block);
    group_norm_job job = {
        .kernels = tsr_engine_kernels(engine),
        .shape = shape,
        .block = block,
        .blocks = blocks,
        .x = x,
        .scale = scale,
        .shift = shift,
        .moments = (double *)workspace,
        .item_scale = workspace + 4 * shape->items * blocks * shape->channels,
        .y = y,
    };
    tsr_parallel_for(engine, shape->items * blocks, moments_tile, &job);
    for (size_t item = 0; item < shape->items; item++) fold_item(&job, item);
    tsr_parallel_for(engine, shape->items * blocks, apply_tile, &job);
}

typedef struct {
    const tsr_kernels *kernels;
    size_t rows, channels;
    float epsilon;
    const float *x, *scale, *shift;
    float *y;
} layer_norm_job;

static void layer_norm_tile(void *context, size_t index, int thread) {
    (void)thread;
    const layer_norm_job *job = context;
    size_t end = tsr_min((index + 1) * TSR_NORM_ROWS, job->rows);
    for (size_t row = index * TSR_NORM_ROWS; row < end; row++) {
        job->kernels->layer_norm_row(
            job->channels, job->epsilon, job->x + row * job->channels, job->scale, job->shift,
            job->y + row * job->channels);
    }
}

void tsr_layer_norm(
    tsr_engine *engine, size_t rows, size_t channels, float epsilon, const float *x,
    const float *scale, const float *shift, float *y) {
    layer_norm_job job = {
        tsr_engine_kernels(engine), rows, channels, epsilon, x, scale, shift, y,
    };
    tsr_parallel_for(engine, tsr_ceil_div(rows, TSR_NORM_ROWS), layer_norm_tile, &job);
}
