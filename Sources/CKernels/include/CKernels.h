// The arithmetic of the networks on CPUs.
//
// Layout. Activations are float32, items outermost and channels innermost: (items, positions,
// channels), where positions are the rows and columns of an image or the tokens of a text. An
// image and its tokens are thus the same memory.
//
// Determinism. Every operation is cut into tiles whose boundaries depend on the shape of one item
// only: never on the number of threads and never on how many items travel together. An item's
// answer is the same bytes in any company. It may differ between instruction sets and between
// OpenBLAS core types.
//
// Memory. Nothing is allocated per call: workspaces are passed in, sized by the `_workspace`
// functions, in floats. Outputs never overlap inputs unless a function says so. Pointers need no
// alignment but workspaces, which need 64 bytes. Extents are at least 1, checked by the caller.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// ---- Engine: an instruction set and a team of threads ------------------------------------------

typedef enum { TSR_ISA_SCALAR = 0, TSR_ISA_AVX2 = 1, TSR_ISA_AVX512 = 2 } tsr_isa;

/// Whether this processor (and this build) can run the kernels of `isa`.
bool tsr_isa_available(tsr_isa isa);

typedef struct tsr_engine tsr_engine;

/// Starts an engine of `threads` threads, the caller's own among them; also tells OpenBLAS to stay
/// on the calling thread, for the whole process. NULL when `isa` is unavailable, `threads` is not
/// in 1...TSR_MAXIMUM_THREADS, or a thread cannot be started. One call at a time per engine.
/// Under a memory limit, `tsr_reserve_blas` comes first.
tsr_engine *tsr_engine_create(tsr_isa isa, int threads);
void tsr_engine_destroy(tsr_engine *engine);

enum { TSR_MAXIMUM_THREADS = 256 };

/// How many processors this process may use, by its affinity mask; at least 1.
int tsr_processor_count(void);

/// One tile of work. `thread` is 0 ..< the engine's threads, for picking a private workspace.
typedef void (*tsr_tile_function)(void *context, size_t tile, int thread);

/// Runs `function` once for every tile in 0 ..< `tiles`, on all threads, and returns when all are
/// done. Which thread gets which tile is arbitrary.
void tsr_parallel_for(tsr_engine *engine, size_t tiles, tsr_tile_function function, void *context);

/// OpenBLAS's build description, with its version, and the core type it chose for this processor.
const char *tsr_blas_config(void);
const char *tsr_blas_core(void);

// ---- Memory limits -----------------------------------------------------------------------------

/// What the user allows this process and what it has, in bytes: of `ulimit -v` and `ulimit -d` the
/// one that leaves less.
typedef struct {
    const char *name;  // "ulimit -v" or "ulimit -d"
    size_t allowed, used;
} tsr_memory_limit;

/// False when there is no limit, or no /proc to learn from what is in use.
bool tsr_memory_limit_now(tsr_memory_limit *limit);

enum {
    /// What OpenBLAS maps for every thread that multiplies at the same time as others.
    TSR_BLAS_BUFFER = 129 << 20,
};

/// Under a memory limit, has OpenBLAS take what `threads` threads will need, for good: later it
/// would ask for ever. False when the system has not so much.
bool tsr_reserve_blas(int threads);

// ---- Weights -----------------------------------------------------------------------------------

typedef enum { TSR_FLOAT32 = 0, TSR_FLOAT16 = 1, TSR_BFLOAT16 = 2 } tsr_element_type;

/// The matrix of a layer: as its file has it and, where memory was spent on it, prepared ahead.
/// What a layer answers does not depend on whether it was prepared.
typedef struct {
    // Row-major, little-endian, at any address. Where prepared, only gated layers whose halves are
    // no whole panels read it.
    const void *stored;
    tsr_element_type type;
    const float *prepared;  // what the layer's `_prepare` wrote, 64-byte aligned, or NULL
} tsr_weights;

// ---- Matrix products ---------------------------------------------------------------------------

typedef enum {
    TSR_ACTIVATION_NONE = 0,
    TSR_ACTIVATION_SILU = 1,        // x / (1 + exp(-x))
    TSR_ACTIVATION_GELU = 2,        // x * (1 + erf(x / sqrt(2))) / 2
    TSR_ACTIVATION_QUICK_GELU = 3,  // x / (1 + exp(-1.702 * x))
} tsr_activation;

typedef struct {
    size_t items, rows;      // rows of one item
    size_t inputs, outputs;  // row lengths of x and of the weights' result
} tsr_linear_shape;

/// Floats of a prepared matrix (outputs, inputs), and the preparation of a stored one.
size_t tsr_linear_prepared(const tsr_engine *engine, size_t inputs, size_t outputs);
void tsr_linear_prepare(
    tsr_engine *engine, size_t inputs, size_t outputs, const tsr_weights *weights,
    float *prepared);

size_t tsr_linear_workspace(
    const tsr_engine *engine, const tsr_linear_shape *shape, bool prepared);

/// y = activation(x · weightsᵀ + bias + residual).
/// x (items, rows, inputs); weights (outputs, inputs); bias (outputs) or NULL; residual and y
/// (items, rows, outputs), residual may be NULL.
void tsr_linear(
    tsr_engine *engine, const tsr_linear_shape *shape, const float *x, const tsr_weights *weights,
    const float *bias, const float *residual, tsr_activation activation, float *workspace,
    float *y);

size_t tsr_linear_geglu_workspace(
    const tsr_engine *engine, const tsr_linear_shape *shape, bool prepared);

/// y = h[:, :half] * gelu(h[:, half:]) of h = x · weightsᵀ + bias, with half = outputs / 2
/// (arXiv 2002.05202), without keeping h. y (items, rows, half).
void tsr_linear_geglu(
    tsr_engine *engine, const tsr_linear_shape *shape, const float *x, const tsr_weights *weights,
    const float *bias, float *workspace, float *y);

typedef struct {
    size_t inputs, outputs, height, width, stride;  // weights: (outputs, inputs, height, width)
} tsr_filter_shape;

typedef struct {
    tsr_filter_shape filter;
    size_t items, height, width;   // x: (items, height, width, inputs)
    size_t out_height, out_width;  // y: (items, out_height, out_width, outputs)
    size_t pad_top, pad_left;  // zeros before the first row and column; those after follow from y
} tsr_convolution_shape;

/// Whether a filter may be used as it is stored; the others must be prepared.
bool tsr_convolution_reads_stored(const tsr_filter_shape *filter);

/// Floats of prepared filters, and the preparation of stored ones.
size_t tsr_convolution_prepared(const tsr_engine *engine, const tsr_filter_shape *filter);
void tsr_convolution_prepare(
    tsr_engine *engine, const tsr_filter_shape *filter, const tsr_weights *weights,
    float *prepared);

size_t tsr_convolution_workspace(
    const tsr_engine *engine, const tsr_convolution_shape *shape, bool prepared);

/// y = convolution(x) + bias + item_bias + residual, zero padding. 3x3 filters with stride 1 go
/// through Winograd's F(4x4, 3x3) (arXiv 1509.09308), others through copied patches and OpenBLAS.
/// bias (outputs) or NULL; item_bias (items, outputs) or NULL; residual like y or NULL.
void tsr_convolution(
    tsr_engine *engine, const tsr_convolution_shape *shape, const float *x,
    const tsr_weights *weights, const float *bias, const float *item_bias, const float *residual,
    float *workspace, float *y);

typedef struct {
    size_t items, queries;    // tokens that ask
    size_t key_items, keys;   // tokens that are looked at; key_items divides items
    size_t heads, head_size;      // heads * head_size channels
    bool causal;                  // token i sees keys 0...i only
} tsr_attention_shape;

size_t tsr_attention_workspace(const tsr_engine *engine, const tsr_attention_shape *shape);

/// y = softmax(q · kᵀ / sqrt(head_size)) · v for every head.
/// q and y (items, queries, heads * head_size); k and v (key_items, keys, heads * head_size), where
/// the first items / key_items items look at the first key item, and so on.
void tsr_attention(
    tsr_engine *engine, const tsr_attention_shape *shape, const float *q, const float *k,
    const float *v, float *workspace, float *y);

// ---- Normalisation -----------------------------------------------------------------------------

typedef struct {
    size_t items, positions, channels, groups;  // groups divides channels
    float epsilon;
    bool silu;  // apply SiLU to the result
} tsr_group_norm_shape;

size_t tsr_group_norm_workspace(const tsr_group_norm_shape *shape);

/// Group normalisation over (positions, channels of the group) of each item, then scale and shift
/// per channel. x, y (items, positions, channels); scale, shift (channels). y may be x.
void tsr_group_norm(
    tsr_engine *engine, const tsr_group_norm_shape *shape, const float *x, const float *scale,
    const float *shift, float *workspace, float *y);

/// Layer normalisation of every row, then scale and shift. x, y (rows, channels). y may be x.
void tsr_layer_norm(
    tsr_engine *engine, size_t rows, size_t channels, float epsilon, const float *x,
    const float *scale, const float *shift, float *y);

// ---- Element by element ------------------------------------------------------------------------

/// y = activation(x); y may be x.
void tsr_activate(
    tsr_engine *engine, size_t count, tsr_activation activation, const float *x, float *y);

/// y = a + b; y may be a or b.
void tsr_add(tsr_engine *engine, size_t count, const float *a, const float *b, float *y);

/// y = x[:, :channels] * gelu(x[:, channels:]) (arXiv 2002.05202).
/// x (rows, 2 * channels), y (rows, channels).
void tsr_geglu(tsr_engine *engine, size_t rows, size_t channels, const float *x, float *y);

/// Rows of `a` (rows, left) followed by rows of `b` (rows, right): y (rows, left + right).
void tsr_concatenate(
    tsr_engine *engine, size_t rows, size_t left, size_t right, const float *a, const float *b,
    float *y);

typedef struct {
    size_t items, height, width, channels;  // x
    size_t out_height, out_width;           // y
} tsr_upsample_shape;

/// Nearest neighbour: y[i, j] = x[i * height / out_height, j * width / out_width], rounded down.
void tsr_upsample(
    tsr_engine *engine, const tsr_upsample_shape *shape, const float *x, float *y);

/// y (items, columns, rows) from x (items, rows, columns).
void tsr_transpose(
    tsr_engine *engine, size_t items, size_t rows, size_t columns, const float *x, float *y);

/// y = the nearest of 256 levels for x in [-1, 1]: clamp(x / 2 + 0.5) * 255, halves to even, as
/// diffusers' image processor rounds. Returns whether all of x is finite; not-a-number gives 0.
bool tsr_to_bytes(tsr_engine *engine, size_t count, const float *x, uint8_t *y);

// ---- Widening ----------------------------------------------------------------------------------

/// Stored elements, at any address, to float32, exactly; on the calling thread.
void tsr_widen(tsr_isa isa, tsr_element_type type, size_t count, const void *x, float *y);

/// How many of the stored elements, at any address, are infinities or no numbers; on the calling
/// thread.
size_t tsr_count_not_finite(tsr_element_type type, size_t count, const void *x);
