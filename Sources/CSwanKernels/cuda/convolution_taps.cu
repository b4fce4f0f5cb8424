// convolution_taps: a convolution's weights in the order in which channels-last frames are read.
//
//   y[o, t, i] = x[o, i, t]
//
// Shapes    x SOURCE [outputs, inputs, taps] · y bfloat16 [outputs, taps, inputs]; taps are the kernel's frames, rows
//           and columns
// Launch    grid = ceil(count / block), any block; no shared memory.
// Defines   SOURCE: float, bfloat16 or float16
// Traffic   once for each model that is loaded.

#include <swan_device.cuh>

extern "C" __global__ void convolution_taps(const SOURCE *__restrict__ x, bfloat16 *__restrict__ y, index_t count,
                                            unsigned inputs, unsigned taps) {
    const index_t index = first_of_vector<1>();
    if (index >= count) return;
    const index_t input = index % inputs, tap = index / inputs % taps, output = index / inputs / taps;
    float value[1];
    load(x + (output * inputs + input) * taps + tap, value);
    store(y + index, value);
}
