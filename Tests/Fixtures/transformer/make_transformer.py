"""Makes tiny.safetensors and block.safetensors: the official transformer, filled deterministically.

Reference, packages and fill: ../support.py. dtype float32, exact attention, no random numbers.

tiny.safetensors: d 96, 3 heads, ffn 192, 2 layers, in = out = 16, text 64 wide and 8 rows, latent
[16, 3, 4, 6], 5 real rows of text. Tensors lack the batch axis. It guards every operation and index map
of the model; it does not guard the published head width (32 here).

block.safetensors: one block of d 256, 2 heads of 128, ffn 512, on a grid of 3 x 4 x 5 with 512 rows of
text of which 7 are real and the others are one constant row, as after the text embedding. Inputs are
filled: `input.block.x` [60, 256], `input.block.e0` [6, 256], `input.block.text` [7, 256],
`input.block.padding` [256]; weights by their names below `blocks.0.`.
"""
import sys
from pathlib import Path

import torch

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from support import fill, filled, official, record, save

wan = official("modules.model")


def tiny():
    """Every stage of a whole model, with one timestep and with one per token."""
    model = filled(wan.WanModel(
        dim=96, ffn_dim=192, num_heads=3, num_layers=2, in_dim=16, out_dim=16, freq_dim=256,
        text_dim=64, text_len=8, cross_attn_norm=True))
    x, text = fill("input.x", (16, 3, 4, 6)), fill("input.context", (5, 64))

    stages = {}
    block = model.blocks[0]
    hooks = [record(module, stages, name) for name, module in {
        "patch_embedding": model.patch_embedding, "time": model.time_embedding,
        "time_projection": model.time_projection, "text": model.text_embedding,
        "blocks.0.self_attn": block.self_attn, "blocks.0.cross_attn": block.cross_attn,
        "blocks.0.ffn": block.ffn, "blocks.0": block, "blocks.1": model.blocks[1],
        "head": model.head}.items()]
    stages["final"] = model([x], torch.tensor([937.5]), [text], seq_len=18)[0]
    for hook in hooks:
        hook.remove()

    stages["time"] = stages["time"][0]                  # the rows of all tokens are equal
    stages["time_projection"] = stages["time_projection"][0].reshape(6, 96)
    per_token = torch.full((1, 18), 937.5)
    per_token[:, :6] = 0                                # the first frame is clean
    stages["final_per_token"] = model([x], per_token, [text], seq_len=18)[0]
    save(HERE / "tiny.safetensors", stages, timestep=937.5)


def block():
    """One block at the published head width."""
    block = filled(wan.WanAttentionBlock(256, 512, 2, cross_attn_norm=True), prefix="blocks.0.")
    padding = fill("input.block.padding", (256,))
    text = torch.cat([fill("input.block.text", (7, 256)), padding.expand(505, 256)])
    frequencies = torch.cat([wan.rope_params(1024, 44), wan.rope_params(1024, 42), wan.rope_params(1024, 42)], dim=1)
    out = block(
        fill("input.block.x", (1, 60, 256)), fill("input.block.e0", (1, 1, 6, 256)).expand(1, 60, 6, 256),
        seq_lens=torch.tensor([60]), grid_sizes=torch.tensor([[3, 4, 5]]), freqs=frequencies,
        context=text[None], context_lens=None)
    save(HERE / "block.safetensors", {"out": out[0]})


tiny()
block()
