"""The diffusers Wan transformer for training: the same function over the same weights.

Differences in form only: blocks and the final layer are plain functions of tensors (one
compilation serves all blocks, and low-rank terms can be added to the weights on the way
in), patches are embedded by a matrix product instead of a convolution, and the hundreds
of equal pad rows of the text are one row whose logit carries their number.
"""
import math

import torch
import torch.nn.functional as F
from diffusers import WanTransformer3DModel

from text import PAD_ROWS, ROWS

HEADS = 3
LINEARS = tuple(f"{a}.{m}" for a in ("attn1", "attn2") for m in ("to_q", "to_k", "to_v", "to_out.0")) + ("ffn.net.0.proj", "ffn.net.2")
OTHERS = ("scale_shift_table", "attn1.norm_q.weight", "attn1.norm_k.weight", "attn2.norm_q.weight", "attn2.norm_k.weight", "norm2.weight", "norm2.bias")


def new_transformer():
    """Wan2.2-T2V-A14B's transformer at toy scale."""
    model = WanTransformer3DModel(patch_size=(1, 2, 2), num_attention_heads=HEADS, attention_head_dim=64, in_channels=16, out_channels=16, text_dim=128,
                                  freq_dim=256, ffn_dim=512, num_layers=6, cross_attn_norm=True, qk_norm="rms_norm_across_heads", eps=1e-6)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "scale_shift_table" in name or name.startswith("proj_out"):
                p.zero_()
    return model


def block_weights(block):
    """All tensors of one block, in the order that block_forward expects."""
    return tuple(block.get_parameter(n) for n in OTHERS) + tuple(block.get_parameter(f"{n}.{kind}") for n in LINEARS for kind in ("weight", "bias"))


def rms(x, weight):
    """Root-mean-square norm over all heads."""
    y = x.float()
    return (y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + 1e-6) * weight).to(x.dtype)


def rotate(x, cos, sin):
    """Rotary positions on channel pairs of [B, N, heads, 64]."""
    a, b = x.unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2).to(x.dtype)


def layer_norm(x, weight=None, bias=None):
    """Layer norm in single precision."""
    return F.layer_norm(x.float(), x.shape[-1:], weight, bias, 1e-6)


def block_forward(x, text, text_bias, modulation, cos, sin, *weights):
    """One transformer block."""
    table, self_q, self_k, cross_q, cross_k, norm_w, norm_b = weights[:7]
    (q1, q1b, k1, k1b, v1, v1b, o1, o1b, q2, q2b, k2, k2b, v2, v2b, o2, o2b, up, up_b, down, down_b) = weights[7:]
    shift, scale, gate, shift2, scale2, gate2 = (table + modulation.float()).chunk(6, 1)
    heads = lambda y: y.unflatten(-1, (HEADS, -1))

    h = (layer_norm(x) * (1 + scale) + shift).to(x.dtype)
    q, k, v = F.linear(h, torch.cat([q1, k1, v1]), torch.cat([q1b, k1b, v1b])).chunk(3, -1)
    q, k = rotate(heads(rms(q, self_q)), cos, sin), rotate(heads(rms(k, self_k)), cos, sin)
    h = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), heads(v).transpose(1, 2)).transpose(1, 2).flatten(2)
    x = (x.float() + F.linear(h, o1, o1b) * gate).to(x.dtype)

    h = layer_norm(x, norm_w, norm_b).to(x.dtype)
    q = heads(rms(F.linear(h, q2, q2b), cross_q)).transpose(1, 2)
    k, v = F.linear(text, torch.cat([k2, v2]), torch.cat([k2b, v2b])).chunk(2, -1)
    k, v = heads(rms(k, cross_k)).transpose(1, 2), heads(v).transpose(1, 2)
    share = torch.softmax((q @ k.mT).float() * 0.125 + text_bias, -1).to(v.dtype)
    x = x + F.linear((share @ v).transpose(1, 2).flatten(2), o2, o2b)

    h = (layer_norm(x) * (1 + scale2) + shift2).to(x.dtype)
    h = F.linear(F.gelu(F.linear(h, up, up_b), approximate="tanh"), down, down_b)
    return (x.float() + h.float() * gate2).to(x.dtype)


def final_forward(x, table, time, weight, bias):
    """The modulated norm and the projection to patches."""
    shift, scale = (table + time.float()[:, None]).chunk(2, 1)
    return F.linear((layer_norm(x) * (1 + scale) + shift).to(x.dtype), weight, bias)


def compiled_parts(enabled):
    """block_forward and final_forward, compiled as one graph each when enabled."""
    compile_ = lambda function: torch.compile(function, dynamic=False, fullgraph=True) if enabled else function
    return compile_(block_forward), compile_(final_forward)


def patches(latents):
    """Latents as rows of 2 × 2 patches, in the order of the patch embedding's kernel: [B, tokens, 4 × channels]."""
    batch, channels, frames, height, width = latents.shape
    x = latents.reshape(batch, channels, frames, height // 2, 2, width // 2, 2).permute(0, 2, 3, 5, 1, 4, 6)
    return x.reshape(batch, frames * height * width // 4, 4 * channels)


def pad_bias(lengths):
    """Additive logits of the text rows: real rows 0, the one pad row ln(number of pads), the rest nothing."""
    rows = torch.arange(ROWS, device=lengths.device)[None]
    pads = torch.log((PAD_ROWS - lengths).float())[:, None]
    bias = torch.where(rows < lengths[:, None], 0.0, torch.where(rows == ROWS - 1, pads, -1e9))
    return bias[:, None, None]


class Network:
    """Velocity of latents under text; `block` and `final` may be compiled."""

    def __init__(self, model, block=block_forward, final=final_forward):
        self.model, self.block, self.final = model, block, final
        self.positions = {}

    def rotary(self, latents):
        """Cosines and sines per channel pair, kept per latent shape."""
        shape = latents.shape[2:]
        if shape not in self.positions:
            cos, sin = self.model.rope(latents)
            self.positions[shape] = cos[0, :, :, 0::2].contiguous(), sin[0, :, :, 1::2].contiguous()
        return self.positions[shape]

    def __call__(self, latents, timestep, rows, lengths, weights=None):
        """Velocity; timestep in 0…1000, text rows [B, ROWS, width] and their numbers of real tokens.

        `weights` replaces the blocks' own tensors (a list of tuples), for low-rank training.
        """
        model, (cos, sin) = self.model, self.rotary(latents)
        x = F.linear(patches(latents), model.patch_embedding.weight.flatten(1), model.patch_embedding.bias)
        embed = model.condition_embedder
        time = embed.time_embedder(embed.timesteps_proj(timestep))
        modulation = embed.time_proj(F.silu(time)).unflatten(1, (6, -1))
        text, bias = embed.text_embedder(rows), pad_bias(lengths)
        for k, block in enumerate(model.blocks):
            x = self.block(x, text, bias, modulation, cos, sin, *(weights[k] if weights else block_weights(block)))
        x = self.final(x, model.scale_shift_table, time, model.proj_out.weight, model.proj_out.bias)
        frames, height, width = latents.shape[2], latents.shape[3] // 2, latents.shape[4] // 2
        x = x.view(len(x), frames, height, width, 2, 2, -1).permute(0, 6, 1, 2, 4, 3, 5)
        return x.reshape(latents.shape).float()
