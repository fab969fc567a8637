// Linear layers by the packed product. Weights that were not prepared are widened and packed on the
// way, a block of outputs and inputs at a time, by the thread that multiplies with them.
#include "packed_product.h"

typedef struct {
    const tsr_kernels *kernels;
    size_t rows, inputs, outputs;  // all items' rows
    size_t half;  // 0, or the outputs of a gated layer; the gates' weights follow the values'
    tsr_cut row_cut, column_cut, depth_cut;
    size_t panel_floats, sum_floats;  // of a thread's workspace
    const float *x;
    const tsr_weights *weights;
    const float *bias, *residual;
    tsr_activation activation;
    float *workspace;
    float *y;
} linear_job;

typedef struct {
    size_t row, rows, column, columns;
} linear_tile_place;

// Prepared matrices hold whole panels: a gated layer can use them where its halves do, too.
static bool uses_prepared(const linear_job *job) {
    return job->weights->prepared && job->half % job->kernels->panel_width == 0;
}

static void plan(const tsr_engine *engine, bool prepared, linear_job *job) {
    enum { MOST_COLUMNS = 128, MOST_ROWS = 1024, MOST_PREPARED_ROWS = 256, MOST_GATED_ROWS = 512 };
    enum { TILES_PER_THREAD = 4 };
    job->kernels = tsr_engine_kernels(engine);
    size_t strip = job->kernels->strip, panel = job->kernels->panel_width;
    size_t threads = (size_t)tsr_engine_threads(engine);
    size_t columns = job->half ? job->half : job->outputs;
    size_t most_rows = prepared ? MOST_PREPARED_ROWS : job->half ? MOST_GATED_ROWS : MOST_ROWS;
    size_t wanted = threads > 1 ? TILES_PER_THREAD * threads : 1;
    job->depth_cut = tsr_cut_evenly(job->inputs, TSR_MOST_DEPTH, 1);
    job->row_cut = tsr_cut_evenly(job->rows, most_rows, strip);
    job->column_cut = tsr_cut_evenly(columns, job->half ? MOST_COLUMNS / 2 : MOST_COLUMNS, panel);
    job->column_cut = tsr_cut_finer(columns, job->column_cut, job->row_cut.count, wanted, panel);
    // Weights that are packed on the way want many rows to be packed for.
    size_t least = prepared ? strip : most_rows / 4;
    job->row_cut = tsr_cut_finer(job->rows, job->row_cut, job->column_cut.count, wanted, least);
    size_t sides = job->half ? 2 : 1;
    job->panel_floats = prepared ? 0 : sides * job->column_cut.size * job->depth_cut.size;
    job->sum_floats = job->half ? sides * job->column_cut.size * job->row_cut.size : 0;
}

static size_t room_floats(const linear_job *job) {
    return tsr_round_up(job->panel_floats + job->sum_floats, TSR_LINE_FLOATS);
}

static linear_job shaped(const tsr_linear_shape *shape, bool gated) {
    return (linear_job){
        .rows = shape->items * shape->rows,
        .inputs = shape->inputs,
        .outputs = shape->outputs,
        .half = gated ? shape->outputs / 2 : 0,
    };
}

static linear_tile_place place_of(const linear_job *job, size_t index) {
    size_t columns = job->half ? job->half : job->outputs;
    size_t row = index % job->row_cut.count * job->row_cut.size;
    size_t column = index / job->row_cut.count * job->column_cut.size;
    return (linear_tile_place){
        row, tsr_min(job->row_cut.size, job->rows - row),
        column, tsr_min(job->column_cut.size, columns - column),
    };
}

typedef struct {
    const float *first;
    size_t stride;
} panels;

// The panels of outputs `column` ..< `column + columns` for inputs from `depth` on.
static panels panels_for(
    const linear_job *job, size_t column, size_t columns, size_t depth, size_t count,
    float *room) {
    size_t width = job->kernels->panel_width;
    if (uses_prepared(job)) {
        const float *first = job->weights->prepared + (column * job->inputs + depth * width);
        return (panels){first, job->inputs * width};
    }
    for (size_t c = 0; c < columns; c += width) {
        job->kernels->pack_panel(
            tsr_min(width, columns - c), count, job->weights->type,
            tsr_stored_at(job->weights, (column + c) * job->inputs + depth), job->inputs,
            room + c * count);
    }
    return (panels){room, count * width};
}

static void linear_tile(void *context, size_t index, int thread) {
    const linear_job *job = context;
    const tsr_kernels *kernels = job->kernels;
    linear_tile_place tile = place_of(job, index);
    float *room = job->workspace + (size_t)thread * room_floats(job);
    for (size_t depth = 0; depth < job->inputs; depth += job->depth_cut.size) {
        size_t count = tsr_min(job->depth_cut.size, job->inputs - depth);
        bool last = depth + count == job->inputs;
        panels weights = panels_for(job, tile.column, tile.columns, depth, count, room);
        for (size_t r = 0; r < tile.rows; r += kernels->strip) {
            size_t rows = tsr_min(kernels->strip, tile.rows - r);
            size_t start = (tile.row + r) * job->outputs + tile.column;
            float *y = job->y + start;
            if (depth == 0) {
                kernels->fill_rows(
                    rows, tile.columns, job->outputs, job->bias ? job->bias + tile.column : NULL,
                    NULL, job->residual ? job->residual + start : NULL, y);
            }
            kernels->multiply_strip(
                rows, tile.columns, count, job->x + (tile.row + r) * job->inputs + depth,
                job->inputs, weights.first, weights.stride, false, y, job->outputs);
            if (last && job->activation != TSR_ACTIVATION_NONE) {
                kernels->activate_rows(rows, tile.columns, job->outputs, job->activation, y);
            }
        }
    }
}

// Values and gates of a tile are summed side by side in the workspace.
static void gated_tile(void *context, size_t index, int thread) {
    const linear_job *job = context;
    const tsr_kernels *kernels = job->kernels;
    linear_tile_place tile = place_of(job, index);
    size_t side = job->column_cut.size, stride = 2 * side;
    float *room = job->workspace + (size_t)thread * room_floats(job);
    float *sums = room + job->panel_floats;
    for (size_t depth = 0; depth < job->inputs; depth += job->depth_cut.size) {
        size_t count = tsr_min(job->depth_cut.size, job->inputs - depth);
        bool last = depth + count == job->inputs;
        panels values = panels_for(job, tile.column, tile.columns, depth, count, room);
        panels gates = panels_for(
            job, job->half + tile.column, tile.columns, depth, count,
            room + side * job->depth_cut.size);
        for (size_t r = 0; r < tile.rows; r += kernels->strip) {
            size_t rows = tsr_min(kernels->strip, tile.rows - r);
            const float *x = job->x + (tile.row + r) * job->inputs + depth;
            float *sum = sums + r * stride;
            if (depth == 0) {
                const float *bias = job->bias ? job->bias + tile.column : NULL;
                kernels->fill_rows(rows, tile.columns, stride, bias, NULL, NULL, sum);
                kernels->fill_rows(
                    rows, tile.columns, stride, bias ? bias + job->half : NULL, NULL, NULL,
                    sum + side);
            }
            kernels->multiply_strip(
                rows, tile.columns, count, x, job->inputs, values.first, values.stride, false,
                sum, stride);
            kernels->multiply_strip(
                rows, tile.columns, count, x, job->inputs, gates.first, gates.stride, false,
                sum + side, stride);
            if (!last) continue;
            for (size_t i = 0; i < rows; i++) {
                float *y = job->y + (tile.row + r + i) * job->half + tile.column;
                kernels->gate(tile.columns, sum + i * stride, sum + i * stride + side, y);
            }
        }
    }
}

// ---- Preparation -------------------------------------------------------------------------------

static void prepare_tile(void *context, size_t index, int thread) {
    (void)thread;
    const linear_job *job = context;
    size_t width = job->kernels->panel_width, output = index * width;
    job->kernels->pack_panel(
        tsr_min(width, job->outputs - output), job->inputs, job->weights->type,
        tsr_stored_at(job->weights, output * job->inputs), job->inputs,
        job->y + output * job->inputs);
}

size_t tsr_linear_prepared(const tsr_engine *engine, size_t inputs, size_t outputs) {
    return inputs * tsr_round_up(outputs, tsr_engine_kernels(engine)->panel_width);
}

void tsr_linear_prepare(
    tsr_engine *engine, size_t inputs, size_t outputs, const tsr_weights *weights,
    float *prepared) {
    linear_job job = {
        .kernels = tsr_engine_kernels(engine), .inputs = inputs, .outputs = outputs,
        .weights = weights, .y = prepared,
    };
    size_t panels = tsr_ceil_div(outputs, job.kernels->panel_width);
    tsr_parallel_for(engine, panels, prepare_tile, &job);
}

// ---- Entry points ------------------------------------------------------------------------------

static size_t workspace_of(const tsr_engine *engine, linear_job *job, bool prepared) {
    job->kernels = tsr_engine_kernels(engine);
    plan(engine, prepared && job->half % job->kernels->panel_width == 0, job);
    return (size_t)tsr_engine_threads(engine) * room_floats(job);
}

size_t tsr_linear_workspace(
    const tsr_engine *engine, const tsr_linear_shape *shape, bool prepared) {
    linear_job job = shaped(shape, false);
    return workspace_of(engine, &job, prepared);
}

size_t tsr_linear_geglu_workspace(
    const tsr_engine *engine, const tsr_linear_shape *shape, bool prepared) {
    linear_job job = shaped(shape, true);
    return workspace_of(engine, &job, prepared);
}

static void run(tsr_engine *engine, linear_job *job, tsr_tile_function function) {
    job->kernels = tsr_engine_kernels(engine);
    plan(engine, uses_prepared(job), job);
    tsr_parallel_for(engine, job->row_cut.count * job->column_cut.count, function, job);
}

void tsr_linear(
    tsr_engine *engine, const tsr_linear_shape *shape, const float *x, const tsr_weights *weights,
    const float *bias, const float *residual, tsr_activation activation, float *workspace,
    float *y) {
    linear_job job = shaped(shape, false);
    job.x = x;
    job.weights = weights;
    job.bias = bias;
    job.residual = residual;
    job.activation = activation;
    job.workspace = workspace;
    job.y = y;
    run(engine, &job, linear_tile);
}

void tsr_linear_geglu(
    tsr_engine *engine, const tsr_linear_shape *shape, const float *x, const tsr_weights *weights,
    const float *bias, float *workspace, float *y) {
    linear_job job = shaped(shape, true);
    job.x = x;
    job.weights = weights;
    job.bias = bias;
    job.workspace = workspace;
    job.y = y;
    run(engine, &job, gated_tile);
}
