"""Wan's VAE on a whole clip at once: the function of the library's chunk-by-chunk form, in far fewer launches.

The library encodes and decodes four frames at a time and carries caches. On a whole
clip its causal convolutions need no cache; only the temporal resampling differs:
* down: the first frame passes, the others come from the stride-2 convolution over all frames, unpadded;
* up: the first frame passes, the others come from the causal convolution over frames 1…, zero-padded.
"""
import torch
from diffusers.models.autoencoders import autoencoder_kl_wan as wan

_streamed_forward = wan.WanResample.forward


def _upsample_time(block, x):
    """Two frames for every frame but the first."""
    batch, channels, frames, height, width = x.shape
    pairs = block.time_conv(x[:, :, 1:]).reshape(batch, 2, channels, frames - 1, height, width)
    pairs = pairs.permute(0, 2, 3, 1, 4, 5).reshape(batch, channels, 2 * (frames - 1), height, width)
    return torch.cat([x[:, :, :1], pairs], 2)


def _forward(block, x, feat_cache=None, feat_idx=[0]):
    """WanResample.forward for a whole clip; with a cache, the library's own."""
    if feat_cache is not None:
        return _streamed_forward(block, x, feat_cache, feat_idx)
    if block.mode == "upsample3d" and x.shape[2] > 1:
        x = _upsample_time(block, x)
    batch, _, frames = x.shape[:3]
    x = block.resample(x.transpose(1, 2).flatten(0, 1))
    x = x.unflatten(0, (batch, frames)).transpose(1, 2)
    if block.mode == "downsample3d" and frames > 1:
        x = torch.cat([x[:, :, :1], block.time_conv(x)], 2)
    return x


wan.WanResample.forward = _forward


def encode(vae, clip):
    """Mean and log-variance of the latents of a clip [B, 3, 4k+1, H, W]."""
    return vae.quant_conv(vae.encoder(clip)).chunk(2, 1)


def decode(vae, latents):
    """Clip of the latents, not clamped."""
    return vae.decoder(vae.post_quant_conv(latents))


def new_vae():
    """Wan2.1's VAE at a sixth of its width."""
    return wan.AutoencoderKLWan(base_dim=16, z_dim=16, dim_mult=[1, 2, 4, 4], num_res_blocks=2)
