#define WIDTH 384
#define PART 64
#define NORMED 0

#include "CKernelEmulation.h"
#include "swan_intrinsics.cuh"

// Each file has a kernel and helpers of its own, since they are compiled with other defines.
#define attention_int8_ranges emulated_attention_int8_ranges
namespace {
#include "attention_int8_ranges.cu"
}

void swan_emulate_attention_int8_ranges(const uint16_t *k, const uint16_t *v, float *parts, uint32_t keys) {
    emulation::launch({(WIDTH + 255) / 256, (keys + PART - 1) / PART, 1}, {256, 1, 1}, [=] {
        attention_int8_ranges((const bfloat16 *)k, nullptr, nullptr, nullptr, nullptr, (const bfloat16 *)v, parts, keys);
    });
}
