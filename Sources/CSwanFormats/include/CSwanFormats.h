// Stored element types: from what files hold to float32 and back.
//
// Plain loops, compiled for several levels of the instruction set, which the compiler turns into vectors;
// `swan_formats` hands out the best table that the processor can run. Widening has the same bits on every level and
// everywhere else: each value is a float32 product, or a product and a sum, rounded in that order and never fused.
//
// Source of the blocks: ggml-org/ggml `src/ggml-quants.c`, `dequantize_row_*`; ggml-org/llama.cpp
// `gguf-py/gguf/quants.py`, `quantize_blocks` for the way back.
#ifndef CSWAN_FORMATS_H
#define CSWAN_FORMATS_H

#include <stddef.h>
#include <stdint.h>

#pragma clang assume_nonnull begin

// The types, with elements and bytes of a block.
typedef enum {
    SWAN_FLOAT16,          // 1, 2
    SWAN_BFLOAT16,         // 1, 2
    SWAN_FLOAT8_E4M3,      // 1, 1; no infinity, NaN = 0x7F and 0xFF
    SWAN_FLOAT8_E5M2,      // 1, 1
    SWAN_INT8,             // 1, 1
    SWAN_Q4_0,             // 32, 18
    SWAN_Q4_1,             // 32, 20
    SWAN_Q5_0,             // 32, 22
    SWAN_Q5_1,             // 32, 24
    SWAN_Q8_0,             // 32, 34
    SWAN_Q2_K,             // 256, 84
    SWAN_Q3_K,             // 256, 110
    SWAN_Q4_K,             // 256, 144
    SWAN_Q5_K,             // 256, 176
    SWAN_Q6_K,             // 256, 210
    SWAN_IQ4_NL,           // 32, 18
    SWAN_IQ4_XS,           // 256, 136
    SWAN_FORMAT_COUNT
} SwanFormat;

// Writes the elements of `blocks` blocks. Pointers need no alignment.
typedef void (*SwanWiden)(float *target, const uint8_t *source, ptrdiff_t blocks);

// Writes `blocks` blocks of elements, times `factor` for types of one element per block; blocks with scales of their
// own leave it out. Rounds to nearest even; beyond the largest value: float16 and bfloat16 to infinity, the others to
// their largest, NaN to NaN and in int8 to 0. Blocks hold what `quantize_blocks` gives, whose inputs are finite.
typedef void (*SwanNarrow)(uint8_t *target, const float *source, ptrdiff_t blocks, float factor);

typedef struct {
    // The level's name.
    const char *name;
    SwanWiden _Nonnull widen[SWAN_FORMAT_COUNT];
    // NULL for the types that are only read: K-quants and IQ4.
    SwanNarrow _Nullable narrow[SWAN_FORMAT_COUNT];
    // The largest magnitude; NaN if any value is NaN.
    float (*largest)(const float *source, ptrdiff_t count);
    // x *= factor
    void (*scale)(float *x, float factor, ptrdiff_t count);
    // target[r, c] += sum over k of up[r, k] * down[k, c] * factor, for rows `row` to `rowEnd`.
    void (*add_product)(float *target, const float *up, const float *down, ptrdiff_t rank, ptrdiff_t columns,
                        float factor, ptrdiff_t row, ptrdiff_t rowEnd);
} SwanFormats;

// The table of the best level that this processor has, or of level `index` counted from the lowest; NULL where the
// processor lacks it. Constant, so that any thread may use it.
const SwanFormats *swan_formats(void);
const SwanFormats *_Nullable swan_formats_at(int index);

static inline SwanWiden swan_widen(const SwanFormats *formats, SwanFormat format) { return formats->widen[format]; }
static inline SwanNarrow _Nullable swan_narrow(const SwanFormats *formats, SwanFormat format) {
    return formats->narrow[format];
}

#pragma clang assume_nonnull end

#endif
