"""Whole training steps as CUDA graphs.

The steps of this small model are hundreds of short kernels, which take longer to launch
than to run. Recorded once and replayed, a step costs one launch. A recorded step has no
arguments and never waits for the device: all it reads (weights, pool, rate) lies in tensors
that stay where they are, and its random numbers come from generators that the graph knows.
"""
import math
import os
import sys

import torch


def wait_for_device(device):
    """Until everything queued is done."""
    if device == "cuda":
        torch.cuda.synchronize()


class Recorded:
    """A step as a CUDA graph; called as it is on a CPU or with `record` off."""

    def __init__(self, step, device, record=True, generators=(), stream=None, warm=3):
        self.step, self.device, self.graph = step, device, None
        self.record, self.generators = record and device == "cuda", generators
        self.stream = stream or (torch.cuda.Stream() if device == "cuda" else None)
        self.warm_calls = warm

    def warm(self):
        """A few plain calls: everything gets compiled, loaded and allocated."""
        wait_for_device(self.device)
        with torch.cuda.stream(self.stream):
            for _ in range(self.warm_calls):
                self.step()
        wait_for_device(self.device)
        return self

    def capture(self):
        """Record one call (which does not run it)."""
        if self.record:
            graph = torch.cuda.CUDAGraph()
            for generator in self.generators:
                graph.register_generator_state(generator)
            # A stream of the step's own also means matrix workspaces of its own.
            with torch.cuda.graph(graph, stream=self.stream):
                self.step()
            self.graph = graph
        return self

    def __call__(self):
        with torch.cuda.stream(self.stream):
            self.graph.replay() if self.graph else self.step()


class RunningLoss:
    """Sums the losses of recorded steps on the device, so that nothing waits for each of them."""

    def __init__(self, device):
        self.device, self.total = device, torch.zeros((), device=device)

    def add(self, loss):
        """Add one step's; a part of a recorded step."""
        self.total.add_(loss.detach())

    def reset(self):
        """Forget all."""
        self.total.zero_()

    def mean(self, count):
        """The mean of the last `count` steps, which are forgotten then; waits for the device."""
        wait_for_device(self.device)
        total = self.total.item()
        self.reset()
        wait_for_device(self.device)
        return total / max(1, count)


class Pace:
    """Keeps the host only a few rounds ahead of the device, so that the clock means something."""

    def __init__(self, device, ahead=3):
        self.device, self.ahead, self.events = device, ahead, []

    def __call__(self, streams):
        """Mark the end of a round on every stream; wait for the round `ahead` rounds ago."""
        if self.device != "cuda":
            return
        marks = []
        for stream in streams:
            marks.append(torch.cuda.Event(blocking=True))
            marks[-1].record(stream)
        self.events.append(marks)
        if len(self.events) > self.ahead:
            for mark in self.events.pop(0):
                mark.synchronize()


def prepare(recorded, loss_of, start):
    """Warm and record steps; a failure starts the program anew without the part that failed.

    `loss_of(item)` runs one call and gives its loss, or None for steps without one. Losses have to be finite, and those
    of a graph have to differ, since a graph that repeats its random numbers trains on nothing.
    """
    try:
        for item in recorded:
            item.warm()
    except Exception as error:
        restart("--no-compile", error, start)
    try:
        for item in recorded:
            item.capture()
            losses = [loss_of(item) for _ in range(4)]
            if losses[0] is not None and not (all(map(math.isfinite, losses)) and (len(set(losses)) > 1 or not item.graph)):
                raise RuntimeError(f"four calls gave the losses {losses}")
    except Exception as error:
        restart("--no-graph", error, start)
    kinds = ["recorded" if item.graph else "plain" for item in recorded]
    print("steps are", ", ".join(kinds), "and", "not compiled" if "--no-compile" in sys.argv else "compiled", flush=True)


def restart(flag, error, start):
    """Start this program anew with one more flag, since a failed recording leaves the device in doubt; the clock goes on."""
    if flag in sys.argv:
        raise error
    print(f"going on with {flag}:", repr(error)[:600], flush=True)
    os.execv(sys.executable, [sys.executable, *sys.argv, flag, "--start", str(start)])
