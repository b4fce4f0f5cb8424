#define RESULT float8

#include "CKernelEmulation.h"
#include "swan_intrinsics.cuh"

// Each file has a kernel and helpers of its own, since they are compiled with other defines.
#define attention_int8_sm80 emulated_attention_int8_sm80_fp8
namespace {
#include "attention_int8_sm80.cu"
}

void swan_emulate_attention_int8_sm80_fp8(const int8_t *q, const int8_t *k, const int8_t *v, const float *q_scales,
                                          const float *k_scales, const float *channels, uint8_t *o, const float *bounds,
                                          float *scales, uint32_t queries, uint32_t keys, uint32_t heads) {
    emulation::launch({(queries + QUERIES - 1) / QUERIES, heads, 1}, {256, 1, 1}, [=] {
        attention_int8_sm80((const int8 *)q, (const int8 *)k, (const int8 *)v, q_scales, k_scales, channels, (float8 *)o,
                            bounds, scales, queries, keys, heads);
    });
}
