"""Distil guidance and many steps into low-rank terms of one expert, for four Euler steps without guidance.

For its two steps each expert learns to go straight to where the guided teacher's ODE leads
from the student's own state. States and targets live in a buffer that is refreshed with
the current student, so that the costly teacher runs serve several updates.

Usage: python train_lightning.py high|low MODEL_FOLDER EXPERTS_FOLDER OUT_FOLDER --seconds 430 [--start EPOCH]
"""
import argparse
import math
import os
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

import sampling
import text
from captions import caption, draw_label
from network import LINEARS, OTHERS, Network, block_forward, block_weights
from optim import Average, Clock, compiled
from train_expert import load_expert
from train_transformer import encode_text, load_encoder

RANK = 16
STEPS = {"high": (0, 1), "low": (2, 3)}
SIGMAS = sampling.euler_sigmas(4)
SUBSTEPS = 6
OFFICIAL = {"attn1": "self_attn", "attn2": "cross_attn", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "o"}


class LowRank(torch.nn.Module):
    """Low-rank terms of all block linears of a transformer."""

    def __init__(self, model, rank=RANK):
        super().__init__()
        self.model = [model]
        self.down, self.up = torch.nn.ParameterDict(), torch.nn.ParameterDict()
        for k, block in enumerate(model.blocks):
            for name in LINEARS:
                rows, columns = block.get_parameter(name + ".weight").shape
                key = f"{k}/{name}".replace(".", "_")
                self.down[key] = torch.nn.Parameter(torch.randn(rank, columns, device=model.device) / math.sqrt(columns))
                self.up[key] = torch.nn.Parameter(torch.zeros(rows, rank, device=model.device))

    def weights(self):
        """The tensors of every block with the low-rank terms added."""
        out = []
        for k, block in enumerate(self.model[0].blocks):
            tensors = list(block_weights(block))
            for j, name in enumerate(LINEARS):
                key = f"{k}/{name}".replace(".", "_")
                at = len(OTHERS) + 2 * j
                tensors[at] = tensors[at].detach() + self.up[key] @ self.down[key]
            out.append(tuple(tensors))
        return out

    def official(self):
        """Tensors under the names of the official model, in the form of the published pairs."""
        out = {}
        for k in range(len(self.model[0].blocks)):
            for name in LINEARS:
                key = f"{k}/{name}".replace(".", "_")
                base = f"diffusion_model.blocks.{k}.{official_name(name)}"
                out[base + ".lora_down.weight"] = self.down[key].detach()
                out[base + ".lora_up.weight"] = self.up[key].detach()
                out[base + ".alpha"] = torch.tensor(float(self.down[key].shape[0]))
        return out

    def load_official(self, path):
        """The reverse of `official`."""
        state = load_file(path)
        with torch.no_grad():
            for k in range(len(self.model[0].blocks)):
                for name in LINEARS:
                    key, base = f"{k}/{name}".replace(".", "_"), f"diffusion_model.blocks.{k}.{official_name(name)}"
                    self.down[key].copy_(state[base + ".lora_down.weight"])
                    self.up[key].copy_(state[base + ".lora_up.weight"] * (float(state[base + ".alpha"]) / len(self.down[key])))
        return self


def official_name(name):
    """diffusers' name of a block linear → the official one."""
    if name.startswith("ffn"):
        return {"ffn.net.0.proj": "ffn.0", "ffn.net.2": "ffn.2"}[name]
    attention, part = name.split(".", 1)
    return f"{OFFICIAL[attention]}.{OFFICIAL[part]}"


class Student:
    """An expert with low-rank terms: callable like a network."""

    def __init__(self, network, lora):
        self.network, self.lora, self.merged = network, lora, None

    def freeze(self):
        """Fix the sum of weights, for sampling."""
        with torch.no_grad():
            self.merged = self.lora.weights()
        return self

    def __call__(self, x, timestep, rows, lengths):
        return self.network(x, timestep, rows, lengths, weights=self.merged or self.lora.weights())


class Prompts:
    """Random captions of the world, as text rows."""

    def __init__(self, encoder, tokenizer, device, seed, count=20000):
        rng = np.random.default_rng(seed)
        self.ids = tokenizer.ids([caption(rng, draw_label(rng, pair_share=0.22)) for _ in range(count)], rng, 0.04).to(device)
        self.encoder, self.device = encoder, device
        self.empty = tokenizer.ids([""]).to(device)

    def rows(self, numbers):
        """Rows and lengths of captions by number."""
        with torch.no_grad():
            return encode_text(self.encoder, self.ids[numbers])

    def empty_rows(self):
        """Rows and length of the empty prompt."""
        with torch.no_grad():
            return encode_text(self.encoder, self.empty)


def stretch(k):
    """Sigmas of the teacher's sub-steps within step k."""
    top, low = 1 - k / 4, 1 - (k + 1) / 4
    sigmas = [sampling.shifted(top + (low - top) * j / SUBSTEPS) for j in range(SUBSTEPS + 1)]
    return [min(sigmas[0], 0.9999)] + sigmas[1:]


class Buffer:
    """States at the start of a step with the velocity that leads to the teacher's end of it."""

    def __init__(self, size, device):
        self.x = torch.zeros(size, *sampling.LATENT, device=device)
        self.velocity = torch.zeros_like(self.x)
        self.step = torch.zeros(size, dtype=torch.long, device=device)
        self.number = torch.zeros(size, dtype=torch.long, device=device)
        self.next, self.filled, self.device = 0, 0, device

    def put(self, x, velocity, step, number):
        """Overwrite the oldest entries."""
        at = (self.next + torch.arange(len(x), device=self.device)) % len(self.x)
        self.x[at], self.velocity[at], self.number[at] = x, velocity, number
        self.step[at] = step
        self.next = (self.next + len(x)) % len(self.x)
        self.filled = min(len(self.x), self.filled + len(x))

    def take(self, count):
        """A random batch."""
        at = torch.randint(self.filled, (count,), device=self.device)
        return self.x[at], self.velocity[at], self.step[at], self.number[at]


class Distiller:
    """Teacher, student and buffer of one expert."""

    def __init__(self, role, teachers, student, before, prompts, guidance, size, batch, device):
        self.role, self.teachers, self.student, self.before = role, teachers, student, before
        self.prompts, self.guidance, self.batch, self.device = prompts, guidance, batch, device
        self.buffer = Buffer(size, device)
        self.sigma = torch.tensor(SIGMAS, device=device)

    def teacher_end(self, x, k, rows, lengths):
        """Where the guided teacher's ODE leads in step k."""
        velocity = sampling.guided(*self.teachers, rows, lengths, *self.prompts.empty_rows(), *self.guidance)
        return sampling.unipc(velocity, x, sigmas=stretch(k), exact_time=True)

    def student_end(self, network, x, k, rows, lengths):
        """One Euler step."""
        time_ = torch.full((len(x),), 1000 * SIGMAS[k], device=self.device)
        return x + (SIGMAS[k + 1] - SIGMAS[k]) * network(x, time_, rows, lengths)

    @torch.no_grad()
    def refresh(self, own_states):
        """New entries; the states come from the student, or at the very start from the teacher."""
        number = torch.randint(len(self.prompts.ids), (self.batch,), device=self.device)
        rows, lengths = self.prompts.rows(number)
        x = torch.randn(self.batch, *sampling.LATENT, device=self.device)
        with torch.autocast(self.device, torch.bfloat16, enabled=self.device == "cuda"):
            if self.role == "low":
                for k in STEPS["high"]:
                    x = self.student_end(self.before, x, k, rows, lengths) if self.before else self.teacher_end(x, k, rows, lengths)
            student = Student(self.student.network, self.student.lora).freeze()
            for k in STEPS[self.role]:
                end = self.teacher_end(x, k, rows, lengths)
                self.buffer.put(x, (end - x) / (SIGMAS[k + 1] - SIGMAS[k]), k, number)
                x = self.student_end(student, x, k, rows, lengths) if own_states else end

    def loss(self):
        """Squared error of the student's velocity on a batch of the buffer."""
        x, velocity, step, number = self.buffer.take(self.batch)
        rows, lengths = self.prompts.rows(number)
        with torch.autocast(self.device, torch.bfloat16, enabled=self.device == "cuda"):
            guess = self.student(x, 1000 * self.sigma[step], rows, lengths)
        return (guess - velocity).pow(2).mean()


def distil(distiller, clock, first_fills, refresh_every, look_for_high):
    """Fill the buffer, then train and refresh until the deadline; leaves the averaged terms in place."""
    parameters = list(distiller.student.lora.parameters())
    optimiser = torch.optim.AdamW(parameters, 2e-3, betas=(0.9, 0.98), weight_decay=0.0, fused=distiller.device == "cuda")
    average = Average(parameters, 0.995)
    for _ in range(first_fills):
        distiller.refresh(own_states=False)
    print(f"{distiller.role}: buffer of {distiller.buffer.filled} at {clock.elapsed:.0f} s", flush=True)
    begin, step = clock.share, 0
    while clock.share < 1:
        share = (clock.share - begin) / max(1e-6, 1 - begin)
        optimiser.param_groups[0]["lr"] = 2e-3 * min(1.0, (step + 1) / 50) * max(0.01, min(1.0, 1.5 * (1 - share)))
        loss = distiller.loss()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        average.update()
        step += 1
        if step % refresh_every == 0 and step >= 100:
            if distiller.role == "low" and distiller.before is None:
                distiller.before = look_for_high()
            distiller.refresh(own_states=True)
        if step in (1, 20, 100) or step % 250 == 0:
            print(f"lightning {distiller.role} step {step} at {clock.elapsed:.0f} s: {loss.item():.4f}", flush=True)
    average.swap()
    print("lightning", distiller.role, "steps", step, flush=True)


def warm(network, lora, batch, device):
    """Compile the two forms of the block that distillation uses."""
    x, time_ = torch.randn(batch, *sampling.LATENT, device=device), torch.rand(batch, device=device)
    rows, lengths = torch.randn(batch, text.ROWS, 128, device=device), torch.full((batch,), 9, device=device)
    with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
        Student(network, lora)(x, time_, rows, lengths).pow(2).mean().backward()
    with torch.no_grad(), torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
        network(x, time_, rows, lengths)
        Student(network, lora).freeze()(x, time_, rows, lengths)
    lora.zero_grad(set_to_none=True)
    if device == "cuda":
        torch.cuda.empty_cache()


def waited(path, start, seconds):
    """True once a file appears; False when it is not there at the given time."""
    while not path.exists() and time.time() - start < seconds:
        time.sleep(0.2)
    return path.exists()


def main():
    """Compile, wait for the experts, distil, save."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("role", "folder", "experts", "out"):
        parser.add_argument(name)
    parser.add_argument("--seconds", type=float, default=430)
    parser.add_argument("--start", type=float)
    parser.add_argument("--experts-by", type=float, default=320, help="take the model's own experts when no newer ones are there by then")
    parser.add_argument("--batch", type=int, default=192)
    parser.add_argument("--buffer", type=int, default=4608)
    parser.add_argument("--refresh-every", type=int, default=12)
    parser.add_argument("--guidance", type=float, nargs=2, default=(3.0, 3.0))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--no-compile", action="store_true")
    options = parser.parse_args()
    clock, device, folder = Clock(options.seconds - (time.time() - options.start if options.start else 0)), options.device, Path(options.folder)
    torch.manual_seed(53 if options.role == "high" else 59)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    block = compiled(block_forward, not options.no_compile)
    tokenizer = text.Tokenizer(folder / "tokenizer" / "spiece.model")
    encoder = load_encoder(folder / "text_encoder" / "model.safetensors", tokenizer, device).requires_grad_(False)
    prompts = Prompts(encoder, tokenizer, device, seed=61 if options.role == "high" else 67)
    names = ("high", "low")
    start_from = {"high": "transformer", "low": "transformer_2"}
    networks = {n: Network(load_expert(folder / start_from[n] / "diffusion_pytorch_model.safetensors", device).requires_grad_(False), block) for n in names}
    warm(networks[options.role], LowRank(networks[options.role].model), options.batch, device)
    print(f"lightning {options.role} ready at {clock.elapsed:.0f} s", flush=True)
    for name in names:
        path = Path(options.experts) / f"{name}.safetensors"
        if waited(path, options.start or time.time(), options.experts_by):
            networks[name].model.load_state_dict(load_file(path, device=device))
        else:
            print(f"no {path}: going on from the model's own", flush=True)
    lora = LowRank(networks[options.role].model)

    def look_for_high():
        """The high-noise student once its terms are saved."""
        path = Path(options.out) / "lora_high.safetensors"
        return Student(networks["high"], LowRank(networks["high"].model).load_official(path)).freeze() if path.exists() else None

    distiller = Distiller(options.role, [networks[n] for n in names], Student(networks[options.role], lora), None, prompts, tuple(options.guidance), options.buffer, options.batch, device)
    distil(distiller, clock, max(1, options.buffer // (2 * options.batch)), options.refresh_every, look_for_high)
    path = Path(options.out) / f"lora_{options.role}.safetensors"
    save_file({k: v.float().cpu().contiguous() for k, v in lora.official().items()}, str(path) + ".part")
    os.replace(str(path) + ".part", path)


if __name__ == "__main__":
    main()
