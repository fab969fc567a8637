// The ways of a convolution, for the file that chooses.
#pragma once
#include "kernel_table.h"

typedef struct {
    const float *x;
    const tsr_weights *weights;
    const float *bias, *item_bias, *residual;
    float *y;
} tsr_winograd_operands;

bool tsr_winograd_suits(const tsr_filter_shape *filter);
size_t tsr_winograd_prepared(const tsr_engine *engine, const tsr_filter_shape *filter);
void tsr_winograd_prepare(
    tsr_engine *engine, const tsr_filter_shape *filter, const tsr_weights *weights,
    float *prepared);
size_t tsr_winograd_workspace(
    const tsr_engine *engine, const tsr_convolution_shape *shape, bool prepared);
void tsr_winograd(
    tsr_engine *engine, const tsr_convolution_shape *shape, const tsr_winograd_operands *operands,
    float *workspace);
