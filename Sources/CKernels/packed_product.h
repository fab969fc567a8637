// How the packed product walks through its operands. An element's sum runs over the depth in
// order wherever the cuts are (see product_bodies.h), so tiles may follow the number of threads.
#pragma once
#include "kernel_table.h"

enum {
    // Inputs multiplied at once: a strip of x, 8 x 640 floats, stays in the first-level cache, and
    // 128 outputs' weights, 640 x 128 floats, in the second.
    TSR_MOST_DEPTH = 640,
    TSR_LINE_FLOATS = 16,  // of a cache line
};

typedef struct {
    size_t size, count;
} tsr_cut;

/// `whole` in parts of at most `most`, as equal as multiples of `grain` allow.
static inline tsr_cut tsr_cut_evenly(size_t whole, size_t most, size_t grain) {
    size_t parts = tsr_ceil_div(whole, most);
    size_t size = tsr_ceil_div(tsr_ceil_div(whole, parts), grain) * grain;
    return (tsr_cut){size, tsr_ceil_div(whole, size)};
}

/// Halves `cut` until there are `wanted` tiles of it and `others`, or parts of `least`.
static inline tsr_cut tsr_cut_finer(
    size_t whole, tsr_cut cut, size_t others, size_t wanted, size_t least) {
    while (cut.count * others < wanted && cut.size >= 2 * least) {
        cut = tsr_cut_evenly(whole, tsr_ceil_div(cut.size, 2), least);
    }
    return cut;
}

/// c (rows, columns) += a (rows, depth) x panels, or = where `clear`, as multiply_strip does for
/// one strip.
static inline void tsr_multiply_strips(
    const tsr_kernels *kernels, size_t rows, size_t columns, size_t depth, const float *a,
    size_t a_stride, const float *panels, size_t panel_stride, bool clear, float *c,
    size_t c_stride) {
    for (size_t r = 0; r < rows; r += kernels->strip) {
        kernels->multiply_strip(
            tsr_min(kernels->strip, rows - r), columns, depth, a + r * a_stride, a_stride, panels,
            panel_stride, clear, c + r * c_stride, c_stride);
    }
}

static inline size_t tsr_round_up(size_t value, size_t grain) {
    return tsr_ceil_div(value, grain) * grain;
}
