#define INPUT bfloat16
#define VECTOR 4

#include "CKernelEmulation.h"
#include "swan_intrinsics.cuh"

// Each file has a kernel and helpers of its own, since they are compiled with other defines.
#define add emulated_add_bfloat16
namespace {
#include "add.cu"
}

void swan_emulate_add_bfloat16(const uint16_t *y, float *x, uint64_t count) {
    emulation::launch({(unsigned)((count + 255) / 256), 1, 1}, {64, 1, 1},
                      [=] { add((const bfloat16 *)y, x, count); });
}
