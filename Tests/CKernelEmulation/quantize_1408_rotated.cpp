#define INPUT bfloat16
#define OUTPUT int8
#define FUNCTION IDENTITY
#define WIDTH 1408
#define THREADS 64
#define VECTOR 8
#define ROTATION 128

#include "CKernelEmulation.h"
#include "swan_intrinsics.cuh"

// Each file has a kernel and helpers of its own, since they are compiled with other defines.
#define quantize_rows emulated_quantize_1408_rotated
namespace {
#include "quantize_rows.cu"
}

void swan_emulate_quantize_1408_rotated(const uint16_t *x, uint8_t *y, float *scales, uint32_t rows) {
    emulation::launch({rows, 1, 1}, {THREADS, 1, 1},
                      [=] { quantize_rows((const bfloat16 *)x, (int8 *)y, scales); });
}
