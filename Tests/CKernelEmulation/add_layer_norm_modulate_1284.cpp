#define OUTPUT bfloat16
#define WIDTH 1284
#define THREADS 256
#define VECTOR 4
#define GATED 0

#include "CKernelEmulation.h"
#include "swan_intrinsics.cuh"

// Each file has a kernel and helpers of its own, since they are compiled with other defines.
#define add_layer_norm_modulate emulated_add_layer_norm_modulate_1284
namespace {
#include "add_layer_norm_modulate.cu"
}

void swan_emulate_add_layer_norm_modulate_1284(const uint16_t *y, const float *gate, float *x, const float *shift, const float *scale,
                                                uint16_t *h, uint32_t rows, uint32_t rows_per_group, float eps) {
    emulation::launch({rows, 1, 1}, {THREADS, 1, 1}, [=] {
        add_layer_norm_modulate((const bfloat16 *)y, gate, x, shift, scale, (bfloat16 *)h, nullptr, rows_per_group, eps);
    });
}
