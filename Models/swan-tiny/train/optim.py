"""Training tools: batched Muon + AdamW, averaged weights, deadlines."""
import math
import time

import torch


def orthogonalise(matrices, steps=5):
    """Newton–Schulz iteration on a stack [n, rows, columns], rows ≤ columns, in bf16 on a GPU."""
    x = matrices.bfloat16() if matrices.is_cuda else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x.float()


class Muon:
    """Momentum with orthogonalised updates.

    Matrices are laid wide and zero-padded into a few stacks (padding does not change
    the result), so that one iteration serves them all. The update has the root mean
    square of Adam's (0.2), so that learning rates carry over.
    """

    def __init__(self, parameters, momentum=0.95):
        self.momentum, self.stacks = momentum, []
        buckets = {}
        for p in parameters:
            buckets.setdefault(-(-min(p.shape[0], p[0].numel()) // 64), []).append(p)
        for members in buckets.values():
            self.stacks.append(self._stack(members))

    @staticmethod
    def _stack(members):
        """Gradient and momentum stacks of some matrices, with the size of each."""
        sizes = [(p.shape[0], p[0].numel()) for p in members]
        rows, columns = max(min(s) for s in sizes), max(max(s) for s in sizes)
        gradient = torch.zeros(len(members), rows, columns, device=members[0].device)
        scale = torch.tensor([0.2 * math.sqrt(max(s)) for s in sizes], device=gradient.device)[:, None, None]
        return members, sizes, gradient, torch.zeros_like(gradient), scale

    @staticmethod
    def _views(stack, sizes):
        """The part of a stack that belongs to each matrix, turned back to the matrix's own form."""
        return [m[:r, :c] if r <= c else m[:c, :r].mT for m, (r, c) in zip(stack, sizes)]

    @torch.no_grad()
    def step(self, rate):
        """One update of every matrix."""
        for members, sizes, gradient, buffer, scale in self.stacks:
            torch._foreach_copy_(self._views(gradient, sizes), [p.grad.reshape(s) for p, s in zip(members, sizes)])
            buffer.lerp_(gradient, 1 - self.momentum)
            update = orthogonalise(gradient.lerp(buffer, self.momentum)) * (-rate * scale)
            torch._foreach_add_(members, [u.reshape(p.shape) for u, p in zip(self._views(update, sizes), members)])


class Optimiser:
    """Muon for the matrices and kernels inside a network, AdamW for everything else.

    Rates are tensors on the device and nothing waits for it, so that `update` can be part of a CUDA graph.
    """

    def __init__(self, named_parameters, adam_only=(), muon_rate=2e-3, adam_rate=1e-3, betas=(0.9, 0.95), clip=1.0):
        named = [(n, p) for n, p in named_parameters if p.requires_grad]
        inner = [p for n, p in named if self._is_matrix(p) and not any(key in n for key in adam_only)]
        chosen = {id(p) for p in inner}
        self.parameters = [p for _, p in named]
        self.muon = Muon(inner)
        self.base_rates, self.clip, device = (muon_rate, adam_rate), clip, self.parameters[0].device
        self.muon_rate = torch.tensor(muon_rate, device=device)
        rest = [p for p in self.parameters if id(p) not in chosen]
        self.adam = torch.optim.AdamW(rest, torch.tensor(adam_rate, device=device), betas=betas, weight_decay=0.0, fused=True, capturable=device.type == "cuda") if rest else None

    @staticmethod
    def _is_matrix(p):
        return p.ndim >= 2 and min(p.shape[0], p[0].numel()) >= 16

    def set_rate(self, factor):
        """From now on, `factor` times the base rates."""
        self.muon_rate.fill_(self.base_rates[0] * factor)
        for group in self.adam.param_groups if self.adam else ():
            group["lr"].fill_(self.base_rates[1] * factor)

    def update(self):
        """Clip the gradients, update all weights, drop the gradients."""
        torch.nn.utils.clip_grad_norm_(self.parameters, self.clip, foreach=True)
        self.muon.step(self.muon_rate)
        if self.adam:
            self.adam.step()
        for p in self.parameters:
            p.grad = None

    def step(self, factor):
        """An update at `factor` times the base rates."""
        self.set_rate(factor)
        self.update()

    def reset(self):
        """Forget all momentum, in place."""
        for _, _, _, buffer, _ in self.muon.stacks:
            buffer.zero_()
        for values in self.adam.state.values() if self.adam else ():
            for value in values.values():
                value.zero_()


class Average:
    """Exponential moving average of weights, warmed up (`warm`) or of one constant decay, as a graph needs it."""

    def __init__(self, parameters, decay=0.999, warm=True):
        self.live, self.decay, self.count, self.warm = list(parameters), decay, 0, warm
        self.mean = [p.detach().clone() for p in self.live]

    @torch.no_grad()
    def update(self):
        """Take one step towards the live weights."""
        self.count += 1
        decay = min(self.decay, (self.count + 1) / (self.count + 10)) if self.warm else self.decay
        torch._foreach_lerp_(self.mean, [p.detach() for p in self.live], 1 - decay)

    @torch.no_grad()
    def reset(self):
        """Begin anew at the live weights."""
        self.count = 0
        torch._foreach_copy_(self.mean, [p.detach() for p in self.live])

    @torch.no_grad()
    def swap(self):
        """Exchange live and averaged weights."""
        for p, q in zip(self.live, self.mean):
            saved = p.detach().clone()
            p.copy_(q)
            q.copy_(saved)


class Clock:
    """Share of a time budget that has passed, and the learning-rate factor that goes with it."""

    def __init__(self, seconds, start=None):
        self.start, self.seconds = start or time.time(), max(seconds, 1e-3)

    @property
    def elapsed(self):
        """Seconds since the start."""
        return time.time() - self.start

    @property
    def share(self):
        """0 at the start, 1 at the deadline."""
        return self.elapsed / self.seconds

    def factor(self, step, warm=100, flat=0.4, floor=0.01):
        """Linear warm-up, a flat part, then a cosine fall."""
        fall = max(0.0, min(1.0, (self.share - flat) / (1 - flat)))
        return min(1.0, (step + 1) / warm) * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * fall)))


def compiled(function, enabled, **options):
    """torch.compile with a fall back to the plain function when the first call fails."""
    if not enabled:
        return function
    state = {"run": torch.compile(function, dynamic=False, **options)}

    def call(*arguments):
        try:
            return state["run"](*arguments)
        except Exception as error:  # a compiler failure must not end a paid run
            if state["run"] is function:
                raise
            print("compile failed, going on without:", repr(error)[:300], flush=True)
            state["run"] = function
            return function(*arguments)
    return call
