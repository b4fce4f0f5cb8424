"""Makes tiny.safetensors: the official Wan2.1 video VAE, filled deterministically.

Reference, packages and fill: ../support.py. dtype float32, mean 0, deviation 1, no random numbers. The
same weights in diffusers' AutoencoderKLWan give the same results, which is checked below.

dim 8, z 4, mult 1 2 4 4, 2 residual blocks. Frames are not clamped.
  middle.0     output of the decoder's middle for chunk 0 of `input.z`
  decoded      `input.z` [4, 3, 4, 6] -> 9 frames; its first frame is the decode of the first latent alone
  decoded.4    `input.z4` [4, 4, 2, 3] -> 13 frames: the caches in their steady state
  encoded      `input.video` [3, 9, 32, 48] -> latent, the mean of the distribution
  encoded.1    the first frame alone
It does not guard widths that are multiples of a tile, nor sizes beyond one.
"""
import sys
from pathlib import Path

import torch
from diffusers import AutoencoderKLWan

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from names import vae_to_diffusers
from support import fill, filled, official, record, save

IDENTITY = [0.0, 1.0]                                   # mean and 1 / deviation

vae = filled(official("modules.vae2_1").WanVAE_(
    dim=8, z_dim=4, dim_mult=[1, 2, 4, 4], num_res_blocks=2, temperal_downsample=[False, True, True]))
peer = AutoencoderKLWan(base_dim=8, z_dim=4, latents_mean=[0.0] * 4, latents_std=[1.0] * 4).eval()
peer.load_state_dict({vae_to_diffusers(name): value for name, value in vae.state_dict().items()})


def decode(z):
    """Frames of a latent, the same by both classes up to the peer's clamp."""
    frames = vae.decode(z[None], IDENTITY)[0]
    assert torch.allclose(peer.decode(z[None], return_dict=False)[0][0], frames.clamp(-1, 1), atol=1e-6)
    return frames


def encode(video):
    """Latent of a video, the same by both classes."""
    latent = vae.encode(video[None], IDENTITY)[0]
    assert torch.allclose(peer.encode(video[None]).latent_dist.mode()[0], latent, atol=1e-6)
    return latent


z, video, tensors = fill("input.z", (4, 3, 4, 6)), fill("input.video", (3, 9, 32, 48)), {}
hook = record(vae.decoder.middle[2], tensors, "middle.0")
first = decode(z[:, :1])
hook.remove()

tensors |= {"decoded": decode(z), "decoded.4": decode(fill("input.z4", (4, 4, 2, 3)))}
tensors |= {"encoded": encode(video), "encoded.1": encode(video[:, :1])}
assert torch.equal(first[:, 0], tensors["decoded"][:, 0])
save(HERE / "tiny.safetensors", tensors)
