#define SOURCE bfloat16
#define FACTOR float16
#define TARGET bfloat16
#define VECTOR 4

#include "CKernelEmulation.h"
#include "swan_intrinsics.cuh"

// Each file has a kernel and helpers of its own, since they are compiled with other defines.
#define add_low_rank emulated_add_low_rank_bfloat16
namespace {
#include "add_low_rank.cu"
}

void swan_emulate_add_low_rank_bfloat16(const uint16_t *x, const uint16_t *values, const float *list, uint16_t *y,
                                      uint32_t changes, uint32_t all_rows, uint32_t first, uint32_t rows,
                                      uint32_t columns) {
    emulation::launch({(columns + COLUMNS - 1) / COLUMNS, (rows + ROWS - 1) / ROWS, 1}, {THREADS, 1, 1}, [=] {
        add_low_rank((const SOURCE *)x, (const FACTOR *)values, list, (TARGET *)y, changes, all_rows, first, rows,
                     columns);
    });
}
