"""Go on training both experts of an exported model, each on its side of the boundary, in one process.

Steps are recorded as CUDA graphs and take turns: --low-per-high steps of the low-noise expert, which draws the
details, to one of the high-noise expert. An expert whose loss on figures of clips that it never saw has not fallen
is saved as it was.

Usage: python train_experts.py MODEL_FOLDER POOL_FOLDER OUT_FOLDER --seconds 425 [--start EPOCH]
"""
import argparse
import json
import math
import os
import time
from pathlib import Path

import torch
from safetensors.torch import load_file

import text
from graphs import Pace, Recorded, RunningLoss, prepare, wait_for_device
from network import Network, compiled_parts, new_transformer
from optim import Average, Clock, Optimiser
from pool import HELD, LivePool
from train_transformer import ADAM_ONLY, HIGH_RANGE, LOW_RANGE, load_encoder, save, velocity_loss

SUBFOLDER = {"high": "transformer", "low": "transformer_2"}
RANGE = {"high": HIGH_RANGE, "low": LOW_RANGE}
SHOW_EVERY = 500


def load_expert(path, device):
    """A transformer with the weights of a file (half or single precision)."""
    model = new_transformer()
    model.load_state_dict({k: v.float() for k, v in load_file(path).items()})
    return model.to(device)


def expert_path(folder, role):
    """The file of an expert in an exported model."""
    return Path(folder) / SUBFOLDER[role] / "diffusion_pytorch_model.safetensors"


def save_whole(module, path):
    """Save so that a waiting process never sees half a file."""
    save(module, str(path) + ".part")
    os.replace(str(path) + ".part", path)


class ExpertStep:
    """One step of training one expert, from random numbers to averaged weights."""

    def __init__(self, role, network, pool, options):
        self.role, self.network, self.pool, self.batch, self.figure_weight = role, network, pool, options.batch, options.figure_weight
        self.optimiser = Optimiser(list(network.model.named_parameters()), ADAM_ONLY, options.muon_rate, options.adam_rate)
        self.average = Average(self.optimiser.parameters, options.average, warm=False)
        self.random = torch.Generator(options.device).manual_seed(41 if role == "high" else 43)
        self.loss = RunningLoss(options.device)
        self.optimiser.set_rate(0)

    def __call__(self):
        noisy, velocity, sigma, rows, lengths, cover = self.pool.batch(self.batch, *RANGE[self.role], self.random)
        weight = 1 + (self.figure_weight - 1) * cover
        loss = velocity_loss(self.network, rows, lengths, noisy, velocity, sigma, self.pool.device, weight)
        loss.backward()
        self.optimiser.update()
        self.average.update()
        self.loss.add(loss)

    def reset(self):
        """Forget what warming up has left behind."""
        self.optimiser.reset()
        self.average.reset()
        self.loss.reset()

    @torch.no_grad()
    def held_loss(self, batches=8):
        """Loss on clips that are not trained on, always with the same noise: everywhere, and on figures alone."""
        random, network = torch.Generator(self.pool.device).manual_seed(5), Network(self.network.model)
        everywhere, figures, area = [], [], []
        for _ in range(batches):
            noisy, velocity, sigma, rows, lengths, cover = self.pool.batch(self.batch, *RANGE[self.role], random, held=True)
            with torch.autocast(self.pool.device, torch.bfloat16, enabled=self.pool.device == "cuda"):
                error = (network(noisy, 1000 * sigma, rows, lengths) - velocity).pow(2).mean(1, keepdim=True)
            everywhere.append(error.mean())
            figures.append((error * cover).sum())
            area.append(cover.sum())
        return {"everywhere": (sum(everywhere) / batches).item(), "figures": (sum(figures) / sum(area)).item()}


def loss_of(recorded):
    """One call's loss."""
    recorded.step.loss.mean(1)
    recorded()
    return recorded.step.loss.mean(1)


def rate_factor(round_, share):
    """Warm-up by rounds; flat, then falling to almost nothing by the clock."""
    return min(1.0, (round_ + 1) / 100) * max(0.01, min(1.0, 1.35 * (1 - share)))


def train(recorded, pattern, pool, clock):
    """Take turns until the deadline; returns the number of rounds, 0 when the losses are no numbers any more."""
    device, begin, round_, shown = pool.device, clock.share, 0, clock.elapsed
    wait_for_device(device)
    pace, streams = Pace(device), {id(r.stream): r.stream for r in recorded.values()}.values()
    while clock.share < 1:
        factor = rate_factor(round_, (clock.share - begin) / (1 - begin))
        for role in pattern:
            item = recorded[role]
            with torch.cuda.stream(item.stream):
                item.step.optimiser.set_rate(factor)
            item()
        pace(streams)
        round_ += 1
        if round_ % 20 == 0:
            take_part(pool)
        if round_ == 20 or round_ % SHOW_EVERY == 0:
            rounds = 20 if round_ == 20 else SHOW_EVERY - 20 * (round_ == SHOW_EVERY)
            losses = {role: item.step.loss.mean(rounds * pattern.count(role)) for role, item in recorded.items()}
            speed = (clock.elapsed - shown) / (rounds * len(pattern)) * 1e3
            shown = clock.elapsed
            print(f"round {round_} at {clock.elapsed:.0f} s ({speed:.1f} ms a step, {pool.count} clips): " + " ".join(f"{k} {v:.4f}" for k, v in losses.items()), flush=True)
            if not all(map(math.isfinite, losses.values())):
                return 0
    wait_for_device(device)
    return round_


def take_part(pool):
    """Copy a part that has arrived, while nothing else runs."""
    if pool.has_part():
        wait_for_device(pool.device)
        pool.take_part()
        wait_for_device(pool.device)


def parse():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("folder", "pool", "out"):
        parser.add_argument(name)
    parser.add_argument("--seconds", type=float, default=425)
    parser.add_argument("--start", type=float, default=time.time(), help="epoch seconds from which --seconds counts")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--capacity", type=int, default=65536, help="clips held in device memory")
    parser.add_argument("--held", type=int, default=HELD)
    parser.add_argument("--figure-weight", type=float, default=3.0, help="weight of a position under a figure; elsewhere 1")
    parser.add_argument("--low-per-high", type=int, default=2)
    parser.add_argument("--muon-rate", type=float, default=2.5e-3)
    parser.add_argument("--adam-rate", type=float, default=1e-3)
    parser.add_argument("--average", type=float, default=0.998)
    parser.add_argument("--streams", type=int, default=1, choices=(1, 2), help="2: steps of the two experts may overlap")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--no-graph", action="store_true")
    return parser.parse_args()


def build(options, pool):
    """Both experts' steps, not yet warm."""
    shared = torch.cuda.Stream() if options.device == "cuda" and options.streams == 1 else None
    parts, recorded = compiled_parts(not options.no_compile), {}
    for role in SUBFOLDER:
        step = ExpertStep(role, Network(load_expert(expert_path(options.folder, role), options.device), *parts), pool, options)
        recorded[role] = Recorded(step, options.device, not options.no_graph, [step.random], shared)
    return recorded


def main():
    """Compile and record, wait for clips, train, keep what has become better."""
    options = parse()
    Path(options.out).mkdir(parents=True, exist_ok=True)
    clock, device, folder = Clock(options.seconds, options.start), options.device, Path(options.folder)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    tokenizer = text.Tokenizer(folder / "tokenizer" / "spiece.model")
    encoder = load_encoder(folder / "text_encoder" / "model.safetensors", tokenizer, device).requires_grad_(False)
    pool = LivePool(options.pool, options.capacity, encoder, tokenizer, device, options.held)
    recorded = build(options, pool)
    prepare(recorded.values(), loss_of, options.start)
    print(f"ready at {clock.elapsed:.0f} s", flush=True)
    while not pool.has_part():
        if clock.share > 1:
            raise SystemExit("no clips in time")
        time.sleep(0.2)
    take_part(pool)
    before = {role: item.step.held_loss() for role, item in recorded.items()}
    for item in recorded.values():
        item.step.reset()
    print(f"training from {clock.elapsed:.0f} s", flush=True)
    pattern = ["high"] + ["low"] * options.low_per_high
    rounds, report = train(recorded, pattern, pool, clock), {}
    for role, item in recorded.items():
        item.step.average.swap()
        after = item.step.held_loss()
        is_better = rounds > 0 and after["figures"] < before[role]["figures"]
        model = item.step.network.model if is_better else load_expert(expert_path(folder, role), device)
        save_whole(model, Path(options.out) / f"{role}.safetensors")
        report[role] = {"steps": rounds * pattern.count(role), "before": before[role], "after": after, "is_better": is_better}
    print(json.dumps(report), f"at {clock.elapsed:.0f} s", flush=True)


if __name__ == "__main__":
    main()
