// The inner loops of the packed product and of Winograd's transforms, compiled once per
// instruction set like bodies.h, which includes this file.
//
// Every sum over the depth runs from its first element to its last in one accumulator, whatever
// rows and columns are computed beside it: an element's bytes do not depend on how the product was
// cut. (Lavin & Gray 2015, arXiv 1509.09308, is the source of the transforms; Goto & van de Geijn
// 2008, doi 10.1145/1356052.1356053, of the packing.)

// One register's worth of floats, at any address.
typedef float tsr_vector __attribute__((vector_size(4 * TSR_VECTOR), aligned(4)));
enum { TSR_PANEL_WIDTH = 2 * TSR_VECTOR };

static inline tsr_vector tsr_load(const float *x) { return *(const tsr_vector *)x; }
static inline void tsr_store(float *y, tsr_vector value) { *(tsr_vector *)y = value; }

// ---- The product -------------------------------------------------------------------------------

// c (rows, VECTORS * TSR_VECTOR) += a (rows, depth) x panel (depth, TSR_PANEL_WIDTH), or = where
// `clear`. ROWS and VECTORS are constants where this is inlined: the sums live in registers.
static inline __attribute__((always_inline)) void tsr_multiply_block(
    const int ROWS, const int VECTORS, size_t depth, const float *a, size_t a_stride,
    const float *panel, bool clear, float *c, size_t c_stride) {
    tsr_vector sum[TSR_STRIP][2];
    const float *row[TSR_STRIP];
#pragma clang loop unroll(full)
    for (int r = 0; r < ROWS; r++) {
        row[r] = a + (size_t)r * a_stride;
#pragma clang loop unroll(full)
        for (int v = 0; v < VECTORS; v++) {
            const float *start = c + (size_t)r * c_stride + v * TSR_VECTOR;
            sum[r][v] = clear ? (tsr_vector){0} : tsr_load(start);
        }
    }
    for (size_t k = 0; k < depth; k++, panel += TSR_PANEL_WIDTH) {
        // With few rows the panel streams by faster than the processor foresees.
        if (ROWS <= 4) {
            __builtin_prefetch(panel + 16 * TSR_PANEL_WIDTH);
            __builtin_prefetch(panel + 16 * TSR_PANEL_WIDTH + TSR_VECTOR);
        }
        tsr_vector b0 = tsr_load(panel), b1 = tsr_load(panel + TSR_VECTOR);
#pragma clang loop unroll(full)
        for (int r = 0; r < ROWS; r++) {
            float value = row[r][k];
            sum[r][0] += value * b0;
            if (VECTORS > 1) sum[r][1] += value * b1;
        }
    }
#pragma clang loop unroll(full)
    for (int r = 0; r < ROWS; r++) {
#pragma clang loop unroll(full)
        for (int v = 0; v < VECTORS; v++) {
            tsr_store(c + (size_t)r * c_stride + v * TSR_VECTOR, sum[r][v]);
        }
    }
}

static inline __attribute__((always_inline)) void tsr_multiply_rows(
    size_t rows, const int VECTORS, size_t depth, const float *a, size_t a_stride,
    const float *panel, bool clear, float *c, size_t c_stride) {
    switch (rows) {
#define TSR_CASE(ROWS)                                                                             \
    case ROWS:                                                                                     \
        tsr_multiply_block(ROWS, VECTORS, depth, a, a_stride, panel, clear, c, c_stride);          \
        break;
        TSR_CASE(1)
        TSR_CASE(2)
        TSR_CASE(3)
        TSR_CASE(4)
#if TSR_STRIP > 4
        TSR_CASE(5)
        TSR_CASE(6)
#endif
#if TSR_STRIP > 6
        TSR_CASE(7)
        TSR_CASE(8)
#endif
#undef TSR_CASE
    }
}

static void multiply_strip(
    size_t rows, size_t columns, size_t depth, const float *a, size_t a_stride,
    const float *panels, size_t panel_stride, bool clear, float *c, size_t c_stride) {
    for (; columns >= TSR_PANEL_WIDTH; columns -= TSR_PANEL_WIDTH) {
        tsr_multiply_rows(rows, 2, depth, a, a_stride, panels, clear, c, c_stride);
        panels += panel_stride;
        c += TSR_PANEL_WIDTH;
    }
    if (columns == TSR_VECTOR) {
        tsr_multiply_rows(rows, 1, depth, a, a_stride, panels, clear, c, c_stride);
    } else if (columns > 0) {
        // The last columns go through a copy, so that nothing beyond a row is touched.
        float copy[TSR_STRIP * TSR_PANEL_WIDTH] = {0};
        for (size_t r = 0; r < rows; r++) {
            memcpy(copy + r * TSR_PANEL_WIDTH, c + r * c_stride, columns * sizeof(float));
        }
        if (columns < TSR_VECTOR) {
            tsr_multiply_rows(rows, 1, depth, a, a_stride, panels, clear, copy, TSR_PANEL_WIDTH);
        } else {
            tsr_multiply_rows(rows, 2, depth, a, a_stride, panels, clear, copy, TSR_PANEL_WIDTH);
        }
        for (size_t r = 0; r < rows; r++) {
            memcpy(c + r * c_stride, copy + r * TSR_PANEL_WIDTH, columns * sizeof(float));
        }
    }
}

// ---- Packing -----------------------------------------------------------------------------------

typedef float tsr_eight __attribute__((vector_size(32), aligned(4)));

// y (8, 8), rows `y_stride` apart, from x (8, 8), transposed.
static inline void tsr_transpose_eight(const float *x, size_t x_stride, float *y, size_t y_stride) {
    tsr_eight row[8], half[8];
#pragma clang loop unroll(full)
    for (int r = 0; r < 8; r++) row[r] = *(const tsr_eight *)(x + (size_t)r * x_stride);
#pragma clang loop unroll(full)
    for (int r = 0; r < 4; r++) {
        half[2 * r] = __builtin_shufflevector(
            row[2 * r], row[2 * r + 1], 0, 8, 2, 10, 4, 12, 6, 14);
        half[2 * r + 1] = __builtin_shufflevector(
            row[2 * r], row[2 * r + 1], 1, 9, 3, 11, 5, 13, 7, 15);
    }
#pragma clang loop unroll(full)
    for (int r = 0; r < 2; r++) {
#pragma clang loop unroll(full)
        for (int i = 0; i < 2; i++) {
            row[4 * r + i] = __builtin_shufflevector(
                half[4 * r + i], half[4 * r + i + 2], 0, 1, 8, 9, 4, 5, 12, 13);
            row[4 * r + i + 2] = __builtin_shufflevector(
                half[4 * r + i], half[4 * r + i + 2], 2, 3, 10, 11, 6, 7, 14, 15);
        }
    }
#pragma clang loop unroll(full)
    for (int i = 0; i < 4; i++) {
        *(tsr_eight *)(y + (size_t)i * y_stride) =
            __builtin_shufflevector(row[i], row[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
        *(tsr_eight *)(y + (size_t)(i + 4) * y_stride) =
            __builtin_shufflevector(row[i], row[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
    }
}

// panel (depth, TSR_PANEL_WIDTH) from `outputs` rows of a stored matrix, `stride` elements apart;
// zeros where there are fewer rows than columns of the panel.
static void pack_panel(
    size_t outputs, size_t depth, tsr_element_type type, const void *stored, size_t stride,
    float *panel) {
    enum { DEPTH = 64 };
    float rows[TSR_PANEL_WIDTH * DEPTH];
    size_t size = tsr_element_bytes(type);
    if (outputs < TSR_PANEL_WIDTH) memset(rows, 0, sizeof rows);
    for (size_t first = 0; first < depth; first += DEPTH) {
        size_t count = tsr_min(DEPTH, depth - first);
        for (size_t r = 0; r < outputs; r++) {
            const char *source = (const char *)stored + (r * stride + first) * size;
            // The rows are too many for the processor to foresee.
            for (size_t line = 0; line < DEPTH * size; line += 64) {
                __builtin_prefetch(source + DEPTH * size + line);
            }
            widen(type, count, source, rows + r * DEPTH);
        }
        float *y = panel + first * TSR_PANEL_WIDTH;
        size_t whole = count - count % 8;
        for (size_t r = 0; r < TSR_PANEL_WIDTH; r += 8) {
            for (size_t k = 0; k < whole; k += 8) {
                tsr_transpose_eight(
                    rows + r * DEPTH + k, DEPTH, y + k * TSR_PANEL_WIDTH + r, TSR_PANEL_WIDTH);
            }
        }
        for (size_t k = whole; k < count; k++) {
            for (size_t r = 0; r < TSR_PANEL_WIDTH; r++) {
                y[k * TSR_PANEL_WIDTH + r] = rows[r * DEPTH + k];
            }
        }
    }
}

// ---- Winograd F(4x4, 3x3) ----------------------------------------------------------------------

// Six numbers of a line of the input, B^T d.
static inline __attribute__((always_inline)) void tsr_winograd_input_line(
    const tsr_vector *d, int step, tsr_vector *y) {
    tsr_vector a = d[4 * step] - 4.0f * d[2 * step], b = d[3 * step] - 4.0f * d[step];
    tsr_vector c = d[4 * step] - d[2 * step], e = 2.0f * (d[3 * step] - d[step]);
    y[0] = 4.0f * d[0] - 5.0f * d[2 * step] + d[4 * step];
    y[1] = a + b;
    y[2] = a - b;
    y[3] = c + e;
    y[4] = c - e;
    y[5] = 4.0f * d[step] - 5.0f * d[3 * step] + d[5 * step];
}

// Four numbers of a line of the output, A^T m.
static inline __attribute__((always_inline)) void tsr_winograd_output_line(
    const tsr_vector *m, int step, tsr_vector *y) {
    tsr_vector a = m[step] + m[2 * step], b = m[step] - m[2 * step];
    tsr_vector c = m[3 * step] + m[4 * step], e = m[3 * step] - m[4 * step];
    y[0] = m[0] + a + c;
    y[1] = b + 2.0f * e;
    y[2] = a + 4.0f * c;
    y[3] = b + 8.0f * e + m[5 * step];
}

// Six numbers of a line of the filter, G g.
static inline __attribute__((always_inline)) void tsr_winograd_filter_line(
    const tsr_vector *g, int step, tsr_vector *y) {
    tsr_vector a = (-1.0f / 6.0f) * (g[0] + g[2 * step]), b = (1.0f / 6.0f) * g[step];
    tsr_vector c = (1.0f / 24.0f) * g[0] + (1.0f / 6.0f) * g[2 * step];
    tsr_vector e = (1.0f / 12.0f) * g[step];
    y[0] = 0.25f * g[0];
    y[1] = a - b;
    y[2] = a + b;
    y[3] = c + e;
    y[4] = c - e;
    y[5] = g[2 * step];
}

// The 36 values of one 6x6 patch for `channels` channels. `pixels` points to the patch's pixels, to
// zeros where one lies outside the image; y's 36 rows are `y_stride` floats apart.
static void winograd_input(
    size_t channels, const float *const pixels[36], float *y, size_t y_stride) {
    size_t c = 0;
    for (; c + TSR_VECTOR <= channels; c += TSR_VECTOR) {
        tsr_vector lines[36], patch[6], values[6];
#pragma clang loop unroll(full)
        for (int i = 0; i < 6; i++) {
#pragma clang loop unroll(full)
            for (int j = 0; j < 6; j++) patch[j] = tsr_load(pixels[6 * i + j] + c);
            tsr_winograd_input_line(patch, 1, lines + 6 * i);
        }
#pragma clang loop unroll(full)
        for (int j = 0; j < 6; j++) {
            tsr_winograd_input_line(lines + j, 6, values);
#pragma clang loop unroll(full)
            for (int i = 0; i < 6; i++) {
                tsr_store(y + (size_t)(6 * i + j) * y_stride + c, values[i]);
            }
        }
    }
    if (c < channels) {
        // The last channels, through a copy as wide as a register.
        float wide[36 * TSR_VECTOR] = {0}, result[36 * TSR_VECTOR];
        const float *copies[36];
        for (int i = 0; i < 36; i++) {
            copies[i] = wide + i * TSR_VECTOR;
            memcpy(wide + i * TSR_VECTOR, pixels[i] + c, (channels - c) * sizeof(float));
        }
        winograd_input(TSR_VECTOR, copies, result, TSR_VECTOR);
        for (int i = 0; i < 36; i++) {
            memcpy(
                y + (size_t)i * y_stride + c, result + i * TSR_VECTOR,
                (channels - c) * sizeof(float));
        }
    }
}

// y = the 4x4 outputs of one patch for `channels` channels, of which the first `rows` x `columns`
// lie in the image, + bias + item_bias + residual, each of which may be NULL. m's 36 rows are
// `m_stride` floats apart, pixels and their rows of y and residual as the other strides say.
static void winograd_output(
    size_t channels, const float *m, size_t m_stride, size_t rows, size_t columns,
    const float *bias, const float *item_bias, const float *residual, float *y, size_t row_stride,
    size_t column_stride) {
    size_t c = 0;
    for (; c + TSR_VECTOR <= channels; c += TSR_VECTOR) {
        tsr_vector lines[24], values[4], start = {0};
        if (bias) start += tsr_load(bias + c);
        if (item_bias) start += tsr_load(item_bias + c);
#pragma clang loop unroll(full)
        for (int j = 0; j < 6; j++) {
            tsr_vector column[6];
#pragma clang loop unroll(full)
            for (int i = 0; i < 6; i++) {
                column[i] = tsr_load(m + (size_t)(6 * i + j) * m_stride + c);
            }
            tsr_winograd_output_line(column, 1, values);
#pragma clang loop unroll(full)
            for (int i = 0; i < 4; i++) lines[6 * i + j] = values[i];
        }
        for (size_t i = 0; i < rows; i++) {
            tsr_winograd_output_line(lines + 6 * i, 1, values);
            for (size_t j = 0; j < columns; j++) {
                size_t pixel = i * row_stride + j * column_stride + c;
                tsr_vector value = start + values[j];
                if (residual) value += tsr_load(residual + pixel);
                tsr_store(y + pixel, value);
            }
        }
    }
    if (c < channels) {
        // The last channels, through a copy as wide as a register.
        float wide[36 * TSR_VECTOR] = {0}, result[16 * TSR_VECTOR];
        for (int i = 0; i < 36; i++) {
            memcpy(
                wide + i * TSR_VECTOR, m + (size_t)i * m_stride + c,
                (channels - c) * sizeof(float));
        }
        winograd_output(
            TSR_VECTOR, wide, TSR_VECTOR, 4, 4, NULL, NULL, NULL, result, 4 * TSR_VECTOR,
            TSR_VECTOR);
        for (size_t i = 0; i < rows; i++) {
            for (size_t j = 0; j < columns; j++) {
                size_t pixel = i * row_stride + j * column_stride + c;
                const float *value = result + (4 * i + j) * TSR_VECTOR;
                for (size_t l = 0; l < channels - c; l++) {
                    float start = bias ? bias[c + l] : 0;
                    if (item_bias) start += item_bias[c + l];
                    start += value[l];
                    y[pixel + l] = residual ? start + residual[pixel + l] : start;
                }
            }
        }
    }
}

// One panel of all 36 filters: u (36, inputs, TSR_PANEL_WIDTH), the 36 `u_stride` floats apart,
// from `outputs` rows of a stored matrix, (inputs, 3, 3) of each, `stride` elements apart.
static void winograd_filter(
    size_t outputs, size_t inputs, tsr_element_type type, const void *stored, size_t stride,
    float *u, size_t u_stride) {
    enum { INPUTS = 16 };
    float taps[INPUTS * 9 * TSR_PANEL_WIDTH];
    size_t size = tsr_element_bytes(type);
    for (size_t first = 0; first < inputs; first += INPUTS) {
        size_t count = tsr_min(INPUTS, inputs - first);
        pack_panel(
            outputs, count * 9, type, (const char *)stored + first * 9 * size, stride, taps);
        for (size_t i = 0; i < count; i++) {
            for (size_t v = 0; v < TSR_PANEL_WIDTH; v += TSR_VECTOR) {
                tsr_vector tap[9], lines[18], values[6];
#pragma clang loop unroll(full)
                for (size_t q = 0; q < 9; q++) {
                    tap[q] = tsr_load(taps + (i * 9 + q) * TSR_PANEL_WIDTH + v);
                }
#pragma clang loop unroll(full)
                for (int j = 0; j < 3; j++) {
                    tsr_winograd_filter_line(tap + j, 3, values);
#pragma clang loop unroll(full)
                    for (int r = 0; r < 6; r++) lines[3 * r + j] = values[r];
                }
#pragma clang loop unroll(full)
                for (int r = 0; r < 6; r++) {
                    tsr_winograd_filter_line(lines + 3 * r, 1, values);
#pragma clang loop unroll(full)
                    for (int s = 0; s < 6; s++) {
                        tsr_store(
                            u + (size_t)(6 * r + s) * u_stride
                                + (first + i) * TSR_PANEL_WIDTH + v,
                            values[s]);
                    }
                }
            }
        }
    }
}
