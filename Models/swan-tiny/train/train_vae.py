"""Train the VAE on windows of drawn clips, most of them around the figures.

A step is recorded as one CUDA graph. The averaged weights are saved every minute and at the end; the same clips are
coded before and after, and their decibels printed for each of the figures that are hardest to tell.

Usage: python train_vae.py WORLD.npz OUT_FOLDER [--seconds 500] [--batch 8] [--crop 96] [--device cuda] [--resume vae.safetensors]
"""
import argparse
import json
import math
import os
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file, save_file

import whole_clip
from captions import Label
from graphs import Pace, Recorded, RunningLoss, prepare, wait_for_device
from optim import Average, Clock, Optimiser
from vocabulary import PLACE_NAMES
from world import SIDE, World, film_strip

KL_WEIGHT, EDGE_WEIGHT = 1e-4, 1.0
DRAWN_AT_ONCE = 4                  # batches drawn in one go
KEPT = (1, 0.65, 0.33)             # share of clips with a walking figure, with another one, with shapes alone
HARD = ("cat", "tiger", "elephant", "camel")
SHOW_EVERY, SAVE_EVERY = 500, 60   # steps, seconds


def to_channels_last(vae):
    """Kernels in the memory order that the matrix units like."""
    for p in vae.parameters():
        if p.ndim == 5:
            p.data = p.data.contiguous(memory_format=torch.channels_last_3d)
        elif p.ndim == 4:
            p.data = p.data.contiguous(memory_format=torch.channels_last)


def loss_function(vae, device):
    """The training loss of a batch as one function (so that it compiles as one graph)."""
    def loss(clip, weight, noise):
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            mean, log_variance = whole_clip.encode(vae, clip)
            mean, log_variance = mean.float(), log_variance.float().clamp(-30, 20)
            out = whole_clip.decode(vae, mean + noise * torch.exp(0.5 * log_variance)).float()
        kl = 0.5 * (mean ** 2 + log_variance.exp() - 1 - log_variance).mean()
        error = out - clip
        edges = (error.diff(dim=-1).abs() * weight[..., 1:]).mean() + (error.diff(dim=-2).abs() * weight[..., 1:, :]).mean()
        return (error.abs() * weight).mean() + EDGE_WEIGHT * edges + KL_WEIGHT * kl
    return loss


def crop_around_figures(clip, cover, world, side):
    """One window per clip, most of them near the figure at a random time."""
    count, _, frames, height, width = clip.shape
    frame = torch.randint(frames, (count,), device=clip.device, generator=world.random)
    shown = cover[torch.arange(count, device=clip.device), 0, frame] + 1e-6
    line = torch.arange(height, device=clip.device, dtype=torch.float32)
    total = shown.sum((1, 2))
    centre = torch.stack([(shown.sum(2) * line).sum(1) / total, (shown.sum(1) * line).sum(1) / total])
    centre = centre + 18 * torch.randn(centre.shape, device=clip.device, generator=world.random)
    anywhere = height * torch.rand(centre.shape, device=clip.device, generator=world.random)
    centre = torch.where(world.uniform(count, 0, 1)[:, 0] < 0.1, anywhere, centre)
    corner = (centre - side / 2).round().clamp(0, height - side).long()
    steps = torch.arange(side, device=clip.device)
    rows, columns = corner[0][:, None, None] + steps[:, None], corner[1][:, None, None] + steps
    clips = torch.arange(count, device=clip.device)[:, None, None]
    cut = lambda x: x.permute(0, 3, 4, 1, 2)[clips, rows, columns].permute(0, 3, 4, 1, 2)
    return cut(clip), cut(cover)


def batches(world, batch, side):
    """Endless training batches: clip, cover (which takes in two pixels around the figures)."""
    while True:
        clip, cover = world.draw(world.labels(batch * DRAWN_AT_ONCE, keep=KEPT), with_cover=True)
        if side < SIDE:
            clip, cover = crop_around_figures(clip, cover, world, side)
        cover = F.max_pool3d(cover, (1, 5, 5), 1, (0, 2, 2))
        for k in range(DRAWN_AT_ONCE):
            part = slice(k * batch, (k + 1) * batch)
            yield clip[part], cover[part]


class VaeStep:
    """One step of training on the batch in `clip` and `weight`, from noise to averaged weights."""

    def __init__(self, vae, options):
        count, side, device = options.batch, options.crop, options.device
        self.device, self.figure_weight = device, options.figure_weight
        function = loss_function(vae, device)
        self.function = function if options.no_compile else torch.compile(function, dynamic=False)
        self.optimiser = Optimiser(vae.named_parameters(), ("conv_in", "conv_out", "quant_conv"), options.muon_rate, options.adam_rate)
        self.average = Average(self.optimiser.parameters, options.average, warm=False)
        self.random = torch.Generator(device).manual_seed(7)
        self.clip = torch.zeros(count, 3, 25, side, side, device=device).contiguous(memory_format=torch.channels_last_3d)
        self.weight = torch.ones(count, 1, 25, side, side, device=device)
        self.latents = (count, 16, 7, side // 8, side // 8)
        self.loss = RunningLoss(device)
        self.optimiser.set_rate(0)

    def take(self, clip, cover):
        """The next batch."""
        self.clip.copy_(clip)
        self.weight.copy_(1 + self.figure_weight * cover)

    def __call__(self):
        noise = torch.randn(self.latents, device=self.device, generator=self.random)
        loss = self.function(self.clip, self.weight, noise)
        loss.backward()
        self.optimiser.update()
        self.average.update()
        self.loss.add(loss)

    def reset(self):
        """Forget what warming up has left behind."""
        self.optimiser.reset()
        self.average.reset()
        self.loss.reset()


def loss_of(recorded):
    """One call's loss."""
    recorded.step.loss.mean(1)
    recorded()
    return recorded.step.loss.mean(1)


def save_average(vae, average, path):
    """The averaged weights in single precision; a file appears only when it is complete."""
    average.swap()
    save_file({k: v.detach().float().cpu().contiguous().clone() for k, v in vae.state_dict().items()}, str(path) + ".part")
    average.swap()
    os.replace(str(path) + ".part", path)


def train(vae, recorded, source, clock, path):
    """Train until the deadline; returns the number of steps."""
    step, item, saved, shown = 0, recorded.step, clock.elapsed, clock.elapsed
    pace, wait = Pace(item.device), lambda: wait_for_device(item.device)
    wait()
    while clock.share < 1:
        with torch.cuda.stream(recorded.stream):
            item.take(*next(source))
            item.optimiser.set_rate(clock.factor(step, flat=0.3))
        recorded()
        pace([recorded.stream])
        step += 1
        if step in (20, 100) or step % SHOW_EVERY == 0:
            count = {20: 20, 100: 80, SHOW_EVERY: SHOW_EVERY - 100}.get(step, SHOW_EVERY)
            loss = item.loss.mean(count)
            print(f"step {step} at {clock.elapsed:.0f} s ({(clock.elapsed - shown) / count * 1e3:.1f} ms a step): loss {loss:.4f}", flush=True)
            shown = clock.elapsed
            if not math.isfinite(loss):
                raise SystemExit("the loss is no number any more; what was saved is from before")
            if clock.elapsed - saved > SAVE_EVERY:
                wait()
                save_average(vae, item.average, path)
                wait()
                saved = clock.elapsed
    wait()
    return step


def psnr(error, weight=None):
    """Decibels for signals in −1…1, over a weighted mean if there is a weight."""
    square = error.pow(2).mean(1, keepdim=True)
    mean = square.mean() if weight is None else (square * weight).sum() / weight.sum()
    return round(-10 * math.log10(mean.item() / 4), 2)


class Tests:
    """Clips that are coded before and after: some of each hard figure, and held-back ones."""

    def __init__(self, options):
        each = options.each
        world, motions = World(options.world, options.device, seed=99, spread=0.08), ("left", "right", "still", "jump", "up", "spin")
        hard = [Label((t,), ("",), ("",), PLACE_NAMES[(3 * k + j) % 10], motions[k], "full") for j, t in enumerate(HARD) for k in range(each)]
        self.each, self.device = each, options.device
        parts = [world.draw(labels, with_cover=True) for labels in (hard, world.labels(options.tests, held=True))]
        self.clips, self.cover = (torch.cat(x).cpu() for x in zip(*parts))
        self.strips = []

    @torch.no_grad()
    def code(self, vae, at_once=4):
        """Clips encoded and decoded, latent means and variances."""
        out, means, variances = [], [], []
        for clip in self.clips.split(at_once):
            mean, log_variance = whole_clip.encode(vae, clip.to(self.device))
            out.append(whole_clip.decode(vae, mean).clamp(-1, 1).cpu())
            means.append(mean.cpu())
            variances.append(log_variance.clamp(-30, 20).exp().cpu())
        return torch.cat(out), torch.cat(means), torch.cat(variances)

    def report(self, vae):
        """Decibels everywhere and on figures; keeps some strips for the sheet."""
        out, mean, variance = self.code(vae)
        error, begin, report = out - self.clips, len(HARD) * self.each, {}
        for j, thing in enumerate(HARD):
            at = slice(j * self.each, (j + 1) * self.each)
            report[thing] = {"everywhere": psnr(error[at]), "figure": psnr(error[at], self.cover[at])}
        report["held"] = {"everywhere": psnr(error[begin:]), "figure": psnr(error[begin:], self.cover[begin:]), "worst": min(psnr(e[None]) for e in error[begin:])}
        report["frames"] = [psnr(error[begin:, :, f:f + 1]) for f in range(25)]
        self.strips.append(out)
        return report, mean[begin:], variance[begin:]

    def sheet(self, path):
        """The first clips of each figure: drawn, then as coded each time."""
        chosen = [j * self.each + k for j in range(len(HARD)) for k in range(min(2, self.each))] + list(range(len(HARD) * self.each, len(self.clips)))[:8]
        rows = [clips[k] for k in chosen for clips in (self.clips, *self.strips)]
        Image.fromarray(film_strip(rows, frames=(0, 9, 12, 15), columns=2)).save(path)


@torch.no_grad()
def statistics(vae, world, count, device):
    """Mean and deviation of each latent channel over clips of the training world."""
    parts = []
    while sum(map(len, parts)) < count:
        clip = world.draw(world.labels(8)).contiguous(memory_format=torch.channels_last_3d)
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            parts.append(whole_clip.encode(vae, clip)[0].float())
    latents = torch.cat(parts)
    return {"latents_mean": latents.mean((0, 2, 3, 4)).tolist(), "latents_std": latents.std((0, 2, 3, 4)).tolist()}


def parse():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("world")
    parser.add_argument("out")
    parser.add_argument("--seconds", type=float, default=500)
    parser.add_argument("--start", type=float, default=time.time(), help="epoch seconds from which --seconds counts")
    parser.add_argument("--reserve", type=float, default=35, help="seconds left for the tests at the end")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--crop", type=int, default=96, help="side of the windows")
    parser.add_argument("--resume", help="weights to go on from")
    parser.add_argument("--only-decoder", action="store_true", help="leave the encoder, and so the latents, as they are")
    parser.add_argument("--figure-weight", type=float, default=4.0, help="extra weight of the pixels of figures")
    parser.add_argument("--muon-rate", type=float, default=2e-3)
    parser.add_argument("--adam-rate", type=float, default=1e-3)
    parser.add_argument("--average", type=float, default=0.998)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--each", type=int, default=6, help="test clips of each of the hardest figures")
    parser.add_argument("--tests", type=int, default=48, help="held-back test clips")
    parser.add_argument("--statistics", type=int, default=256, help="clips for the statistics of the latents")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--no-graph", action="store_true")
    return parser.parse_args()


def main():
    """Train until the deadline, test, save the averaged weights."""
    options = parse()
    Path(options.out).mkdir(parents=True, exist_ok=True)
    clock, path = Clock(options.seconds, options.start), Path(options.out) / "vae.safetensors"
    torch.manual_seed(options.seed)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    world, vae = World(options.world, options.device, seed=options.seed, spread=0.08), whole_clip.new_vae().to(options.device)
    if options.resume:
        vae.load_state_dict({k: v.float() for k, v in load_file(options.resume).items()})
    if options.only_decoder:
        vae.encoder.requires_grad_(False)
        vae.quant_conv.requires_grad_(False)
    to_channels_last(vae)
    tests = Tests(options)
    before = tests.report(vae)[0]
    print("before", json.dumps(before), f"at {clock.elapsed:.0f} s", flush=True)
    torch.backends.cudnn.benchmark = options.device == "cuda"
    step = VaeStep(vae, options)
    recorded = Recorded(step, options.device, not options.no_graph, [step.random])
    source = batches(world, options.batch, options.crop)
    step.take(*next(source))
    prepare([recorded], loss_of, options.start)
    step.reset()
    print(f"training from {clock.elapsed:.0f} s", flush=True)
    training = Clock(options.seconds - clock.elapsed - options.reserve)
    count = train(vae, recorded, source, training, path)
    if not count:
        raise SystemExit("no time was left for a step")
    save_average(vae, step.average, path)
    torch.backends.cudnn.benchmark = False
    step.average.swap()
    report = {"steps": count, "before": before, **statistics(vae, world, options.statistics, options.device)}
    Path(options.out, "vae.json").write_text(json.dumps(report, indent=1))
    print(f"{count} steps, saved at {clock.elapsed:.0f} s", flush=True)
    report["after"], mean, variance = tests.report(vae.eval())
    report["posterior_std"] = variance.mean((0, 2, 3, 4)).sqrt().tolist()
    with torch.no_grad():
        latents, clip = mean[:1].to(options.device), tests.clips[-len(mean):][:1].to(options.device)
        pairs = {"decode": (vae.decode(latents, return_dict=False)[0], whole_clip.decode(vae, latents).clamp(-1, 1)), "encode": (vae.encode(clip).latent_dist.mean, latents)}
    for name, (streamed, whole) in pairs.items():
        report[f"streamed_{name}_difference"] = ((streamed - whole).norm() / whole.norm()).item()
    Path(options.out, "vae.json").write_text(json.dumps(report, indent=1))
    tests.sheet(Path(options.out) / "vae.png")
    print(json.dumps(report), f"done at {clock.elapsed:.0f} s", flush=True)
    print("\n".join(f"{k}: {report['before'][k]} -> {report['after'][k]}" for k in (*HARD, "held")), flush=True)


if __name__ == "__main__":
    main()
