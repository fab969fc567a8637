// The loops that exist once per instruction set, and the engine that carries the chosen ones.
#pragma once
#include "CKernels.h"

typedef struct {
    // y[r, c] = bias[c] + item_bias[c] + residual[r, c] for r < rows, c < columns; rows of y and
    // residual start `stride` floats apart; each source may be NULL.
    void (*fill_rows)(
        size_t rows, size_t columns, size_t stride, const float *bias, const float *item_bias,
        const float *residual, float *y);

    // Rows of `columns` floats, `stride` apart, in place.
    void (*activate_rows)(
        size_t rows, size_t columns, size_t stride, tsr_activation activation, float *y);

    void (*activate)(size_t count, tsr_activation activation, const float *x, float *y);
    void (*add)(size_t count, const float *a, const float *b, float *y);
    void (*geglu)(size_t channels, const float *x, float *y);  // one row

    // exp(row - its maximum) over the first `visible` of `columns`, zeros after; returns 1 / sum.
    float (*softmax_row)(size_t columns, size_t visible, float *row);
    void (*scale_row)(size_t count, float factor, float *row);

    // Per channel, the sum and the sum of squares over `positions` rows of `channels` floats.
    void (*channel_moments)(
        size_t positions, size_t channels, const float *x, double *sums, double *squares);
    // y = x * scale[c] + shift[c], then SiLU when asked.
    void (*scale_shift)(
        size_t positions, size_t channels, const float *x, const float *scale, const float *shift,
        bool silu, float *y);
    void (*layer_norm_row)(
        size_t channels, float epsilon, const float *x, const float *scale, const float *shift,
        float *y);

    void (*to_bytes)(size_t count, const float *x, uint8_t *y);
    void (*widen_float16)(size_t count, const void *x, float *y);
    void (*widen_bfloat16)(size_t count, const void *x, float *y);
} tsr_kernels;

extern const tsr_kernels tsr_kernels_scalar;
#if defined(__x86_64__)
extern const tsr_kernels tsr_kernels_avx2;
extern const tsr_kernels tsr_kernels_avx512;
#endif

/// The kernels of an available instruction set.
const tsr_kernels *tsr_kernels_of(tsr_isa isa);

/// The engine's kernels, and how many threads it has.
const tsr_kernels *tsr_engine_kernels(const tsr_engine *engine);
int tsr_engine_threads(const tsr_engine *engine);

static inline size_t tsr_min(size_t a, size_t b) { return a < b ? a : b; }
static inline size_t tsr_ceil_div(size_t a, size_t b) { return (a + b - 1) / b; }
