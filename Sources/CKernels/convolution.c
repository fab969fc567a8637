// Convolutions: every tile copies its input patches side by side (im2col) and multiplies. A 1x1
// convolution with stride 1 reads its input in place.
#include "gemm_tiles.h"

#include <string.h>

typedef struct {
    const tsr_kernels *kernels;
    const tsr_convolution_shape *shape;
    tsr_gemm_tiles tiles;
    size_t depth;      // kernel_height * kernel_width * inputs
    size_t positions;  // out_height * out_width
    bool in_place;
    const float *x, *weight, *bias, *item_bias, *residual;
    float *workspace;  // per thread: (row_size, depth)
    float *y;
} convolution_job;

static bool reads_in_place(const tsr_convolution_shape *shape) {
    return shape->kernel_height == 1 && shape->kernel_width == 1 && shape->stride == 1
        && shape->pad_top == 0 && shape->pad_left == 0 && shape->out_height == shape->height
        && shape->out_width == shape->width;
}

// Rows of a tile are bounded so that its patches stay in a few megabytes however deep they are.
static tsr_gemm_tiles plan(const tsr_convolution_shape *shape) {
    enum { PATCH_FLOATS = 1 << 20, FEWEST_ROWS = 64 };
    size_t depth = shape->kernel_height * shape->kernel_width * shape->inputs;
    size_t positions = shape->out_height * shape->out_width;
    tsr_gemm_tiles tiles = tsr_plan_tiles(positions, shape->outputs, depth);
    size_t most = PATCH_FLOATS / depth > FEWEST_ROWS ? PATCH_FLOATS / depth : FEWEST_ROWS;
    if (!reads_in_place(shape) && tiles.row_size > most) {
        tiles.row_size = most;
        tiles.row_tiles = tsr_ceil_div(positions, most);
    }
    return tiles;
}

// The patch of one output position: (kernel_height, kernel_width, inputs), zeros outside the image.
static void copy_patch(
    const tsr_convolution_shape *shape, const float *image, size_t position, float *patch) {
    ptrdiff_t top = (ptrdiff_t)(position / shape->out_width * shape->stride)
        - (ptrdiff_t)shape->pad_top;
    ptrdiff_t left = (ptrdiff_t)(position % shape->out_width * shape->stride)
        - (ptrdiff_t)shape->pad_left;
    ptrdiff_t height = (ptrdiff_t)shape->height, width = (ptrdiff_t)shape->width;
    ptrdiff_t columns = (ptrdiff_t)shape->kernel_width;
    size_t line = shape->kernel_width * shape->inputs;
    bool inside = left >= 0 && left + columns <= width;
    for (ptrdiff_t y = top; y < top + (ptrdiff_t)shape->kernel_height; y++, patch += line) {
        if (y < 0 || y >= height) {
            memset(patch, 0, line * sizeof(float));
        } else if (inside) {
            memcpy(patch, image + (size_t)(y * width + left) * shape->inputs, line * sizeof(float));
        } else {
            for (ptrdiff_t k = 0; k < columns; k++) {
                float *pixel = patch + (size_t)k * shape->inputs;
                ptrdiff_t x = left + k;
                if (x < 0 || x >= width) {
                    memset(pixel, 0, shape->inputs * sizeof(float));
                } else {
                    const float *source = image + (size_t)(y * width + x) * shape->inputs;
                    memcpy(pixel, source, shape->inputs * sizeof(float));
                }
            }
        }
    }
}

static void convolution_tile(void *context, size_t index, int thread) {
    const convolution_job *job = context;
    const tsr_convolution_shape *shape = job->shape;
    tsr_gemm_tile tile = tsr_tile_at(&job->tiles, job->positions, shape->outputs, index);
    const float *image = job->x + tile.item * shape->height * shape->width * shape->inputs;
    const float *patches;
    if (job->in_place) {
        patches = image + tile.row * shape->inputs;
    } else {
        float *copy = job->workspace + (size_t)thread * job->tiles.row_size * job->depth;
        for (size_t r = 0; r < tile.rows; r++) {
            copy_patch(shape, image, tile.row + r, copy + r * job->depth);
        }
        patches = copy;
    }
    size_t start = (tile.item * job->positions + tile.row) * shape->outputs + tile.column;
    const float *item_bias = job->item_bias
        ? job->item_bias + tile.item * shape->outputs + tile.column : NULL;
    job->kernels->fill_rows(
        tile.rows, tile.columns, shape->outputs, job->bias ? job->bias + tile.column : NULL,
        item_bias, job->residual ? job->residual + start : NULL, job->y + start);
    tsr_accumulate(
        tile.rows, tile.columns, job->depth, patches, job->weight + tile.column * job->depth,
        shape->outputs, job->y + start);
}

size_t tsr_convolution_workspace(const tsr_engine *engine, const tsr_convolution_shape *shape) {
    if (reads_in_place(shape)) return 0;
    size_t depth = shape->kernel_height * shape->kernel_width * shape->inputs;
    return (size_t)tsr_engine_threads(engine) * plan(shape).row_size * depth;
}

void tsr_convolution(
    tsr_engine *engine, const tsr_convolution_shape *shape, const float *x, const float *weight,
    const float *bias, const float *item_bias, const float *residual, float *workspace, float *y) {
    convolution_job job = {
        .kernels = tsr_engine_kernels(engine),
        .shape = shape,
        .tiles = plan(shape),
        .depth = shape->kernel_height * shape->kernel_width * shape->inputs,
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
