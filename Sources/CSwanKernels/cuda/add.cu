// add: a branch onto the residual stream, in place.
//
//   x[i] += y[i]
//
// Shapes    y INPUT [count] · x float32 [count]; they do not overlap
// Launch    grid = ceil(count / (VECTOR * block)), any block; no shared memory.
// Defines   INPUT: bfloat16 or float · VECTOR: 4 where count is a multiple of it and the pointers are
//           multiples of a vector, else 1.
// Traffic   10 (bfloat16) or 12 (float) bytes per element.
// Source    Wan2.2 wan/modules/model.py, WanAttentionBlock.forward.

#include <swan_device.cuh>

extern "C" __global__ void add(const INPUT *__restrict__ y, float *__restrict__ x, index_t count) {
    const index_t i = first_of_vector<VECTOR>();
    if (i >= count) return;
    float a[VECTOR], b[VECTOR];
    load(x + i, a);
    load(y + i, b);
#pragma unroll
    for (int j = 0; j < VECTOR; j++) a[j] += b[j];
    store(x + i, a);
}
