#define OUTPUT bfloat16
#define WIDTH 203
#define THREADS 32
#define VECTOR 1

#include "CKernelEmulation.h"
#include "swan_intrinsics.cuh"

// Each file has a kernel and helpers of its own, since they are compiled with other defines.
#define add_gated_layer_norm emulated_add_gated_layer_norm_203
namespace {
#include "add_gated_layer_norm.cu"
}

void swan_emulate_add_gated_layer_norm_203(const uint16_t *y, const float *gate, float *x, const float *weight,
                                             const float *bias, uint16_t *h, uint32_t rows, uint32_t rows_per_group,
                                             float eps) {
    emulation::launch({rows, 1, 1}, {THREADS, 1, 1}, [=] {
        add_gated_layer_norm((const bfloat16 *)y, gate, x, weight, bias, (bfloat16 *)h, nullptr, rows_per_group, eps);
    });
}
