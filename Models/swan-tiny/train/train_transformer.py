"""Train text encoder and transformer on latents of drawn clips, then split into two experts.

Usage: python train_transformer.py WORLD.npz SPIECE.model VAE.safetensors SCORER.safetensors OUT_FOLDER [--seconds 560]
"""
import argparse
import copy
import json
import subprocess
import sys
import time
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

import sampling
import text
import whole_clip
from captions import caption
from evaluate import Judge, decode, sample
from network import Network, block_forward, new_transformer
from optim import Average, Clock, Optimiser, compiled
from train_vae import to_channels_last
from world import World

EMPTY_SHARE, TEXT_NOISE = 0.10, 0.06
BASE_SHARE = 0.56                        # of the training time, before the split
HIGH_RANGE, LOW_RANGE = (0.575, 1.0), (0.0, 0.592)   # of u; shift(0.5833) = 0.875 is the boundary
ADAM_ONLY = ("patch_embedding", "proj_out", "shared", "relative_attention_bias", "time_embedder.linear_1", "time_proj")
ENCODED_AT_ONCE = 64


def encode_pool(world, vae, tokenizer, count, seconds, device, compile_encoder, batch=ENCODED_AT_ONCE):
    """Normalised latents and caption ids of many drawn clips, with the statistics of the latents."""
    encode = compiled(lambda clip: whole_clip.encode(vae, clip)[0], compile_encoder)
    clock, parts, captions = Clock(seconds), [], []
    while len(captions) < count and (clock.share < 1 or not parts):
        labels = world.labels(batch)
        clip = world.draw(labels).contiguous(memory_format=torch.channels_last_3d)
        with torch.no_grad(), torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            parts.append(encode(clip).to(torch.bfloat16))
        captions += [caption(world.rng, label) for label in labels]
        if len(parts) % 100 == 0:
            print(f"{len(captions)} clips encoded in {clock.elapsed:.0f} s", flush=True)
    latents = torch.cat(parts)
    some = latents[:2048].float()
    mean, std = some.mean((0, 2, 3, 4)), some.std((0, 2, 3, 4))
    column = lambda v: v.view(1, -1, 1, 1, 1)
    for part in latents.split(1024):
        part.copy_((part.float() - column(mean)) / column(std))
    print(f"pool of {len(captions)} clips in {clock.elapsed:.0f} s", flush=True)
    return {"latents": latents, "ids": tokenizer.ids(captions, world.rng, TEXT_NOISE).to(device), "empty": tokenizer.ids([""]).to(device), "mean": mean, "std": std}


class Pool:
    """Training batches from encoded clips on the device."""

    def __init__(self, data, device, seed=3):
        self.device = device
        self.latents, self.ids, self.empty, self.mean, self.std = (data[k].to(device) for k in ("latents", "ids", "empty", "mean", "std"))
        self.random = torch.Generator(device).manual_seed(seed)

    def batch(self, size, low, high):
        """Noised latents, their velocity, sigma, caption ids (some empty) and caption numbers."""
        pick = torch.randint(len(self.latents), (size,), device=self.device, generator=self.random)
        clean = self.latents[pick].float()
        u = (torch.arange(size, device=self.device) + torch.rand(size, device=self.device, generator=self.random)) / size
        sigma = sampling.shifted(low + (high - low) * u)
        noise = torch.randn(clean.shape, device=self.device, generator=self.random)
        noisy = clean.lerp(noise, sigma.view(-1, 1, 1, 1, 1))
        drop = torch.rand(size, 1, device=self.device, generator=self.random) < EMPTY_SHARE
        return noisy, noise - clean, sigma, torch.where(drop, self.empty, self.ids[pick])


def encode_text(encoder, ids):
    """Text rows and lengths, in mixed precision on a GPU (a context of its own, so that no cast outlives a step)."""
    with torch.autocast(ids.device.type, torch.bfloat16, enabled=ids.is_cuda):
        return text.encode(encoder, ids)


def velocity_loss(network, rows, lengths, noisy, velocity, sigma, device, weight=None):
    """Mean squared error of the velocity; with `weight`, a weighted mean over positions."""
    with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
        guess = network(noisy, 1000 * sigma, rows, lengths)
    error = (guess - velocity).pow(2)
    return error.mean() if weight is None else (error * weight).mean() / weight.mean()


def show(name, step, clock, started, losses):
    """One line of progress."""
    print(f"{name} step {step} at {clock.elapsed:.0f} s ({(time.time() - started) / step * 1e3:.1f} ms): " + " ".join(f"{l.item():.4f}" for l in losses), flush=True)


def train_base(network, encoder, pool, batch, clock, until):
    """One transformer with its text encoder on all times; leaves the averaged weights in place."""
    named = [("model." + n, p) for n, p in network.model.named_parameters()] + [("text." + n, p) for n, p in encoder.named_parameters()]
    optimiser = Optimiser(named, ADAM_ONLY, muon_rate=3e-3, adam_rate=1.5e-3)
    average = Average(optimiser.parameters, 0.9985)
    step, started = 0, time.time()
    while clock.share < until:
        noisy, velocity, sigma, ids = pool.batch(batch, 0.0, 1.0)
        rows, lengths = encode_text(encoder, ids)
        loss = velocity_loss(network, rows, lengths, noisy, velocity, sigma, pool.device)
        loss.backward()
        optimiser.step(min(1.0, (step + 1) / 200))
        average.update()
        step += 1
        if step in (1, 20, 100) or step % 250 == 0:
            show("base", step, clock, started, [loss])
    average.swap()
    return step


def train_experts(networks, encoder, pool, batch, clock, begin):
    """Each expert on its side of the boundary, in turn, with a falling rate."""
    ranges = (HIGH_RANGE, LOW_RANGE)
    optimisers = [Optimiser(list(n.model.named_parameters()), ADAM_ONLY, muon_rate=3e-3, adam_rate=1e-3) for n in networks]
    averages = [Average(o.parameters, 0.998) for o in optimisers]
    step, started = 0, time.time()
    while clock.share < 1:
        share = (clock.share - begin) / (1 - begin)
        factor = min(1.0, (step + 1) / 50) * max(0.01, 1 - share)
        losses = []
        for network, (low, high), optimiser, average in zip(networks, ranges, optimisers, averages):
            noisy, velocity, sigma, ids = pool.batch(batch, low, high)
            rows, lengths = encode_text(encoder, ids)
            loss = velocity_loss(network, rows, lengths, noisy, velocity, sigma, pool.device)
            loss.backward()
            optimiser.step(factor)
            average.update()
            losses.append(loss.detach())
        step += 1
        if step in (1, 20) or step % 250 == 0:
            show("experts", step, clock, started, losses)
    for average in averages:
        average.swap()
    return step


def save(module, path):
    """Weights in single precision."""
    save_file({k: v.detach().float().contiguous().clone() for k, v in module.state_dict().items() if k != "encoder.embed_tokens.weight"}, path)


def load_encoder(path, tokenizer, device):
    """The text encoder with saved weights (its table is stored once)."""
    encoder = text.new_encoder(tokenizer.model.get_piece_size())
    state = {k: v.float() for k, v in load_file(path).items()}
    encoder.load_state_dict({**state, "encoder.embed_tokens.weight": state["shared.weight"]}, strict=True)
    return encoder.to(device)


def report_quality(networks, encoder, tokenizer, judge, vae, pool_mean, pool_std, out, guidances, steps):
    """Scores for several guidance pairs; film strips of each."""
    column = lambda v: v.view(1, -1, 1, 1, 1)
    scores = {}
    for pair in guidances:
        latents = sample(*networks, encoder, tokenizer, judge, sampling.unipc, steps, *pair)
        clips = decode(vae, latents, column(pool_mean), column(pool_std), judge.device)
        scores[f"{pair[0]}/{pair[1]}"] = judge.score(clips)
        print("guidance", pair, json.dumps(scores[f"{pair[0]}/{pair[1]}"]), flush=True)
        if pair in guidances[:2]:
            judge.sheet(clips, Path(out) / f"samples-{pair[0]}-{pair[1]}.png")
    return scores


def load_vae(path, device):
    """The trained VAE, ready to run."""
    vae = whole_clip.new_vae().to(device).eval()
    vae.load_state_dict({k: v.float() for k, v in load_file(path).items()})
    to_channels_last(vae)
    return vae.requires_grad_(False)


def parse():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("world", "spiece", "vae", "scorer", "out"):
        parser.add_argument(name)
    parser.add_argument("--seconds", type=float, default=560)
    parser.add_argument("--batch", type=int, default=192)
    parser.add_argument("--clips", type=int, default=26000)
    parser.add_argument("--pool-seconds", type=float, default=75)
    parser.add_argument("--encode-batch", type=int, default=ENCODED_AT_ONCE)
    parser.add_argument("--reserve", type=float, default=45, help="seconds for the evaluation")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--tests", type=int, default=200)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--only-warm-cache", action="store_true", help="compile one block into the compiler's cache and end")
    return parser.parse_args()


def warm_cache(options, block):
    """Compile the block, forward and backward, at the training's shapes."""
    network = Network(new_transformer().to(options.device), block)
    rows, lengths = torch.randn(options.batch, text.ROWS, 128, device=options.device), torch.full((options.batch,), 9, device=options.device)
    noisy = torch.randn(options.batch, *sampling.LATENT, device=options.device)
    velocity_loss(network, rows.requires_grad_(), lengths, noisy, noisy, torch.rand(options.batch, device=options.device), options.device).backward()
    print("block compiled", flush=True)


def main():
    """Pool, base, experts, evaluation."""
    options = parse()
    Path(options.out).mkdir(parents=True, exist_ok=True)
    clock, device = Clock(options.seconds), options.device
    torch.manual_seed(17)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    block = compiled(block_forward, not options.no_compile)
    if options.only_warm_cache:
        return warm_cache(options, block)
    if not options.no_compile:
        subprocess.Popen([sys.executable, *sys.argv, "--only-warm-cache"])
    world, vae = World(options.world, device, seed=23), load_vae(options.vae, device)
    tokenizer = text.Tokenizer(options.spiece)
    pool = Pool(encode_pool(world, vae, tokenizer, options.clips, options.pool_seconds, device, not options.no_compile, options.encode_batch), device)
    encoder = text.new_encoder(tokenizer.model.get_piece_size()).to(device)
    network = Network(new_transformer().to(device), block)

    training = Clock(options.seconds - clock.elapsed - options.reserve)
    base_steps = train_base(network, encoder, pool, options.batch, training, BASE_SHARE)
    save(encoder, Path(options.out) / "text.safetensors")
    statistics = {"latents_mean": pool.mean.tolist(), "latents_std": pool.std.tolist(), "base_steps": base_steps}
    Path(options.out, "transformer.json").write_text(json.dumps(statistics))

    encoder.requires_grad_(False)
    networks = [network, Network(copy.deepcopy(network.model), block)]
    expert_steps = train_experts(networks, encoder, pool, options.batch, training, BASE_SHARE)
    for name, item in zip(("high", "low"), networks):
        save(item.model, Path(options.out) / f"{name}.safetensors")
    print(f"saved at {clock.elapsed:.0f} s", flush=True)

    plain = [Network(n.model) for n in networks]
    judge = Judge(options.scorer, device, options.tests)
    guidances = [(3.0, 3.0), (4.0, 4.0), (2.0, 2.0), (5.0, 3.0)] if device == "cuda" else [(3.0, 3.0)]
    statistics["scores"] = report_quality(plain, encoder, tokenizer, judge, vae, pool.mean, pool.std, options.out, guidances, options.steps)
    statistics["expert_steps"] = expert_steps
    Path(options.out, "transformer.json").write_text(json.dumps(statistics, indent=1))
    print(f"done at {clock.elapsed:.0f} s", flush=True)


if __name__ == "__main__":
    main()
