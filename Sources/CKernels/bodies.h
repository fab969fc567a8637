// Portable loops, compiled once per instruction set by the isa_*.c files, which define TSR_ISA to
// a suffix and push the target attribute. The compiler vectorises them. Sums are kept in
// sixteen explicit lanes, so that their order does not depend on the vector width.
#include "kernel_table.h"

#include <math.h>
#include <string.h>

#define TSR_PASTE2(a, b) a##b
#define TSR_PASTE(a, b) TSR_PASTE2(a, b)
#define TSR_LANES 16
// Before a loop over elements whose result may lie where an operand does, index by index: without
// it the compiler falls back to one element at a time when it finds them in one place.
#define TSR_IN_PLACE _Pragma("clang loop vectorize(assume_safety)")

// exp(x) within 2 units in the last place: 2^n * P(r), x = n ln 2 + r, Taylor to r^7 (the remainder
// is below 6e-9). Saturates at the ends of the normal range; not-a-number passes through.
static inline float tsr_expf(float x) {
    const float round = 12582912.0f;  // 1.5 * 2^23: adding it leaves the nearest integer below
    x = x < -87.0f ? -87.0f : x;
    x = x > 88.0f ? 88.0f : x;
    float shifted = x * 1.44269504f + round;
    float n = shifted - round;
    float r = x - n * 0.693359375f;  // ln 2 in two parts, the first exact in nine bits
    r = r + n * 2.12194440e-4f;
    float p = 1.0f / 5040.0f;
    p = p * r + 1.0f / 720.0f;
    p = p * r + 1.0f / 120.0f;
    p = p * r + 1.0f / 24.0f;
    p = p * r + 1.0f / 6.0f;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    int32_t bits;
    memcpy(&bits, &shifted, 4);
    bits = (int32_t)((uint32_t)(bits - 0x4B400000 + 127) << 23);
    float power;
    memcpy(&power, &bits, 4);
    return p * power;
}

// erf(x), absolute error below 3e-7: Abramowitz & Stegun, formula 7.1.26.
static inline float tsr_erff(float x) {
    float a = fabsf(x);
    float t = 1.0f / (1.0f + 0.3275911f * a);
    float p = 1.061405429f;
    p = p * t - 1.453152027f;
    p = p * t + 1.421413741f;
    p = p * t - 0.284496736f;
    p = p * t + 0.254829592f;
    return copysignf(1.0f - p * t * tsr_expf(-a * a), x);
}

static inline float tsr_silu(float x) { return x / (1.0f + tsr_expf(-x)); }
static inline float tsr_gelu(float x) { return 0.5f * x * (1.0f + tsr_erff(x * 0.70710678f)); }
static inline float tsr_quick_gelu(float x) { return x / (1.0f + tsr_expf(-1.702f * x)); }

static inline float tsr_sum_lanes(const float *lanes) {
    float eight[8], four[4];
    for (int i = 0; i < 8; i++) eight[i] = lanes[i] + lanes[i + 8];
    for (int i = 0; i < 4; i++) four[i] = eight[i] + eight[i + 4];
    return (four[0] + four[2]) + (four[1] + four[3]);
}

static void fill_rows(
    size_t rows, size_t columns, size_t stride, const float *bias, const float *item_bias,
    const float *residual, float *y) {
    for (size_t r = 0; r < rows; r++, y += stride) {
        if (residual) {
            memcpy(y, residual + r * stride, columns * sizeof(float));
        } else if (bias) {
            memcpy(y, bias, columns * sizeof(float));
        } else {
            memset(y, 0, columns * sizeof(float));
        }
        if (bias && residual) {
TSR_IN_PLACE
            for (size_t c = 0; c < columns; c++) y[c] += bias[c];
        }
        if (item_bias) {
TSR_IN_PLACE
            for (size_t c = 0; c < columns; c++) y[c] += item_bias[c];
        }
    }
}

static void activate(size_t count, tsr_activation activation, const float *x, float *y) {
    switch (activation) {
    case TSR_ACTIVATION_NONE:
        memmove(y, x, count * sizeof(float));
        break;
    case TSR_ACTIVATION_SILU:
TSR_IN_PLACE
        for (size_t i = 0; i < count; i++) y[i] = tsr_silu(x[i]);
        break;
    case TSR_ACTIVATION_GELU:
TSR_IN_PLACE
        for (size_t i = 0; i < count; i++) y[i] = tsr_gelu(x[i]);
        break;
    case TSR_ACTIVATION_QUICK_GELU:
TSR_IN_PLACE
        for (size_t i = 0; i < count; i++) y[i] = tsr_quick_gelu(x[i]);
        break;
    }
}

static void activate_rows(
    size_t rows, size_t columns, size_t stride, tsr_activation activation, float *y) {
    for (size_t r = 0; r < rows; r++, y += stride) activate(columns, activation, y, y);
}

static void add(size_t count, const float *a, const float *b, float *y) {
TSR_IN_PLACE
    for (size_t i = 0; i < count; i++) y[i] = a[i] + b[i];
}

static void gate(size_t count, const float *values, const float *gates, float *y) {
    for (size_t i = 0; i < count; i++) y[i] = values[i] * tsr_gelu(gates[i]);
}

// Sixteen lanes again, for the sum: see the head of the file.
static float softmax_block(
    size_t columns, size_t visible, float *row, float *maximum, float *sum) {
    float lanes[TSR_LANES];
    for (int l = 0; l < TSR_LANES; l++) lanes[l] = *maximum;
    size_t whole = visible - visible % TSR_LANES;
    for (size_t c = 0; c < whole; c += TSR_LANES) {
        for (int l = 0; l < TSR_LANES; l++) {
            lanes[l] = row[c + l] > lanes[l] ? row[c + l] : lanes[l];
        }
    }
    for (size_t c = whole; c < visible; c++) lanes[0] = row[c] > lanes[0] ? row[c] : lanes[0];
    float highest = lanes[0];
    for (int l = 1; l < TSR_LANES; l++) highest = lanes[l] > highest ? lanes[l] : highest;

    for (int l = 0; l < TSR_LANES; l++) lanes[l] = 0;
    for (size_t c = 0; c < whole; c += TSR_LANES) {
        for (int l = 0; l < TSR_LANES; l++) {
            float value = tsr_expf(row[c + l] - highest);
            row[c + l] = value;
            lanes[l] += value;
        }
    }
    for (size_t c = whole; c < visible; c++) {
        row[c] = tsr_expf(row[c] - highest);
        lanes[c - whole] += row[c];
    }
    memset(row + visible, 0, (columns - visible) * sizeof(float));
    float factor = tsr_expf(*maximum - highest);
    *sum = *sum * factor + tsr_sum_lanes(lanes);
    *maximum = highest;
    return factor;
}

static void scale_row(size_t count, float factor, const float *x, float *y) {
TSR_IN_PLACE
    for (size_t i = 0; i < count; i++) y[i] = x[i] * factor;
}

static void scale_add_row(size_t count, float factor, const float *x, float *y) {
    for (size_t i = 0; i < count; i++) y[i] = y[i] * factor + x[i];
}

// Squares are summed in double: a channel's mean may be large beside its deviation.
static void channel_moments(
    size_t positions, size_t channels, const float *x, double *sums, double *squares) {
    size_t whole = channels - channels % TSR_LANES;
    for (size_t c = 0; c < whole; c += TSR_LANES) {
        double sum[TSR_LANES] = {0}, square[TSR_LANES] = {0};
        for (size_t p = 0; p < positions; p++) {
            const float *row = x + p * channels + c;
            for (int l = 0; l < TSR_LANES; l++) {
                double value = row[l];
                sum[l] += value;
                square[l] += value * value;
            }
        }
        memcpy(sums + c, sum, sizeof sum);
        memcpy(squares + c, square, sizeof square);
    }
    for (size_t c = whole; c < channels; c++) {
        double sum = 0, square = 0;
        for (size_t p = 0; p < positions; p++) {
            double value = x[p * channels + c];
            sum += value;
            square += value * value;
        }
        sums[c] = sum;
        squares[c] = square;
    }
}

static void scale_shift(
    size_t positions, size_t channels, const float *x, const float *scale, const float *shift,
    bool silu, float *y) {
    for (size_t p = 0; p < positions; p++, x += channels, y += channels) {
        if (silu) {
TSR_IN_PLACE
            for (size_t c = 0; c < channels; c++) y[c] = tsr_silu(x[c] * scale[c] + shift[c]);
        } else {
TSR_IN_PLACE
            for (size_t c = 0; c < channels; c++) y[c] = x[c] * scale[c] + shift[c];
        }
    }
}

static void layer_norm_row(
    size_t channels, float epsilon, const float *x, const float *scale, const float *shift,
    float *y) {
    size_t whole = channels - channels % TSR_LANES;
    float lanes[TSR_LANES] = {0};
    for (size_t c = 0; c < whole; c += TSR_LANES) {
        for (int l = 0; l < TSR_LANES; l++) lanes[l] += x[c + l];
    }
    for (size_t c = whole; c < channels; c++) lanes[c - whole] += x[c];
    float mean = tsr_sum_lanes(lanes) / (float)channels;

    for (int l = 0; l < TSR_LANES; l++) lanes[l] = 0;
    for (size_t c = 0; c < whole; c += TSR_LANES) {
        for (int l = 0; l < TSR_LANES; l++) {
            float deviation = x[c + l] - mean;
            lanes[l] += deviation * deviation;
        }
    }
    for (size_t c = whole; c < channels; c++) {
        float deviation = x[c] - mean;
        lanes[c - whole] += deviation * deviation;
    }
    float factor = 1.0f / sqrtf(tsr_sum_lanes(lanes) / (float)channels + epsilon);
TSR_IN_PLACE
    for (size_t c = 0; c < channels; c++) y[c] = (x[c] - mean) * factor * scale[c] + shift[c];
}

static bool to_bytes(size_t count, const float *x, uint8_t *y) {
#pragma clang fp contract(off)  // the product is rounded before the level is
    uint32_t largest = 0;  // of the exponents; all ones are no finite number's
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], 4);
        uint32_t exponent = bits & 0x7F800000u;
        largest = exponent > largest ? exponent : largest;
        float level = x[i] * 0.5f + 0.5f;
        level = level > 0 ? level : 0;  // also where x is not a number
        level = level < 1 ? level : 1;
        // Adding 2^23 leaves an integer, halves to even.
        y[i] = (uint8_t)(int32_t)(level * 255.0f + 8388608.0f - 8388608.0f);
    }
    return largest < 0x7F800000u;
}

static void widen_float16(size_t count, const void *x, float *y) {
    for (size_t i = 0; i < count; i++) {
        uint16_t half;
        memcpy(&half, (const char *)x + 2 * i, 2);
        uint32_t magnitude = (half & 0x7FFFu) << 13;
        // The exponents differ by 112; multiplying by 2^112 also normalises subnormals exactly.
        float value;
        memcpy(&value, &magnitude, 4);
        value *= 0x1p112f;
        uint32_t bits;
        memcpy(&bits, &value, 4);
        bits = magnitude >= 0x0F800000u ? magnitude | 0x7F800000u : bits;  // infinities and NaNs
        bits |= (half & 0x8000u) << 16;
        memcpy(&y[i], &bits, 4);
    }
}

static void widen_bfloat16(size_t count, const void *x, float *y) {
    for (size_t i = 0; i < count; i++) {
        uint16_t half;
        memcpy(&half, (const char *)x + 2 * i, 2);
        uint32_t bits = (uint32_t)half << 16;
        memcpy(&y[i], &bits, 4);
    }
}

static void widen(tsr_element_type type, size_t count, const void *x, float *y) {
    switch (type) {
    case TSR_FLOAT32:
        memcpy(y, x, count * sizeof(float));
        break;
    case TSR_FLOAT16:
        widen_float16(count, x, y);
        break;
    case TSR_BFLOAT16:
        widen_bfloat16(count, x, y);
        break;
    }
}

#include "product_bodies.h"

const tsr_kernels TSR_PASTE(tsr_kernels_, TSR_ISA) = {
    .strip = TSR_STRIP,
    .panel_width = TSR_PANEL_WIDTH,
    .multiply_strip = multiply_strip,
    .pack_panel = pack_panel,
    .winograd_input = winograd_input,
    .winograd_output = winograd_output,
    .winograd_filter = winograd_filter,
    .fill_rows = fill_rows,
    .activate_rows = activate_rows,
    .activate = activate,
    .add = add,
    .gate = gate,
    .softmax_block = softmax_block,
    .scale_row = scale_row,
    .scale_add_row = scale_add_row,
    .channel_moments = channel_moments,
    .scale_shift = scale_shift,
    .layer_norm_row = layer_norm_row,
    .to_bytes = to_bytes,
    .widen = widen,
};
