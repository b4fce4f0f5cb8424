#define HAS_BIAS 1

#include "CKernelEmulation.h"
#include "swan_intrinsics.cuh"

// Each file has a kernel and helpers of its own, since they are compiled with other defines.
#define gate_columns emulated_gate_columns
namespace {
#include "gate_columns.cu"
}

void swan_emulate_gate_columns(const float *scales, const float *bias, const float *gate, float *gated_scales,
                               uint16_t *gated_bias, uint32_t width) {
    emulation::launch({(width + 255) / 256, 1, 1}, {256, 1, 1}, [=] {
        gate_columns(scales, bias, gate, gated_scales, (bfloat16 *)gated_bias, width);
    });
}
