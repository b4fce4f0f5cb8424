// upsample_taps: a 3x3 convolution behind doubled pixels, as the 2x2 convolution that one phase of the result sees.
//
//   y[o, 2a + b, i] = sum of x[o, i, r, c] over the rows r that fall on pixel row a, and the columns c on column b
//
// In an even row (row_phase 0) the first of the three rows falls on the pixel above and the other two on the pixel
// itself; in an odd row (1) the first two on the pixel itself and the last on the one below. Columns likewise.
//
// Shapes    x SOURCE [outputs, inputs, 3, 3] · y bfloat16 [outputs, 4, inputs]
// Launch    grid = ceil(count / block), any block; no shared memory.
// Defines   SOURCE: float, bfloat16 or float16
// Traffic   once for each model that is loaded.

#include <swan_device.cuh>

extern "C" __global__ void upsample_taps(const SOURCE *__restrict__ x, bfloat16 *__restrict__ y, index_t count,
                                         unsigned inputs, unsigned row_phase, unsigned column_phase) {
    const index_t index = first_of_vector<1>();
    if (index >= count) return;
    const index_t input = index % inputs, output = index / inputs / 4;
    const unsigned tap = unsigned(index / inputs % 4);
    const unsigned first_rows = 1 + row_phase, first_columns = 1 + column_phase;
    float sum = 0;
    for (unsigned row = 0; row < 3; row++) {
        if ((row >= first_rows) != (tap / 2 == 1)) continue;
        for (unsigned column = 0; column < 3; column++) {
            if ((column >= first_columns) != (tap % 2 == 1)) continue;
            float value[1];
            load(x + (output * inputs + input) * 9 + row * 3 + column, value);
            sum += value[0];
        }
    }
    float result[1] = {sum};
    store(y + index, result);
}
