// noise: random numbers that follow from a seed and their places, so that weights for measurements cross no bus.
//
//   y[i] = mean + scale * n(first + i)
//   n(j) = the sum of the four 16-bit parts of mix(j), less 131070
//   mix(j): SplitMix64's finaliser of (j + 1) * 0x9E3779B97F4A7C15 + seed * 0xD1B54A32D192ED03
//
// Shapes    y TYPE [count]
// Launch    grid = ceil(count / (VECTOR * block)), any block; no shared memory.
// Defines   TYPE: bfloat16 or float · VECTOR: 8 where count is a multiple of it and y is a multiple of 16, else 1.
// Traffic   2 (bfloat16) or 4 (float) bytes per element, written once: 28.6 GB take 10 ms at 3 TB/s, and some 30 integer
//           instructions per element as long again.
// Source    Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014; Swan's Noise.swift.
//
// n is a whole number below 2^18, and product and sum are rounded together, as the host does it: the same bits.

#include <swan_device.cuh>

__device__ __forceinline__ float noise_step(index_t place, index_t seed) {
    index_t z = (place + 1) * 0x9E3779B97F4A7C15ull + seed * 0xD1B54A32D192ED03ull;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ z >> 27) * 0x94D049BB133111EBull;
    z ^= z >> 31;
    const unsigned low = (unsigned)z, high = (unsigned)(z >> 32);
    const unsigned sum = (low & 0xFFFF) + (low >> 16) + (high & 0xFFFF) + (high >> 16);
    return (float)((int)sum - 131070);
}

extern "C" __global__ void noise(TYPE *__restrict__ y, index_t count, index_t first, index_t seed, float mean,
                                 float scale) {
    const index_t i = first_of_vector<VECTOR>();
    if (i >= count) return;
    float values[VECTOR];
#pragma unroll
    for (int j = 0; j < VECTOR; j++) values[j] = fmaf(scale, noise_step(first + i + j, seed), mean);
    store(y + i, values);
}
