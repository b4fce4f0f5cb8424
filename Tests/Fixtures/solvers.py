"""The official solvers behind one call: `solver(name, steps, shift)` -> timesteps and a step.

unipc and dpm++ are the official classes (support.py), set up as wan/text2video.py does. euler is the
4-step rule of ModelTC/Wan2.2-Lightning at 92efeb4442a90d8f1985a486a0f33afd12dfeacf,
wan/utils/fm_solvers_euler.py, written out.
"""
import numpy as np
import torch

from support import official


class Official:
    """A scheduler of the official code."""

    def __init__(self, scheduler):
        self.scheduler = scheduler
        self.timesteps, self.sigmas = scheduler.timesteps, scheduler.sigmas

    def step(self, velocity, timestep, x):
        return self.scheduler.step(velocity[None], timestep, x[None], return_dict=False)[0][0]


class Euler:
    """Steps along the velocity; sigmas and timesteps are float32 throughout."""

    def __init__(self, steps, shift):
        even = np.linspace(1000, 0, steps + 1, dtype=np.float32) / 1000
        self.sigmas = torch.from_numpy(shift * even / (1 + (shift - 1) * even))
        self.timesteps = (self.sigmas * 1000)[:-1]

    def step(self, velocity, timestep, x):
        k = int((self.timesteps == timestep).nonzero()[0])
        return x + (self.sigmas[k + 1] - self.sigmas[k]) * velocity


def solver(name, steps, shift):
    """A fresh solver: `unipc`, `dpm++` or `euler`."""
    if name == "euler":
        return Euler(steps, float(shift))
    if name == "unipc":
        scheduler = official("utils.fm_solvers_unipc").FlowUniPCMultistepScheduler(shift=1, use_dynamic_shifting=False)
        scheduler.set_timesteps(steps, device="cpu", shift=shift)
    else:
        solvers = official("utils.fm_solvers")
        scheduler = solvers.FlowDPMSolverMultistepScheduler(shift=1, use_dynamic_shifting=False)
        solvers.retrieve_timesteps(scheduler, device="cpu", sigmas=solvers.get_sampling_sigmas(steps, shift))
    return Official(scheduler)
