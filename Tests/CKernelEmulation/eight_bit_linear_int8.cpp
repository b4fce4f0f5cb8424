#define FLOAT8_PRODUCTS 1
#define ELEMENT int8
#define OUTPUT bfloat16
#define HAS_BIAS 1
#define ROW_TILES 4
#define COLUMN_TILES 8
#define ROW_WARPS 2
#define COLUMN_WARPS 4
#define STAGES 3

#include "CKernelEmulation.h"
#include "swan_intrinsics.cuh"

// Each file has a kernel and helpers of its own, since they are compiled with other defines.
#define eight_bit_linear emulated_eight_bit_linear_int8
namespace {
#include "eight_bit_linear.cu"
}

void swan_emulate_eight_bit_linear_int8(const uint8_t *x, const float *row_scales, const uint8_t *w, const float *column_scales,
                                        const float *bias, uint16_t *y, uint32_t rows, uint32_t inputs, uint32_t outputs) {
    emulation::launch({(outputs + COLUMNS - 1) / COLUMNS, (rows + ROWS - 1) / ROWS, 1}, {THREADS, 1, 1}, [=] {
        eight_bit_linear((const int8 *)x, row_scales, (const int8 *)w, column_scales, bias, (bfloat16 *)y, rows, inputs,
                         outputs);
    });
}
