// linear_rows: a matrix product of few rows in float32, such as the timestep's.
//
//   y[r, n] = f(sum_k x[r, k] * w[n, k] + bias[n])
//
// Shapes    x INPUT [rows, inputs] · w WEIGHT [outputs, inputs] · bias float32 [outputs], read if HAS_BIAS ·
//           y OUTPUT [rows, outputs]
// Launch    grid = (ceil(outputs / (block / 32)), ceil(rows / ROWS)), block a multiple of 32: a warp for each
//           output; no shared memory.
// Defines   INPUT, WEIGHT, OUTPUT: float or bfloat16 · ROWS: 1 to 8 · VECTOR: 8 where inputs is a multiple
//           of it, else 1 · HAS_BIAS: 1 or 0 · FUNCTION: IDENTITY, GELU_TANH or SILU.
// Sums      float32: per thread, then a butterfly; the same bits on every run.
// Traffic   the weights once per ROWS rows, which bounds it: 30,720 x 5120 in bfloat16 are 315 MB, 0.07 ms
//           at 4.8 TB/s.
// Source    Wan2.2 wan/modules/model.py, WanModel.time_embedding and time_projection, in float32 there too.

#include <swan_device.cuh>

extern "C" __global__ void linear_rows(const INPUT *__restrict__ x, const WEIGHT *__restrict__ w,
                                       const float *__restrict__ bias, OUTPUT *__restrict__ y, unsigned rows,
                                       unsigned inputs, unsigned outputs) {
    const unsigned output = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (output >= outputs) return;
    const unsigned first = blockIdx.y * ROWS;
    float sums[ROWS] = {};
    for (unsigned k = lane * VECTOR; k < inputs; k += 32 * VECTOR) {
        float a[VECTOR], b[VECTOR];
        load(w + (index_t)output * inputs + k, a);
#pragma unroll
        for (int r = 0; r < ROWS; r++) {
            // Rows beyond the end repeat the last one and are not stored.
            const unsigned row = first + r < rows ? first + r : rows - 1;
            load(x + (index_t)row * inputs + k, b);
#pragma unroll
            for (int j = 0; j < VECTOR; j++) sums[r] += a[j] * b[j];
        }
    }
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
        const float sum = lane_sum<32>(sums[r]);
        if (lane == 0 && first + r < rows)
            narrow(activated<FUNCTION>(HAS_BIAS ? sum + bias[output] : sum),
                   y[(index_t)(first + r) * outputs + output]);
    }
}
