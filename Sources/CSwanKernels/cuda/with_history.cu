// with_history: put earlier frames in front of frames, missing ones zero.
//
//   y[i] = 0 for i < zeros, history[i - zeros] for i < front, x[i - front] else
//
// Shapes    history bfloat16 [front - zeros] · x bfloat16 [count] · y bfloat16 [front + count]
// Launch    grid = ceil((front + count) / (VECTOR * block)), any block; no shared memory.
// Defines   VECTOR: 8 where zeros, front and count are multiples of it and the pointers multiples of 16,
//           else 1.
// Traffic   4 bytes per element.

#include <swan_device.cuh>

extern "C" __global__ void with_history(const bfloat16 *__restrict__ history, const bfloat16 *__restrict__ x,
                                        bfloat16 *__restrict__ y, index_t zeros, index_t front, index_t count) {
    const index_t i = first_of_vector<VECTOR>();
    if (i >= front + count) return;
    float values[VECTOR] = {};
    if (i >= front)
        load(x + (i - front), values);
    else if (i >= zeros)
        load(history + (i - zeros), values);
    store(y + i, values);
}
