// modulation: a block's own table plus what the timestep says.
//
//   result[p, g, c] = table[p, c] + timestep[g, p * part_stride + c]
//
// Shapes    table float32 [parts, width] · timestep float32 [groups, parts * width], or [groups, width]
//           (part_stride 0: all parts share it) · result float32 [parts, groups, width]
// Launch    grid = (ceil(width / block), groups, parts), any block; no shared memory.
// Traffic   some hundred kilobytes per block of the model; the launch is what it costs.
// Source    Wan2.2 wan/modules/model.py, WanAttentionBlock.forward, and Head.forward for one part.

#include <swan_device.cuh>

extern "C" __global__ void modulation(const float *__restrict__ timestep, const float *__restrict__ table,
                                      float *__restrict__ result, unsigned width, index_t group_stride,
                                      unsigned part_stride) {
    const unsigned column = blockIdx.x * blockDim.x + threadIdx.x;
    if (column >= width) return;
    const index_t group = blockIdx.y, part = blockIdx.z;
    result[(part * gridDim.y + group) * width + column] =
        table[part * width + column] + timestep[group * group_stride + part * part_stride + column];
}
