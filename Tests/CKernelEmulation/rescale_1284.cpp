#define OUTPUT bfloat16
#define FUNCTION IDENTITY
#define HAS_BIAS 1
#define WIDTH 1284
#define THREADS 64
#define VECTOR 4

#include "CKernelEmulation.h"
#include "swan_intrinsics.cuh"

// Each file has a kernel and helpers of its own, since they are compiled with other defines.
#define rescale_product emulated_rescale_1284
namespace {
#include "rescale_product.cu"
}

void swan_emulate_rescale_1284(const int32_t *x, const float *row_scales, const float *column_scales, const float *bias,
                               uint16_t *y, float *scales, uint32_t rows) {
    emulation::launch({rows, 1, 1}, {THREADS, 1, 1},
                      [=] { rescale_product(x, row_scales, column_scales, bias, (bfloat16 *)y, scales); });
}
