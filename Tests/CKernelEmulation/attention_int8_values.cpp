#include "CKernelEmulation.h"
#include "swan_intrinsics.cuh"

// Each file has a kernel and helpers of its own, since they are compiled with other defines.
#define attention_int8_values emulated_attention_int8_values
namespace {
#include "attention_int8_values.cu"
}

void swan_emulate_attention_int8_values(const uint16_t *v, const float *channels, int8_t *y, uint32_t keys,
                                        uint32_t heads, uint32_t pitch) {
    emulation::launch({pitch / 128, heads, 1}, {256, 1, 1},
                      [=] { attention_int8_values((const bfloat16 *)v, channels, (int8 *)y, keys, heads, pitch); });
}
