#define NORMED 1

#include "CKernelEmulation.h"
#include "swan_intrinsics.cuh"

// Each file has a kernel and helpers of its own, since they are compiled with other defines.
#define attention_int8_keys emulated_attention_int8_keys_normed
namespace {
#include "attention_int8_keys.cu"
}

void swan_emulate_attention_int8_keys_normed(const uint16_t *x, const float *factors, const float *weight, const float *cosines, const float *sines, const float *means, int8_t *y, float *scales, uint32_t rows, uint32_t heads) {
    emulation::launch({(rows + 127) / 128, heads, 1}, {256, 1, 1}, [=] {
        attention_int8_keys((const bfloat16 *)x, factors, weight, cosines, sines, means, (int8 *)y, scales, rows, heads);
    });
}
