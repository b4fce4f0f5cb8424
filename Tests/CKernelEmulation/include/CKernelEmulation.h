// Kernels of Swan, run on the host: the same text that the GPU's compiler gets, with its intrinsics in plain C++.
//
// For tests on machines without a GPU. bfloat16 values are the upper halves of floats. Launches are as in the kernels'
// headers, with the defines that the names say.
#ifndef CKERNEL_EMULATION_H
#define CKERNEL_EMULATION_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// attention: heads 64 wide without and with a bias, 128 wide without, and 96 in two parts with one.
void swan_emulate_attention_64(const uint16_t *q, const uint16_t *k, const uint16_t *v, const float *bias, uint16_t *o,
                               uint32_t queries, uint32_t keys, uint32_t heads, uint64_t head_stride,
                               uint64_t query_stride, float scale);
void swan_emulate_attention_64_bias(const uint16_t *q, const uint16_t *k, const uint16_t *v, const float *bias,
                                    uint16_t *o, uint32_t queries, uint32_t keys, uint32_t heads, uint64_t head_stride,
                                    uint64_t query_stride, float scale);
void swan_emulate_attention_128(const uint16_t *q, const uint16_t *k, const uint16_t *v, const float *bias, uint16_t *o,
                                uint32_t queries, uint32_t keys, uint32_t heads, uint64_t head_stride,
                                uint64_t query_stride, float scale);
void swan_emulate_attention_96_parts(const uint16_t *q, const uint16_t *k, const uint16_t *v, const float *bias,
                                     uint16_t *o, uint32_t queries, uint32_t keys, uint32_t heads, uint64_t head_stride,
                                     uint64_t query_stride, float scale);

// What eight-bit attention's kernel is given, for 3 heads, in parts of 64 keys.
void swan_emulate_attention_int8_ranges(const uint16_t *k, const uint16_t *v, float *parts, uint32_t keys);
void swan_emulate_attention_int8_channels(const float *parts, float *channels, float *bounds, uint32_t count,
                                          uint32_t keys);
void swan_emulate_attention_int8_queries(const uint16_t *x, int8_t *y, float *scales, uint32_t rows, uint32_t heads,
                                         float factor);
void swan_emulate_attention_int8_keys(const uint16_t *x, const float *means, int8_t *y, float *scales, uint32_t rows,
                                      uint32_t heads);
// From before the norms of queries and keys.
void swan_emulate_rms_factors_384(const uint16_t *x, float *factors, uint32_t rows, float eps);
void swan_emulate_attention_int8_ranges_normed(const uint16_t *k, const float *factors, const float *weight,
                                               const float *cosines, const float *sines, const uint16_t *v,
                                               float *parts, uint32_t keys);
void swan_emulate_attention_int8_normed_queries(const uint16_t *x, const float *weight, const float *cosines,
                                                const float *sines, int8_t *y, float *scales, uint32_t rows, float eps,
                                                float factor);
void swan_emulate_attention_int8_keys_normed(const uint16_t *x, const float *factors, const float *weight,
                                             const float *cosines, const float *sines, const float *means, int8_t *y,
                                             float *scales, uint32_t rows, uint32_t heads);
void swan_emulate_attention_int8_values(const uint16_t *v, const float *channels, int8_t *y, uint32_t keys,
                                        uint32_t heads, uint32_t pitch);
void swan_emulate_attention_int8_sm80(const int8_t *q, const int8_t *k, const int8_t *v, const float *q_scales,
                                      const float *k_scales, const float *channels, uint16_t *o, uint32_t queries,
                                      uint32_t keys, uint32_t heads);
void swan_emulate_attention_int8_sm80_fp8(const int8_t *q, const int8_t *k, const int8_t *v, const float *q_scales,
                                          const float *k_scales, const float *channels, uint8_t *o, const float *bounds,
                                          float *scales, uint32_t queries, uint32_t keys, uint32_t heads);

// add of bfloat16, a multiple of 4 elements; add_gated of rows of 1284, with a grid that may have fewer rows.
void swan_emulate_add_bfloat16(const uint16_t *y, float *x, uint64_t count);
void swan_emulate_add_gated_1284(const uint16_t *y, const float *gate, float *x, uint32_t rows,
                                 uint32_t rows_per_group, uint32_t rows_of_grid);

// layer_norm_modulate of rows of 1284 (vectors of 4) and 203 (single elements).
void swan_emulate_modulate_1284(const float *x, const float *shift, const float *scale, uint16_t *y, uint32_t rows,
                                uint32_t rows_per_group, float eps);
void swan_emulate_modulate_203(const float *x, const float *shift, const float *scale, uint16_t *y, uint32_t rows,
                               uint32_t rows_per_group, float eps);

// add_gated_layer_norm and add_layer_norm_modulate of the same rows; rows of 203 values have a gate in both.
void swan_emulate_add_gated_layer_norm_1284(const uint16_t *y, const float *gate, float *x, const float *weight,
                                            const float *bias, uint16_t *h, uint32_t rows, uint32_t rows_per_group,
                                            float eps);
void swan_emulate_add_layer_norm_modulate_1284(const uint16_t *y, const float *gate, float *x, const float *shift, const float *scale,
                                               uint16_t *h, uint32_t rows, uint32_t rows_per_group, float eps);
void swan_emulate_add_gated_layer_norm_203(const uint16_t *y, const float *gate, float *x, const float *weight,
                                           const float *bias, uint16_t *h, uint32_t rows, uint32_t rows_per_group,
                                           float eps);
void swan_emulate_add_layer_norm_modulate_203(const uint16_t *y, const float *gate, float *x, const float *shift, const float *scale,
                                              uint16_t *h, uint32_t rows, uint32_t rows_per_group, float eps);

// layer_norm with rows in eight bits, and a scale for each.
void swan_emulate_layer_norm_1284_fp8(const float *x, const float *weight, const float *bias, uint8_t *y, float *scales,
                                 uint32_t rows, float eps);
void swan_emulate_layer_norm_203_int8(const float *x, const float *weight, const float *bias, uint8_t *y, float *scales,
                                 uint32_t rows, float eps);
void swan_emulate_layer_norm_1408_rotated(const float *x, const float *weight, const float *bias, uint8_t *y, float *scales,
                                 uint32_t rows, float eps);

// Scales and bias of a product whose columns are gated.
void swan_emulate_gate_columns(const float *scales, const float *bias, const float *gate, float *gated_scales,
                               uint16_t *gated_bias, uint32_t width);

// The three other norms alike.
void swan_emulate_modulate_1284_fp8(const float *x, const float *shift, const float *scale, uint8_t *y, float *scales,
                                    uint32_t rows, uint32_t rows_per_group, float eps);
void swan_emulate_add_layer_norm_modulate_1284_fp8(const uint16_t *y, const float *gate, float *x, const float *shift, const float *scale, uint8_t *h,
                                                   float *scales, uint32_t rows, uint32_t rows_per_group, float eps);
void swan_emulate_add_gated_layer_norm_1284_fp8(const uint16_t *y, const float *gate, float *x, const float *weight,
                                                const float *bias, uint8_t *h, float *scales, uint32_t rows,
                                                uint32_t rows_per_group, float eps);
void swan_emulate_modulate_203_int8(const float *x, const float *shift, const float *scale, uint8_t *y, float *scales,
                                    uint32_t rows, uint32_t rows_per_group, float eps);
void swan_emulate_add_layer_norm_modulate_203_int8(const uint16_t *y, const float *gate, float *x, const float *shift, const float *scale, uint8_t *h,
                                                   float *scales, uint32_t rows, uint32_t rows_per_group, float eps);
void swan_emulate_add_gated_layer_norm_203_int8(const uint16_t *y, const float *gate, float *x, const float *weight,
                                                const float *bias, uint8_t *h, float *scales, uint32_t rows,
                                                uint32_t rows_per_group, float eps);

// quantize_rows: bfloat16 and float rows to either format, and through GELU.
void swan_emulate_quantize_1288_fp8(const uint16_t *x, uint8_t *y, float *scales, uint32_t rows);
void swan_emulate_quantize_1284_int8(const float *x, uint8_t *y, float *scales, uint32_t rows);
void swan_emulate_quantize_203_fp8(const float *x, uint8_t *y, float *scales, uint32_t rows);
void swan_emulate_quantize_1288_gelu_int8(const uint16_t *x, uint8_t *y, float *scales, uint32_t rows);

// rescale_product: to bfloat16, and through GELU to eight bits, with and without a bias.
void swan_emulate_rescale_1284(const int32_t *x, const float *row_scales, const float *column_scales, const float *bias,
                               uint16_t *y, float *scales, uint32_t rows);
void swan_emulate_rescale_203_gelu_fp8(const int32_t *x, const float *row_scales, const float *column_scales, const float *bias,
                                       uint8_t *y, float *scales, uint32_t rows);
void swan_emulate_rescale_1284_gelu_int8(const int32_t *x, const float *row_scales, const float *column_scales, const float *bias,
                                         uint8_t *y, float *scales, uint32_t rows);

// The same to rotated int8, in blocks of 128 columns, of 32 and of 2.
void swan_emulate_modulate_1408_rotated(const float *x, const float *shift, const float *scale, uint8_t *y, float *scales,
                                    uint32_t rows, uint32_t rows_per_group, float eps);
void swan_emulate_add_layer_norm_modulate_1408_rotated(const uint16_t *y, const float *gate, float *x, const float *shift, const float *scale, uint8_t *h,
                                                   float *scales, uint32_t rows, uint32_t rows_per_group, float eps);
void swan_emulate_add_gated_layer_norm_1408_rotated(const uint16_t *y, const float *gate, float *x, const float *weight,
                                                const float *bias, uint8_t *h, float *scales, uint32_t rows,
                                                uint32_t rows_per_group, float eps);
void swan_emulate_rescale_1408_gelu_rotated(const int32_t *x, const float *row_scales, const float *column_scales, const float *bias,
                                         uint8_t *y, float *scales, uint32_t rows);
void swan_emulate_quantize_1408_rotated(const uint16_t *x, uint8_t *y, float *scales, uint32_t rows);
void swan_emulate_quantize_1312_rotated(const float *x, uint8_t *y, float *scales, uint32_t rows);
void swan_emulate_quantize_1282_rotated(const float *x, uint8_t *y, float *scales, uint32_t rows);

// eight_bit_linear: int8 with a bias; float8 on matrix units that know it, with a bias, and on those that do not.
void swan_emulate_eight_bit_linear_int8(const uint8_t *x, const float *row_scales, const uint8_t *w, const float *column_scales,
                                        const float *bias, uint16_t *y, uint32_t rows, uint32_t inputs, uint32_t outputs);
void swan_emulate_eight_bit_linear_fp8(const uint8_t *x, const float *row_scales, const uint8_t *w, const float *column_scales,
                                       const float *bias, float *y, uint32_t rows, uint32_t inputs, uint32_t outputs);
void swan_emulate_eight_bit_linear_fp8_widened(const uint8_t *x, const float *row_scales, const uint8_t *w, const float *column_scales,
                                               const float *bias, float *y, uint32_t rows, uint32_t inputs, uint32_t outputs);

// add_low_rank: of bfloat16, vectors of 4, with factors in float16, where y may be x, and in bfloat16 to float; of float16
// to float, single elements, with factors in float.
void swan_emulate_add_low_rank_bfloat16(const uint16_t *x, const uint16_t *values, const float *list, uint16_t *y,
                                        uint32_t changes, uint32_t all_rows, uint32_t first, uint32_t rows,
                                        uint32_t columns);
void swan_emulate_add_low_rank_bfloat16_float(const uint16_t *x, const uint16_t *values, const float *list, float *y,
                                              uint32_t changes, uint32_t all_rows, uint32_t first, uint32_t rows,
                                              uint32_t columns);
void swan_emulate_add_low_rank_float(const uint16_t *x, const float *values, const float *list, float *y,
                                     uint32_t changes, uint32_t all_rows, uint32_t first, uint32_t rows,
                                     uint32_t columns);

// rms_norm_rope of rows of 384 in heads of 64.
void swan_emulate_rope_384(const uint16_t *x, const float *weight, const float *cosines, const float *sines,
                           uint16_t *y, uint32_t rows, float eps);

// norm_silu of 96 channels, positions and those in front of them.
void swan_emulate_norm_silu_96(const uint16_t *x, const float *gamma, const uint16_t *history, uint16_t *y,
                               uint64_t zeros, uint64_t front, uint64_t positions);

// noise in bfloat16, vectors of 8, and in float32, single elements.
void swan_emulate_noise_bfloat16(uint16_t *y, uint64_t count, uint64_t first, uint64_t seed, float mean, float scale);
void swan_emulate_noise_float(float *y, uint64_t count, uint64_t first, uint64_t seed, float mean, float scale);

#ifdef __cplusplus
}
#endif

#endif
