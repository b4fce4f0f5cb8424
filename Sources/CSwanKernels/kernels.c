#include "CSwanKernels.h"

#pragma clang diagnostic ignored "-Wc23-extensions"

// #embed is C23: clang 19 and later take it in every mode.
static const char swan_intrinsics_text[] = {
#embed "cuda/swan_intrinsics.cuh"
    , 0};
static const char swan_hopper_text[] = {
#embed "cuda/swan_hopper.cuh"
    , 0};
static const char swan_device_text[] = {
#embed "cuda/swan_device.cuh"
    , 0};
static const char attention_sm90_header_text[] = {
#embed "cuda/attention_sm90.cuh"
    , 0};
static const char attention_int8_rows_text[] = {
#embed "cuda/attention_int8_rows.cuh"
    , 0};
static const char attention_int8_weights_text[] = {
#embed "cuda/attention_int8_weights.cuh"
    , 0};
static const char row_norm_text[] = {
#embed "cuda/row_norm.cuh"
    , 0};
static const char activate_text[] = {
#embed "cuda/activate.cu"
    , 0};
static const char add_text[] = {
#embed "cuda/add.cu"
    , 0};
static const char add_gated_text[] = {
#embed "cuda/add_gated.cu"
    , 0};
static const char add_gated_layer_norm_text[] = {
#embed "cuda/add_gated_layer_norm.cu"
    , 0};
static const char add_layer_norm_modulate_text[] = {
#embed "cuda/add_layer_norm_modulate.cu"
    , 0};
static const char add_low_rank_text[] = {
#embed "cuda/add_low_rank.cu"
    , 0};
static const char attention_text[] = {
#embed "cuda/attention.cu"
    , 0};
static const char attention_int8_channels_text[] = {
#embed "cuda/attention_int8_channels.cu"
    , 0};
static const char attention_int8_keys_text[] = {
#embed "cuda/attention_int8_keys.cu"
    , 0};
static const char attention_int8_normed_queries_text[] = {
#embed "cuda/attention_int8_normed_queries.cu"
    , 0};
static const char attention_int8_queries_text[] = {
#embed "cuda/attention_int8_queries.cu"
    , 0};
static const char attention_int8_ranges_text[] = {
#embed "cuda/attention_int8_ranges.cu"
    , 0};
static const char attention_int8_sm80_text[] = {
#embed "cuda/attention_int8_sm80.cu"
    , 0};
static const char attention_int8_sm90_text[] = {
#embed "cuda/attention_int8_sm90.cu"
    , 0};
static const char attention_int8_values_text[] = {
#embed "cuda/attention_int8_values.cu"
    , 0};
static const char attention_sm90_text[] = {
#embed "cuda/attention_sm90.cu"
    , 0};
static const char bias_residual_text[] = {
#embed "cuda/bias_residual.cu"
    , 0};
static const char channels_first_text[] = {
#embed "cuda/channels_first.cu"
    , 0};
static const char channels_last_text[] = {
#embed "cuda/channels_last.cu"
    , 0};
static const char convert_text[] = {
#embed "cuda/convert.cu"
    , 0};
static const char convolution_taps_text[] = {
#embed "cuda/convolution_taps.cu"
    , 0};
static const char distance_bias_text[] = {
#embed "cuda/distance_bias.cu"
    , 0};
static const char eight_bit_linear_text[] = {
#embed "cuda/eight_bit_linear.cu"
    , 0};
static const char frame_interleave_text[] = {
#embed "cuda/frame_interleave.cu"
    , 0};
static const char frames_to_rgb8_text[] = {
#embed "cuda/frames_to_rgb8.cu"
    , 0};
static const char gate_columns_text[] = {
#embed "cuda/gate_columns.cu"
    , 0};
static const char gather_rows_text[] = {
#embed "cuda/gather_rows.cu"
    , 0};
static const char gelu_gate_text[] = {
#embed "cuda/gelu_gate.cu"
    , 0};
static const char layer_norm_text[] = {
#embed "cuda/layer_norm.cu"
    , 0};
static const char layer_norm_modulate_text[] = {
#embed "cuda/layer_norm_modulate.cu"
    , 0};
static const char linear_combination_text[] = {
#embed "cuda/linear_combination.cu"
    , 0};
static const char linear_rows_text[] = {
#embed "cuda/linear_rows.cu"
    , 0};
static const char modulation_text[] = {
#embed "cuda/modulation.cu"
    , 0};
static const char noise_text[] = {
#embed "cuda/noise.cu"
    , 0};
static const char norm_silu_text[] = {
#embed "cuda/norm_silu.cu"
    , 0};
static const char patchify_text[] = {
#embed "cuda/patchify.cu"
    , 0};
static const char phase_interleave_text[] = {
#embed "cuda/phase_interleave.cu"
    , 0};
static const char plain_attention_text[] = {
#embed "cuda/plain_attention.cu"
    , 0};
static const char plain_convolution_text[] = {
#embed "cuda/plain_convolution.cu"
    , 0};
static const char plain_linear_text[] = {
#embed "cuda/plain_linear.cu"
    , 0};
static const char quantize_rows_text[] = {
#embed "cuda/quantize_rows.cu"
    , 0};
static const char rescale_product_text[] = {
#embed "cuda/rescale_product.cu"
    , 0};
static const char rms_factors_text[] = {
#embed "cuda/rms_factors.cu"
    , 0};
static const char rms_norm_text[] = {
#embed "cuda/rms_norm.cu"
    , 0};
static const char rms_norm_rope_text[] = {
#embed "cuda/rms_norm_rope.cu"
    , 0};
static const char unpatchify_text[] = {
#embed "cuda/unpatchify.cu"
    , 0};
static const char upsample_taps_text[] = {
#embed "cuda/upsample_taps.cu"
    , 0};
static const char with_history_text[] = {
#embed "cuda/with_history.cu"
    , 0};

#define SWAN_SOURCE(file, text) {file, text, sizeof text - 1}

const SwanKernelSource *swan_kernel_source_at(size_t index) {
    static const SwanKernelSource sources[] = {
        SWAN_SOURCE("swan_intrinsics.cuh", swan_intrinsics_text),
        SWAN_SOURCE("swan_device.cuh", swan_device_text),
        SWAN_SOURCE("swan_hopper.cuh", swan_hopper_text),
        SWAN_SOURCE("attention_sm90.cuh", attention_sm90_header_text),
        SWAN_SOURCE("attention_int8_rows.cuh", attention_int8_rows_text),
        SWAN_SOURCE("attention_int8_weights.cuh", attention_int8_weights_text),
        SWAN_SOURCE("row_norm.cuh", row_norm_text),
        SWAN_SOURCE("activate.cu", activate_text),
        SWAN_SOURCE("add.cu", add_text),
        SWAN_SOURCE("add_gated.cu", add_gated_text),
        SWAN_SOURCE("add_gated_layer_norm.cu", add_gated_layer_norm_text),
        SWAN_SOURCE("add_layer_norm_modulate.cu", add_layer_norm_modulate_text),
        SWAN_SOURCE("add_low_rank.cu", add_low_rank_text),
        SWAN_SOURCE("attention.cu", attention_text),
        SWAN_SOURCE("attention_int8_channels.cu", attention_int8_channels_text),
        SWAN_SOURCE("attention_int8_keys.cu", attention_int8_keys_text),
        SWAN_SOURCE("attention_int8_normed_queries.cu", attention_int8_normed_queries_text),
        SWAN_SOURCE("attention_int8_queries.cu", attention_int8_queries_text),
        SWAN_SOURCE("attention_int8_ranges.cu", attention_int8_ranges_text),
        SWAN_SOURCE("attention_int8_sm80.cu", attention_int8_sm80_text),
        SWAN_SOURCE("attention_int8_sm90.cu", attention_int8_sm90_text),
        SWAN_SOURCE("attention_int8_values.cu", attention_int8_values_text),
        SWAN_SOURCE("attention_sm90.cu", attention_sm90_text),
        SWAN_SOURCE("bias_residual.cu", bias_residual_text),
        SWAN_SOURCE("channels_first.cu", channels_first_text),
        SWAN_SOURCE("channels_last.cu", channels_last_text),
        SWAN_SOURCE("convert.cu", convert_text),
        SWAN_SOURCE("convolution_taps.cu", convolution_taps_text),
        SWAN_SOURCE("distance_bias.cu", distance_bias_text),
        SWAN_SOURCE("eight_bit_linear.cu", eight_bit_linear_text),
        SWAN_SOURCE("frame_interleave.cu", frame_interleave_text),
        SWAN_SOURCE("frames_to_rgb8.cu", frames_to_rgb8_text),
        SWAN_SOURCE("gate_columns.cu", gate_columns_text),
        SWAN_SOURCE("gather_rows.cu", gather_rows_text),
        SWAN_SOURCE("gelu_gate.cu", gelu_gate_text),
        SWAN_SOURCE("layer_norm.cu", layer_norm_text),
        SWAN_SOURCE("layer_norm_modulate.cu", layer_norm_modulate_text),
        SWAN_SOURCE("linear_combination.cu", linear_combination_text),
        SWAN_SOURCE("linear_rows.cu", linear_rows_text),
        SWAN_SOURCE("modulation.cu", modulation_text),
        SWAN_SOURCE("noise.cu", noise_text),
        SWAN_SOURCE("norm_silu.cu", norm_silu_text),
        SWAN_SOURCE("patchify.cu", patchify_text),
        SWAN_SOURCE("phase_interleave.cu", phase_interleave_text),
        SWAN_SOURCE("plain_attention.cu", plain_attention_text),
        SWAN_SOURCE("plain_convolution.cu", plain_convolution_text),
        SWAN_SOURCE("plain_linear.cu", plain_linear_text),
        SWAN_SOURCE("quantize_rows.cu", quantize_rows_text),
        SWAN_SOURCE("rescale_product.cu", rescale_product_text),
        SWAN_SOURCE("rms_factors.cu", rms_factors_text),
        SWAN_SOURCE("rms_norm.cu", rms_norm_text),
        SWAN_SOURCE("rms_norm_rope.cu", rms_norm_rope_text),
        SWAN_SOURCE("unpatchify.cu", unpatchify_text),
        SWAN_SOURCE("upsample_taps.cu", upsample_taps_text),
        SWAN_SOURCE("with_history.cu", with_history_text),
    };
    return index < sizeof sources / sizeof *sources ? &sources[index] : NULL;
}
