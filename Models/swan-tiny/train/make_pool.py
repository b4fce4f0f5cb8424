"""Draw and encode clips for another process, part by part, with the latent statistics of an exported model.

Usage: python make_pool.py WORLD.npz MODEL_FOLDER POOL_FOLDER [--clips 65536] [--seconds 400] [--device cuda]
"""
import argparse
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
import torch.nn.functional as F

import text
import whole_clip
from captions import caption
from optim import Clock, compiled
from pool import part_path
from train_transformer import TEXT_NOISE, load_vae
from world import World


def statistics_of(folder, device):
    """Latent mean and deviation from the VAE's configuration."""
    config = json.loads((Path(folder) / "vae" / "config.json").read_text())
    return tuple(torch.tensor(config[k], device=device) for k in ("latents_mean", "latents_std"))


def latent_cover(cover):
    """Cover of the figures on the latent grid, the largest of each cell, 0…255: [B, 1, 4k + 1, S, S] → [B, k + 1, S / 8, S / 8]."""
    first, rest = F.max_pool3d(cover[:, :, :1], (1, 8, 8)), F.max_pool3d(cover[:, :, 1:], (4, 8, 8))
    return (torch.cat([first, rest], 2)[:, 0] * 255).round().byte()


class Maker:
    """Draws clips, encodes them, says them in words."""

    def __init__(self, options):
        self.options, self.device = options, options.device
        self.world = World(options.world, self.device, seed=options.seed, spread=options.spread)
        self.tokenizer = text.Tokenizer(Path(options.folder) / "tokenizer" / "spiece.model")
        vae = load_vae(Path(options.folder) / "vae" / "diffusion_pytorch_model.safetensors", self.device)
        mean, std = (v.view(1, -1, 1, 1, 1) for v in statistics_of(options.folder, self.device))
        self.encode = compiled(lambda clip: (whole_clip.encode(vae, clip)[0].float() - mean) / std, not options.no_compile)

    @torch.no_grad()
    def batch(self):
        """Normalised latents, cover on their grid, captions."""
        labels = self.world.labels(self.options.batch, pair_share=self.options.pair_share, keep=self.options.keep)
        clip, cover = self.world.draw(labels, with_cover=True)
        with torch.autocast(self.device, torch.bfloat16, enabled=self.device == "cuda"):
            latents = self.encode(clip.contiguous(memory_format=torch.channels_last_3d)).to(torch.bfloat16)
        return latents, latent_cover(cover), [caption(self.world.rng, label) for label in labels]

    def part(self):
        """One part of the pool, in host memory."""
        batches = [self.batch() for _ in range(max(1, self.options.part // self.options.batch))]
        latents, cover, captions = zip(*batches)
        ids = self.tokenizer.ids([c for some in captions for c in some], self.world.rng, TEXT_NOISE)
        return {"latents": torch.cat(latents).cpu(), "cover": torch.cat(cover).cpu(), "ids": ids}


def write(data, path):
    """Write a part; it appears only when it is complete."""
    torch.save(data, str(path) + ".part")
    os.replace(str(path) + ".part", path)


def main():
    """Make parts until there are enough or the time is over."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("world", "folder", "out"):
        parser.add_argument(name)
    parser.add_argument("--clips", type=int, default=65536)
    parser.add_argument("--part", type=int, default=4096, help="clips in one file")
    parser.add_argument("--seconds", type=float, default=400)
    parser.add_argument("--start", type=float, default=time.time(), help="epoch seconds from which --seconds counts")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--pair-share", type=float, default=0.22)
    parser.add_argument("--keep", type=float, nargs=3, default=(1, 0.75, 0.5), help="share of clips with a walking figure, another one, shapes alone that are kept")
    parser.add_argument("--spread", type=float, default=0.05, help="how far from the middle figures may be that do not cross the frame")
    parser.add_argument("--seed", type=int, default=29)
    parser.add_argument("--tune", action="store_true", help="let cuDNN try all its convolutions first")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--no-compile", action="store_true")
    options = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = options.tune
    clock, maker, count, number = Clock(options.seconds, options.start), Maker(options), 0, 0
    Path(options.out).mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(1) as writer:
        while count < options.clips and clock.share < 1:
            data = maker.part()
            writer.submit(write, data, part_path(options.out, number))
            count, number = count + len(data["ids"]), number + 1
            print(f"{count} clips at {clock.elapsed:.0f} s", flush=True)


if __name__ == "__main__":
    main()
