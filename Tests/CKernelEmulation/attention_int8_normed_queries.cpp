#define HEADS 3
#define THREADS 32
#define ROWS 2

#include "CKernelEmulation.h"
#include "swan_intrinsics.cuh"

// Each file has a kernel and helpers of its own, since they are compiled with other defines.
#define attention_int8_normed_queries emulated_attention_int8_normed_queries
namespace {
#include "attention_int8_normed_queries.cu"
}

void swan_emulate_attention_int8_normed_queries(const uint16_t *x, const float *weight, const float *cosines, const float *sines, int8_t *y, float *scales, uint32_t rows, float eps, float factor) {
    emulation::launch({(rows + ROWS - 1) / ROWS, 1, 1}, {THREADS, 1, 1}, [=] {
        attention_int8_normed_queries((const bfloat16 *)x, weight, cosines, sines, (int8 *)y, scales, rows, eps, factor);
    });
}
