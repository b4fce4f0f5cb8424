// activate: each element through a function, in float32.
//
//   y[i] = f(x[i])
//
// Shapes    x, y bfloat16 [count]
// Launch    grid = ceil(count / (VECTOR * block)), any block; no shared memory.
// Defines   FUNCTION: IDENTITY, GELU_TANH or SILU · VECTOR: 8 where count is a multiple of it and the
//           pointers are multiples of 16, else 1.
// Traffic   4 bytes per element.

#include <swan_device.cuh>

extern "C" __global__ void activate(const bfloat16 *__restrict__ x, bfloat16 *__restrict__ y, index_t count) {
    const index_t i = first_of_vector<VECTOR>();
    if (i >= count) return;
    float values[VECTOR];
    load(x + i, values);
#pragma unroll
    for (int j = 0; j < VECTOR; j++) values[j] = activated<FUNCTION>(values[j]);
    store(y + i, values);
}
