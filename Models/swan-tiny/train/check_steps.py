"""Checks of the training steps: against plain PyTorch on any device, and recorded against called ones on a GPU, with times.

Usage: python check_steps.py MODEL_FOLDER [--device cuda] [--batch 128] [--compile]       Ends with an error when a check fails.
"""
import argparse
import copy
import tempfile
import time
from pathlib import Path

import torch
from torch.utils._python_dispatch import TorchDispatchMode

import sampling
import text
import train_lightning
from graphs import Recorded, wait_for_device
from network import Network, compiled_parts
from optim import Muon
from pool import LivePool, part_path
from train_experts import ADAM_ONLY, RANGE, ExpertStep, expert_path, load_expert
from train_transformer import load_encoder

STEPS = 4
# Largest differences between updates, in relation to the reference's: on a GPU, bf16 and orthogonalised noise leave much;
# steps on other random numbers differ by more than 1.
AGAINST_PLAIN = {"cpu": 1e-3, "cuda": 0.7}
AGAINST_CALLED = 0.3


class NoWaiting(TorchDispatchMode):
    """Refuses what would read from the device or copy a number of the host to it: neither can be recorded."""

    REFUSED = ("_local_scalar_dense", "nonzero", "masked_select", "lift_fresh", "equal", "unique")

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        if any(function.__name__.startswith(name + ".") for name in self.REFUSED):
            raise RuntimeError(f"a step calls {function}")
        return function(*arguments, **(keywords or {}))


def difference(ours, reference, start=None):
    """Norm of the difference in relation to the reference, or to its change since `start`."""
    flat = lambda tensors: torch.cat([t.detach().float().flatten() for t in tensors])
    a, b = flat(ours), flat(reference)
    return ((a - b).norm() / ((b - flat(start)).norm() if start else b.norm())).item()


def expect(name, value, limit):
    """Print a difference; an error when it is too large."""
    print(f"{name}: {value:.2e} (limit {limit:g})", flush=True)
    if not value <= limit:
        raise SystemExit(f"{name}: too large")


def small_pool(folder, encoder, tokenizer, device):
    """A pool of two parts of noise, the second of which wraps around."""
    random = torch.Generator().manual_seed(1)
    for number in range(2):
        latents = torch.randn(24, *sampling.LATENT, generator=random).bfloat16()
        cover = torch.randint(256, (24, *sampling.LATENT[1:]), generator=random, dtype=torch.uint8)
        torch.save({"latents": latents, "cover": cover, "ids": tokenizer.ids(["a cat in the snow", "A ball"] * 12)}, part_path(folder, number))
    pool = LivePool(folder, 40, encoder, tokenizer, device, held=8)
    pool.take_part()
    first = pool.latents.clone()
    pool.take_part()
    assert pool.latents[:8].equal(first[:8]) and not pool.latents[8:24].equal(first[8:24]) and pool.count == 32 == int(pool.filled), "parts lie in wrong places"
    assert not pool.has_part()
    return pool


def check_network(model, device):
    """The network against the library's forward, with 512 text rows there."""
    random = torch.Generator().manual_seed(2)
    x, rows = torch.randn(2, *sampling.LATENT, generator=random).to(device), torch.zeros(2, text.ROWS, 128, device=device)
    rows[:, :9] = torch.randn(2, 9, 128, generator=random).to(device)
    time_, lengths = torch.tensor([700.0, 20.0], device=device), torch.full((2,), 9, device=device)
    with torch.no_grad():
        reference = model(x, time_, torch.cat([rows[:, :9], torch.zeros(2, 503, 128, device=device)], 1), return_dict=False)[0]
        expect("network against the library", difference([Network(model)(x, time_, rows, lengths)], [reference]), 2e-3 if device == "cuda" else 1e-4)


def plain_expert_steps(model, pool, role, options):
    """The same training written out with PyTorch's own AdamW, one number at a time; returns weights and their average."""
    named = list(model.named_parameters())
    inner = [p for n, p in named if p.ndim >= 2 and min(p.shape[0], p[0].numel()) >= 16 and not any(k in n for k in ADAM_ONLY)]
    rest = [p for _, p in named if all(p is not q for q in inner)]
    muon, adam = Muon(inner), torch.optim.AdamW(rest, options.adam_rate, betas=(0.9, 0.95), weight_decay=0.0, foreach=False)
    random, mean = torch.Generator(pool.device).manual_seed(3), [p.detach().clone() for _, p in named]
    for _ in range(STEPS):
        noisy, velocity, sigma, rows, lengths, cover = pool.batch(options.batch, *RANGE[role], random)
        with torch.autocast(pool.device, torch.bfloat16, enabled=pool.device == "cuda"):
            error = (Network(model)(noisy, 1000 * sigma, rows, lengths) - velocity).pow(2).mean(1)
        weight = (1 + (options.figure_weight - 1) * cover)[:, 0]
        ((error * weight).sum() / weight.sum()).backward()
        norm = torch.stack([p.grad.norm() for _, p in named]).norm()
        for _, p in named:
            p.grad.mul_(min(1.0, 1 / (norm.item() + 1e-6)))
        muon.step(options.muon_rate)
        adam.step()
        for k, (_, p) in enumerate(named):
            mean[k] = options.average * mean[k] + (1 - options.average) * p.detach()
            p.grad = None
    return [p for _, p in named], mean


def ready(step, device, record):
    """A step with its rate on, its state fresh and its random numbers at a known place."""
    item = Recorded(step, device, record, [step.random]).warm().capture()
    step.reset()
    return item


def run(item, rate):
    """A few steps from a fixed seed."""
    item.step.random.manual_seed(3)
    rate(1.0)
    wait_for_device(item.device)
    for _ in range(STEPS):
        item()
    wait_for_device(item.device)


def check_expert(role, model, parts, pool, options):
    """Called steps against plain ones, recorded ones against called ones."""
    start = [p.detach().clone() for p in model.parameters()]
    reference, mean = plain_expert_steps(copy.deepcopy(model), pool, role, options)
    limit = AGAINST_PLAIN[options.device]
    for record in (False, True) if options.device == "cuda" else (False,):
        step = ExpertStep(role, Network(copy.deepcopy(model), *parts), pool, options)
        item = ready(step, options.device, record)
        run(item, step.optimiser.set_rate)
        name = f"{role} expert, {'recorded' if record else 'called'}"
        expect(f"{name}, weights", difference(step.optimiser.parameters, reference, start), limit)
        expect(f"{name}, average", difference(step.average.mean, mean, start), limit)
        reference, mean, limit = [p.detach().clone() for p in step.optimiser.parameters], [m.clone() for m in step.average.mean], AGAINST_CALLED
        measure(name, item, options)


def check_waiting(models, pool, prompts, options):
    """No call that could not be recorded in the steps (on a GPU, recording itself is the check)."""
    networks = {role: Network(copy.deepcopy(model).requires_grad_(False)) for role, model in models.items()}
    high = train_lightning.Distiller("high", networks, train_lightning.LowRank(networks["high"].model), None, prompts, options)
    low = train_lightning.Distiller("low", networks, train_lightning.LowRank(networks["low"].model), high.student, prompts, options)
    for call in (ExpertStep("low", Network(copy.deepcopy(models["low"])), pool, options), low.refresh, low):
        call()
        with NoWaiting():
            call()
    try:
        with NoWaiting():
            torch.ones(1).item()
    except RuntimeError:
        return print("no step waits for the device", flush=True)
    raise SystemExit("waiting is not noticed")


def check_lightning(networks, prompts, options):
    """Updates of the low-rank terms against plain ones; refreshes are finite, recorded and called."""
    found = {}
    for record in (False, True) if options.device == "cuda" else (False,):
        torch.manual_seed(4)
        high = train_lightning.Distiller("high", networks, train_lightning.LowRank(networks["high"].model), None, prompts, options)
        low = train_lightning.Distiller("low", networks, train_lightning.LowRank(networks["low"].model), high.student, prompts, options)
        refresh = Recorded(low.refresh, options.device, record, [low.random], warm=1).warm().capture()
        update = ready(low, options.device, record)
        low.random.manual_seed(3)
        refresh()
        wait_for_device(options.device)
        assert low.buffer.velocity[:int(low.buffer.filled)].isfinite().all() and int(low.buffer.filled) == min(options.buffer, 2 * options.batch)
        start = [p.detach().clone() for p in low.parameters]
        state = low.buffer.x.clone(), low.buffer.velocity.clone()
        run(update, low.set_rate)
        found[record] = state, low.parameters
        name = f"lightning, {'recorded' if record else 'called'}"
        expect(f"{name}, updates", difference(low.parameters, plain_lightning_steps(low, start, options), start), AGAINST_PLAIN[options.device])
        measure(f"{name} update", update, options)
        measure(f"{name} refresh", refresh, options)
    if True in found:
        expect("lightning, states recorded against called", difference(found[True][0], found[False][0]), 0.05)


def plain_lightning_steps(distiller, start, options):
    """The same updates with PyTorch's own AdamW and clipping; returns the terms."""
    lora = copy.deepcopy(distiller.lora)
    parameters, student = list(lora.parameters()), train_lightning.Student(distiller.student.network, lora)
    for p, q in zip(parameters, start):
        p.data.copy_(q)
    adam, random = torch.optim.AdamW(parameters, options.rate, betas=(0.9, 0.98), weight_decay=0.0, foreach=False), torch.Generator(options.device).manual_seed(3)
    for _ in range(STEPS):
        x, velocity, step, number = distiller.buffer.take(options.batch, random)
        with torch.autocast(options.device, torch.bfloat16, enabled=options.device == "cuda"):
            guess = student(x, 1000 * distiller.sigma[step], *distiller.prompts.of(number))
        (guess - velocity).pow(2).mean().backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        adam.step()
        adam.zero_grad()
    return parameters


def measure(name, item, options):
    """Milliseconds a call, on a GPU."""
    if options.device == "cuda":
        started = time.time()
        for _ in range(options.times):
            item()
        wait_for_device(options.device)
        print(f"{name}: {(time.time() - started) / options.times * 1e3:.1f} ms at batch {options.batch}", flush=True)


def parse():
    """Command line, with the rates that the steps read."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--buffer", type=int, default=512)
    parser.add_argument("--times", type=int, default=30)
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()
    options.figure_weight, options.muon_rate, options.adam_rate, options.average = 3.0, 2.5e-3, 1e-3, 0.9
    options.guidance, options.rate = (4.0, 4.0), 2e-3
    return options


def main():
    """All checks."""
    options = parse()
    torch.manual_seed(0)
    torch._dynamo.config.recompile_limit = 32
    device, parts = options.device, compiled_parts(options.compile)
    tokenizer = text.Tokenizer(options.folder / "tokenizer" / "spiece.model")
    encoder = load_encoder(options.folder / "text_encoder" / "model.safetensors", tokenizer, device).requires_grad_(False)
    models = {role: load_expert(expert_path(options.folder, role), device) for role in RANGE}
    check_network(models["low"], device)
    with tempfile.TemporaryDirectory() as folder:
        pool = small_pool(folder, encoder, tokenizer, device)
    prompts = train_lightning.Prompts(encoder, tokenizer, device, count=64)
    if device == "cpu":
        check_waiting(models, pool, prompts, options)
    for role, model in models.items():
        check_expert(role, model, parts, pool, options)
    networks = {role: Network(model.requires_grad_(False), *parts) for role, model in models.items()}
    check_lightning(networks, prompts, options)
    print("all checks passed", flush=True)


if __name__ == "__main__":
    main()
