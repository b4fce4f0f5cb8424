"""Makes normals.safetensors: standard normals of PyTorch's CPU generator.

torch 2.11.0, torch.Generator("cpu"), float32. Per seed S and size N: `S.N` holds all values up to 100, and
for the large size the first and last 64 (`S.28672.first`, `.last`) and the sum in float64 (`.sum`).
Sizes: one block of 16; 17 and 100, whose tail is drawn again; a latent [16, 7, 16, 16].
PyTorch's vector instructions evaluate log, sin and cos to about 2.4e-7: compare with a tolerance.
"""
import sys
from pathlib import Path

import torch

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from support import save

tensors = {}
for seed in (0, 42, 2**40 + 7):
    for size in (16, 17, 100, 16 * 7 * 16 * 16):
        values = torch.randn(size, generator=torch.Generator("cpu").manual_seed(seed), dtype=torch.float32)
        name = f"{seed}.{size}"
        if size <= 100:
            tensors[name] = values
        else:
            tensors |= {f"{name}.first": values[:64], f"{name}.last": values[-64:], f"{name}.sum": values.double().sum()}

save(HERE / "normals.safetensors", tensors)
