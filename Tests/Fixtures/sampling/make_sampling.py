"""Makes trajectories.safetensors: the official solvers on a field that is known in closed form.

Reference: ../solvers.py; fill: ../support.py. dtype float32, no random numbers.

The field is v(x, t) = tanh(0.8 x + b + sin(t / 100)) with b = fill `input.field` and t the timestep that
the network would be given; sin(t / 100) is a float64 scalar. x starts as fill `input.noise`; both are
[16, 3, 4, 4]. For a solver S in unipc, dpm++, euler:
  S.steps8.shift5, S.steps8.shift12   [8, 16, 3, 4, 4]: the latent after each of 8 steps; the last is the result
  S.steps1.shift5, S.steps2.shift5    1 and 2 steps, where the order has to be lowered at once
  S.steps4.shift5                     4 steps, euler alone (it has no shift12 and no steps2)
  ….timesteps, ….sigmas               what the solver was built on, as float32; sigmas end with 0
"""
import math
import sys
from pathlib import Path

import torch

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from solvers import solver
from support import fill, save

SHAPE = (16, 3, 4, 4)
BIAS, NOISE = fill("input.field", SHAPE), fill("input.noise", SHAPE)


def velocity(x, timestep):
    return torch.tanh(0.8 * x + BIAS + math.sin(timestep.item() / 100))


RUNS = {"unipc": ((8, 5.0), (8, 12.0), (2, 5.0), (1, 5.0)), "dpm++": ((8, 5.0), (8, 12.0), (2, 5.0), (1, 5.0)),
        "euler": ((8, 5.0), (4, 5.0), (1, 5.0))}

tensors = {}
for name, runs in RUNS.items():
    for steps, shift in runs:
        run, x, latents = solver(name, steps, shift), NOISE, []
        for timestep in run.timesteps:
            x = run.step(velocity(x, timestep), timestep, x)
            latents.append(x)
        key = f"{name}.steps{steps}.shift{shift:g}"
        tensors |= {key: torch.stack(latents), f"{key}.timesteps": run.timesteps.float(), f"{key}.sigmas": run.sigmas.float()}

save(HERE / "trajectories.safetensors", tensors)
