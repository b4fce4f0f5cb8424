// distance_bias: what attention adds for the distance between key and query.
//
//   result[h, q, k] = table[buckets[k - q + tokens - 1], h]
//
// Shapes    table float32 [bucket_count, heads] · buckets float32 [2 * tokens - 1], whole numbers; one outside the
//           table gives NaN · result float32 [heads, tokens, tokens]
// Launch    grid = (ceil(tokens / block), tokens, heads), any block; no shared memory.
// Traffic   4 bytes per element: 67 MB for 64 heads and 512 tokens.
// Source    T5's compute_bias.

#include <swan_device.cuh>

extern "C" __global__ void distance_bias(const float *__restrict__ table, const float *__restrict__ buckets,
                                         float *__restrict__ result, unsigned bucket_count) {
    const unsigned tokens = gridDim.y, heads = gridDim.z;
    const unsigned key = blockIdx.x * blockDim.x + threadIdx.x;
    if (key >= tokens) return;
    const unsigned query = blockIdx.y, head = blockIdx.z;
    const float bucket = buckets[key + (tokens - 1 - query)];
    const bool is_inside = bucket >= 0 && bucket < float(bucket_count);
    result[(index_t(head) * tokens + query) * tokens + key] =
        is_inside ? table[unsigned(bucket) * heads + head] : __int_as_float(0x7FFFFFFF);
}
