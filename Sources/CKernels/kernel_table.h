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
    void (*gate)(size_t count, const float *values, const float *gates, float *y);  // v * gelu(g)

    // One block of a row of scores (Milakov & Gimelshein 2018, arXiv 1805.02867): the first
    // `visible` of `columns` become exp(score - maximum), the others 0. `maximum` and `sum` are
    // those of the blocks so far and move on; what was summed with the former maximum has to be
    // multiplied by the result.
    float (*softmax_block)(
        size_t columns, size_t visible, float *row, float *maximum, float *sum);
    void (*scale_row)(size_t count, float factor, const float *x, float *y);
    // y = y * factor + x
    void (*scale_add_row)(size_t count, float factor, const float *x, float *y);

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

    // The packed product. A panel is (depth, panel_width): that many outputs of a layer, their
    // weights side by side for every input. Strips have up to `strip` rows.
    size_t strip, panel_width;

    // c (rows, columns) += a (rows, depth) x panels, or = where `clear`; rows of a and c start
    // `a_stride` and `c_stride` floats apart, panels `panel_stride`.
    void (*multiply_strip)(
        size_t rows, size_t columns, size_t depth, const float *a, size_t a_stride,
        const float *panels, size_t panel_stride, bool clear, float *c, size_t c_stride);
    // One panel from up to panel_width rows of a stored matrix, `stride` elements apart; zeros for
    // the rows that are missing.
    void (*pack_panel)(
        size_t outputs, size_t depth, tsr_element_type type, const void *stored, size_t stride,
        float *panel);

    // Winograd F(4x4, 3x3): the 36 values of a 6x6 patch, for all channels.
    void (*winograd_input)(
        size_t channels, const float *const pixels[36], float *y, size_t y_stride);
    // y = the first rows x columns of the 4x4 outputs that 36 values give, for all channels, + bias
    // + item_bias + residual where they are not NULL.
    void (*winograd_output)(
        size_t channels, const float *m, size_t m_stride, size_t rows, size_t columns,
        const float *bias, const float *item_bias, const float *residual, float *y,
        size_t row_stride, size_t column_stride);
    // A panel of each of the 36 transformed filters, `u_stride` floats apart, from rows of a
    // stored matrix, (inputs, 3, 3) of each, `stride` elements apart.
    void (*winograd_filter)(
        size_t outputs, size_t inputs, tsr_element_type type, const void *stored, size_t stride,
        float *u, size_t u_stride);

    // Whether all of x is finite.
    bool (*to_bytes)(size_t count, const float *x, uint8_t *y);
    void (*widen)(tsr_element_type type, size_t count, const void *x, float *y);
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

/// Bytes of a stored element.
static inline size_t tsr_element_bytes(tsr_element_type type) {
    return type == TSR_FLOAT32 ? 4 : 2;
}

/// Where the `element`-th element of a layer is stored.
static inline const char *tsr_stored_at(const tsr_weights *weights, size_t element) {
    return (const char *)weights->stored + element * tsr_element_bytes(weights->type);
}

static inline size_t tsr_min(size_t a, size_t b) { return a < b ? a : b; }
static inline size_t tsr_ceil_div(size_t a, size_t b) { return (a + b - 1) / b; }
