// bias_residual: what a convolution without a fused end still lacks, in place.
//
//   y[p, c] = x[p, c] + bias[c] + residual[p, c]
//
// Shapes    x INPUT [positions, CHANNELS] · bias float32 [CHANNELS] · residual, y bfloat16 [positions,
//           CHANNELS]; residual is not read unless RESIDUAL.
// Launch    grid = ceil(positions * CHANNELS / (VECTOR * block)), any block; no shared memory.
// Defines   INPUT: float or bfloat16 · CHANNELS · RESIDUAL: 1 or 0 · VECTOR: 4 where CHANNELS is a multiple
//           of it, else 1.
// Sums      in float32, from left to right, rounded once; INPUT is float where nothing may be rounded twice.
// Traffic   6 (float) or 4 (bfloat16) bytes per element, 2 more with a residual.

#include <swan_device.cuh>

extern "C" __global__ void bias_residual(const INPUT *__restrict__ x, const float *__restrict__ bias,
                                         const bfloat16 *__restrict__ residual, bfloat16 *__restrict__ y,
                                         index_t count) {
    const index_t i = first_of_vector<VECTOR>();
    if (i >= count) return;
    float values[VECTOR], b[VECTOR];
    load(x + i, values);
    load(bias + i % CHANNELS, b);
#pragma unroll
    for (int j = 0; j < VECTOR; j++) values[j] += b[j];
    if (RESIDUAL) {
        load(residual + i, b);
#pragma unroll
        for (int j = 0; j < VECTOR; j++) values[j] += b[j];
    }
    store(y + i, values);
}
