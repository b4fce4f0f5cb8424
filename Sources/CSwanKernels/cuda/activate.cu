// activate: each element through a function, in float32.
//
//   y[i] = f(x[i])
//
// Shapes    x, y TYPE [count]
// Launch    grid = ceil(count / (VECTOR * block)), any block; no shared memory.
// Defines   TYPE: bfloat16 or float · FUNCTION: IDENTITY, GELU_TANH or SILU · VECTOR: 8 where count is a
//           multiple of it and the pointers are multiples of 16, else 1.
// Traffic   4 (bfloat16) or 8 (float) bytes per element.

#include <swan_device.cuh>

extern "C" __global__ void activate(const TYPE *__restrict__ x, TYPE *__restrict__ y, index_t count) {
    const index_t i = first_of_vector<VECTOR>();
    if (i >= count) return;
    float values[VECTOR];
    load(x + i, values);
#pragma unroll
    for (int j = 0; j < VECTOR; j++) values[j] = activated<FUNCTION>(values[j]);
    store(y + i, values);
}
