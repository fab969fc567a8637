// 3x3 convolutions by Winograd's F(4x4, 3x3) (Lavin & Gray 2015, arXiv 1509.09308): a 6x6 patch of
// the input and a 3x3 filter become 36 numbers each, whose products, summed over the channels,
// become 4x4 outputs; 36 multiplications instead of 144.
//
// Patches of all items are numbered through and worked on in blocks. All threads transform a
// block's input; then each takes tiles of some patches and some outputs, whose sums stay in its
// second-level cache until they are transformed back. Filters that were not prepared are
// transformed on the way: for large images all at once, for small ones by the thread that
// multiplies with them, a few inputs at a time, so that they never leave its cache. No step's
// answer depends on how patches are grouped.
#include "convolution.h"
#include "packed_product.h"

#include <string.h>

enum {
    TILE = 4, PATCH = 6, VALUES = 36,
    FEWEST_INPUTS = 16,  // below, the transforms cost more than they save
    BLOCK_FLOATS = 1 << 20, FEWEST_PATCHES = 64,  // of a block's transformed input: 4 MB
    // Patches and panels of outputs in a tile: filters that are transformed on the way want many
    // patches to be transformed for.
    TILE_PATCHES = 64, TILE_PANELS = 2, STORED_PATCHES = 256, STORED_PANELS = 1,
    FILTER_FLOATS = 36 << 12,  // of filters transformed on the way: 576 KB
    // Filters are transformed all at once for at least so many patches, and up to so many floats.
    PASS_PATCHES = 1024, PASS_FLOATS = 16 << 20,
    TILES_PER_THREAD = 4,
    PART_VALUES = 6,
};

typedef struct {
    const tsr_kernels *kernels;
    const tsr_convolution_shape *shape;
    const tsr_winograd_operands *operands;
    size_t across, down;  // patches of an item
    size_t patches;       // of all items
    tsr_cut blocks;            // of patches
    tsr_cut rows, columns;     // of a block's patches, of the outputs
    size_t depth;              // inputs multiplied at once
    // Whether a tile is some of the 36 values of some outputs, for all patches: images so small
    // that whole tiles would leave threads without work.
    bool in_parts;
    bool passes_filters;  // whether filters that were not prepared are transformed all at once
    bool has_filters;     // whether all are there when the tiles begin
    const float *filters;
    size_t input_stride, sums_stride, filter_stride;  // floats between the 36 matrices of each
    size_t room_floats;        // of a thread: its sums, and filters transformed on the way

    size_t block, block_patches;  // in hand
    float *zeros;        // (inputs)
    float *transformed;  // 36 times (block, inputs)
    float *rooms;        // per thread, or one for all where tiles are parts of the 36 values
} winograd_job;

bool tsr_winograd_suits(const tsr_filter_shape *filter) {
    return filter->height == 3 && filter->width == 3 && filter->stride == 1
        && filter->inputs >= FEWEST_INPUTS;
}

// Distance of matrices whose equal elements are used together: an odd number of cache lines, or
// they would all want the same few places in the cache.
static size_t apart(size_t floats) {
    return (tsr_ceil_div(floats, TSR_LINE_FLOATS) | 1) * TSR_LINE_FLOATS;
}

static winograd_job plan(
    const tsr_engine *engine, const tsr_convolution_shape *shape, bool prepared) {
    winograd_job job = {.kernels = tsr_engine_kernels(engine), .shape = shape};
    size_t inputs = shape->filter.inputs, outputs = shape->filter.outputs;
    size_t panel = job.kernels->panel_width, strip = job.kernels->strip;
    size_t threads = (size_t)tsr_engine_threads(engine);
    size_t wanted = threads > 1 ? TILES_PER_THREAD * threads : 1;
    job.across = tsr_ceil_div(shape->out_width, TILE);
    job.down = tsr_ceil_div(shape->out_height, TILE);
    job.patches = shape->items * job.across * job.down;
    size_t most = BLOCK_FLOATS / (VALUES * inputs);
    if (most < FEWEST_PATCHES) most = FEWEST_PATCHES;
    job.blocks = tsr_cut_evenly(job.patches, most, TILE_PATCHES);
    job.blocks.size = tsr_min(job.blocks.size, job.patches);
    size_t all_filters = tsr_winograd_prepared(engine, &shape->filter);
    job.passes_filters = !prepared && job.patches >= PASS_PATCHES && all_filters <= PASS_FLOATS;
    job.has_filters = prepared || job.passes_filters;
    job.rows = tsr_cut_evenly(
        job.blocks.size, job.has_filters ? TILE_PATCHES : STORED_PATCHES, strip);
    size_t panels = job.has_filters ? TILE_PANELS : STORED_PANELS;
    job.columns = tsr_cut_evenly(outputs, panels * panel, panel);
    job.columns = tsr_cut_finer(outputs, job.columns, job.rows.count, wanted, panel);
    job.in_parts = job.has_filters && threads > 1 && job.blocks.count == 1 && job.rows.count == 1
        && job.columns.count < wanted;
    job.input_stride = apart(job.blocks.size * inputs);
    job.sums_stride = apart(job.rows.size * (job.in_parts ? outputs : job.columns.size));
    job.room_floats = VALUES * job.sums_stride;
    if (job.has_filters) {
        job.depth = tsr_cut_evenly(inputs, TSR_MOST_DEPTH, 1).size;
        job.filter_stride = all_filters / VALUES;
    } else {
        job.depth = tsr_cut_evenly(inputs, FILTER_FLOATS / (VALUES * job.columns.size), 8).size;
        job.filter_stride = apart(job.depth * job.columns.size);
        job.room_floats += VALUES * job.filter_stride;
    }
    job.room_floats = tsr_round_up(job.room_floats, TSR_LINE_FLOATS);
    return job;
}

size_t tsr_winograd_workspace(
    const tsr_engine *engine, const tsr_convolution_shape *shape, bool prepared) {
    winograd_job job = plan(engine, shape, prepared);
    size_t inputs = tsr_round_up(shape->filter.inputs, TSR_LINE_FLOATS);
    return inputs + VALUES * job.input_stride
        + (job.passes_filters ? VALUES * job.filter_stride : 0)
        + (size_t)tsr_engine_threads(engine) * job.room_floats;
}

// ---- Prepared filters --------------------------------------------------------------------------

typedef struct {
    const tsr_kernels *kernels;
    const tsr_filter_shape *filter;
    const tsr_weights *weights;
    float *prepared;
    size_t stride;
} filter_job;

static void filter_tile(void *context, size_t index, int thread) {
    (void)thread;
    const filter_job *job = context;
    size_t width = job->kernels->panel_width, inputs = job->filter->inputs;
    size_t output = index * width;
    job->kernels->winograd_filter(
        tsr_min(width, job->filter->outputs - output), inputs, job->weights->type,
        tsr_stored_at(job->weights, output * inputs * 9), inputs * 9,
        job->prepared + output * inputs, job->stride);
}

size_t tsr_winograd_prepared(const tsr_engine *engine, const tsr_filter_shape *filter) {
    size_t panel = tsr_engine_kernels(engine)->panel_width;
    return VALUES * apart(filter->inputs * tsr_round_up(filter->outputs, panel));
}

void tsr_winograd_prepare(
    tsr_engine *engine, const tsr_filter_shape *filter, const tsr_weights *weights,
    float *prepared) {
    filter_job job = {
        .kernels = tsr_engine_kernels(engine), .filter = filter, .weights = weights,
        .prepared = prepared, .stride = tsr_winograd_prepared(engine, filter) / VALUES,
    };
    size_t panels = tsr_ceil_div(filter->outputs, job.kernels->panel_width);
    tsr_parallel_for(engine, panels, filter_tile, &job);
}

// ---- Input, products, output -------------------------------------------------------------------

typedef struct {
    size_t item, y, x;  // of the first output
} patch_place;

static patch_place place_of(const winograd_job *job, size_t patch) {
    size_t item = patch / (job->across * job->down), rest = patch % (job->across * job->down);
    return (patch_place){item, rest / job->across * TILE, rest % job->across * TILE};
}

static void input_tile(void *context, size_t index, int thread) {
    (void)thread;
    const winograd_job *job = context;
    const tsr_convolution_shape *shape = job->shape;
    size_t inputs = shape->filter.inputs;
    patch_place place = place_of(job, job->block + index);
    const float *image = job->operands->x + place.item * shape->height * shape->width * inputs;
    const float *pixels[VALUES];
    for (size_t i = 0; i < PATCH; i++) {
        for (size_t j = 0; j < PATCH; j++) {
            // Before the first row or column these wrap around to something far beyond the last.
            size_t y = place.y + i - shape->pad_top, x = place.x + j - shape->pad_left;
            bool inside = y < shape->height && x < shape->width;
            pixels[PATCH * i + j] = inside ? image + (y * shape->width + x) * inputs : job->zeros;
        }
    }
    job->kernels->winograd_input(
        inputs, pixels, job->transformed + index * inputs, job->input_stride);
}

typedef struct {
    size_t row, rows, column, columns;
    size_t sums_width;  // floats from one row of sums to the next
    float *sums, *filters;  // 36 times (rows, columns), 36 times panels
} product_tile;

// Where a tile's filters lie for inputs from `depth` on: those of the 36 values, one after another
// `filter_stride` floats apart, and their panels.
typedef struct {
    const float *first;
    size_t panel_stride;
} filter_panels;

static filter_panels filters_for(
    const winograd_job *job, const product_tile *tile, size_t depth, size_t count) {
    const tsr_weights *weights = job->operands->weights;
    size_t inputs = job->shape->filter.inputs, width = job->kernels->panel_width;
    if (job->has_filters) {
        const float *first = job->filters + tile->column * inputs + depth * width;
        return (filter_panels){first, inputs * width};
    }
    for (size_t c = 0; c < tile->columns; c += width) {
        job->kernels->winograd_filter(
            tsr_min(width, tile->columns - c), count, weights->type,
            tsr_stored_at(weights, ((tile->column + c) * inputs + depth) * 9), inputs * 9,
            tile->filters + c * job->depth, job->filter_stride);
    }
    return (filter_panels){tile->filters, job->depth * width};
}

// The sums of values `first` ..< `end`.
static void multiply(
    const winograd_job *job, const product_tile *tile, size_t first, size_t end) {
    size_t inputs = job->shape->filter.inputs;
    for (size_t depth = 0; depth < inputs; depth += job->depth) {
        size_t count = tsr_min(job->depth, inputs - depth);
        filter_panels filters = filters_for(job, tile, depth, count);
        for (size_t value = first; value < end; value++) {
            const float *x = job->transformed + value * job->input_stride
                + tile->row * inputs + depth;
            float *sums = tile->sums + value * job->sums_stride;
            tsr_multiply_strips(
                job->kernels, tile->rows, tile->columns, count, x, inputs,
                filters.first + value * job->filter_stride, filters.panel_stride, depth == 0,
                sums, tile->sums_width);
        }
    }
}

static void write_patch(const winograd_job *job, const product_tile *tile, size_t row) {
    const tsr_convolution_shape *shape = job->shape;
    const tsr_winograd_operands *operands = job->operands;
    patch_place place = place_of(job, job->block + tile->row + row);
    size_t outputs = shape->filter.outputs, line = shape->out_width * outputs;
    size_t rows = tsr_min(TILE, shape->out_height - place.y);
    size_t columns = tsr_min(TILE, shape->out_width - place.x);
    size_t pixel = (place.item * shape->out_height + place.y) * shape->out_width + place.x;
    size_t start = pixel * outputs + tile->column;
    job->kernels->winograd_output(
        tile->columns, tile->sums + row * tile->sums_width, job->sums_stride, rows, columns,
        operands->bias ? operands->bias + tile->column : NULL,
        operands->item_bias ? operands->item_bias + place.item * outputs + tile->column : NULL,
        operands->residual ? operands->residual + start : NULL, operands->y + start, line,
        outputs);
}

static void output_tile(void *context, size_t index, int thread) {
    const winograd_job *job = context;
    product_tile tile;
    tile.row = index % job->rows.count * job->rows.size;
    if (tile.row >= job->block_patches) return;
    tile.column = index / job->rows.count * job->columns.size;
    tile.rows = tsr_min(job->rows.size, job->block_patches - tile.row);
    tile.columns = tsr_min(job->columns.size, job->shape->filter.outputs - tile.column);
    tile.sums_width = tile.columns;
    tile.filters = job->rooms + (size_t)thread * job->room_floats;
    tile.sums = tile.filters
        + (job->has_filters ? 0 : VALUES * job->filter_stride);
    multiply(job, &tile, 0, VALUES);
    for (size_t row = 0; row < tile.rows; row++) write_patch(job, &tile, row);
}

static void part_tile(void *context, size_t index, int thread) {
    (void)thread;
    const winograd_job *job = context;
    size_t outputs = job->shape->filter.outputs;
    size_t value = index % (VALUES / PART_VALUES) * PART_VALUES;
    size_t column = index / (VALUES / PART_VALUES) * job->columns.size;
    product_tile tile = {
        .rows = job->block_patches, .column = column,
        .columns = tsr_min(job->columns.size, outputs - column),
        .sums_width = outputs, .sums = job->rooms + column,
    };
    multiply(job, &tile, value, value + PART_VALUES);
}

static void whole_patch_tile(void *context, size_t row, int thread) {
    (void)thread;
    const winograd_job *job = context;
    size_t outputs = job->shape->filter.outputs;
    product_tile tile = {.columns = outputs, .sums_width = outputs, .sums = job->rooms};
    write_patch(job, &tile, row);
}

void tsr_winograd(
    tsr_engine *engine, const tsr_convolution_shape *shape, const tsr_winograd_operands *operands,
    float *workspace) {
    size_t inputs = tsr_round_up(shape->filter.inputs, TSR_LINE_FLOATS);
    winograd_job job = plan(engine, shape, operands->weights->prepared != NULL);
    job.operands = operands;
    job.zeros = workspace;
    job.transformed = job.zeros + inputs;
    job.rooms = job.transformed + VALUES * job.input_stride;
    job.filters = operands->weights->prepared;
    if (job.passes_filters) {
        float *room = job.rooms;
        job.rooms += VALUES * job.filter_stride;
        tsr_winograd_prepare(engine, &shape->filter, operands->weights, room);
        job.filters = room;
    }
    memset(job.zeros, 0, inputs * sizeof(float));
    for (job.block = 0; job.block < job.patches; job.block += job.blocks.size) {
        job.block_patches = tsr_min(job.blocks.size, job.patches - job.block);
        tsr_parallel_for(engine, job.block_patches, input_tile, &job);
        if (job.in_parts) {
            size_t parts = VALUES / PART_VALUES * job.columns.count;
            tsr_parallel_for(engine, parts, part_tile, &job);
            tsr_parallel_for(engine, job.block_patches, whole_patch_tile, &job);
        } else {
            tsr_parallel_for(engine, job.rows.count * job.columns.count, output_tile, &job);
        }
    }
}
