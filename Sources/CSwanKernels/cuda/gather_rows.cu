// gather_rows: rows of a table by their numbers, for embeddings.
//
//   y[r, c] = table[ids[r], c]; zeros where an id lies outside the table
//
// Shapes    table SOURCE [entries, width] · ids int32 [rows] · y TARGET [rows, width]
// Launch    grid = (ceil(width / block), rows), any block; no shared memory.
// Defines   SOURCE, TARGET: float, bfloat16 or float16.
// Traffic   the two types' bytes per element.

#include <swan_device.cuh>

extern "C" __global__ void gather_rows(const SOURCE *__restrict__ table, const int *__restrict__ ids,
                                       TARGET *__restrict__ y, unsigned entries, unsigned width) {
    const unsigned column = blockIdx.x * blockDim.x + threadIdx.x;
    if (column >= width) return;
    const int id = ids[blockIdx.y];
    const bool exists = id >= 0 && (unsigned)id < entries;
    const float value = exists ? widen(table[(index_t)id * width + column]) : 0.f;
    narrow(value, y[(index_t)blockIdx.y * width + column]);
}
