// One level's table. The including file names the level and sets the attributes of its functions.
#include "vectors.h"

#include "product.h"

#include "rows.h"

const SwanKernels SWAN_LEVEL = {
    .name = SWAN_LEVEL_NAME,
    .pack_transposed = pack_transposed,
    .pack = pack,
    .product = product,
    .finish = finish,
    .softmax_tile = softmax_tile,
    .softmax_end = softmax_end,
    .layer_norm = layer_norm,
    .rms_norm = rms_norm,
    .rms_norm_rope = rms_norm_rope,
    .channel_norm = channel_norm,
    .activate = activate,
    .gelu_gate = gelu_gate,
    .add = add,
    .add_gated = add_gated,
    .scale = scale,
    .channels_last = channels_last,
    .channels_first = channels_first,
    .rgb8 = rgb8,
};
