#define OUTPUT int8
#define WIDTH 1408
#define THREADS 64
#define VECTOR 4
#define ROTATION 128

#include "CKernelEmulation.h"
#include "swan_intrinsics.cuh"

// Each file has a kernel and helpers of its own, since they are compiled with other defines.
#define layer_norm emulated_layer_norm_1408_rotated
namespace {
#include "layer_norm.cu"
}

void swan_emulate_layer_norm_1408_rotated(const float *x, const float *weight, const float *bias, uint8_t *y, float *scales,
                                    uint32_t rows, float eps) {
    emulation::launch({rows, 1, 1}, {THREADS, 1, 1}, [=] {
        layer_norm(x, weight, bias, (int8 *)y, scales, eps);
    });
}
