// Rows of a tile. 6 × 16 sums are 12 of AVX2's 16 registers; two hold b, one a. 12 independent sums
// also cover the latency of two multipliers (2 × 4 cycles). AVX-512 has the same 12 sums in rows of one
// register each.
enum { TILE_ROWS = SWAN_TILE_ROWS };
// Steps of k per visit: 16 floats × 256 of b are half of a 32 KiB first-level cache.
enum { K_BLOCK = 256 };

static void pack_transposed(float *packed, const float *source, ptrdiff_t stride, ptrdiff_t k, ptrdiff_t n,
                                      ptrdiff_t first, ptrdiff_t end) {
    for (ptrdiff_t panel = first; panel < end; panel++) {
        float *target = packed + panel * k * SWAN_PANEL;
        ptrdiff_t columns = n - panel * SWAN_PANEL < SWAN_PANEL ? n - panel * SWAN_PANEL : SWAN_PANEL;
        const float *from = source + panel * SWAN_PANEL * stride;
        // Sixteen steps at a time, so that a block of the target stays in the first-level cache.
        for (ptrdiff_t start = 0; start < k; start += 16) {
            ptrdiff_t stop = start + 16 < k ? start + 16 : k;
            for (ptrdiff_t c = 0; c < SWAN_PANEL; c++)
                for (ptrdiff_t i = start; i < stop; i++)
                    target[i * SWAN_PANEL + c] = c < columns ? from[c * stride + i] : 0;
        }
    }
}

static void pack(float *packed, const float *source, ptrdiff_t stride, ptrdiff_t k, ptrdiff_t n,
                           ptrdiff_t first, ptrdiff_t end) {
    for (ptrdiff_t panel = first; panel < end; panel++) {
        float *target = packed + panel * k * SWAN_PANEL;
        ptrdiff_t columns = n - panel * SWAN_PANEL < SWAN_PANEL ? n - panel * SWAN_PANEL : SWAN_PANEL;
        const float *from = source + panel * SWAN_PANEL;
        for (ptrdiff_t i = 0; i < k; i++)
            store(target + i * SWAN_PANEL,
                  columns == SWAN_PANEL ? load(from + i * stride) : load_part(from + i * stride, columns));
    }
}

SWAN_INLINE void tile(const int rows, const SwanSegment *segments, ptrdiff_t count, ptrdiff_t k, const float *a,
                      ptrdiff_t aStride, const float *panel, float *c, ptrdiff_t cStride, ptrdiff_t columns,
                      bool accumulates) {
    f16 sums[TILE_ROWS];
    for (int i = 0; i < rows; i++) sums[i] = all(0);
    for (ptrdiff_t s = 0; s < count; s++) {
        const float *from = a + segments[s].offset;
        const float *b = panel + segments[s].packedRow * SWAN_PANEL;
        f16 t[TILE_ROWS];
        for (int i = 0; i < rows; i++) t[i] = sums[i];
        for (ptrdiff_t j = 0; j < k; j++) {
            f16 line = *(const f16 *)(b + j * SWAN_PANEL);
            for (int i = 0; i < rows; i++) t[i] += all(from[i * aStride + j]) * line;
        }
        for (int i = 0; i < rows; i++) sums[i] = t[i];
        // The sums rest in memory between segments: kept in registers through both loops, they were
        // spilt in the inner one, at half the speed.
        __asm__ volatile("" : : "r"(sums) : "memory");
    }
    for (int i = 0; i < rows; i++) {
        float *target = c + i * cStride;
        if (columns >= SWAN_PANEL) {
            store(target, accumulates ? load(target) + sums[i] : sums[i]);
        } else {
            store_part(target, accumulates ? load_part(target, columns) + sums[i] : sums[i], columns);
        }
    }
}

// Adds `count` segments' values `start` to `start + k` to rows and panels of the result.
SWAN_INLINE void visit(const SwanProduct *p, const SwanSegment *segments, ptrdiff_t count, ptrdiff_t start,
                       ptrdiff_t k, bool accumulates, ptrdiff_t row, ptrdiff_t rowEnd, ptrdiff_t panel,
                       ptrdiff_t panelEnd) {
    for (ptrdiff_t j = panel; j < panelEnd; j++) {
        const float *b = p->packed + (j * p->packedRows + start) * SWAN_PANEL;
        ptrdiff_t columns = p->n - j * SWAN_PANEL;
        for (ptrdiff_t i = row; i < rowEnd; i += TILE_ROWS) {
            const float *a = p->a + i * p->aStride + start;
            float *c = p->c + i * p->cStride + j * SWAN_PANEL;
#define SWAN_TILE(rows) \
    case rows: tile(rows, segments, count, k, a, p->aStride, b, c, p->cStride, columns, accumulates); break
            switch (rowEnd - i < TILE_ROWS ? rowEnd - i : TILE_ROWS) {
                SWAN_TILE(1);
                SWAN_TILE(2);
                SWAN_TILE(3);
                SWAN_TILE(4);
                SWAN_TILE(5);
                SWAN_TILE(6);
#if SWAN_TILE_ROWS == 12
                SWAN_TILE(7);
                SWAN_TILE(8);
                SWAN_TILE(9);
                SWAN_TILE(10);
                SWAN_TILE(11);
                SWAN_TILE(12);
#endif
            }
#undef SWAN_TILE
        }
    }
}

static void product(const SwanProduct *p, ptrdiff_t row, ptrdiff_t rowEnd, ptrdiff_t panel, ptrdiff_t panelEnd) {
    // Short segments are visited several at a time, long ones piece by piece.
    ptrdiff_t together = p->k < K_BLOCK ? K_BLOCK / p->k : 1;
    bool accumulates = p->accumulates;
    for (ptrdiff_t s = 0; s < p->segmentCount; s += together) {
        ptrdiff_t count = p->segmentCount - s < together ? p->segmentCount - s : together;
        for (ptrdiff_t start = 0; start < p->k; start += K_BLOCK) {
            ptrdiff_t k = p->k - start < K_BLOCK ? p->k - start : K_BLOCK;
            visit(p, p->segments + s, count, start, k, accumulates, row, rowEnd, panel, panelEnd);
            accumulates = true;
        }
    }
}

static void finish(float *c, const float *bias, const float *residual, ptrdiff_t stride, ptrdiff_t rows,
                             ptrdiff_t columns, SwanActivation activation) {
    for (ptrdiff_t row = 0; row < rows; row++) {
        float *target = c + row * stride;
        const float *added = residual ? residual + row * stride : NULL;
        ptrdiff_t i = 0;
        for (; i + 16 <= columns; i += 16) {
            f16 z = load(target + i);
            if (bias) z += load(bias + i);
            z = activated(z, activation);
            if (added) z += load(added + i);
            store(target + i, z);
        }
        if (i < columns) {
            ptrdiff_t rest = columns - i;
            f16 z = load_part(target + i, rest);
            if (bias) z += load_part(bias + i, rest);
            z = activated(z, activation);
            if (added) z += load_part(added + i, rest);
            store_part(target + i, z, rest);
        }
    }
}

static void softmax_tile(float *logits, ptrdiff_t stride, ptrdiff_t rows, ptrdiff_t keys, float scale,
                                   const float *bias, ptrdiff_t biasStride, float *maxima, float *sums, float *values,
                                   ptrdiff_t width, bool isFirst) {
    ptrdiff_t whole = keys & ~(ptrdiff_t)15, rest = keys & 15;
    for (ptrdiff_t row = 0; row < rows; row++) {
        float *l = logits + row * stride;
        const float *added = bias ? bias + row * biasStride : NULL;
        f16 largest = all(-INFINITY);
        for (ptrdiff_t i = 0; i < whole; i += 16) {
            f16 z = load(l + i) * scale;
            if (added) z += load(added + i);
            store(l + i, z);
            largest = larger(z, largest);
        }
        float top = maximum(largest);
        for (ptrdiff_t i = whole; i < keys; i++) {
            l[i] = l[i] * scale + (added ? added[i] : 0);
            if (l[i] > top) top = l[i];
        }
        float before = isFirst ? -INFINITY : maxima[row];
        if (before > top) top = before;
        maxima[row] = top;
        // Without any key left so far every weight is 0, not the NaN of inf - inf: keys may still come.
        if (top == -INFINITY) top = 0;

        f16 total = all(0);
        for (ptrdiff_t i = 0; i < whole; i += 16) {
            f16 weight = exponential(load(l + i) - top);
            store(l + i, weight);
            total += weight;
        }
        if (rest > 0) {
            f16 weight = exponential(load_part(l + whole, rest) - top);
            store_part(l + whole, weight, rest);
            float t[16] = {0};
            store_part(t, weight, rest);
            total += load(t);
        }
        if (isFirst) {
            sums[row] = sum(total);
            continue;
        }
        float shrink = exponential(all(before - top))[0];
        sums[row] = sums[row] * shrink + sum(total);
        if (shrink == 1) continue;
        float *v = values + row * width;
        for (ptrdiff_t i = 0; i < width; i++) v[i] *= shrink;
    }
}

static void softmax_end(float *target, ptrdiff_t stride, const float *values, const float *sums,
                                  ptrdiff_t rows, ptrdiff_t width) {
    for (ptrdiff_t row = 0; row < rows; row++) {
        float factor = 1 / sums[row];
        for (ptrdiff_t i = 0; i < width; i++) target[row * stride + i] = values[row * width + i] * factor;
    }
}
