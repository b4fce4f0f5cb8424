#define WIDTH 64
#define PART 64
#define WARPS 4
#define ROW_TILES 1
#define KEYS 64
#define BIAS 1

#include "CKernelEmulation.h"
#include "swan_intrinsics.cuh"

// Each file has a kernel and helpers of its own, since they are compiled with other defines.
#define attention emulated_attention_64_bias
namespace {
#include "attention.cu"
}

void swan_emulate_attention_64_bias(const uint16_t *q, const uint16_t *k, const uint16_t *v, const float *bias,
                                    uint16_t *o, uint32_t queries, uint32_t keys, uint32_t heads, uint64_t head_stride,
                                    uint64_t query_stride, float scale) {
    emulation::launch({(queries + QUERIES - 1) / QUERIES, heads, WIDTH / PART}, {THREADS, 1, 1}, [=] {
        attention((const bfloat16 *)q, (const bfloat16 *)k, (const bfloat16 *)v, bias, (bfloat16 *)o, queries,
                  keys, heads, head_stride, query_stride, scale);
    });
}
