#define INPUT float
#define OUTPUT int8
#define FUNCTION IDENTITY
#define WIDTH 1312
#define THREADS 64
#define VECTOR 4
#define ROTATION 32

#include "CKernelEmulation.h"
#include "swan_intrinsics.cuh"

// Each file has a kernel and helpers of its own, since they are compiled with other defines.
#define quantize_rows emulated_quantize_1312_rotated
namespace {
#include "quantize_rows.cu"
}

void swan_emulate_quantize_1312_rotated(const float *x, uint8_t *y, float *scales, uint32_t rows) {
    emulation::launch({rows, 1, 1}, {THREADS, 1, 1},
                      [=] { quantize_rows((const float *)x, (int8 *)y, scales); });
}
