// norm_silu: normalise over channels and apply SiLU, behind the frames that a causal convolution looks
// back at; or, without SILU_APPLIED, the normalisation alone.
//
//   y[p, c] = 0                                                            for p < zeros
//   y[p, c] = history[p - zeros, c]                                        for p < front
//   y[p, c] = f(x[q, c] / max(|x[q]|, 1e-12) * sqrt(CHANNELS) * gamma[c])  else, with q = p - front
//
// Shapes    x bfloat16 [positions, CHANNELS] · gamma float32 [CHANNELS] · history bfloat16 [front - zeros,
//           CHANNELS] · y bfloat16 [front + positions, CHANNELS]; positions run over frames, rows, columns.
// Launch    grid = ceil((front + positions) * LANES / block), block a multiple of 32; no shared memory.
// Defines   CHANNELS · LANES: threads of a position, a power of two, at most 32 · VECTOR: 8 where CHANNELS
//           is a multiple of it, else 1; at most 64 channels per thread · SILU_APPLIED: 1 or 0.
// Sums      float32: per thread, then a butterfly over the lanes; the same bits on every run.
// Traffic   4 bytes per element: read once, kept in registers, written once.
// Source    Wan2.2 wan/modules/vae2_1.py, RMS_norm and ResidualBlock.

#include <swan_device.cuh>

extern "C" __global__ void norm_silu(const bfloat16 *__restrict__ x, const float *__restrict__ gamma,
                                     const bfloat16 *__restrict__ history, bfloat16 *__restrict__ y, index_t zeros,
                                     index_t front, index_t positions) {
    constexpr int VECTORS = (CHANNELS + LANES * VECTOR - 1) / (LANES * VECTOR);
    static_assert(CHANNELS % VECTOR == 0 && VECTORS * VECTOR <= 64, "a position fits the registers");
    const index_t thread = first_of_vector<1>();
    const int lane = (int)(thread % LANES);
    // Threads beyond the end stay for the butterfly, on the last position.
    const bool exists = thread / LANES < front + positions;
    const index_t place = exists ? thread / LANES : front + positions - 1;

    const bool is_copy = place < front;
    const bfloat16 *source = is_copy ? history + (place - zeros) * CHANNELS : x + (place - front) * CHANNELS;
    float values[VECTORS][VECTOR];
    float square = 0.f;
#pragma unroll
    for (int i = 0; i < VECTORS; i++) {
        const int channel = (i * LANES + lane) * VECTOR;
#pragma unroll
        for (int j = 0; j < VECTOR; j++) values[i][j] = 0.f;
        if (channel < CHANNELS && place >= zeros) load(source + channel, values[i]);
#pragma unroll
        for (int j = 0; j < VECTOR; j++) square += values[i][j] * values[i][j];
    }
    const float length = sqrtf(lane_sum<LANES>(square));
    // A NaN must stay one, so the comparison is false for it.
    const float factor = sqrtf((float)CHANNELS) / (length < 1e-12f ? 1e-12f : length);
    if (!exists) return;
#pragma unroll
    for (int i = 0; i < VECTORS; i++) {
        const int channel = (i * LANES + lane) * VECTOR;
        if (channel < CHANNELS) {
            if (!is_copy) {
                float g[VECTOR];
                load(gamma + channel, g);
#pragma unroll
                for (int j = 0; j < VECTOR; j++) {
                    values[i][j] *= factor * g[j];
                    if (SILU_APPLIED) values[i][j] = silu(values[i][j]);
                }
            }
            store(y + place * CHANNELS + channel, values[i]);
        }
    }
}
