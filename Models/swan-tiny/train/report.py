"""Score a finished set: guided forty steps and the four-step pair; film strips of both.

Usage: python report.py MODEL_FOLDER PARTS_FOLDER OUT_FOLDER [--wait 540 --start EPOCH]
PARTS_FOLDER may hold vae, high, low, lora_high and lora_low; what is missing is taken from the model.
"""
import argparse
import json
import time
from pathlib import Path

import torch

import sampling
import text
from evaluate import EVAL, Judge, decode, sample
from make_pool import statistics_of
from network import Network
from optim import Clock
from train_experts import SUBFOLDER, expert_path, load_expert
from train_lightning import LowRank, Student
from train_transformer import load_encoder, load_vae


def found(parts, name, other):
    """A file of the parts folder, or the model's own."""
    path = Path(parts) / f"{name}.safetensors"
    return path if path.exists() else other


def main():
    """Wait for the parts, sample, score, write report.json and the strips."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("folder", "parts", "out"):
        parser.add_argument(name)
    parser.add_argument("--wait", type=float, default=0, help="seconds to wait for parts")
    parser.add_argument("--awaited", nargs="*", default=["high", "low", "lora_high", "lora_low"])
    parser.add_argument("--start", type=float, default=time.time(), help="epoch seconds from which --wait counts")
    parser.add_argument("--tests", type=int, default=200)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--guidance", type=float, nargs="*", default=[4.0, 3.0])
    parser.add_argument("--device", default="cuda")
    options = parser.parse_args()
    clock, device, folder = Clock(options.wait, options.start), options.device, Path(options.folder)
    tokenizer = text.Tokenizer(folder / "tokenizer" / "spiece.model")
    encoder = load_encoder(folder / "text_encoder" / "model.safetensors", tokenizer, device)
    judge, report = Judge(EVAL / "scorer.safetensors", device, options.tests), {}
    mean, std = (v.view(1, -1, 1, 1, 1) for v in statistics_of(folder, device))
    while clock.share < 1 and not all((Path(options.parts) / f"{n}.safetensors").exists() for n in options.awaited):
        time.sleep(0.2)
    vae = load_vae(found(options.parts, "vae", folder / "vae" / "diffusion_pytorch_model.safetensors"), device)
    experts = [Network(load_expert(found(options.parts, n, expert_path(folder, n)), device).requires_grad_(False)) for n in SUBFOLDER]

    def judge_run(name, networks, solver, steps, guidance):
        """Sample, score, draw."""
        clips = decode(vae, sample(*networks, encoder, tokenizer, judge, solver, steps, guidance, guidance), mean, std, device)
        report[name] = judge.score(clips)
        print(name, json.dumps(report[name]), f"at {clock.elapsed:.0f} s", flush=True)
        return clips

    pairs = [found(options.parts, f"lora_{n}", folder / "lightning" / f"{n}_noise_model.safetensors") for n in SUBFOLDER]
    if all(Path(p).exists() for p in pairs):
        students = [Student(e, LowRank(e.model).load_official(p)).freeze() for e, p in zip(experts, pairs)]
        judge.sheet(judge_run("lightning", students, sampling.euler, 4, 1), Path(options.out) / "lightning.png")
    for k, guidance in enumerate(options.guidance):
        clips = judge_run(f"guidance {guidance}", experts, sampling.unipc, options.steps, guidance)
        if k == 0:
            judge.sheet(clips, Path(options.out) / "guided.png")
        Path(options.out, "report.json").write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
