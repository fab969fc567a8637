// Convolutions. Most go through Winograd's transforms (winograd.c); in the others every tile copies
// its input patches side by side (im2col) and multiplies by OpenBLAS. A 1x1 convolution with stride
// 1 reads its input in place.
#include "convolution.h"
#include "gemm_tiles.h"

#include <string.h>

typedef struct {
    const tsr_kernels *kernels;
    const tsr_convolution_shape *shape;
    tsr_gemm_tiles tiles;
    size_t depth;      // filter height * width * inputs
    size_t positions;  // out_height * out_width
    bool in_place;
    const float *x, *weight, *bias, *item_bias, *residual;
    float *workspace;  // per thread: (row_size, depth)
    float *y;
} convolution_job;

static bool reads_in_place(const tsr_convolution_shape *shape) {
    return shape->filter.height == 1 && shape->filter.width == 1 && shape->filter.stride == 1
        && shape->pad_top == 0 && shape->pad_left == 0 && shape->out_height == shape->height
        && shape->out_width == shape->width;
}

// Rows of a tile are bounded so that its patches stay in a few megabytes however deep they are.
static tsr_gemm_tiles plan(const tsr_convolution_shape *shape) {
    enum { PATCH_FLOATS = 1 << 20, FEWEST_ROWS = 64 };
    size_t depth = shape->filter.height * shape->filter.width * shape->filter.inputs;
    size_t positions = shape->out_height * shape->out_width;
    tsr_gemm_tiles tiles = tsr_plan_tiles(positions, shape->filter.outputs, depth);
    size_t most = PATCH_FLOATS / depth > FEWEST_ROWS ? PATCH_FLOATS / depth : FEWEST_ROWS;
    if (!reads_in_place(shape) && tiles.row_size > most) {
        tiles.row_size = most;
        tiles.row_tiles = tsr_ceil_div(positions, most);
    }
    return tiles;
}

// The patch of one output position: (filter height, width, inputs), zeros outside the image.
static void copy_patch(
    const tsr_convolution_shape *shape, const float *image, size_t position, float *patch) {
    ptrdiff_t top = (ptrdiff_t)(position / shape->out_width * shape->filter.stride)
        - (ptrdiff_t)shape->pad_top;
    ptrdiff_t left = (ptrdiff_t)(position % shape->out_width * shape->filter.stride)
        - (ptrdiff_t)shape->pad_left;
    ptrdiff_t height = (ptrdiff_t)shape->height, width = (ptrdiff_t)shape->width;
    ptrdiff_t columns = (ptrdiff_t)shape->filter.width;
    size_t inputs = shape->filter.inputs, line = shape->filter.width * inputs;
    bool inside = left >= 0 && left + columns <= width;
    for (ptrdiff_t y = top; y < top + (ptrdiff_t)shape->filter.height; y++, patch += line) {
        if (y < 0 || y >= height) {
            memset(patch, 0, line * sizeof(float));
        } else if (inside) {
            memcpy(patch, image + (size_t)(y * width + left) * inputs, line * sizeof(float));
        } else {
            for (ptrdiff_t k = 0; k < columns; k++) {
                float *pixel = patch + (size_t)k * inputs;
                ptrdiff_t x = left + k;
                if (x < 0 || x >= width) {
                    memset(pixel, 0, inputs * sizeof(float));
                } else {
                    const float *source = image + (size_t)(y * width + x) * inputs;
                    memcpy(pixel, source, inputs * sizeof(float));
                }
            }
        }
    }
}

static void convolution_tile(void *context, size_t index, int thread) {
    const convolution_job *job = context;
    const tsr_convolution_shape *shape = job->shape;
    tsr_gemm_tile tile = tsr_tile_at(&job->tiles, job->positions, shape->filter.outputs, index);
    const float *image = job->x + tile.item * shape->height * shape->width * shape->filter.inputs;
    const float *patches;
    if (job->in_place) {
        patches = image + tile.row * shape->filter.inputs;
    } else {
        float *copy = job->workspace + (size_t)thread * job->tiles.row_size * job->depth;
        for (size_t r = 0; r < tile.rows; r++) {
            copy_patch(shape, image, tile.row + r, copy + r * job->depth);
        }
        patches = copy;
    }
    size_t start = (tile.item * job->positions + tile.row) * shape->filter.outputs + tile.column;
    const float *item_bias = job->item_bias
        ? job->item_bias + tile.item * shape->filter.outputs + tile.column : NULL;
    job->kernels->fill_rows(
        tile.rows, tile.columns, shape->filter.outputs, job->bias ? job->bias + tile.column : NULL,
        item_bias, job->residual ? job->residual + start : NULL, job->y + start);
    tsr_accumulate(
        tile.rows, tile.columns, job->depth, patches, job->weight + tile.column * job->depth,
        shape->filter.outputs, job->y + start);
}

static size_t patches_workspace(const tsr_engine *engine, const tsr_convolution_shape *shape) {
    if (reads_in_place(shape)) return 0;
    size_t depth = shape->filter.height * shape->filter.width * shape->filter.inputs;
    return (size_t)tsr_engine_threads(engine) * plan(shape).row_size * depth;
}

static void convolve_patches(
    tsr_engine *engine, const tsr_convolution_shape *shape, const float *x, const float *weight,
    const float *bias, const float *item_bias, const float *residual, float *workspace, float *y) {
    convolution_job job = {
        .kernels = tsr_engine_kernels(engine),
        .shape = shape,
        .tiles = plan(shape),
        .depth = shape->filter.height * shape->filter.width * shape->filter.inputs,
        .positions = shape->out_height * shape->out_width,
        .in_place = reads_in_place(shape),
        .x = x,
        .weight = weight,
        .bias = bias,
        .item_bias = item_bias,
        .residual = residual,
        .workspace = workspace,
        .y = y,
    };
    size_t tiles = shape->items * job.tiles.row_tiles * job.tiles.column_tiles;
    tsr_parallel_for(engine, tiles, convolution_tile, &job);
}

// ---- Preparation -------------------------------------------------------------------------------

typedef struct {
    const tsr_filter_shape *filter;
    const tsr_weights *weights;
    const tsr_kernels *kernels;
    float *prepared;
} reorder_job;

// (inputs, height, width) of one output becomes (height, width, inputs).
static void reorder_tile(void *context, size_t output, int thread) {
    (void)thread;
    const reorder_job *job = context;
    size_t inputs = job->filter->inputs, taps = job->filter->height * job->filter->width;
    float *y = job->prepared + output * inputs * taps;
    for (size_t i = 0; i < inputs; i++) {
        for (size_t t = 0; t < taps; t++) {
            const char *stored = tsr_stored_at(job->weights, (output * inputs + i) * taps + t);
            job->kernels->widen(job->weights->type, 1, stored, y + t * inputs + i);
        }
    }
}

// ---- Entry points ------------------------------------------------------------------------------

bool tsr_convolution_reads_stored(const tsr_filter_shape *filter) {
    return tsr_winograd_suits(filter);
}

size_t tsr_convolution_prepared(const tsr_engine *engine, const tsr_filter_shape *filter) {
    if (tsr_winograd_suits(filter)) return tsr_winograd_prepared(engine, filter);
    return filter->outputs * filter->height * filter->width * filter->inputs;
}

void tsr_convolution_prepare(
    tsr_engine *engine, const tsr_filter_shape *filter, const tsr_weights *weights,
    float *prepared) {
    if (tsr_winograd_suits(filter)) {
        tsr_winograd_prepare(engine, filter, weights, prepared);
    } else {
        reorder_job job = {filter, weights, tsr_engine_kernels(engine), prepared};
        tsr_parallel_for(engine, filter->outputs, reorder_tile, &job);
    }
}

size_t tsr_convolution_workspace(
    const tsr_engine *engine, const tsr_convolution_shape *shape, bool prepared) {
    if (tsr_winograd_suits(&shape->filter)) {
        return tsr_winograd_workspace(engine, shape, prepared);
    }
    return patches_workspace(engine, shape);
}

void tsr_convolution(
    tsr_engine *engine, const tsr_convolution_shape *shape, const float *x,
    const tsr_weights *weights, const float *bias, const float *item_bias, const float *residual,
    float *workspace, float *y) {
    if (tsr_winograd_suits(&shape->filter)) {
        tsr_winograd_operands operands = {x, weights, bias, item_bias, residual, y};
        tsr_winograd(engine, shape, &operands, workspace);
    } else {
        convolve_patches(
            engine, shape, x, weights->prepared, bias, item_bias, residual, workspace, y);
    }
}
