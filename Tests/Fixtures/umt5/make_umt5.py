"""Makes tiny.safetensors: the official UMT5 encoder, filled deterministically.

Reference, packages and fill: ../support.py; token_embedding and pos_embedding are filled as inputs.
dtype float32, no random numbers.

vocab 64, d 32, 4 heads of 8, ffn 48, 2 layers, 32 buckets per layer. `ids.N` (int64) and `out.N` for
N = 6, 40 and 140 ids: the longest has distances in every bucket, beyond the last boundary of 91 as well.
The 6 ids are run once more padded with zeros to 8 to check that trimming is exact. It does not guard
the published width, where sums are longer.
"""
import sys
from pathlib import Path

import torch

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from support import filled, official, save, uniform

t5 = official("modules.t5")
encoder = filled(
    t5.T5Encoder(vocab=64, dim=32, dim_attn=32, dim_ffn=48, num_heads=4, num_layers=2, num_buckets=32, shared_pos=False),
    inputs=("token_embedding", "pos_embedding"))


def ids(count):
    """Ids 2...63 that look random, ended by 1."""
    u = uniform(f"input.ids.{count}", (count,))
    return torch.cat([((u + 1) / 2 * 62).long()[:-1] + 2, torch.tensor([1])])


tensors = {}
for sequence in (torch.tensor([5, 17, 42, 9, 63, 1]), ids(40), ids(140)):
    out = encoder(sequence[None], torch.ones(1, len(sequence), dtype=torch.long))[0]
    tensors |= {f"ids.{len(sequence)}": sequence, f"out.{len(sequence)}": out}

padded = encoder(torch.tensor([[5, 17, 42, 9, 63, 1, 0, 0]]), torch.tensor([[1] * 6 + [0] * 2]))[0]
assert torch.allclose(padded[:6], tensors["out.6"], atol=2e-6)
save(HERE / "tiny.safetensors", tensors)
