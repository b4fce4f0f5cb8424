// One level's table. The including file names the level and sets the attributes of its functions.
//
// Products and sums stay apart: a fused multiply-add would round once where every other reader rounds twice.
#pragma STDC FP_CONTRACT OFF

static inline float float_of(uint32_t bits) {
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

static inline uint32_t bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    return bits;
}

static inline uint16_t load16(const uint8_t *source) {
    uint16_t value;
    memcpy(&value, source, 2);
    return value;
}

static inline uint32_t load32(const uint8_t *source) {
    uint32_t value;
    memcpy(&value, source, 4);
    return value;
}

static inline void store16(uint8_t *target, uint16_t value) { memcpy(target, &value, 2); }

// Single elements ---------------------------------------------------------------------------------

// No branches, so that a loop of it becomes vectors. Subnormals are whole multiples of 2^-24, converted as integers:
// arithmetic on subnormal floats would be slow.
static inline float half_value(uint16_t half) {
    uint32_t magnitude = half & 0x7FFF;
    uint32_t sign = (uint32_t)(half & 0x8000) << 16;
    uint32_t normal = (magnitude << 13) + (112u << 23);
    uint32_t small = bits_of((float)(int32_t)magnitude * 0x1p-24f);
    uint32_t special = magnitude << 13 | 0x7F800000 | (magnitude > 0x7C00 ? 0x400000 : 0);
    uint32_t bits = magnitude >= 0x7C00 ? special : magnitude < 0x400 ? small : normal;
    return float_of(bits | sign);
}

static inline float e4m3_value(uint8_t byte) {
    uint32_t magnitude = byte & 0x7F;
    uint32_t sign = (uint32_t)(byte & 0x80) << 24;
    uint32_t normal = (magnitude << 20) + (120u << 23);
    uint32_t small = bits_of((float)(int32_t)magnitude * 0x1p-9f);
    uint32_t bits = magnitude == 0x7F ? 0x7FC00000 : magnitude < 8 ? small : normal;
    return float_of(bits | sign);
}

static inline uint16_t half_bits(float value) {
    uint32_t bits = bits_of(value), magnitude = bits & 0x7FFFFFFF;
    uint32_t sign = bits >> 16 & 0x8000;
    // The sum with 0.5 has the unit 2^-24 of float16's subnormals in its last place.
    uint32_t small = bits_of(float_of(magnitude) + 0.5f) - bits_of(0.5f);
    uint32_t normal = (magnitude + 0xFFF + (magnitude >> 13 & 1) - (112u << 23)) >> 13;
    uint32_t half = magnitude > 0x7F800000 ? 0x7E00
        : magnitude >= 0x477FF000          ? 0x7C00
        : magnitude < 0x38800000           ? small
                                           : normal;
    return (uint16_t)(half | sign);
}

static inline uint16_t bfloat_bits(float value) {
    uint32_t bits = bits_of(value);
    uint32_t rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
    return (uint16_t)((bits & 0x7FFFFFFF) > 0x7F800000 ? (bits >> 16 | 0x40) : rounded);
}

static inline uint8_t e4m3_bits(float value) {
    uint32_t bits = bits_of(value), magnitude = bits & 0x7FFFFFFF;
    // The sum with 2^14 has the unit 2^-9 of the subnormals in its last place.
    uint32_t small = bits_of(float_of(magnitude) + 0x1p14f) - bits_of(0x1p14f);
    uint32_t normal = (magnitude + 0x7FFFF + (magnitude >> 20 & 1) - (120u << 23)) >> 20;
    uint32_t byte = magnitude > 0x7F800000 ? 0x7F
        : magnitude >= 0x43E00000          ? 0x7E  // 448 and beyond
        : magnitude < 0x3C800000           ? small
                                           : normal;
    return (uint8_t)(byte | (bits >> 24 & 0x80));
}

static inline uint8_t e5m2_bits(float value) {
    uint32_t bits = bits_of(value), magnitude = bits & 0x7FFFFFFF;
    uint32_t small = bits_of(float_of(magnitude) + 0x1p7f) - bits_of(0x1p7f);
    uint32_t normal = (magnitude + 0xFFFFF + (magnitude >> 21 & 1) - (112u << 23)) >> 21;
    uint32_t byte = magnitude > 0x7F800000 ? 0x7F
        : magnitude >= 0x47600000          ? 0x7B  // 57344 and beyond
        : magnitude < 0x38800000           ? small
                                           : normal;
    return (uint8_t)(byte | (bits >> 24 & 0x80));
}

static void widen_half(float *target, const uint8_t *source, ptrdiff_t count) {
    for (ptrdiff_t i = 0; i < count; i++) target[i] = half_value(load16(source + 2 * i));
}

static void widen_bfloat(float *target, const uint8_t *source, ptrdiff_t count) {
    for (ptrdiff_t i = 0; i < count; i++) target[i] = float_of((uint32_t)load16(source + 2 * i) << 16);
}

static void widen_e4m3(float *target, const uint8_t *source, ptrdiff_t count) {
    for (ptrdiff_t i = 0; i < count; i++) target[i] = e4m3_value(source[i]);
}

// The upper byte of a float16.
static void widen_e5m2(float *target, const uint8_t *source, ptrdiff_t count) {
    for (ptrdiff_t i = 0; i < count; i++) target[i] = half_value((uint16_t)(source[i] << 8));
}

static void widen_int8(float *target, const uint8_t *source, ptrdiff_t count) {
    for (ptrdiff_t i = 0; i < count; i++) target[i] = (float)(int8_t)source[i];
}

static void narrow_half(uint8_t *target, const float *source, ptrdiff_t count, float factor) {
    for (ptrdiff_t i = 0; i < count; i++) store16(target + 2 * i, half_bits(source[i] * factor));
}

static void narrow_bfloat(uint8_t *target, const float *source, ptrdiff_t count, float factor) {
    for (ptrdiff_t i = 0; i < count; i++) store16(target + 2 * i, bfloat_bits(source[i] * factor));
}

static void narrow_e4m3(uint8_t *target, const float *source, ptrdiff_t count, float factor) {
    for (ptrdiff_t i = 0; i < count; i++) target[i] = e4m3_bits(source[i] * factor);
}

static void narrow_e5m2(uint8_t *target, const float *source, ptrdiff_t count, float factor) {
    for (ptrdiff_t i = 0; i < count; i++) target[i] = e5m2_bits(source[i] * factor);
}

static void narrow_int8(uint8_t *target, const float *source, ptrdiff_t count, float factor) {
    for (ptrdiff_t i = 0; i < count; i++) {
        float x = source[i] * factor;
        x = x == x ? x : 0;
        x = x < -128 ? -128 : x > 127 ? 127 : x;
        // To nearest even: the sum with 1.5 * 2^23 has the unit 1 in its last place.
        target[i] = (uint8_t)(int8_t)(int32_t)((x + 0x1.8p23f) - 0x1.8p23f);
    }
}

// Blocks of 32 ------------------------------------------------------------------------------------

static void widen_q4_0(float *target, const uint8_t *source, ptrdiff_t blocks) {
    for (ptrdiff_t block = 0; block < blocks; block++, target += 32, source += 18) {
        const float d = half_value(load16(source));
        for (int j = 0; j < 16; j++) target[j] = d * (float)((int)(source[2 + j] & 15) - 8);
        for (int j = 0; j < 16; j++) target[16 + j] = d * (float)((int)(source[2 + j] >> 4) - 8);
    }
}

static void widen_q4_1(float *target, const uint8_t *source, ptrdiff_t blocks) {
    for (ptrdiff_t block = 0; block < blocks; block++, target += 32, source += 20) {
        const float d = half_value(load16(source)), m = half_value(load16(source + 2));
        for (int j = 0; j < 16; j++) target[j] = d * (float)(int)(source[4 + j] & 15) + m;
        for (int j = 0; j < 16; j++) target[16 + j] = d * (float)(int)(source[4 + j] >> 4) + m;
    }
}

static void widen_q5_0(float *target, const uint8_t *source, ptrdiff_t blocks) {
    for (ptrdiff_t block = 0; block < blocks; block++, target += 32, source += 22) {
        const float d = half_value(load16(source));
        const uint32_t high = load32(source + 2);
        for (int j = 0; j < 16; j++) {
            target[j] = d * (float)((int)((source[6 + j] & 15) | (high >> j & 1) << 4) - 16);
        }
        for (int j = 0; j < 16; j++) {
            target[16 + j] = d * (float)((int)((source[6 + j] >> 4) | (high >> (j + 16) & 1) << 4) - 16);
        }
    }
}

static void widen_q5_1(float *target, const uint8_t *source, ptrdiff_t blocks) {
    for (ptrdiff_t block = 0; block < blocks; block++, target += 32, source += 24) {
        const float d = half_value(load16(source)), m = half_value(load16(source + 2));
        const uint32_t high = load32(source + 4);
        for (int j = 0; j < 16; j++) {
            target[j] = d * (float)(int)((source[8 + j] & 15) | (high >> j & 1) << 4) + m;
        }
        for (int j = 0; j < 16; j++) {
            target[16 + j] = d * (float)(int)((source[8 + j] >> 4) | (high >> (j + 16) & 1) << 4) + m;
        }
    }
}

static void widen_q8_0(float *target, const uint8_t *source, ptrdiff_t blocks) {
    for (ptrdiff_t block = 0; block < blocks; block++, target += 32, source += 34) {
        const float d = half_value(load16(source));
        for (int j = 0; j < 32; j++) target[j] = d * (float)(int8_t)source[2 + j];
    }
}

// The sixteen values of IQ4's codes.
static const float iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

static inline void widen_iq4(float *target, const uint8_t *codes, float d) {
    for (int j = 0; j < 16; j++) target[j] = d * iq4_values[codes[j] & 15];
    for (int j = 0; j < 16; j++) target[16 + j] = d * iq4_values[codes[j] >> 4];
}

static void widen_iq4_nl(float *target, const uint8_t *source, ptrdiff_t blocks) {
    for (ptrdiff_t block = 0; block < blocks; block++, target += 32, source += 18) {
        widen_iq4(target, source + 2, half_value(load16(source)));
    }
}

// The value of largest magnitude, the first of several.
static inline float extreme(const float *source) {
    float found = source[0];
    for (int j = 1; j < 32; j++) found = __builtin_fabsf(source[j]) > __builtin_fabsf(found) ? source[j] : found;
    return found;
}

static inline int code(float x, int most) {
    // A value on its way to a byte is never negative by more than rounding.
    int q = (int)x;
    return q > most ? most : q < 0 ? 0 : q;
}

static void narrow_q4_0(uint8_t *target, const float *source, ptrdiff_t blocks, float factor) {
    (void)factor;
    for (ptrdiff_t block = 0; block < blocks; block++, target += 18, source += 32) {
        const float d = extreme(source) / -8, inverse = d == 0 ? 0 : 1 / d;
        store16(target, half_bits(d));
        for (int j = 0; j < 16; j++) {
            target[2 + j] = (uint8_t)(code(source[j] * inverse + 8.5f, 15) | code(source[16 + j] * inverse + 8.5f, 15) << 4);
        }
    }
}

static void narrow_q5_0(uint8_t *target, const float *source, ptrdiff_t blocks, float factor) {
    (void)factor;
    for (ptrdiff_t block = 0; block < blocks; block++, target += 22, source += 32) {
        const float d = extreme(source) / -16, inverse = d == 0 ? 0 : 1 / d;
        uint32_t high = 0;
        store16(target, half_bits(d));
        for (int j = 0; j < 16; j++) {
            const int low = code(source[j] * inverse + 16.5f, 31), up = code(source[16 + j] * inverse + 16.5f, 31);
            target[6 + j] = (uint8_t)((low & 15) | (up & 15) << 4);
            high |= (uint32_t)(low >> 4) << j | (uint32_t)(up >> 4) << (j + 16);
        }
        memcpy(target + 2, &high, 4);
    }
}

static inline void bounds(const float *source, float *low, float *high) {
    *low = *high = source[0];
    for (int j = 1; j < 32; j++) {
        *low = source[j] < *low ? source[j] : *low;
        *high = source[j] > *high ? source[j] : *high;
    }
}

static void narrow_q4_1(uint8_t *target, const float *source, ptrdiff_t blocks, float factor) {
    (void)factor;
    for (ptrdiff_t block = 0; block < blocks; block++, target += 20, source += 32) {
        float low, high;
        bounds(source, &low, &high);
        const float d = (high - low) / 15, inverse = d == 0 ? 0 : 1 / d;
        store16(target, half_bits(d));
        store16(target + 2, half_bits(low));
        for (int j = 0; j < 16; j++) {
            target[4 + j] = (uint8_t)(
                code((source[j] - low) * inverse + 0.5f, 15) | code((source[16 + j] - low) * inverse + 0.5f, 15) << 4);
        }
    }
}

static void narrow_q5_1(uint8_t *target, const float *source, ptrdiff_t blocks, float factor) {
    (void)factor;
    for (ptrdiff_t block = 0; block < blocks; block++, target += 24, source += 32) {
        float low, high;
        bounds(source, &low, &high);
        const float d = (high - low) / 31, inverse = d == 0 ? 0 : 1 / d;
        uint32_t fifth = 0;
        store16(target, half_bits(d));
        store16(target + 2, half_bits(low));
        for (int j = 0; j < 16; j++) {
            const int first = code((source[j] - low) * inverse + 0.5f, 31);
            const int second = code((source[16 + j] - low) * inverse + 0.5f, 31);
            target[8 + j] = (uint8_t)((first & 15) | (second & 15) << 4);
            fifth |= (uint32_t)(first >> 4) << j | (uint32_t)(second >> 4) << (j + 16);
        }
        memcpy(target + 4, &fifth, 4);
    }
}

static void narrow_q8_0(uint8_t *target, const float *source, ptrdiff_t blocks, float factor) {
    (void)factor;
    for (ptrdiff_t block = 0; block < blocks; block++, target += 34, source += 32) {
        float largest = 0;
        for (int j = 0; j < 32; j++) {
            const float magnitude = __builtin_fabsf(source[j]);
            largest = magnitude > largest ? magnitude : largest;
        }
        const float d = largest / 127, inverse = d == 0 ? 0 : 1 / d;
        store16(target, half_bits(d));
        for (int j = 0; j < 32; j++) {
            // To nearest, halves away from zero.
            const float x = source[j] * inverse, magnitude = __builtin_fabsf(x);
            const float whole = (float)(int)magnitude;
            const int rounded = (int)(whole + (float)(int)(2 * (magnitude - whole)));
            target[2 + j] = (uint8_t)(int8_t)(x < 0 ? -rounded : rounded);
        }
    }
}

// Blocks of 256 -----------------------------------------------------------------------------------

static void widen_q2_k(float *target, const uint8_t *source, ptrdiff_t blocks) {
    for (ptrdiff_t block = 0; block < blocks; block++, target += 256, source += 84) {
        const float d = half_value(load16(source + 80)), dmin = half_value(load16(source + 82));
        for (int part = 0; part < 16; part++) {
            const uint8_t scale = source[part];
            const float step = d * (float)(int)(scale & 15), low = dmin * (float)(int)(scale >> 4);
            // Halves of 128, four pairs of bits each, two runs of 16.
            const uint8_t *codes = source + 16 + 32 * (part / 8) + 16 * (part & 1);
            const int shift = 2 * (part / 2 % 4);
            for (int l = 0; l < 16; l++) target[16 * part + l] = step * (float)(int)(codes[l] >> shift & 3) - low;
        }
    }
}

static void widen_q3_k(float *target, const uint8_t *source, ptrdiff_t blocks) {
    for (ptrdiff_t block = 0; block < blocks; block++, target += 256, source += 110) {
        const float d = half_value(load16(source + 108));
        const uint8_t *scales = source + 96;
        for (int part = 0; part < 16; part++) {
            const int low = part < 8 ? scales[part] & 15 : scales[part - 8] >> 4;
            const int high = scales[8 + part % 4] >> 2 * (part / 4) & 3;
            const float step = d * (float)((low | high << 4) - 32);
            const uint8_t *codes = source + 32 + 32 * (part / 8) + 16 * (part & 1);
            const uint8_t *masks = source + 16 * (part & 1);
            const int shift = 2 * (part / 2 % 4), bit = part / 2;
            for (int l = 0; l < 16; l++) {
                // Without its third bit a code is four less.
                const int q = (codes[l] >> shift & 3) + ((masks[l] >> bit & 1) << 2) - 4;
                target[16 * part + l] = step * (float)q;
            }
        }
    }
}

// The scale and the minimum of run `i` of Q4_K and Q5_K, six bits each.
static inline void scale_and_minimum(const uint8_t *packed, int i, int *scale, int *minimum) {
    if (i < 4) {
        *scale = packed[i] & 63;
        *minimum = packed[i + 4] & 63;
    } else {
        *scale = (packed[i + 4] & 15) | (packed[i - 4] >> 6) << 4;
        *minimum = (packed[i + 4] >> 4) | (packed[i] >> 6) << 4;
    }
}

static void widen_q4_k(float *target, const uint8_t *source, ptrdiff_t blocks) {
    for (ptrdiff_t block = 0; block < blocks; block++, target += 256, source += 144) {
        const float d = half_value(load16(source)), dmin = half_value(load16(source + 2));
        for (int group = 0; group < 4; group++) {
            const uint8_t *codes = source + 16 + 32 * group;
            int scale, minimum;
            scale_and_minimum(source + 4, 2 * group, &scale, &minimum);
            float step = d * (float)scale, low = dmin * (float)minimum;
            for (int l = 0; l < 32; l++) target[64 * group + l] = step * (float)(int)(codes[l] & 15) - low;
            scale_and_minimum(source + 4, 2 * group + 1, &scale, &minimum);
            step = d * (float)scale, low = dmin * (float)minimum;
            for (int l = 0; l < 32; l++) target[64 * group + 32 + l] = step * (float)(int)(codes[l] >> 4) - low;
        }
    }
}

static void widen_q5_k(float *target, const uint8_t *source, ptrdiff_t blocks) {
    for (ptrdiff_t block = 0; block < blocks; block++, target += 256, source += 176) {
        const float d = half_value(load16(source)), dmin = half_value(load16(source + 2));
        const uint8_t *high = source + 16;
        for (int group = 0; group < 4; group++) {
            const uint8_t *codes = source + 48 + 32 * group;
            int scale, minimum;
            scale_and_minimum(source + 4, 2 * group, &scale, &minimum);
            float step = d * (float)scale, low = dmin * (float)minimum;
            for (int l = 0; l < 32; l++) {
                const int q = (codes[l] & 15) | (high[l] >> 2 * group & 1) << 4;
                target[64 * group + l] = step * (float)q - low;
            }
            scale_and_minimum(source + 4, 2 * group + 1, &scale, &minimum);
            step = d * (float)scale, low = dmin * (float)minimum;
            for (int l = 0; l < 32; l++) {
                const int q = (codes[l] >> 4) | (high[l] >> (2 * group + 1) & 1) << 4;
                target[64 * group + 32 + l] = step * (float)q - low;
            }
        }
    }
}

static void widen_q6_k(float *target, const uint8_t *source, ptrdiff_t blocks) {
    for (ptrdiff_t block = 0; block < blocks; block++, target += 256, source += 210) {
        const float d = half_value(load16(source + 208));
        for (int part = 0; part < 16; part++) {
            const float step = d * (float)(int8_t)source[192 + part];
            // A half of 128 is four runs of 32: two of low halves of bytes, two of high ones.
            const int half = part / 8, run = part / 2 % 4, first = 16 * (part & 1);
            const uint8_t *low = source + 64 * half + 32 * (run & 1) + first;
            const uint8_t *high = source + 128 + 32 * half + first;
            const int lowShift = run < 2 ? 0 : 4, highShift = 2 * run;
            for (int l = 0; l < 16; l++) {
                const int q = (low[l] >> lowShift & 15) | (high[l] >> highShift & 3) << 4;
                target[16 * part + l] = step * (float)(q - 32);
            }
        }
    }
}

static void widen_iq4_xs(float *target, const uint8_t *source, ptrdiff_t blocks) {
    for (ptrdiff_t block = 0; block < blocks; block++, target += 256, source += 136) {
        const float d = half_value(load16(source));
        const uint16_t high = load16(source + 2);
        for (int part = 0; part < 8; part++) {
            const int scale = (source[4 + part / 2] >> 4 * (part & 1) & 15) | (high >> 2 * part & 3) << 4;
            widen_iq4(target + 32 * part, source + 8 + 16 * part, d * (float)(scale - 32));
        }
    }
}

// Scales and low-rank sums ------------------------------------------------------------------------

static float largest(const float *source, ptrdiff_t count) {
    // Magnitudes of floats are ordered as integers are, with NaN above all.
    uint32_t found = 0;
    for (ptrdiff_t i = 0; i < count; i++) {
        const uint32_t magnitude = bits_of(source[i]) & 0x7FFFFFFF;
        found = magnitude > found ? magnitude : found;
    }
    return float_of(found);
}

static void scale(float *x, float factor, ptrdiff_t count) {
    for (ptrdiff_t i = 0; i < count; i++) x[i] *= factor;
}

// Four terms of the sum at a time: a row of the target is read and written once for them.
static void add_product(float *target, const float *up, const float *down, ptrdiff_t rank, ptrdiff_t columns,
                        float factor, ptrdiff_t row, ptrdiff_t rowEnd) {
    for (; row < rowEnd; row++) {
        float *restrict out = target + row * columns;
        ptrdiff_t k = 0;
        for (; k + 4 <= rank; k += 4) {
            const float *restrict a = down + k * columns, *restrict b = a + columns;
            const float *restrict c = b + columns, *restrict e = c + columns;
            const float *f = up + row * rank + k;
            const float fa = factor * f[0], fb = factor * f[1], fc = factor * f[2], fe = factor * f[3];
            for (ptrdiff_t i = 0; i < columns; i++) out[i] += (fa * a[i] + fb * b[i]) + (fc * c[i] + fe * e[i]);
        }
        for (; k < rank; k++) {
            const float f = factor * up[row * rank + k];
            const float *restrict a = down + k * columns;
            for (ptrdiff_t i = 0; i < columns; i++) out[i] += f * a[i];
        }
    }
}

const SwanFormats SWAN_LEVEL = {
    .name = SWAN_LEVEL_NAME,
    .widen =
        {
            [SWAN_FLOAT16] = widen_half,
            [SWAN_BFLOAT16] = widen_bfloat,
            [SWAN_FLOAT8_E4M3] = widen_e4m3,
            [SWAN_FLOAT8_E5M2] = widen_e5m2,
            [SWAN_INT8] = widen_int8,
            [SWAN_Q4_0] = widen_q4_0,
            [SWAN_Q4_1] = widen_q4_1,
            [SWAN_Q5_0] = widen_q5_0,
            [SWAN_Q5_1] = widen_q5_1,
            [SWAN_Q8_0] = widen_q8_0,
            [SWAN_Q2_K] = widen_q2_k,
            [SWAN_Q3_K] = widen_q3_k,
            [SWAN_Q4_K] = widen_q4_k,
            [SWAN_Q5_K] = widen_q5_k,
            [SWAN_Q6_K] = widen_q6_k,
            [SWAN_IQ4_NL] = widen_iq4_nl,
            [SWAN_IQ4_XS] = widen_iq4_xs,
        },
    .narrow =
        {
            [SWAN_FLOAT16] = narrow_half,
            [SWAN_BFLOAT16] = narrow_bfloat,
            [SWAN_FLOAT8_E4M3] = narrow_e4m3,
            [SWAN_FLOAT8_E5M2] = narrow_e5m2,
            [SWAN_INT8] = narrow_int8,
            [SWAN_Q4_0] = narrow_q4_0,
            [SWAN_Q4_1] = narrow_q4_1,
            [SWAN_Q5_0] = narrow_q5_0,
            [SWAN_Q5_1] = narrow_q5_1,
            [SWAN_Q8_0] = narrow_q8_0,
        },
    .largest = largest,
    .scale = scale,
    .add_product = add_product,
};
