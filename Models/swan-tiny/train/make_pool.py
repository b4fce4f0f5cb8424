"""Encode drawn clips once for several training processes, with the latent statistics of an exported model.

Usage: python make_pool.py WORLD.npz MODEL_FOLDER POOL.pt [--clips 26000] [--device cuda]
"""
import argparse
import json
import os
from pathlib import Path

import torch

import text
from train_transformer import encode_pool, load_vae
from world import World


def statistics_of(folder, device):
    """Latent mean and deviation from the VAE's configuration."""
    config = json.loads((Path(folder) / "vae" / "config.json").read_text())
    return tuple(torch.tensor(config[k], device=device) for k in ("latents_mean", "latents_std"))


def main():
    """Draw, encode, write; the file appears only when it is complete."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("world", "folder", "out"):
        parser.add_argument(name)
    parser.add_argument("--clips", type=int, default=26000)
    parser.add_argument("--seconds", type=float, default=70)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--pair-share", type=float, default=0.22)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--no-compile", action="store_true")
    options = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    vae = load_vae(Path(options.folder) / "vae" / "diffusion_pytorch_model.safetensors", options.device)
    data = encode_pool(World(options.world, options.device, seed=29), vae, text.Tokenizer(Path(options.folder) / "tokenizer" / "spiece.model"),
                       options.clips, options.seconds, options.device, not options.no_compile, options.batch, statistics_of(options.folder, options.device), options.pair_share)
    torch.save({k: v.cpu() for k, v in data.items()}, options.out + ".part")
    os.replace(options.out + ".part", options.out)


if __name__ == "__main__":
    main()
