// Attention: a tile is one head of one item and a block of its queries. The block's scores over all
// keys are the only scores in memory, so memory grows with the tokens, not with their square.
#include "gemm_tiles.h"

#include <math.h>

enum { TSR_MOST_QUERIES = 128, TSR_FEWEST_QUERIES = 16, TSR_SCORE_FLOATS = 1 << 20 };

typedef struct {
    const tsr_kernels *kernels;
    const tsr_attention_shape *shape;
    size_t block;   // queries of a whole tile
    size_t blocks;  // tiles per head
    const float *q, *k, *v;
    float *workspace;  // per thread: (block, keys)
    float *y;
} attention_job;

static size_t block_size(const tsr_attention_shape *shape) {
    size_t block = TSR_SCORE_FLOATS / shape->keys;
    block = block > TSR_FEWEST_QUERIES ? block : TSR_FEWEST_QUERIES;
    return tsr_min(tsr_min(block, TSR_MOST_QUERIES), shape->queries);
}

static void attention_tile(void *context, size_t index, int thread) {
    const attention_job *job = context;
    const tsr_attention_shape *shape = job->shape;
    size_t first = index % job->blocks * job->block;
    size_t head = index / job->blocks % shape->heads;
    size_t item = index / job->blocks / shape->heads;
    size_t rows = tsr_min(job->block, shape->queries - first);
    size_t width = shape->heads * shape->head_size;
    size_t start = (item * shape->queries + first) * width + head * shape->head_size;
    size_t key_item = item / (shape->items / shape->key_items);
    size_t source = key_item * shape->keys * width + head * shape->head_size;
    float *scores = job->workspace + (size_t)thread * job->block * shape->keys;
    float factors[TSR_MOST_QUERIES];

    blasint m = (blasint)rows, keys = (blasint)shape->keys, size = (blasint)shape->head_size;
    blasint stride = (blasint)width;
    float scale = 1.0f / sqrtf((float)shape->head_size);
    cblas_sgemm(
        CblasRowMajor, CblasNoTrans, CblasTrans, m, keys, size, scale, job->q + start, stride,
        job->k + source, stride, 0, scores, keys);
    for (size_t r = 0; r < rows; r++) {
        size_t visible = shape->causal ? tsr_min(first + r + 1, shape->keys) : shape->keys;
        factors[r] = job->kernels->softmax_row(shape->keys, visible, scores + r * shape->keys);
    }
    cblas_sgemm(
        CblasRowMajor, CblasNoTrans, CblasNoTrans, m, size, keys, 1, scores, keys,
        job->v + source, stride, 0, job->y + start, stride);
    for (size_t r = 0; r < rows; r++) {
        job->kernels->scale_row(shape->head_size, factors[r], job->y + start + r * width);
    }
}

size_t tsr_attention_workspace(const tsr_engine *engine, const tsr_attention_shape *shape) {
    return (size_t)tsr_engine_threads(engine) * block_size(shape) * shape->keys;
}

void tsr_attention(
    tsr_engine *engine, const tsr_attention_shape *shape, const float *q, const float *k,
    const float *v, float *workspace, float *y) {
    size_t block = block_size(shape);
    attention_job job = {
        .kernels = tsr_engine_kernels(engine),
        .shape = shape,
        .block = block,
        .blocks = tsr_ceil_div(shape->queries, block),
        .q = q,
        .k = k,
        .v = v,
        .workspace = workspace,
        .y = y,
    };
    tsr_parallel_for(engine, shape->items * shape->heads * job.blocks, attention_tile, &job);
}
