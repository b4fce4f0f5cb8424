// linear_combination: a sum of multiples of latents, from left to right.
//
//   y[i] = c0 x0[i] + c1 x1[i] + ... , TERMS of them
//
// Shapes    x0 ... x4, y float32 [count]; arguments beyond TERMS are not read.
// Launch    grid = ceil(count / (VECTOR * block)), any block; no shared memory.
// Defines   TERMS: 1 to 5 · VECTOR: 4 where count is a multiple of it and the pointers are multiples of
//           16, else 1.
// Sums      from left to right, each product and sum rounded by itself: the bits of the plain loop.
// Traffic   4 (TERMS + 1) bytes per element.

#include <swan_device.cuh>

extern "C" __global__ void linear_combination(const float *__restrict__ x0, const float *__restrict__ x1,
                                              const float *__restrict__ x2, const float *__restrict__ x3,
                                              const float *__restrict__ x4, float c0, float c1, float c2, float c3,
                                              float c4, float *__restrict__ y, index_t count) {
    const index_t i = first_of_vector<VECTOR>();
    if (i >= count) return;
    const float *const terms[5] = {x0, x1, x2, x3, x4};
    const float coefficients[5] = {c0, c1, c2, c3, c4};
    float sum[VECTOR];
    load(x0 + i, sum);
#pragma unroll
    for (int j = 0; j < VECTOR; j++) sum[j] = __fmul_rn(c0, sum[j]);
#pragma unroll
    for (int term = 1; term < TERMS; term++) {
        float values[VECTOR];
        load(terms[term] + i, values);
#pragma unroll
        for (int j = 0; j < VECTOR; j++) sum[j] = __fadd_rn(sum[j], __fmul_rn(coefficients[term], values[j]));
    }
    store(y + i, sum);
}
