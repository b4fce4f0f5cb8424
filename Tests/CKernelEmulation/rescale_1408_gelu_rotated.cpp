#define OUTPUT int8
#define FUNCTION GELU_TANH
#define HAS_BIAS 0
#define WIDTH 1408
#define THREADS 64
#define VECTOR 4
#define ROTATION 128

#include "CKernelEmulation.h"
#include "swan_intrinsics.cuh"

// Each file has a kernel and helpers of its own, since they are compiled with other defines.
#define rescale_product emulated_rescale_1408_gelu_rotated
namespace {
#include "rescale_product.cu"
}

void swan_emulate_rescale_1408_gelu_rotated(const int32_t *x, const float *row_scales, const float *column_scales, const float *bias,
                                         uint8_t *y, float *scales, uint32_t rows) {
    emulation::launch({rows, 1, 1}, {THREADS, 1, 1},
                      [=] { rescale_product(x, row_scales, column_scales, bias, (int8 *)y, scales); });
}
