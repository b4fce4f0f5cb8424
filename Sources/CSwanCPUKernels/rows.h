// Sums of a row are taken in double: a mean of values far from zero would otherwise lose the digits
// that the variance is made of. The rows are in the cache by then, so it costs little.

SWAN_INLINE double sum_of_squares(const float *x, ptrdiff_t width) {
    d16 sums = {0};
    ptrdiff_t i = 0;
    for (; i + 16 <= width; i += 16) {
        d16 v = __builtin_convertvector(load(x + i), d16);
        sums += v * v;
    }
    if (i < width) {
        d16 v = __builtin_convertvector(load_part(x + i, width - i), d16);
        sums += v * v;
    }
    return sum_double(sums);
}

static void layer_norm(float *y, const float *x, const float *weight, const float *bias, ptrdiff_t width,
                                 float eps, float unit) {
    ptrdiff_t i = 0;
    d16 sums = {0};
    for (; i + 16 <= width; i += 16) sums += __builtin_convertvector(load(x + i), d16);
    if (i < width) sums += __builtin_convertvector(load_part(x + i, width - i), d16);
    double mean = sum_double(sums) / (double)width;
    // The mean in two floats: x - high is exact where x is near it, and low puts back what high lost.
    float high = (float)mean, low = (float)(mean - (double)high);

    d16 squares = {0};
    for (i = 0; i + 16 <= width; i += 16) {
        d16 d = __builtin_convertvector((load(x + i) - high) - low, d16);
        squares += d * d;
    }
    double rest = 0;
    for (; i < width; i++) {
        double d = (x[i] - high) - low;
        rest += d * d;
    }
    float factor = (float)(1 / sqrt((sum_double(squares) + rest) / (double)width + (double)eps));
    for (i = 0; i + 16 <= width; i += 16)
        store(y + i, ((load(x + i) - high) - low) * factor * (load(weight + i) + unit) + load(bias + i));
    for (; i < width; i++) y[i] = ((x[i] - high) - low) * factor * (weight[i] + unit) + bias[i];
}

static void rms_norm(float *y, const float *x, const float *weight, ptrdiff_t width, float eps) {
    float factor = (float)(1 / sqrt(sum_of_squares(x, width) / (double)width + (double)eps));
    for (ptrdiff_t i = 0; i < width; i++) y[i] = x[i] * factor * weight[i];
}

static void rms_norm_rope(float *y, const float *x, const float *weight, ptrdiff_t width, float eps,
                                    const float *cosines, const float *sines, ptrdiff_t pairs) {
    float factor = (float)(1 / sqrt(sum_of_squares(x, width) / (double)width + (double)eps));
    for (ptrdiff_t start = 0; start < width; start += 2 * pairs) {
        const float *from = x + start, *w = weight + start;
        float *to = y + start;
        for (ptrdiff_t j = 0; j < pairs; j++) {
            float a = from[2 * j] * factor * w[2 * j], b = from[2 * j + 1] * factor * w[2 * j + 1];
            to[2 * j] = a * cosines[j] - b * sines[j];
            to[2 * j + 1] = a * sines[j] + b * cosines[j];
        }
    }
}

static void channel_norm(float *y, const float *x, const float *gamma, ptrdiff_t channels, ptrdiff_t pixels,
                                   bool withSiLU) {
    double root = sqrt((double)channels);
    for (ptrdiff_t pixel = 0; pixel < pixels; pixel++, x += channels, y += channels) {
        double length = sqrt(sum_of_squares(x, channels));
        // Written so that a NaN stays one.
        float factor = (float)(root / (length < 1e-12 ? 1e-12 : length));
        ptrdiff_t i = 0;
        for (; i + 16 <= channels; i += 16) {
            f16 z = load(x + i) * factor * load(gamma + i);
            store(y + i, withSiLU ? silu(z) : z);
        }
        if (i < channels) {
            ptrdiff_t rest = channels - i;
            f16 z = load_part(x + i, rest) * factor * load_part(gamma + i, rest);
            store_part(y + i, withSiLU ? silu(z) : z, rest);
        }
    }
}

static void activate(float *y, const float *x, ptrdiff_t count, SwanActivation activation) {
    ptrdiff_t i = 0;
    for (; i + 16 <= count; i += 16) store(y + i, activated(load(x + i), activation));
    if (i < count) store_part(y + i, activated(load_part(x + i, count - i), activation), count - i);
}

static void gelu_gate(float *y, const float *gate, const float *up, ptrdiff_t count) {
    ptrdiff_t i = 0;
    for (; i + 16 <= count; i += 16) store(y + i, gelu_tanh(load(gate + i)) * load(up + i));
    if (i < count) {
        ptrdiff_t rest = count - i;
        store_part(y + i, gelu_tanh(load_part(gate + i, rest)) * load_part(up + i, rest), rest);
    }
}

static void add(float *x, const float *y, ptrdiff_t count) {
    for (ptrdiff_t i = 0; i < count; i++) x[i] += y[i];
}

static void add_gated(float *x, const float *y, const float *gate, ptrdiff_t count) {
    for (ptrdiff_t i = 0; i < count; i++) x[i] += y[i] * gate[i];
}

static void scale(float *y, const float *x, float coefficient, ptrdiff_t count, bool accumulates) {
    if (accumulates) {
        for (ptrdiff_t i = 0; i < count; i++) y[i] += coefficient * x[i];
    } else {
        for (ptrdiff_t i = 0; i < count; i++) y[i] = coefficient * x[i];
    }
}

static void channels_last(float *target, ptrdiff_t targetStride, const float *source, ptrdiff_t sourceStride,
                                    const float *scale, const float *shift, ptrdiff_t channels, ptrdiff_t count) {
    for (ptrdiff_t i = 0; i < count; i++)
        for (ptrdiff_t c = 0; c < channels; c++)
            target[i * targetStride + c] = source[c * sourceStride + i] * scale[c] + shift[c];
}

static void channels_first(float *target, ptrdiff_t targetStride, const float *source, ptrdiff_t sourceStride,
                                     const float *scale, const float *shift, ptrdiff_t channels, ptrdiff_t count) {
    for (ptrdiff_t c = 0; c < channels; c++)
        for (ptrdiff_t i = 0; i < count; i++)
            target[c * targetStride + i] = source[i * sourceStride + c] * scale[c] + shift[c];
}

static void rgb8(uint8_t *target, const float *source, ptrdiff_t count) {
    for (ptrdiff_t i = 0; i < count; i++) {
        float x = source[i];
        // A NaN fails both comparisons' first operand and ends as -1.
        x = x > -1.0f ? x : -1.0f;
        x = x < 1.0f ? x : 1.0f;
        target[i] = (uint8_t)(int32_t)((x + 1) / 2 * 255);
    }
}
