// gate_columns: scales and bias of a product whose columns are gated: gate * (x * w^T + bias) is another such product.
//
//   gated_scales[c] = scales[c] * gate[c],  gated_bias[c] = bias[c] * gate[c]
//
// Shapes    scales, gate, gated_scales float32 [width] · bias float32, gated_bias bfloat16 [width], which are not touched
//           without HAS_BIAS
// Launch    grid = ceil(width / 256), block = 256; no dynamic shared memory.
// Defines   HAS_BIAS: 1 or 0
// Traffic   some hundred kilobytes; the launch is what it costs.

#include <swan_device.cuh>

extern "C" __global__ void __launch_bounds__(256)
gate_columns(const float *__restrict__ scales, const float *__restrict__ bias, const float *__restrict__ gate,
             float *__restrict__ gated_scales, bfloat16 *__restrict__ gated_bias, unsigned width) {
    const unsigned column = blockIdx.x * 256 + threadIdx.x;
    if (column >= width) return;
    const float open = gate[column];
    gated_scales[column] = scales[column] * open;
    if constexpr (HAS_BIAS) narrow(bias[column] * open, gated_bias[column]);
}
