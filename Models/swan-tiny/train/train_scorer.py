"""Train the scorer on drawn clips; it never sees the text-to-video model.

Usage: python train_scorer.py WORLD.npz OUT_FOLDER [--seconds 60] [--batch 96] [--device cuda]
"""
import argparse
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "eval"))
from optim import Clock
from scorer import FRAMES_SEEN, Scorer, marks
from vocabulary import COLOUR_NAMES, MOTIONS, PLACE_NAMES, THINGS
from world import World


def new_scorer():
    """A scorer for this world."""
    return Scorer(len(THINGS), len(PLACE_NAMES), len(COLOUR_NAMES), len(MOTIONS))


def blur(frames, width):
    """Gaussian blur of [B, 3, T, H, W] with one width (pixels)."""
    reach = 4
    x = torch.arange(-reach, reach + 1, device=frames.device)
    kernel = torch.softmax(-x ** 2 / (2 * width ** 2), 0).to(frames.dtype)
    flat = frames.transpose(1, 2).flatten(0, 2)[:, None]
    flat = F.pad(flat, [reach] * 4, mode="replicate")
    flat = F.conv2d(F.conv2d(flat, kernel[None, None, None]), kernel[None, None, :, None])
    return flat.view(frames.shape[0], frames.shape[2], 3, *frames.shape[3:]).transpose(1, 2)


def soften(frames, world):
    """What a generator may do to a clip: blur, noise, a change of colour and brightness."""
    count = len(frames)
    width = 0.4 + 1.6 * float(world.rng.random())
    share = world.uniform(count, -0.4, 1)[:, :, None, None, None].clamp(min=0)
    frames = frames.lerp(blur(frames, width), share)
    gain = 1 + 0.12 * torch.randn(count, 3, 1, 1, 1, device=frames.device)
    offset = 0.07 * torch.randn(count, 3, 1, 1, 1, device=frames.device)
    noise = world.uniform(count, -0.05, 0.12)[:, :, None, None, None].clamp(min=0)
    return frames * gain + offset + noise * torch.randn_like(frames)


def loss_of(logits, targets):
    """Sum of the four losses."""
    colour = F.cross_entropy(logits["colour"], targets["colour"].clamp(min=0), reduction="none") * (targets["colour"] >= 0)
    return (F.binary_cross_entropy_with_logits(logits["thing"], targets["thing"], reduction="none").sum(1).mean() + F.cross_entropy(logits["place"], targets["place"])
            + F.cross_entropy(logits["motion"], targets["motion"]) + colour.sum() / max(1, len(logits["thing"]) // 4))


@torch.no_grad()
def test(scorer, world, count, batch):
    """Shares of right answers on held-back drawn clips."""
    scorer.eval()
    right = []
    for _ in range(max(1, count // batch)):
        labels = world.labels(batch, held=True)
        right.append(marks(scorer(world.draw(labels, FRAMES_SEEN)), world.targets(labels)))
    return {name: torch.cat([r[name] for r in right]).nanmean().item() for name in right[0]}


def main():
    """Train until the deadline, test, save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("world")
    parser.add_argument("out")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--batch", type=int, default=96)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tests", type=int, default=2000)
    options = parser.parse_args()
    Path(options.out).mkdir(parents=True, exist_ok=True)
    clock = Clock(options.seconds)
    torch.manual_seed(11)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    world, scorer = World(options.world, options.device, seed=11), new_scorer().to(options.device)
    optimiser = torch.optim.AdamW(scorer.parameters(), 2e-3, weight_decay=0.01)
    step = 0
    while clock.share < 1:
        labels = world.labels(options.batch)
        frames = soften(world.draw(labels, FRAMES_SEEN), world)
        with torch.autocast(options.device, torch.bfloat16, enabled=options.device == "cuda"):
            logits = scorer(frames)
        loss = loss_of({k: v.float() for k, v in logits.items()}, world.targets(labels))
        optimiser.param_groups[0]["lr"] = 2e-3 * clock.factor(step, flat=0.3)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(scorer.parameters(), 1.0)
        optimiser.step()
        step += 1
        if step % 200 == 0:
            print(f"scorer step {step} at {clock.elapsed:.0f} s: loss {loss.item():.4f}", flush=True)
    print("scorer steps", step, "held-back drawn clips:", test(scorer, world, options.tests, options.batch), flush=True)
    save_file({k: v.half().contiguous() for k, v in scorer.state_dict().items()}, Path(options.out) / "scorer.safetensors")


if __name__ == "__main__":
    main()
