// Vector loops of the CPU backend: what Swift cannot write once for SSE2, AVX2, AVX-512 and NEON.
//
// The same source is compiled for several levels of the instruction set; `swan_kernels` hands out the
// best table that the processor can run. Every function works on a range of rows (or elements) and keeps no state, so that the caller may
// run ranges on any threads in any order. Sums are taken in an order that depends on the row's
// length alone: results have the same bits whoever computes them.
//
// Sizes and strides are counted in floats. Pointers need no alignment unless a comment asks for it.
#ifndef CSWAN_CPU_KERNELS_H
#define CSWAN_CPU_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#pragma clang assume_nonnull begin

// Matrix products ---------------------------------------------------------------------------------

// Columns of a panel: a packed matrix [k, n] lies as n / 16 panels of k rows of 16 floats, the last
// one padded with zeros, so that the inner loop reads one cache line per step and nothing else.
enum { SWAN_PANEL = 16 };

// A part of a sum that is spread over memory: `k` values of each row of a, found `offset` floats behind
// the row's place, meet the rows of the packed matrix that start at `packedRow`.
typedef struct {
    ptrdiff_t offset, packedRow;
} SwanSegment;

// A product c = a * b, or c += a * b, with rows of a in segments: one for a matrix, one per tap for a
// convolution, whose rows are positions.
typedef struct {
    const float *a;
    ptrdiff_t aStride;  // from row to row
    const SwanSegment *segments;
    ptrdiff_t segmentCount;  // at least 1
    ptrdiff_t k;             // values of a segment
    const float *packed;     // b, [packedRows, n]; 64-byte aligned
    ptrdiff_t packedRows, n;
    float *c;           // [m, n]
    ptrdiff_t cStride;  // from row to row
    bool accumulates;   // adds to c
} SwanProduct;

// What is done to the elements of a result while they are in the cache.
typedef enum { SWAN_IDENTITY = 0, SWAN_GELU_TANH = 1, SWAN_SILU = 2 } SwanActivation;

typedef struct {
    // The level's name.
    const char *name;

    // Packs panels `first` to `end` of the transposed of `source`, [n, k] with rows `stride` apart.
    void (*pack_transposed)(float *packed, const float *source, ptrdiff_t stride, ptrdiff_t k, ptrdiff_t n,
                              ptrdiff_t first, ptrdiff_t end);
    // Packs panels `first` to `end` of `source`, [k, n] with rows `stride` apart.
    void (*pack)(float *packed, const float *source, ptrdiff_t stride, ptrdiff_t k, ptrdiff_t n, ptrdiff_t first,
                   ptrdiff_t end);


    // Computes rows `row` to `rowEnd` of panels `panel` to `panelEnd`.
    void (*product)(const SwanProduct *product, ptrdiff_t row, ptrdiff_t rowEnd, ptrdiff_t panel, ptrdiff_t panelEnd);


    // c = activation(c + bias) + residual, on `rows` rows of `columns` values; bias and residual may be
    // NULL. c and residual have rows `stride` apart.
    void (*finish)(float *c, const float *_Nullable bias, const float *_Nullable residual, ptrdiff_t stride, ptrdiff_t rows,
                     ptrdiff_t columns, SwanActivation activation);

    // Attention ---------------------------------------------------------------------------------------

    // One tile of softmax over keys that come tile by tile. On entry `logits` holds q k^T, on return the
    // weights exp(logit * scale + bias - maximum). `maxima` and `sums` carry the state of each row and
    // `values` [rows, width] what was summed so far; both are rescaled when a row's maximum grows.
    // Rows of logits are `stride` apart, rows of bias `biasStride` (0: shared); bias may be NULL.
    void (*softmax_tile)(float *logits, ptrdiff_t stride, ptrdiff_t rows, ptrdiff_t keys, float scale,
                           const float *_Nullable bias, ptrdiff_t biasStride, float *maxima, float *sums, float *values,
                           ptrdiff_t width, bool isFirst);
    // target = values / sums, rows of target `stride` apart.
    void (*softmax_end)(float *target, ptrdiff_t stride, const float *values, const float *sums, ptrdiff_t rows,
                          ptrdiff_t width);

    // Rows --------------------------------------------------------------------------------------------

    // y = (x - mean) / sqrt(variance + eps) * (weight + unit) + bias, one row; unit is 0 for affine
    // weights and 1 for a modulation.
    void (*layer_norm)(float *y, const float *x, const float *weight, const float *bias, ptrdiff_t width, float eps,
                         float unit);
    // y = x / sqrt(mean(x^2) + eps) * weight, one row.
    void (*rms_norm)(float *y, const float *x, const float *weight, ptrdiff_t width, float eps);
    // The same, then pair j of each head turned by the angle of cosines[j], sines[j].
    void (*rms_norm_rope)(float *y, const float *x, const float *weight, ptrdiff_t width, float eps,
                            const float *cosines, const float *sines, ptrdiff_t pairs);
    // y = x / max(|x|, 1e-12) * sqrt(channels) * gamma at `pixels` positions, through SiLU if asked.
    void (*channel_norm)(float *y, const float *x, const float *gamma, ptrdiff_t channels, ptrdiff_t pixels, bool silu);

    // Elements ----------------------------------------------------------------------------------------

    void (*activate)(float *y, const float *x, ptrdiff_t count, SwanActivation activation);
    // y = geluTanh(gate) * up
    void (*gelu_gate)(float *y, const float *gate, const float *up, ptrdiff_t count);
    // x += y
    void (*add)(float *x, const float *y, ptrdiff_t count);
    // x += y * gate
    void (*add_gated)(float *x, const float *y, const float *gate, ptrdiff_t count);
    // y = coefficient * x, or y += coefficient * x
    void (*scale)(float *y, const float *x, float coefficient, ptrdiff_t count, bool accumulates);
    // target[i * targetStride + c] = source[c * sourceStride + i] * scale[c] + shift[c]: channels go last.
    void (*channels_last)(float *target, ptrdiff_t targetStride, const float *source, ptrdiff_t sourceStride,
                            const float *scale, const float *shift, ptrdiff_t channels, ptrdiff_t count);
    // target[c * targetStride + i] = source[i * sourceStride + c] * scale[c] + shift[c]: channels go first.
    void (*channels_first)(float *target, ptrdiff_t targetStride, const float *source, ptrdiff_t sourceStride,
                             const float *scale, const float *shift, ptrdiff_t channels, ptrdiff_t count);
    // Bytes of pixel values: truncate((clamp(x, -1, 1) + 1) / 2 * 255), 0 for NaN.
    void (*rgb8)(uint8_t *target, const float *source, ptrdiff_t count);
} SwanKernels;

// The table of the best level that this processor has, or of level `index` counted from the lowest;
// NULL where the processor lacks it. Constant, so that any thread may use it.
const SwanKernels *swan_kernels(void);
const SwanKernels *_Nullable swan_kernels_at(int index);

#pragma clang assume_nonnull end

#endif
