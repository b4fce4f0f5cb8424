"""Makes golden.safetensors: three generations by the official classes with the model of tiny_model.py.

Reference, packages and fill: ../support.py; solvers: ../solvers.py. dtype float32, exact attention.
Prompt "A cat walking on the grass", negative "blurry", 64 x 48 pixels, 9 frames, shift 5, boundary 0.875,
guidance 4 (high) and 3 (low), noise from torch's CPU generator with seed 42; the text is padded with zero
rows to 512. unipc and dpm++ take 8 steps; euler takes 4 without guidance, as the 4-step LoRAs do.

  ids.prompt, ids.negative             int64, ended by 1
  text.prompt, text.negative           [ids, 32], before padding
  noise                                [16, 3, 6, 8]
  velocity.prompt, velocity.negative   of the first step, before guidance
  unipc.latents, euler.latents         [steps, 16, 3, 6, 8], after each step
  dpm++.latent                         [16, 3, 6, 8], after the last step
  unipc.frames                         [3, 9, 48, 64] in -1...1, float16 (5e-4 is 66 dB)
  unipc.bytes                          [3, 48, 64], its last frame from float32 by truncation, uint8
"""
import sys
from pathlib import Path

import sentencepiece
import torch

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
import tiny_model
from solvers import solver
from support import save

PROMPT, NEGATIVE, SEED = "A cat walking on the grass", "blurry", 42


def tokenize(text):
    model = sentencepiece.SentencePieceProcessor(model_file=str(HERE / "spiece.model"))
    return torch.tensor(model.encode(text) + [1])


def noise():
    return torch.randn(16, 3, 6, 8, generator=torch.Generator("cpu").manual_seed(SEED), dtype=torch.float32)


def generate(experts, texts, method, steps, guidances, shift=5.0):
    """The latent after each step, and the first step's velocities."""
    run, x, latents, first = solver(method, steps, shift), noise(), [], None
    for timestep in run.timesteps:
        expert = "high" if timestep.item() >= 875 else "low"
        predict = lambda text: experts[expert]([x], timestep[None], [text], seq_len=36)[0]
        velocities = [predict(text) for text in texts]
        first = first or velocities
        velocity = velocities[0]
        if guidances[expert] != 1:
            velocity = velocities[1] + guidances[expert] * (velocities[0] - velocities[1])
        x = run.step(velocity, timestep, x)
        latents.append(x)
    return torch.stack(latents), first


def to_bytes(frames):
    return (((frames + 1) / 2) * 255).to(torch.uint8)


def main():
    encoder, vae = tiny_model.encoder(), tiny_model.vae()
    experts = {name: tiny_model.transformer(name) for name in ("high", "low")}
    ids = [tokenize(PROMPT), tokenize(NEGATIVE)]
    texts = [encoder(row[None])[0] for row in ids]
    guided, plain = {"high": 4.0, "low": 3.0}, {"high": 1.0, "low": 1.0}

    unipc, velocities = generate(experts, texts, "unipc", 8, guided)
    dpm, _ = generate(experts, texts, "dpm++", 8, guided)
    euler, _ = generate(experts, texts[:1], "euler", 4, plain)
    frames = tiny_model.decode(vae, unipc[-1])
    save(HERE / "golden.safetensors", {
        "ids.prompt": ids[0], "ids.negative": ids[1], "text.prompt": texts[0], "text.negative": texts[1],
        "noise": noise(), "velocity.prompt": velocities[0], "velocity.negative": velocities[1],
        "unipc.latents": unipc, "euler.latents": euler, "dpm++.latent": dpm[-1],
        "unipc.frames": frames.half(), "unipc.bytes": to_bytes(frames[:, -1])})


if __name__ == "__main__":
    main()
