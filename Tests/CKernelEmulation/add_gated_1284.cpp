#define WIDTH 1284
#define VECTOR 4

#include "CKernelEmulation.h"
#include "swan_intrinsics.cuh"

// Each file has a kernel and helpers of its own, since they are compiled with other defines.
#define add_gated emulated_add_gated_1284
namespace {
#include "add_gated.cu"
}

void swan_emulate_add_gated_1284(const uint16_t *y, const float *gate, float *x, uint32_t rows,
                                 uint32_t rows_per_group, uint32_t rows_of_grid) {
    emulation::launch({2, rows_of_grid, 1}, {256, 1, 1},
                      [=] { add_gated((const bfloat16 *)y, gate, x, rows, rows_per_group); });
}
