// add_gated: a branch that the timestep opens onto the residual stream, in place.
//
//   x[r, c] += y[r, c] * gate[g, c],   g = r / rows_per_group
//
// Shapes    y bfloat16 [rows, WIDTH] · gate float32 [groups, WIDTH] · x float32 [rows, WIDTH], which overlaps neither
// Launch    grid = (ceil(WIDTH / (VECTOR * block)), min(rows, 65535)), any block; no shared memory. Rows
//           beyond the grid are taken in turns.
// Defines   WIDTH · VECTOR: 4 where WIDTH is a multiple of it, else 1.
// Traffic   10 bytes per element; a group's gate comes from L2.
// Source    Wan2.2 wan/modules/model.py, WanAttentionBlock.forward.

#include <swan_device.cuh>

extern "C" __global__ void add_gated(const bfloat16 *__restrict__ y, const float *__restrict__ gate,
                                     float *__restrict__ x, unsigned rows, unsigned rows_per_group) {
    const unsigned column = (blockIdx.x * blockDim.x + threadIdx.x) * VECTOR;
    if (column >= WIDTH) return;
    for (unsigned row = blockIdx.y; row < rows; row += gridDim.y) {
        const index_t i = (index_t)row * WIDTH + column;
        float a[VECTOR], b[VECTOR], g[VECTOR];
        load(x + i, a);
        load(y + i, b);
        load(gate + (index_t)(row / rows_per_group) * WIDTH + column, g);
#pragma unroll
        for (int j = 0; j < VECTOR; j++) a[j] += b[j] * g[j];
        store(x + i, a);
    }
}
