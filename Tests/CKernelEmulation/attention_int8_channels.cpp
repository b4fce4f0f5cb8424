#define WIDTH 384

#include "CKernelEmulation.h"
#include "swan_intrinsics.cuh"

// Each file has a kernel and helpers of its own, since they are compiled with other defines.
#define attention_int8_channels emulated_attention_int8_channels
namespace {
#include "attention_int8_channels.cu"
}

void swan_emulate_attention_int8_channels(const float *parts, float *channels, float *bounds, uint32_t count, uint32_t keys) {
    emulation::launch({(WIDTH + 255) / 256, 1, 1}, {256, 1, 1},
                      [=] { attention_int8_channels(parts, channels, bounds, count, keys); });
}
