#define INPUT float
#define OUTPUT float8
#define FUNCTION IDENTITY
#define WIDTH 203
#define THREADS 32
#define VECTOR 1

#include "CKernelEmulation.h"
#include "swan_intrinsics.cuh"

// Each file has a kernel and helpers of its own, since they are compiled with other defines.
#define quantize_rows emulated_quantize_203_fp8
namespace {
#include "quantize_rows.cu"
}

void swan_emulate_quantize_203_fp8(const float *x, uint8_t *y, float *scales, uint32_t rows) {
    emulation::launch({rows, 1, 1}, {THREADS, 1, 1},
                      [=] { quantize_rows((const float *)x, (float8 *)y, scales); });
}
