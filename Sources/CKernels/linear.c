// Linear layers: tiles over rows and columns of the result, one single-threaded sgemm each.
#include "gemm_tiles.h"

typedef struct {
    const tsr_kernels *kernels;
    const tsr_linear_shape *shape;
    tsr_gemm_tiles tiles;
    const float *x, *weight, *bias, *residual;
    tsr_activation activation;
    float *y;
} linear_job;

static void linear_tile(void *context, size_t index, int thread) {
    (void)thread;
    const linear_job *job = context;
    const tsr_linear_shape *shape = job->shape;
    tsr_gemm_tile tile = tsr_tile_at(&job->tiles, shape->rows, shape->outputs, index);
    size_t row = tile.item * shape->rows + tile.row;
    size_t start = row * shape->outputs + tile.column;
    float *y = job->y + start;
    job->kernels->fill_rows(
        tile.rows, tile.columns, shape->outputs, job->bias ? job->bias + tile.column : NULL, NULL,
        job->residual ? job->residual + start : NULL, y);
    tsr_accumulate(
        tile.rows, tile.columns, shape->inputs, job->x + row * shape->inputs,
        job->weight + tile.column * shape->inputs, shape->outputs, y);
    if (job->activation != TSR_ACTIVATION_NONE) {
        job->kernels->activate_rows(tile.rows, tile.columns, shape->outputs, job->activation, y);
    }
}

void tsr_linear(
    tsr_engine *engine, const tsr_linear_shape *shape, const float *x, const float *weight,
    const float *bias, const float *residual, tsr_activation activation, float *y) {
    linear_job job = {
        .kernels = tsr_engine_kernels(engine),
        .shape = shape,
        .tiles = tsr_plan_tiles(shape->rows, shape->outputs, shape->inputs),
        .x = x,
        .weight = weight,
        .bias = bias,
        .residual = residual,
        .activation = activation,
        .y = y,
    };
    size_t tiles = shape->items * job.tiles.row_tiles * job.tiles.column_tiles;
    tsr_parallel_for(engine, tiles, linear_tile, &job);
}
