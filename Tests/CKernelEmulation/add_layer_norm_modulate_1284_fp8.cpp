#define OUTPUT float8
#define WIDTH 1284
#define THREADS 64
#define VECTOR 4
#define GATED 0

#include "CKernelEmulation.h"
#include "swan_intrinsics.cuh"

// Each file has a kernel and helpers of its own, since they are compiled with other defines.
#define add_layer_norm_modulate emulated_add_layer_norm_modulate_1284_fp8
namespace {
#include "add_layer_norm_modulate.cu"
}

void swan_emulate_add_layer_norm_modulate_1284_fp8(const uint16_t *y, const float *gate, float *x, const float *shift, const float *scale, uint8_t *h,
                                                   float *scales, uint32_t rows, uint32_t rows_per_group, float eps) {
    emulation::launch({rows, 1, 1}, {THREADS, 1, 1}, [=] {
        add_layer_norm_modulate((const bfloat16 *)y, gate, x, shift, scale, (float8 *)h, scales, rows_per_group, eps);
    });
}
