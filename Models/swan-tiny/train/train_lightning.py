"""Distil guidance and many steps into low-rank terms of both experts, for four Euler steps without guidance.

For its two steps each expert learns to go straight to where the guided teacher's ODE leads
from the student's own state. States and targets live in a buffer that is refreshed with
the current student, so that the costly teacher runs serve several updates. An existing pair
in the model is gone on from. Updates and refreshes are recorded as CUDA graphs.

Usage: python train_lightning.py MODEL_FOLDER EXPERTS_FOLDER OUT_FOLDER --seconds 545 [--start EPOCH]
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
from graphs import Pace, Recorded, RunningLoss, prepare, wait_for_device
from network import LINEARS, OTHERS, Network, block_weights, compiled_parts
from optim import Average, Clock
from train_experts import SUBFOLDER, expert_path, load_expert, loss_of
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

    @torch.no_grad()
    def __init__(self, encoder, tokenizer, device, seed=61, count=20000):
        rng = np.random.default_rng(seed)
        ids = tokenizer.ids([caption(rng, draw_label(rng, pair_share=0.22)) for _ in range(count)], rng, 0.04).to(device)
        precision = torch.bfloat16 if device == "cuda" else torch.float32
        parts = [encode_text(encoder, part) for part in ids.split(2000)]
        self.rows, self.lengths = torch.cat([r for r, _ in parts]).to(precision), torch.cat([n for _, n in parts])
        empty_rows, self.empty_lengths = encode_text(encoder, tokenizer.ids([""]).to(device))
        self.empty_rows = empty_rows.to(precision)

    def of(self, numbers):
        """Rows and lengths of captions by number."""
        return self.rows[numbers], self.lengths[numbers]


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
        self.next, self.filled = torch.zeros((), dtype=torch.long, device=device), torch.zeros((), dtype=torch.long, device=device)

    def put(self, x, velocity, step, number):
        """Overwrite the oldest entries."""
        at = (self.next + torch.arange(len(x), device=x.device)) % len(self.x)
        self.x[at], self.velocity[at], self.number[at] = x, velocity, number
        self.step[at] = torch.full_like(number, step)
        self.next.add_(len(x)).remainder_(len(self.x))
        self.filled.add_(len(x)).clamp_(max=len(self.x))

    def take(self, count, random):
        """A random batch."""
        at = (torch.rand(count, device=self.x.device, generator=random) * self.filled).long().clamp(max=len(self.x) - 1)
        return self.x[at], self.velocity[at], self.step[at], self.number[at]

    def reset(self):
        """Forget all entries."""
        self.next.zero_()
        self.filled.zero_()


class Distiller:
    """Teacher, student and buffer of one expert. A call is one update of the student."""

    def __init__(self, role, networks, lora, before, prompts, options):
        self.role, self.networks, self.lora, self.before = role, networks, lora, before
        self.prompts, self.guidance, self.batch, self.device = prompts, tuple(options.guidance), options.batch, options.device
        self.student, self.own_states = Student(networks[role], lora), True
        self.buffer = Buffer(options.buffer, self.device)
        self.sigma = torch.tensor(SIGMAS, device=self.device)
        self.random = torch.Generator(self.device).manual_seed(53 if role == "high" else 59)
        self.parameters, self.base_rate = list(lora.parameters()), options.rate
        rate = torch.tensor(0.0, device=self.device)
        self.adam = torch.optim.AdamW(self.parameters, rate, betas=(0.9, 0.98), weight_decay=0.0, fused=True, capturable=self.device == "cuda")
        self.average = Average(self.parameters, 0.995, warm=False)
        self.loss = RunningLoss(self.device)

    def set_rate(self, factor):
        """From now on, `factor` times the base rate."""
        self.adam.param_groups[0]["lr"].fill_(self.base_rate * factor)

    def teacher_end(self, x, k, rows, lengths):
        """Where the guided teacher's ODE leads in step k."""
        teachers = [self.networks[n] for n in SUBFOLDER]
        velocity = sampling.guided(*teachers, rows, lengths, self.prompts.empty_rows, self.prompts.empty_lengths, *self.guidance)
        return sampling.unipc(velocity, x, sigmas=stretch(k), exact_time=True)

    def student_end(self, network, x, k, rows, lengths):
        """One Euler step."""
        time_ = torch.full((len(x),), 1000 * SIGMAS[k], device=self.device)
        return x + (SIGMAS[k + 1] - SIGMAS[k]) * network(x, time_, rows, lengths)

    @torch.no_grad()
    def refresh(self):
        """New entries; the states come from the student, or for a new student from the teacher."""
        number = (torch.rand(self.batch, device=self.device, generator=self.random) * len(self.prompts.rows)).long()
        rows, lengths = self.prompts.of(number)
        x = torch.randn(self.batch, *sampling.LATENT, device=self.device, generator=self.random)
        with torch.autocast(self.device, torch.bfloat16, enabled=self.device == "cuda"):
            if self.before:
                before = Student(self.before.network, self.before.lora).freeze()
                for k in STEPS["high"]:
                    x = self.student_end(before, x, k, rows, lengths) if self.own_states else self.teacher_end(x, k, rows, lengths)
            student = Student(self.student.network, self.lora).freeze()
            for k in STEPS[self.role]:
                end = self.teacher_end(x, k, rows, lengths)
                self.buffer.put(x, (end - x) / (SIGMAS[k + 1] - SIGMAS[k]), k, number)
                x = self.student_end(student, x, k, rows, lengths) if self.own_states else end

    def __call__(self):
        x, velocity, step, number = self.buffer.take(self.batch, self.random)
        rows, lengths = self.prompts.of(number)
        with torch.autocast(self.device, torch.bfloat16, enabled=self.device == "cuda"):
            guess = self.student(x, 1000 * self.sigma[step], rows, lengths)
        loss = (guess - velocity).pow(2).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0, foreach=True)
        self.adam.step()
        for p in self.parameters:
            p.grad = None
        self.average.update()
        self.loss.add(loss)

    def reset(self):
        """Forget what warming up has left behind."""
        self.buffer.reset()
        self.average.reset()
        self.loss.reset()
        for values in self.adam.state.values():
            for value in values.values():
                value.zero_()


def distil(updates, refreshes, clock, refresh_every):
    """Refresh and train in turns until the deadline; returns the updates of each expert, 0 when losses are no numbers any more."""
    distillers = {role: item.step for role, item in updates.items()}
    device = distillers["high"].device
    begin, step, shown, pace = clock.share, 0, 0, Pace(device, 8)
    while clock.share < 1:
        share = (clock.share - begin) / max(1e-6, 1 - begin)
        factor = min(1.0, (step + 1) / 50) * max(0.01, min(1.0, 1.5 * (1 - share)))
        for item in updates.values():
            with torch.cuda.stream(item.stream):
                item.step.set_rate(factor)
            item()
        step += 1
        if step % refresh_every == 0:
            for item in refreshes.values():
                item()
        pace([updates["high"].stream])
        if step == 20 or step % 250 == 0:
            losses = {role: d.loss.mean(step - shown) for role, d in distillers.items()}
            shown = step
            print(f"lightning step {step} at {clock.elapsed:.0f} s: " + " ".join(f"{k} {v:.4f}" for k, v in losses.items()), flush=True)
            if not all(map(math.isfinite, losses.values())):
                return 0
    wait_for_device(device)
    return step


def fill(distillers, refreshes, count, own_states):
    """Fill the buffers; a new student has no states of its own that would be worth anything."""
    for role, distiller in distillers.items():
        distiller.own_states = own_states
        for _ in range(count):
            refreshes[role]() if own_states else distiller.refresh()
        distiller.own_states = True
        wait_for_device(distiller.device)


def take_experts(networks, folder, start, until):
    """Load trained experts once they are there; without them, the model's own stay."""
    for role, network in networks.items():
        path = Path(folder) / f"{role}.safetensors"
        while not path.exists() and time.time() - start < until:
            time.sleep(0.2)
        if path.exists():
            network.model.load_state_dict(load_file(path))
        else:
            print(f"no {path}: going on from the model's own", flush=True)


def save_pair(distillers, out):
    """Write both files in the form of the published pairs."""
    for role, distiller in distillers.items():
        path = Path(out) / f"lora_{role}.safetensors"
        save_file({k: v.float().cpu().contiguous() for k, v in distiller.lora.official().items()}, str(path) + ".part")
        os.replace(str(path) + ".part", path)


def parse():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("folder", "experts", "out"):
        parser.add_argument(name)
    parser.add_argument("--seconds", type=float, default=545)
    parser.add_argument("--start", type=float, default=time.time(), help="epoch seconds from which all times count")
    parser.add_argument("--experts-by", type=float, default=440, help="take the model's own experts when no newer ones are there by then")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--buffer", type=int, default=6144)
    parser.add_argument("--prompts", type=int, default=20000)
    parser.add_argument("--refresh-every", type=int, default=12)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--guidance", type=float, nargs=2, default=(4.0, 4.0))
    parser.add_argument("--new-pair", action="store_true", help="begin anew even if the model has a pair")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--no-graph", action="store_true")
    return parser.parse_args()


def build(options, prompts):
    """Both experts' distillers, from the model's pair when it has one; the low-noise one starts from the other's states."""
    parts = compiled_parts(not options.no_compile)
    networks = {r: Network(load_expert(expert_path(options.folder, r), options.device).requires_grad_(False), *parts) for r in SUBFOLDER}
    distillers, goes_on = {}, not options.new_pair
    for role, network in networks.items():
        path, lora = Path(options.folder) / "lightning" / f"{role}_noise_model.safetensors", LowRank(network.model)
        goes_on = goes_on and path.exists()
        if goes_on:
            lora.load_official(path)
        distillers[role] = Distiller(role, networks, lora, distillers["high"].student if role == "low" else None, prompts, options)
    return networks, distillers, goes_on


def main():
    """Compile and record, wait for the experts, distil, save."""
    options = parse()
    Path(options.out).mkdir(parents=True, exist_ok=True)
    clock, device, folder = Clock(options.seconds, options.start), options.device, Path(options.folder)
    torch.manual_seed(53)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch._dynamo.config.recompile_limit = 32     # the block with and without gradients, of teacher and student
    tokenizer = text.Tokenizer(folder / "tokenizer" / "spiece.model")
    encoder = load_encoder(folder / "text_encoder" / "model.safetensors", tokenizer, device).requires_grad_(False)
    networks, distillers, goes_on = build(options, Prompts(encoder, tokenizer, device, count=options.prompts))
    stream = torch.cuda.Stream() if device == "cuda" else None
    recorded = lambda step, distiller, warm: Recorded(step, device, not options.no_graph, [distiller.random], stream, warm)
    refreshes = {role: recorded(d.refresh, d, 1) for role, d in distillers.items()}
    updates = {role: recorded(d, d, 3) for role, d in distillers.items()}
    prepare([*refreshes.values(), *updates.values()], lambda item: loss_of(item) if item in updates.values() else item(), options.start)
    print(f"ready at {clock.elapsed:.0f} s", flush=True)

    take_experts(networks, options.experts, options.start, options.experts_by)
    for distiller in distillers.values():
        distiller.reset()
    wait_for_device(device)
    fill(distillers, refreshes, max(1, options.buffer // (2 * options.batch)), goes_on)
    print(f"buffers full at {clock.elapsed:.0f} s", flush=True)
    steps = distil(updates, refreshes, clock, options.refresh_every)
    for distiller in distillers.values():
        distiller.average.swap()
    if steps:
        save_pair(distillers, options.out)
    print("lightning steps", steps, f"saved at {clock.elapsed:.0f} s" if steps else "not saved", flush=True)


if __name__ == "__main__":
    main()
