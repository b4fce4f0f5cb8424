"""A whole two-expert model of random weights, small enough to be kept in every checkpoint layout.

Transformer: d 32, 2 heads of 16 (pairs 4, 2, 2), ffn 48, 2 layers, in = out = 16, freq 32, text 32 wide
and 512 rows. UMT5: vocab 304, d 32, 4 heads of 8, ffn 48, 2 layers. VAE: dim 2, z 16, the published
means and deviations. Weights come from ../support.py's fill, under the names `high.`, `low.`, `umt5.`,
`vae.` + tensor, scaled so that nothing is near zero and no expert, prompt or frame looks like another.

Every value is exact in float16 and in bfloat16, so that a layout may use either and load to the same bits.
"""
import math
import sys
from pathlib import Path

import torch

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from support import official, uniform

DIM, HEADS, FFN, LAYERS, FREQ, TEXT = 32, 2, 48, 2, 32, 32
VOCABULARY, ENCODER_HEADS, ENCODER_FFN, ENCODER_LAYERS = 304, 4, 48, 2
VAE_DIM, LATENT = 2, 16
MEAN = [-0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508,
        0.4134, -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921]
DEVIATION = [2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743,
             3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.9160]


def short(value):
    """Rounded to what both 16-bit formats hold: 8 bits of mantissa, nothing below 2^-17."""
    value = value.to(torch.bfloat16).float()
    return torch.where(value.abs() < 2**-17, 0.0, value)


def lively(name, shape):
    """A weight whose effect can be seen in the output."""
    u = uniform(name, shape)
    if "token_embedding" in name or "pos_embedding" in name:
        value = 2 * u
    elif "cross_attn.norm" in name:
        value = 1.8 + 0.3 * u                           # sharp, so that few words count beside the padding
    elif name.endswith("modulation"):
        value = 0.5 * u
    elif name.endswith("bias"):
        value = 0.3 * u
    elif name.endswith("gamma") or len(shape) == 1:
        value = 1 + 0.3 * u
    else:
        value = u * math.sqrt(3 / math.prod(shape[1:]))
    return short(value.float())


def build(module, name):
    """The module with lively weights named below `name`."""
    for key, parameter in module.named_parameters():
        parameter.copy_(lively(f"{name}.{key}", tuple(parameter.shape)))
    return module.eval()


def transformer(expert):
    """The official transformer with the weights of `high` or `low`."""
    return build(official("modules.model").WanModel(
        dim=DIM, ffn_dim=FFN, num_heads=HEADS, num_layers=LAYERS, in_dim=LATENT, out_dim=LATENT, freq_dim=FREQ,
        text_dim=TEXT, text_len=512, cross_attn_norm=True), expert)


def encoder():
    """The official text encoder."""
    return build(official("modules.t5").T5Encoder(
        vocab=VOCABULARY, dim=TEXT, dim_attn=TEXT, dim_ffn=ENCODER_FFN, num_heads=ENCODER_HEADS,
        num_layers=ENCODER_LAYERS, num_buckets=32, shared_pos=False), "umt5")


def vae():
    """The official video VAE."""
    return build(official("modules.vae2_1").WanVAE_(
        dim=VAE_DIM, z_dim=LATENT, dim_mult=[1, 2, 4, 4], num_res_blocks=2, temperal_downsample=[False, True, True]), "vae")


def decode(vae, latent):
    """Frames in -1...1, as the official wrapper makes them."""
    scale = [torch.tensor(MEAN), 1 / torch.tensor(DEVIATION)]
    return vae.decode(latent[None], scale)[0].clamp(-1, 1)
