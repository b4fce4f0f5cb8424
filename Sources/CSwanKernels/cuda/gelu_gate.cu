// gelu_gate: the gated feed-forward of T5.
//
//   y[i] = gelu(gate[i]) * up[i],   GELU in its tanh form
//
// Shapes    gate, up, y bfloat16 [count]
// Launch    grid = ceil(count / (VECTOR * block)), any block; no shared memory.
// Defines   VECTOR: 8 where count is a multiple of it and the pointers are multiples of 16, else 1.
// Traffic   6 bytes per element.
// Source    transformers models/umt5/modeling_umt5.py, UMT5DenseGatedActDense.

#include <swan_device.cuh>

extern "C" __global__ void gelu_gate(const bfloat16 *__restrict__ gate, const bfloat16 *__restrict__ up,
                                     bfloat16 *__restrict__ y, index_t count) {
    const index_t i = first_of_vector<VECTOR>();
    if (i >= count) return;
    float a[VECTOR], b[VECTOR];
    load(gate + i, a);
    load(up + i, b);
#pragma unroll
    for (int j = 0; j < VECTOR; j++) a[j] = gelu_tanh(a[j]) * b[j];
    store(y + i, a);
}
