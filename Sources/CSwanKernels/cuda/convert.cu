// convert: another element type, to nearest even.
//
// Shapes    x SOURCE [count] · y TARGET [count]
// Launch    grid = ceil(count / (VECTOR * block)), any block; no shared memory.
// Defines   SOURCE: float, bfloat16, float16, float8 or int8 · TARGET: float, bfloat16 or float16 · VECTOR: 8 where count is a multiple of it and the
//           pointers are multiples of a vector, else 1.
// Traffic   the two types' bytes per element.

#include <swan_device.cuh>

extern "C" __global__ void convert(const SOURCE *__restrict__ x, TARGET *__restrict__ y, index_t count) {
    const index_t i = first_of_vector<VECTOR>();
    if (i >= count) return;
    float values[VECTOR];
    load(x + i, values);
    store(y + i, values);
}
