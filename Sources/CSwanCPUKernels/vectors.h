// Sixteen floats at a time, in the compiler's own vector types: one register of AVX-512, two of
// AVX2, four of NEON or SSE2.
// Every function takes part in its level's attributes, so that vectors pass between them in registers.
#define SWAN_INLINE static inline __attribute__((always_inline))

typedef float f16 __attribute__((vector_size(64)));
typedef float f16u __attribute__((vector_size(64), aligned(4)));
typedef double d16 __attribute__((vector_size(128)));
typedef int32_t i16 __attribute__((vector_size(64)));

SWAN_INLINE f16 all(float x) { return (f16){x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x}; }
SWAN_INLINE f16 load(const float *p) { return *(const f16u *)p; }
SWAN_INLINE void store(float *p, f16 x) { *(f16u *)p = x; }
// The first n values, zeros behind them.
SWAN_INLINE f16 load_part(const float *p, ptrdiff_t n) {
    float t[16] = {0};
    memcpy(t, p, (size_t)n * sizeof(float));
    return load(t);
}
SWAN_INLINE void store_part(float *p, f16 x, ptrdiff_t n) {
    float t[16];
    store(t, x);
    memcpy(p, t, (size_t)n * sizeof(float));
}
// a where the mask is set, b elsewhere.
SWAN_INLINE f16 pick(i16 mask, f16 a, f16 b) { return (f16)((mask & (i16)a) | (~mask & (i16)b)); }
SWAN_INLINE f16 larger(f16 a, f16 b) { return pick(a > b, a, b); }

SWAN_INLINE float sum(f16 x) {
    float t[16];
    store(t, x);
    for (int step = 8; step > 0; step /= 2)
        for (int i = 0; i < step; i++) t[i] += t[i + step];
    return t[0];
}
SWAN_INLINE float maximum(f16 x) {
    float t[16];
    store(t, x);
    for (int step = 8; step > 0; step /= 2)
        for (int i = 0; i < step; i++) t[i] = t[i] > t[i + step] ? t[i] : t[i + step];
    return t[0];
}
SWAN_INLINE double sum_double(d16 x) {
    double t[16];
    memcpy(t, &x, sizeof t);
    for (int step = 8; step > 0; step /= 2)
        for (int i = 0; i < step; i++) t[i] += t[i + step];
    return t[0];
}

// e^x to about 1 ulp: x = n ln 2 + r with |r| <= ln 2 / 2, a polynomial for e^r (Cephes, expf.c),
// times 2^n in two factors, so that results below the normal numbers and overflow come out right.
// NaN stays NaN: comparisons with it are false, and the product carries it.
SWAN_INLINE f16 exponential(f16 x) {
    x = pick(x > 89.0f, all(89.0f), x);
    x = pick(x < -104.0f, all(-104.0f), x);
    // Adding 1.5 * 2^23 leaves the rounded integer in the low bits: no conversion that a NaN could upset.
    const f16 magic = all(12582912.0f);
    f16 shifted = x * 1.44269504088896341f + magic;
    i16 n = (i16)shifted - (i16)magic;
    f16 whole = shifted - magic;
    f16 r = x - whole * 0.693359375f;
    r = r - whole * -2.12194440e-4f;
    f16 p = all(1.9875691500e-4f);
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    i16 half = n >> 1;
    return p * (f16)((half + 127) << 23) * (f16)((n - half + 127) << 23);
}

SWAN_INLINE f16 silu(f16 z) { return z / (1.0f + exponential(-z)); }

// z/2 (1 + tanh u) = z / (1 + e^-2u): one exponential, and small results keep their digits.
SWAN_INLINE f16 gelu_tanh(f16 z) {
    f16 u = z * 1.5957691216057308f * (1.0f + 0.044715f * (z * z));
    return z / (1.0f + exponential(-u));
}

SWAN_INLINE f16 activated(f16 z, SwanActivation activation) {
    switch (activation) {
    case SWAN_GELU_TANH: return gelu_tanh(z);
    case SWAN_SILU: return silu(z);
    default: return z;
    }
}

