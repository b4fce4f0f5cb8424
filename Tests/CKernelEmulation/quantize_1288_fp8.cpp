#define INPUT bfloat16
#define OUTPUT float8
#define FUNCTION IDENTITY
#define WIDTH 1288
#define THREADS 64
#define VECTOR 8

#include "CKernelEmulation.h"
#include "swan_intrinsics.cuh"

// Each file has a kernel and helpers of its own, since they are compiled with other defines.
#define quantize_rows emulated_quantize_1288_fp8
namespace {
#include "quantize_rows.cu"
}

void swan_emulate_quantize_1288_fp8(const uint16_t *x, uint8_t *y, float *scales, uint32_t rows) {
    emulation::launch({rows, 1, 1}, {THREADS, 1, 1},
                      [=] { quantize_rows((const bfloat16 *)x, (float8 *)y, scales); });
}
