// plain_attention: exact attention as its formula says it, for heads of any width; the oracle on the device.
//
//   o[i, h] = sum_j p[j] v[j, h] / sum_j p[j],   p[j] = e^(logit[j] - max logit),
//   logit[j] = scale * (q[i, h] . k[j, h]) + bias[h, i, j]
//
// Shapes    as in attention.cu, WIDTH a number of the launch.
// Launch    grid = (queries, heads), block = THREADS; dynamic shared memory 4 (THREADS + width) bytes.
// Defines   THREADS: multiple of 32, at most 1024 · BIAS: 1 or 0.
// Sums      all in float32, nothing rounded in between: the keys of a tile of THREADS in order, tiles in
//           order, their weights' sum by block_sum. The same bits on every run.
// Traffic   k and v once per query, from L2: slow on purpose.

#include <swan_device.cuh>

extern "C" __global__ void __launch_bounds__(THREADS)
plain_attention(const bfloat16 *__restrict__ q, const bfloat16 *__restrict__ k, const bfloat16 *__restrict__ v,
                const float *__restrict__ bias, bfloat16 *__restrict__ o, unsigned keys, unsigned heads,
                unsigned width, index_t bias_head_stride, index_t bias_query_stride, float scale) {
    SHARED_MEMORY(memory);
    float *const weights = (float *)memory;   // of one tile of keys
    float *const sums = weights + THREADS;    // one for each column
    __shared__ float warp_largest[THREADS / 32];
    const index_t row_stride = (index_t)heads * width, head = (index_t)blockIdx.y * width;
    const bfloat16 *const query = q + blockIdx.x * row_stride + head;
    for (unsigned column = threadIdx.x; column < width; column += THREADS) sums[column] = 0.f;
    float largest = -INFINITY, total = 0.f;

    for (unsigned first = 0; first < keys; first += THREADS) {
        const unsigned key = first + threadIdx.x;
        float logit = -INFINITY;
        if (key < keys) {
            float dot = 0.f;
            for (unsigned i = 0; i < width; i++) dot += widen(query[i]) * widen(k[key * row_stride + head + i]);
            logit = dot * scale;
#if BIAS
            logit += bias[blockIdx.y * bias_head_stride + blockIdx.x * bias_query_stride + key];
#endif
        }
        float maximum = logit;
#pragma unroll
        for (int mask = 16; mask > 0; mask /= 2) maximum = fmaxf(maximum, shuffle_xor(maximum, mask));
        barrier();  // the last tile's weights have been read
        if (threadIdx.x % 32 == 0) warp_largest[threadIdx.x / 32] = maximum;
        barrier();
        maximum = largest;
        for (int warp = 0; warp < THREADS / 32; warp++) maximum = fmaxf(maximum, warp_largest[warp]);
        // As long as every key is removed, no exponent may be infinity less infinity.
        const float origin = maximum == -INFINITY ? 0.f : maximum;
        const float shrink = expf(largest - origin);
        largest = maximum;
        const float weight = expf(logit - origin);
        weights[threadIdx.x] = weight;
        float sum[1] = {weight};
        block_sum<THREADS>(sum);  // its barriers also show everyone the weights
        total = total * shrink + sum[0];
        const unsigned count = keys - first < THREADS ? keys - first : THREADS;
        for (unsigned column = threadIdx.x; column < width; column += THREADS) {
            float value = sums[column] * shrink;
            for (unsigned j = 0; j < count; j++)
                value += weights[j] * widen(v[(first + j) * row_stride + head + column]);
            sums[column] = value;
        }
    }
    for (unsigned column = threadIdx.x; column < width; column += THREADS)
        narrow(sums[column] / total, o[blockIdx.x * row_stride + head + column]);
}
