"""Go on training one expert of an exported model on its side of the boundary.

Usage: python train_expert.py high|low MODEL_FOLDER POOL.pt OUT_FOLDER --seconds 290 [--start EPOCH]
"""
import argparse
import os
import time
from pathlib import Path

import torch
from safetensors.torch import load_file

import sampling
import text
from network import Network, block_forward, new_transformer
from optim import Average, Clock, Optimiser, compiled
from train_transformer import ADAM_ONLY, HIGH_RANGE, LOW_RANGE, Pool, encode_text, load_encoder, save, show, velocity_loss

SUBFOLDER = {"high": "transformer", "low": "transformer_2"}
RANGE = {"high": HIGH_RANGE, "low": LOW_RANGE}


def load_expert(path, device):
    """A transformer with the weights of a file (half or single precision)."""
    model = new_transformer()
    model.load_state_dict({k: v.float() for k, v in load_file(path).items()})
    return model.to(device)


def wait_for(path, clock):
    """Wait until a file appears; an error after the deadline."""
    while not Path(path).exists():
        if clock.share > 1:
            raise SystemExit(f"{path} did not appear in time")
        time.sleep(0.2)


def save_whole(module, path):
    """Save so that a waiting process never sees half a file."""
    save(module, str(path) + ".part")
    os.replace(str(path) + ".part", path)


def warm(network, batch, device):
    """Compile before the data are there."""
    latents, time_ = torch.randn(batch, *sampling.LATENT, device=device), torch.rand(batch, device=device)
    rows, lengths = torch.randn(batch, text.ROWS, 128, device=device), torch.full((batch,), 9, device=device)
    velocity_loss(network, rows, lengths, latents, latents, time_, device).backward()
    network.model.zero_grad(set_to_none=True)


def train(role, network, encoder, pool, batch, clock):
    """Flat, then falling rate until the deadline; leaves the averaged weights in place."""
    optimiser = Optimiser(list(network.model.named_parameters()), ADAM_ONLY, muon_rate=2.5e-3, adam_rate=1e-3)
    average = Average(optimiser.parameters, 0.998)
    begin, step, started = clock.share, 0, time.time()
    while clock.share < 1:
        share = (clock.share - begin) / (1 - begin)
        noisy, velocity, sigma, ids = pool.batch(batch, *RANGE[role])
        rows, lengths = encode_text(encoder, ids)
        loss = velocity_loss(network, rows, lengths, noisy, velocity, sigma, pool.device)
        loss.backward()
        optimiser.step(min(1.0, (step + 1) / 100) * max(0.01, min(1.0, 1.35 * (1 - share))))
        average.update()
        step += 1
        if step in (1, 20) or step % 500 == 0:
            show(role, step, clock, started, [loss])
    average.swap()
    print(role, "steps", step, flush=True)


def main():
    """Compile, wait for the pool, train, save."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("role", "folder", "pool", "out"):
        parser.add_argument(name)
    parser.add_argument("--seconds", type=float, default=290)
    parser.add_argument("--start", type=float)
    parser.add_argument("--batch", type=int, default=192)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--no-compile", action="store_true")
    options = parser.parse_args()
    clock, device, folder = Clock(options.seconds - (time.time() - options.start if options.start else 0)), options.device, Path(options.folder)
    torch.manual_seed(31 if options.role == "high" else 37)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    network = Network(load_expert(folder / SUBFOLDER[options.role] / "diffusion_pytorch_model.safetensors", device), compiled(block_forward, not options.no_compile))
    encoder = load_encoder(folder / "text_encoder" / "model.safetensors", text.Tokenizer(folder / "tokenizer" / "spiece.model"), device).requires_grad_(False)
    warm(network, options.batch, device)
    print(f"{options.role} ready at {clock.elapsed:.0f} s", flush=True)
    wait_for(options.pool, clock)
    pool = Pool(torch.load(options.pool, mmap=True), device, seed=41 if options.role == "high" else 43)
    train(options.role, network, encoder, pool, options.batch, clock)
    save_whole(network.model, Path(options.out) / f"{options.role}.safetensors")


if __name__ == "__main__":
    main()
