"""Train the VAE on drawn clips: crops around the figures first, whole frames at the end.

Usage: python train_vae.py WORLD.npz OUT_FOLDER [--seconds 500] [--batch 16] [--device cuda] [--resume vae.safetensors]
"""
import argparse
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import whole_clip
from optim import Average, Clock, Optimiser, compiled
from world import SIDE, World, film_strip

KL_WEIGHT, EDGE_WEIGHT = 1e-4, 0.5
CROP, WHOLE_SHARE = 64, 0.27       # crop side; share of the time that trains on whole frames
DRAWN_AT_ONCE = 4                  # batches drawn in one go


def to_channels_last(vae):
    """Kernels in the memory order that the matrix units like."""
    for p in vae.parameters():
        if p.ndim == 5:
            p.data = p.data.contiguous(memory_format=torch.channels_last_3d)
        elif p.ndim == 4:
            p.data = p.data.contiguous(memory_format=torch.channels_last)


def loss_function(vae, device, figure_weight):
    """The training loss of a batch as one function (so that it compiles as one graph)."""
    def loss(clip, cover, noise):
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            mean, log_variance = whole_clip.encode(vae, clip)
            mean, log_variance = mean.float(), log_variance.float().clamp(-30, 20)
            out = whole_clip.decode(vae, mean + noise * torch.exp(0.5 * log_variance)).float()
        kl = 0.5 * (mean ** 2 + log_variance.exp() - 1 - log_variance).mean()
        weight = 1 + figure_weight * cover
        error = out - clip
        edges = (error.diff(dim=-1).abs() * weight[..., 1:]).mean() + (error.diff(dim=-2).abs() * weight[..., 1:, :]).mean()
        return (error.abs() * weight).mean() + EDGE_WEIGHT * edges + KL_WEIGHT * kl, (error ** 2).mean(), kl
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
    centre = torch.where(world.uniform(count, 0, 1)[:, 0] < 0.2, anywhere, centre)
    corner = (centre - side / 2).round().clamp(0, height - side).long()
    steps = torch.arange(side, device=clip.device)
    rows, columns = corner[0][:, None, None] + steps[:, None], corner[1][:, None, None] + steps
    clips = torch.arange(count, device=clip.device)[:, None, None]
    cut = lambda x: x.permute(0, 3, 4, 1, 2)[clips, rows, columns].permute(0, 3, 4, 1, 2)
    return cut(clip), cut(cover)


def batches(world, batch, side):
    """Endless training batches: clip, cover."""
    while True:
        clip, cover = world.draw(world.labels(batch * DRAWN_AT_ONCE), with_cover=True)
        if side < SIDE:
            clip, cover = crop_around_figures(clip, cover, world, side)
        for k in range(DRAWN_AT_ONCE):
            part = slice(k * batch, (k + 1) * batch)
            yield clip[part].contiguous(memory_format=torch.channels_last_3d), cover[part].contiguous()


def latent_shape(clip):
    """Shape of the latents of a clip."""
    return (len(clip), 16, (clip.shape[2] + 3) // 4, clip.shape[3] // 8, clip.shape[4] // 8)


def one_loss(function, clip, cover):
    """Loss of one batch with fresh noise."""
    return function(clip, cover, torch.randn(latent_shape(clip), device=clip.device))


def train_phase(name, vae, function, source, optimiser, average, clock, until, step):
    """Train until a share of the clock has passed; returns the step number."""
    started, first = time.time(), step
    while clock.share < until:
        loss, error, kl = one_loss(function, *next(source))
        loss.backward()
        optimiser.step(clock.factor(step, flat=0.3))
        average.update()
        step += 1
        if (step - first) in (1, 20, 100) or step % 250 == 0:
            psnr = -10 * math.log10(error.item() / 4)
            print(f"{name} step {step} at {clock.elapsed:.0f} s ({(time.time() - started) / (step - first) * 1e3:.1f} ms): loss {loss.item():.4f} psnr {psnr:.2f} kl {kl.item():.2f}", flush=True)
    return step


def psnr(error):
    """Decibels for signals in −1…1."""
    return -10 * math.log10(error.pow(2).mean().item() / 4)


@torch.no_grad()
def evaluate(vae, world, count, out):
    """Decibels on held-back clips, agreement with the library's streamed form, a contact sheet, latent statistics."""
    clips = world.draw([label for label in world.labels(count, held=True)])
    parts = [whole_clip.encode(vae, c) for c in clips.split(8)]
    mean, spread = torch.cat([p[0] for p in parts]), torch.cat([p[1] for p in parts]).clamp(-30, 20).exp()
    decoded = torch.cat([whole_clip.decode(vae, z).clamp(-1, 1) for z in mean.split(8)])
    report = {"psnr": psnr(decoded - clips), "psnr_by_frame": [round(psnr((decoded - clips)[:, :, f]), 2) for f in range(25)],
              "worst_clip": min(psnr(d - c) for d, c in zip(decoded, clips))}
    streamed = vae.decode(mean[:2], return_dict=False)[0]
    encoded = vae.encode(clips[:2]).latent_dist.mean
    report["streamed_decode_difference"] = ((streamed - decoded[:2]).norm() / decoded[:2].norm()).item()
    report["streamed_encode_difference"] = ((encoded - mean[:2]).norm() / mean[:2].norm()).item()
    report["latents_mean"] = mean.mean((0, 2, 3, 4)).tolist()
    report["latents_std"] = (mean.var((0, 2, 3, 4)) + spread.mean((0, 2, 3, 4))).sqrt().tolist()
    report["posterior_std"] = spread.mean((0, 2, 3, 4)).sqrt().tolist()
    pairs = [c for k in range(min(12, count)) for c in (clips[k], decoded[k])]
    Image.fromarray(film_strip(pairs, columns=2)).save(Path(out) / "vae.png")
    return report


def main():
    """Train until the deadline, test, save the averaged weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("world")
    parser.add_argument("out")
    parser.add_argument("--seconds", type=float, default=500)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--whole-batch", type=int, default=4)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--resume", help="weights to go on from")
    parser.add_argument("--only-decoder", action="store_true", help="leave the encoder, and so the latents, as they are")
    parser.add_argument("--figure-weight", type=float, default=1.0, help="extra weight of the pixels of figures")
    parser.add_argument("--start", type=float, help="epoch seconds from which --seconds counts")
    parser.add_argument("--tests", type=int, default=64)
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--only-warm-cache", action="store_true", help="compile the whole-frame loss into the compiler's cache and end")
    options = parser.parse_args()
    options.seconds -= time.time() - options.start if options.start else 0
    clock = Clock(options.seconds)
    torch.manual_seed(7)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    world, vae = World(options.world, options.device, seed=7), whole_clip.new_vae().to(options.device)
    if options.resume:
        vae.load_state_dict({k: v.float() for k, v in load_file(options.resume).items()})
    if options.only_decoder:
        vae.encoder.requires_grad_(False)
        vae.quant_conv.requires_grad_(False)
    to_channels_last(vae)
    crops, wholes = batches(world, options.batch, CROP), batches(world, options.whole_batch, SIDE)
    function = loss_function(vae, options.device, options.figure_weight)
    whole_function = compiled(function, not options.no_compile)
    if options.only_warm_cache:
        one_loss(whole_function, *next(wholes))[0].backward()
        print(f"whole-frame loss compiled in {clock.elapsed:.0f} s", flush=True)
        return
    if not options.no_compile:
        subprocess.Popen([sys.executable, *sys.argv, "--only-warm-cache"])
    optimiser = Optimiser(vae.named_parameters(), adam_only=("conv_in", "conv_out", "quant_conv"))
    average = Average(optimiser.parameters)
    crop_function = compiled(loss_function(vae, options.device, options.figure_weight), not options.no_compile)
    try:
        one_loss(crop_function, *next(crops))[0].backward()
    except Exception as error:  # compilation of the backward pass failed: train without
        print("going on without compilation:", repr(error)[:300], flush=True)
        crop_function = whole_function = function
        one_loss(function, *next(crops))[0].backward()
    optimiser.step(0)
    print(f"first step at {clock.elapsed:.0f} s", flush=True)
    torch.backends.cudnn.benchmark = True
    reserve = 25 if options.device == "cuda" else 2
    training = Clock(options.seconds - clock.elapsed - reserve)
    step = train_phase("crops", vae, crop_function, crops, optimiser, average, training, 1 - WHOLE_SHARE, 0)
    state = lambda: {k: v.detach().float().contiguous().clone() for k, v in vae.state_dict().items()}
    average.swap()
    save_file(state(), Path(options.out) / "vae.safetensors")
    average.swap()
    step = train_phase("whole", vae, whole_function, wholes, optimiser, average, training, 1, step)
    average.swap()
    save_file(state(), Path(options.out) / "vae.safetensors")
    torch.backends.cudnn.benchmark = False
    report = evaluate(vae.eval(), world, options.tests, options.out)
    report["steps"] = step
    Path(options.out, "vae.json").write_text(json.dumps(report, indent=1))
    print(json.dumps(report), f"done at {clock.elapsed:.0f} s", flush=True)


if __name__ == "__main__":
    main()
