#define OUTPUT int8
#define WIDTH 203
#define THREADS 32
#define VECTOR 1

#include "CKernelEmulation.h"
#include "swan_intrinsics.cuh"

// Each file has a kernel and helpers of its own, since they are compiled with other defines.
#define layer_norm emulated_layer_norm_203_int8
namespace {
#include "layer_norm.cu"
}

void swan_emulate_layer_norm_203_int8(const float *x, const float *weight, const float *bias, uint8_t *y, float *scales,
                                    uint32_t rows, float eps) {
    emulation::launch({rows, 1, 1}, {THREADS, 1, 1}, [=] {
        layer_norm(x, weight, bias, (int8 *)y, scales, eps);
    });
}
