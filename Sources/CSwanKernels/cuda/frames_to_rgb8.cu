// frames_to_rgb8: pixels of frames.
//
//   y[i] = truncate((clamp(x[i], -1, 1) + 1) / 2 * 255); NaN becomes 0
//
// Shapes    x bfloat16 [count] · y bytes [count]; count = frames * height * width * 3
// Launch    grid = ceil(count / (VECTOR * block)), any block; no shared memory.
// Defines   VECTOR: 8 where count is a multiple of it and the pointers are multiples of 16 and 8, else 1.
// Traffic   3 bytes per element.
// Source    Wan2.2 wan/utils/utils.py, save_video.

#include <swan_device.cuh>

extern "C" __global__ void frames_to_rgb8(const bfloat16 *__restrict__ x, unsigned char *__restrict__ y,
                                          index_t count) {
    const index_t i = first_of_vector<VECTOR>();
    if (i >= count) return;
    float values[VECTOR];
    load(x + i, values);
    unsigned bytes[VECTOR];
#pragma unroll
    for (int j = 0; j < VECTOR; j++) {
        // fmaxf takes the number of two: NaN becomes -1.
        const float clamped = fminf(fmaxf(values[j], -1.f), 1.f);
        bytes[j] = (unsigned)((clamped + 1.f) / 2.f * 255.f);
    }
    if constexpr (VECTOR == 8) {
        *(uint2 *)(y + i) = make_uint2(bytes[0] | bytes[1] << 8 | bytes[2] << 16 | bytes[3] << 24,
                                       bytes[4] | bytes[5] << 8 | bytes[6] << 16 | bytes[7] << 24);
    } else {
#pragma unroll
        for (int j = 0; j < VECTOR; j++) y[i + j] = (unsigned char)bytes[j];
    }
}
