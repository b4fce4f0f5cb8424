
#include "CKernelEmulation.h"
#include "swan_intrinsics.cuh"

// Each file has a kernel and helpers of its own, since they are compiled with other defines.
#define attention_int8_queries emulated_attention_int8_queries
namespace {
#include "attention_int8_queries.cu"
}

void swan_emulate_attention_int8_queries(const uint16_t *x, int8_t *y, float *scales, uint32_t rows, uint32_t heads, float factor) {
    emulation::launch({(rows + 127) / 128, heads, 1}, {256, 1, 1}, [=] {
        attention_int8_queries((const bfloat16 *)x, (int8 *)y, scales, rows, heads, factor);
    });
}
