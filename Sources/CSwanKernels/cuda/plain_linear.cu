// plain_linear: a matrix product as its formula says it, in float32; the oracle on the device, and what
// multiplies where cuBLASLt is missing.
//
//   y[r, n] = f(sum_k x[r, k] * w[n, k] + bias[n])
//
// Shapes    x INPUT [rows, inputs] · w WEIGHT [outputs, inputs] · bias float32 [outputs], read if HAS_BIAS ·
//           y OUTPUT [rows, outputs]
// Launch    grid = (ceil(outputs / 32), ceil(rows / 32)), block = (16, 16); static shared memory. Rows
//           beyond 65535 * 32 are taken in turns.
// Defines   INPUT, WEIGHT, OUTPUT: float or bfloat16 · HAS_BIAS: 1 or 0 · FUNCTION: IDENTITY, GELU_TANH or
//           SILU.
// Sums      float32, k in order; the same bits on every run.
// Traffic   tiles of 32 x 32 x 32: every operand is read rows / 32 or outputs / 32 times. Slow on purpose.

#include <swan_device.cuh>

extern "C" __global__ void __launch_bounds__(256)
plain_linear(const INPUT *__restrict__ x, const WEIGHT *__restrict__ w, const float *__restrict__ bias,
             OUTPUT *__restrict__ y, index_t rows, unsigned inputs, unsigned outputs) {
    __shared__ float x_tile[32][33], w_tile[32][33];
    const unsigned column = blockIdx.x * 32;
    const unsigned thread = threadIdx.y * 16 + threadIdx.x;
    for (index_t row = (index_t)blockIdx.y * 32; row < rows; row += (index_t)gridDim.y * 32) {
        float sums[2][2] = {};
        for (unsigned first = 0; first < inputs; first += 32) {
            barrier();
            for (unsigned i = thread; i < 32 * 32; i += 256) {
                const unsigned line = i / 32, k = i % 32;
                const bool inside = first + k < inputs;
                x_tile[line][k] = inside && row + line < rows ? widen(x[(row + line) * inputs + first + k]) : 0.f;
                w_tile[line][k] =
                    inside && column + line < outputs ? widen(w[(index_t)(column + line) * inputs + first + k]) : 0.f;
            }
            barrier();
            for (unsigned k = 0; k < 32; k++) {
#pragma unroll
                for (int i = 0; i < 2; i++) {
#pragma unroll
                    for (int j = 0; j < 2; j++)
                        sums[i][j] += x_tile[threadIdx.y + 16 * i][k] * w_tile[threadIdx.x + 16 * j][k];
                }
            }
        }
#pragma unroll
        for (int i = 0; i < 2; i++) {
#pragma unroll
            for (int j = 0; j < 2; j++) {
                const index_t r = row + threadIdx.y + 16 * i;
                const unsigned n = column + threadIdx.x + 16 * j;
                if (r < rows && n < outputs) {
                    const float sum = HAS_BIAS ? sums[i][j] + bias[n] : sums[i][j];
                    narrow(activated<FUNCTION>(sum), y[r * outputs + n]);
                }
            }
        }
    }
}
