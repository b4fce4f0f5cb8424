#define FLOAT8_PRODUCTS 1
#define ELEMENT float8
#define OUTPUT float
#define HAS_BIAS 1
#define ROW_TILES 2
#define COLUMN_TILES 4
#define ROW_WARPS 2
#define COLUMN_WARPS 2
#define STAGES 2

#include "CKernelEmulation.h"
#include "swan_intrinsics.cuh"

// Each file has a kernel and helpers of its own, since they are compiled with other defines.
#define eight_bit_linear emulated_eight_bit_linear_fp8
namespace {
#include "eight_bit_linear.cu"
}

void swan_emulate_eight_bit_linear_fp8(const uint8_t *x, const float *row_scales, const uint8_t *w, const float *column_scales,
                                       const float *bias, float *y, uint32_t rows, uint32_t inputs, uint32_t outputs) {
    emulation::launch({(outputs + COLUMNS - 1) / COLUMNS, (rows + ROWS - 1) / ROWS, 1}, {THREADS, 1, 1}, [=] {
        eight_bit_linear((const float8 *)x, row_scales, (const float8 *)w, column_scales, bias, (float *)y, rows, inputs,
                         outputs);
    });
}
