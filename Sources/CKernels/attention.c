// Attention: a tile is one head of one item and a block of its queries, which look at the keys
// block by block with a running maximum and sum (Milakov & Gimelshein 2018, arXiv 1805.02867; Dao
// et al. 2022, arXiv 2205.14135). One block of scores is all that is ever in memory, and it stays
// in the second-level cache.
#include "gemm_tiles.h"
#include "packed_product.h"

#include <math.h>
#include <string.h>

enum { TSR_QUERIES = 256, TSR_KEYS = 512 };

typedef struct {
    const tsr_kernels *kernels;
    const tsr_attention_shape *shape;
    size_t block;   // queries of a whole tile
    size_t blocks;  // tiles per head
    size_t keys;    // of a whole block
    const float *q, *k, *v;
    float *workspace;  // per thread: scores (block, keys), twice answers, panels
    float *y;
} attention_job;

typedef struct {
    size_t first, rows;  // queries
    const float *q, *k, *v;
    float *y;
    float *scores, *answers, *part, *panels;
    float maximum[TSR_QUERIES], sum[TSR_QUERIES];
} attention_tile_state;

static attention_job plan(const tsr_engine *engine, const tsr_attention_shape *shape) {
    size_t block = tsr_min(TSR_QUERIES, shape->queries);
    return (attention_job){
        .kernels = tsr_engine_kernels(engine),
        .shape = shape,
        .block = block,
        .blocks = tsr_ceil_div(shape->queries, block),
        .keys = tsr_cut_evenly(shape->keys, TSR_KEYS, 1).size,
    };
}

static size_t answer_floats(const attention_job *job) {
    return tsr_round_up(job->block * job->shape->head_size, TSR_LINE_FLOATS);
}

// Keys or values of a block in panels; both are rounded up to whole ones.
static size_t panel_floats(const attention_job *job) {
    size_t width = job->kernels->panel_width;
    return tsr_round_up(job->keys, width) * tsr_round_up(job->shape->head_size, width);
}

static size_t room_floats(const attention_job *job) {
    return tsr_round_up(job->block * job->keys, TSR_LINE_FLOATS)
        + 2 * answer_floats(job) + panel_floats(job);
}

size_t tsr_attention_workspace(const tsr_engine *engine, const tsr_attention_shape *shape) {
    attention_job job = plan(engine, shape);
    return (size_t)tsr_engine_threads(engine) * room_floats(&job);
}

// ---- The two products --------------------------------------------------------------------------

// OpenBLAS allocates memory in small products, up to this many multiplications. They are better
// done by the packed product anyway.
static bool is_small(const attention_tile_state *tile, size_t keys, size_t size) {
    return (double)tile->rows * (double)keys * (double)size <= 1e6;
}

// scores (rows, keys) = scale * q · kᵀ
static void score(
    const attention_job *job, const attention_tile_state *tile, const float *k, size_t keys) {
    const tsr_kernels *kernels = job->kernels;
    size_t size = job->shape->head_size, stride = job->shape->heads * size;
    float scale = 1.0f / sqrtf((float)size);
    if (!is_small(tile, keys, size)) {
        cblas_sgemm(
            CblasRowMajor, CblasNoTrans, CblasTrans, (blasint)tile->rows, (blasint)keys,
            (blasint)size, scale, tile->q, (blasint)stride, k, (blasint)stride, 0, tile->scores,
            (blasint)keys);
        return;
    }
    size_t width = kernels->panel_width;
    for (size_t first = 0; first < keys; first += width) {
        kernels->pack_panel(
            tsr_min(width, keys - first), size, TSR_FLOAT32, k + first * stride, stride,
            tile->panels + first * size);
    }
    kernels->scale_row(tsr_round_up(keys, width) * size, scale, tile->panels, tile->panels);
    tsr_multiply_strips(
        kernels, tile->rows, keys, size, tile->q, stride, tile->panels, size * width, true,
        tile->scores, keys);
}

// answers (rows, head_size) = scores · v
static void mix(
    const attention_job *job, const attention_tile_state *tile, const float *v, size_t keys,
    float *answers) {
    const tsr_kernels *kernels = job->kernels;
    size_t size = job->shape->head_size, stride = job->shape->heads * size;
    if (!is_small(tile, keys, size)) {
        cblas_sgemm(
            CblasRowMajor, CblasNoTrans, CblasNoTrans, (blasint)tile->rows, (blasint)size,
            (blasint)keys, 1, tile->scores, (blasint)keys, v, (blasint)stride, 0, answers,
            (blasint)size);
        return;
    }
    size_t width = kernels->panel_width;
    for (size_t first = 0; first < size; first += width) {
        size_t columns = tsr_min(width, size - first);
        float *panel = tile->panels + first * keys;
        for (size_t k = 0; k < keys; k++) {
            memcpy(panel + k * width, v + k * stride + first, columns * sizeof(float));
            memset(panel + k * width + columns, 0, (width - columns) * sizeof(float));
        }
    }
    tsr_multiply_strips(
        kernels, tile->rows, size, keys, tile->scores, keys, tile->panels, keys * width, true,
        answers, size);
}

// ---- Tiles -------------------------------------------------------------------------------------

// Keys `key` ..< `key + count`, at least one of which the last query sees.
static void look_at(
    const attention_job *job, attention_tile_state *tile, size_t key, size_t count) {
    const tsr_attention_shape *shape = job->shape;
    size_t start = key * shape->heads * shape->head_size;
    float factors[TSR_QUERIES];
    score(job, tile, tile->k + start, count);
    for (size_t r = 0; r < tile->rows; r++) {
        size_t visible = count;
        if (shape->causal) {
            size_t seen = tile->first + r + 1;
            visible = seen > key ? tsr_min(seen - key, count) : 0;
        }
        factors[r] = job->kernels->softmax_block(
            count, visible, tile->scores + r * count, &tile->maximum[r], &tile->sum[r]);
    }
    mix(job, tile, tile->v + start, count, key == 0 ? tile->answers : tile->part);
    for (size_t r = 0; key > 0 && r < tile->rows; r++) {
        size_t row = r * shape->head_size;
        job->kernels->scale_add_row(
            shape->head_size, factors[r], tile->part + row, tile->answers + row);
    }
}

static void attention_tile(void *context, size_t index, int thread) {
    const attention_job *job = context;
    const tsr_attention_shape *shape = job->shape;
    size_t head = index / job->blocks % shape->heads;
    size_t item = index / job->blocks / shape->heads;
    size_t width = shape->heads * shape->head_size;
    size_t key_item = item / (shape->items / shape->key_items);
    size_t source = key_item * shape->keys * width + head * shape->head_size;
    attention_tile_state tile;
    tile.first = index % job->blocks * job->block;
    tile.rows = tsr_min(job->block, shape->queries - tile.first);
    size_t start = (item * shape->queries + tile.first) * width + head * shape->head_size;
    tile.q = job->q + start;
    tile.k = job->k + source;
    tile.v = job->v + source;
    tile.y = job->y + start;
    tile.scores = job->workspace + (size_t)thread * room_floats(job);
    tile.answers = tile.scores + tsr_round_up(job->block * job->keys, TSR_LINE_FLOATS);
    tile.part = tile.answers + answer_floats(job);
    tile.panels = tile.part + answer_floats(job);
    for (size_t r = 0; r < tile.rows; r++) {
        tile.maximum[r] = -INFINITY;
        tile.sum[r] = 0;
    }
    size_t seen = shape->causal ? tsr_min(tile.first + tile.rows, shape->keys) : shape->keys;
    for (size_t key = 0; key < seen; key += job->keys) {
        look_at(job, &tile, key, tsr_min(job->keys, shape->keys - key));
    }
    for (size_t r = 0; r < tile.rows; r++) {
        job->kernels->scale_row(
            shape->head_size, 1.0f / tile.sum[r], tile.answers + r * shape->head_size,
            tile.y + r * width);
    }
}

void tsr_attention(
    tsr_engine *engine, const tsr_attention_shape *shape, const float *q, const float *k,
    const float *v, float *workspace, float *y) {
    attention_job job = plan(engine, shape);
    job.q = q;
    job.k = k;
    job.v = v;
    job.workspace = workspace;
    job.y = y;
    tsr_parallel_for(engine, shape->items * shape->heads * job.blocks, attention_tile, &job);
}
