// How a matrix product is cut, and the one call into OpenBLAS.
#pragma once
#include "kernel_table.h"

#include <cblas.h>

typedef struct {
    size_t row_size, column_size;    // extents of a whole tile
    size_t row_tiles, column_tiles;  // per item
} tsr_gemm_tiles;

/// Tiles for one item's (rows, depth) x (depth, columns) product. Depends on nothing else.
static inline tsr_gemm_tiles tsr_plan_tiles(size_t rows, size_t columns, size_t depth) {
    enum { WANTED_TILES = 8, MAXIMUM_ROWS = 256, SMALLEST_SIDE = 64 };
    const double smallest_work = 1.5e6;  // multiply-adds: below it a tile costs more than it shares
    tsr_gemm_tiles tiles = {tsr_min(rows, MAXIMUM_ROWS), columns, 0, 0};
    for (;;) {
        tiles.row_tiles = tsr_ceil_div(rows, tiles.row_size);
        tiles.column_tiles = tsr_ceil_div(columns, tiles.column_size);
        double work = (double)tiles.row_size * (double)tiles.column_size * (double)depth;
        if (tiles.row_tiles * tiles.column_tiles >= WANTED_TILES || work < 2 * smallest_work) {
            return tiles;
        }
        // Halve the longer side, to a multiple of what the inner kernels like.
        bool rows_next = tiles.row_size >= tiles.column_size;
        if (rows_next && tiles.row_size > SMALLEST_SIDE) {
            tiles.row_size = tsr_ceil_div(tiles.row_size, 32) * 16;
        } else if (!rows_next && tiles.column_size > SMALLEST_SIDE) {
            tiles.column_size = tsr_ceil_div(tiles.column_size, 64) * 32;
        } else {
            return tiles;
        }
    }
}

typedef struct {
    size_t item, row, rows, column, columns;
} tsr_gemm_tile;

/// The `index`-th tile over all items.
static inline tsr_gemm_tile tsr_tile_at(
    const tsr_gemm_tiles *tiles, size_t rows, size_t columns, size_t index) {
    size_t column = index % tiles->column_tiles * tiles->column_size;
    index /= tiles->column_tiles;
    size_t row = index % tiles->row_tiles * tiles->row_size;
    return (tsr_gemm_tile){
        .item = index / tiles->row_tiles,
        .row = row,
        .rows = tsr_min(tiles->row_size, rows - row),
        .column = column,
        .columns = tsr_min(tiles->column_size, columns - column),
    };
}

/// y (rows, columns) += a (rows, depth) x weight (columns, depth), transposed; `stride` is y's.
static inline void tsr_accumulate(
    size_t rows, size_t columns, size_t depth, const float *a, const float *weight, size_t stride,
    float *y) {
    cblas_sgemm(
        CblasRowMajor, CblasNoTrans, CblasTrans, (blasint)rows, (blasint)columns, (blasint)depth,
        1, a, (blasint)depth, weight, (blasint)depth, 1, y, (blasint)stride);
}
