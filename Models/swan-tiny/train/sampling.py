"""Schedules and solvers: UniPC of order two as in the official code, and Euler for four steps."""
import math

import torch

SHIFT, BOUNDARY = 5.0, 0.875
LATENT = (16, 7, 16, 16)


def shifted(u, shift=SHIFT):
    """The flow shift."""
    return shift * u / (1 + (shift - 1) * u)


def unipc_sigmas(steps):
    """Sigmas of the official UniPC schedule (ends with 0)."""
    top = 1 - 1 / 1000
    return [shifted(top * (1 - k / steps)) for k in range(steps)] + [0.0]


def euler_sigmas(steps):
    """Sigmas of the Lightning schedule (ends with 0)."""
    return [shifted(1 - k / steps) for k in range(steps + 1)]


def half_log_snr(sigma):
    """λ(σ) with its limits."""
    return math.inf if sigma <= 0 else -math.inf if sigma >= 1 else math.log(1 - sigma) - math.log(sigma)


def unipc_predict(x, before, old, older, s_from, s_to, s_older):
    """Predictor from one sigma to the next; `older` is None for order one."""
    h = half_log_snr(s_to) - half_log_snr(s_from)
    e = math.expm1(-h)
    out = (s_to / s_from) * before - (1 - s_to) * e * old
    if older is not None:
        r = (half_log_snr(s_older) - half_log_snr(s_from)) / h
        out = out - (1 - s_to) * e * 0.5 * (older - old) / r
    return out


def unipc_correct(before, new, old, older, s_from, s_to, s_older):
    """Corrector of the step that led from s_from to s_to."""
    h = half_log_snr(s_to) - half_log_snr(s_from)
    e = math.expm1(-h)
    base = (s_to / s_from) * before - (1 - s_to) * e * old
    if older is None:
        return base - (1 - s_to) * e * 0.5 * (new - old)
    r, c = (half_log_snr(s_older) - half_log_snr(s_from)) / h, -h
    g1 = e / c - 1
    b1, b2 = g1 / e, 2 * (g1 / c - 0.5) / e
    rho1 = (b1 - b2) / (1 - r)
    return base - (1 - s_to) * e * (rho1 * (older - old) / r + (b1 - rho1) * (new - old))


def unipc(velocity, x, steps=40, sigmas=None, exact_time=False):
    """Sample with `velocity(x, sigma, timestep)`; timesteps are truncated to integers as in the official code.

    With `sigmas` (falling, any last value) it solves just that stretch.
    """
    sigmas = sigmas or unipc_sigmas(steps)
    steps = len(sigmas) - 1
    before = old = older = None
    last_order = 0
    for k in range(steps):
        timestep = 1000 * sigmas[k] if exact_time else float(int(1000 * sigmas[k]))
        new = x - sigmas[k] * velocity(x, sigmas[k], timestep)
        if k > 0:
            x = unipc_correct(before, new, old, older if last_order == 2 else None, sigmas[k - 1], sigmas[k], sigmas[k - 2])
        older, old, before = old, new, x
        last_order = min(2, steps - k, k + 1)
        if sigmas[k + 1] == 0:
            return old
        x = unipc_predict(x, before, old, older if last_order == 2 else None, sigmas[k], sigmas[k + 1], sigmas[k - 1])
    return x


def euler(velocity, x, steps=4):
    """Sample with Euler steps and exact timesteps."""
    sigmas = euler_sigmas(steps)
    for k in range(steps):
        x = x + (sigmas[k + 1] - sigmas[k]) * velocity(x, sigmas[k], 1000 * sigmas[k])
    return x


def guided(high, low, rows, lengths, empty_rows, empty_lengths, guidance_high, guidance_low):
    """Velocity with classifier-free guidance and the switch of experts at the boundary."""
    def velocity(x, sigma, timestep):
        is_high = timestep >= 1000 * BOUNDARY
        network, guidance = (high, guidance_high) if is_high else (low, guidance_low)
        time = torch.full((len(x),), timestep, device=x.device)
        told = network(x, time, rows, lengths)
        if guidance == 1:
            return told
        free = network(x, time, empty_rows.expand_as(rows), empty_lengths.expand_as(lengths))
        return free + guidance * (told - free)
    return velocity
