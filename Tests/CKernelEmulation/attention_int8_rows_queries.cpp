#define TILES 0

#include "CKernelEmulation.h"
#include "swan_intrinsics.cuh"

// Each file has a kernel and helpers of its own, since they are compiled with other defines.
#define attention_int8_rows emulated_attention_int8_rows_queries
namespace {
#include "attention_int8_rows.cu"
}

void swan_emulate_attention_int8_rows_queries(const uint16_t *x, const float *means, int8_t *y, float *scales,
                                             uint32_t rows, uint32_t heads, float factor) {
    emulation::launch({(rows + 127) / 128, heads, 1}, {256, 1, 1},
                      [=] { attention_int8_rows((const bfloat16 *)x, means, (int8 *)y, scales, rows, heads, factor); });
}
