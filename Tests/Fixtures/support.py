"""What the fixture makers share: the deterministic fill, the official classes, saving.

Reference: Wan-Video/Wan2.2 at 42bf4cfaa384bc21833865abc2f9e6c0e67233dc. Its classes come from the package
wan22 2.2.11, whose wan/modules/{model,attention,t5,tokenizers,vae2_1,vae2_2}.py and
wan/utils/{fm_solvers,fm_solvers_unipc}.py are byte for byte those of that commit.
Packages: requirements.txt beside this file. Everything runs in float32 on the CPU.
"""
import importlib
import importlib.machinery
import math
import sys
import types
import warnings
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

warnings.filterwarnings("ignore", message=".*CUDA is not available")   # the official autocast
torch.set_num_threads(1)
torch.set_grad_enabled(False)


# -- Deterministic fill ----------------------------------------------------------------------------

def uniform(name, shape):
    """Values in -1...1 that depend on the name and the flat index alone."""
    key = 2166136261                                    # FNV-1a, 32 bits
    for byte in name.encode("ascii"):
        key = (key ^ byte) * 16777619 & 0xFFFFFFFF
    z = (key + np.arange(math.prod(shape), dtype=np.uint64) * 0x9E3779B9) & 0xFFFFFFFF
    z ^= z >> 16                                        # the finaliser of MurmurHash3
    z = z * 0x85EBCA6B & 0xFFFFFFFF
    z ^= z >> 13
    z = z * 0xC2B2AE35 & 0xFFFFFFFF
    z ^= z >> 16
    return torch.from_numpy(2 * z.astype(np.float64) / 2**32 - 1).reshape(shape)


def fill(name, shape):
    """An input: the uniform values themselves, in float32."""
    return uniform(name, shape).float()


def weight(name, shape, inputs=()):
    """A weight: gains near 1, biases and modulations small, the rest scaled by its fan-in.

    Names that contain one of `inputs` are filled as inputs.
    """
    u = uniform(name, shape)
    if any(part in name for part in inputs):
        value = u
    elif name.endswith(("modulation", "bias")):
        value = 0.1 * u
    elif name.endswith("gamma") or len(shape) == 1:     # the gain of a norm
        value = 1 + 0.1 * u
    else:
        value = u * math.sqrt(3 / math.prod(shape[1:]))
    return value.float()


def filled(module, prefix="", inputs=()):
    """The module with all its parameters filled by their names below `prefix`."""
    for name, parameter in module.named_parameters():
        parameter.copy_(weight(prefix + name, tuple(parameter.shape), inputs))
    return module.eval()


# -- Official classes ------------------------------------------------------------------------------

def official(module):
    """A module of the official package, without running the `__init__`s that import everything."""
    if "wan" not in sys.modules:
        torch.cuda.current_device = lambda: "cpu"       # a default argument in t5.py asks for it
        for name in ("wan", "wan.modules", "wan.utils"):
            paths = [Path(p) / name.replace(".", "/") for p in sys.path]
            package = types.ModuleType(name)
            package.__path__ = [str(next(p for p in paths if p.is_dir()))]
            sys.modules[name] = package
    loaded = importlib.import_module(f"wan.{module}")
    if hasattr(loaded, "flash_attention"):
        loaded.flash_attention = exact_attention
    return loaded


def exact_attention(q, k, v, k_lens=None, **_):
    """Attention in the dtype of its inputs, `[batch, rows, heads, width]`, keys beyond `k_lens` masked.

    Stands in for flash attention, which has no float32 and no CPU.
    """
    mask = None
    if k_lens is not None:
        mask = (torch.arange(k.shape[1])[None] < k_lens[:, None])[:, None, None]
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2)


# -- Recording and saving --------------------------------------------------------------------------

def record(module, into, name):
    """Keeps the module's next outputs in the dictionary `into` under `name`, without a batch axis."""
    return module.register_forward_hook(lambda _, __, out: into.__setitem__(name, out[0].clone()))


def save(path, tensors, **notes):
    """Writes a safetensors file and prints what is in it."""
    tensors = {name: value.contiguous() for name, value in tensors.items()}
    save_file(tensors, path, metadata={key: str(value) for key, value in notes.items()} or None)
    print(f"{Path(path).name}: {Path(path).stat().st_size:,} bytes")
    for name, value in tensors.items():
        print(f"  {name} {str(value.dtype).removeprefix('torch.')} {list(value.shape)}")
