// plain_convolution: a convolution as its formula says it, in float32; the oracle on the device, and what
// convolves where cuDNN is missing.
//
//   y[t, r, s, n] = bias[n] + residual[t, r, s, n]
//                 + sum over f, i, j, c of x[t FRAME_STEP + f, r STEP + i - top, s STEP + j - left, c] w[n, f, i, j, c]
//   with zeros outside the rows and columns of x
//
// Shapes    x bfloat16 [frames, height, width, inputs] · w bfloat16 [outputs, KF, KH, KW, inputs] · bias float32
//           [outputs] · residual, y bfloat16 [out_frames, out_height, out_width, outputs]; residual is not read
//           unless RESIDUAL.
// Launch    grid = (out_width, out_height, out_frames), block = THREADS; a thread takes every THREADS-th
//           output; no shared memory.
// Defines   KF, KH, KW: the kernel's frames, rows, columns · FRAME_STEP, STEP · RESIDUAL: 1 or 0 · THREADS.
// Sums      float32: bias, then taps and channels in order, then the residual; the same bits on every run.
// Traffic   every input KF KH KW times, from L2. Slow on purpose.
// Source    Wan2.2 wan/modules/vae2_1.py, CausalConv3d.

#include <swan_device.cuh>

extern "C" __global__ void __launch_bounds__(THREADS)
plain_convolution(const bfloat16 *__restrict__ x, const bfloat16 *__restrict__ w, const float *__restrict__ bias,
                  const bfloat16 *__restrict__ residual, bfloat16 *__restrict__ y, unsigned height, unsigned width,
                  unsigned inputs, unsigned outputs, unsigned top, unsigned left) {
    const index_t pixel = ((index_t)blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    for (unsigned output = threadIdx.x; output < outputs; output += THREADS) {
        float sum = bias[output];
        const bfloat16 *weights = w + (index_t)output * (KF * KH * KW) * inputs;
        for (int tap = 0; tap < KF * KH * KW; tap++) {
            // Before the first row or column these wrap around and are beyond the last.
            const unsigned row = blockIdx.y * STEP + tap / KW % KH - top, column = blockIdx.x * STEP + tap % KW - left;
            if (row < height && column < width) {
                const index_t frame = (index_t)blockIdx.z * FRAME_STEP + tap / (KH * KW);
                const bfloat16 *const values = x + ((frame * height + row) * width + column) * inputs;
                for (unsigned c = 0; c < inputs; c++) sum += widen(values[c]) * widen(weights[c]);
            }
            weights += inputs;
        }
        if (RESIDUAL) sum += widen(residual[pixel * outputs + output]);
        narrow(sum, y[pixel * outputs + output]);
    }
}
