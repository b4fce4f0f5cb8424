"""Makes LoRA files for the model of ../pipeline/tiny_model.py, in the spellings that are published.

Packages and fill: ../support.py; weights by fill under names that begin with `lora.`. dtype float32 unless
said. Rank 2 throughout; alpha 1 where there is one, so a forgotten alpha / rank doubles the change.

  lightning_high_noise, lightning_low_noise   `diffusion_model.` + official module + .lora_down.weight,
                 .lora_up.weight, .alpha: all linears of both blocks, a file per expert
  underscores    `lora_unet_blocks_0_self_attn_q.lora_down.weight` …: the values of lightning_high_noise, as F16
  peft           `transformer.blocks.0.attn1.to_q.lora_A.weight`, .lora_B.weight: the change that
                 lightning_high_noise makes, alpha / rank inside B, since this form has no alpha
  differences    `diffusion_model.` + .diff for norms, head and a linear, .diff_b for biases, .diff_m for a
                 modulation, beside two low-rank pairs
  too_wide       as lightning_high_noise for a model of d 48: it fits nothing here
  unmatched      two good pairs, one for a block that does not exist, one of the image branch of Wan2.1

expected.safetensors: `FILE.STRENGTH.TENSOR`, the merged weight W + s (alpha / rank) up down of the high expert in
float32 at s = 1 and 0.5; `latents` [4, 16, 3, 6, 8]: the euler generation of ../pipeline/make_golden.py with
both lightning files merged at strength 1.
"""
import sys
from pathlib import Path

import torch

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "pipeline")]
import make_golden
import tiny_model
from names import transformer_to_diffusers
from support import fill, save

RANK, ALPHA = 2, 1.0
EXPERT = tiny_model.transformer("high").state_dict()
LINEARS = [name.removesuffix(".weight") for name, value in EXPERT.items()
           if name.startswith("blocks.") and name.endswith(".weight") and value.ndim == 2]


def pairs(tag, modules, shape=lambda module: EXPERT[f"{module}.weight"].shape):
    """Down and up of each module, exact in float16."""
    out = {}
    for module in modules:
        rows, columns = shape(module)
        down = fill(f"lora.{tag}.{module}.down", (RANK, columns)) * columns**-0.5
        up = fill(f"lora.{tag}.{module}.up", (rows, RANK)) * 0.8
        out[module] = down.half().float(), up.half().float()
    return out


def kohya(pairs, spell, values=torch.clone):
    """down, up and alpha under `spell(module)`."""
    out = {}
    for module, (down, up) in pairs.items():
        base = spell(module)
        out |= {f"{base}.lora_down.weight": values(down), f"{base}.lora_up.weight": values(up), f"{base}.alpha": torch.tensor(ALPHA)}
    return out


def peft(pairs):
    """A and B under the diffusers name, the scale inside B."""
    out = {}
    for module, (down, up) in pairs.items():
        base = "transformer." + transformer_to_diffusers(f"{module}.weight").removesuffix(".weight")
        out |= {f"{base}.lora_A.weight": down, f"{base}.lora_B.weight": up * (ALPHA / RANK)}
    return out


def merged(state, pairs, strength=1.0):
    """The state with the pairs added."""
    return state | {f"{module}.weight": state[f"{module}.weight"] + strength * (ALPHA / RANK) * up @ down
                    for module, (down, up) in pairs.items()}


dotted = lambda module: f"diffusion_model.{module}"
high, low = pairs("high", LINEARS), pairs("low", LINEARS)
two = {module: high[module] for module in LINEARS[:2]}

save(HERE / "lightning_high_noise.safetensors", kohya(high, dotted))
save(HERE / "lightning_low_noise.safetensors", kohya(low, dotted))
save(HERE / "underscores.safetensors", kohya(high, lambda module: "lora_unet_" + module.replace(".", "_"), torch.Tensor.half))
save(HERE / "peft.safetensors", peft(high))
save(HERE / "too_wide.safetensors", kohya(pairs("wide", LINEARS[:4], shape=lambda _: (48, 48)), dotted))
save(HERE / "unmatched.safetensors", kohya(two | {"blocks.7.self_attn.q": high[LINEARS[0]], "blocks.0.cross_attn.k_img": high[LINEARS[1]]}, dotted))

# A full difference: what is added, by the suffix of its key.
differences = {
    "blocks.0.norm3.weight": ("diff", 0.2), "blocks.0.norm3.bias": ("diff_b", 0.2), "blocks.1.self_attn.norm_q.weight": ("diff", 0.2),
    "blocks.1.ffn.0.weight": ("diff", 0.1), "blocks.1.ffn.0.bias": ("diff_b", 0.1), "blocks.1.modulation": ("diff_m", 0.2),
    "head.head.weight": ("diff", 0.1), "head.head.bias": ("diff_b", 0.1)}
file, changed = kohya(two, dotted), merged(EXPERT, two)
halved = merged(EXPERT, two, 0.5)
for name, (suffix, size) in differences.items():
    value = fill(f"lora.differences.{name}", tuple(EXPERT[name].shape)) * size
    file[f"{dotted(name.rpartition('.')[0])}.{suffix}"] = value
    changed[name], halved[name] = EXPERT[name] + value, EXPERT[name] + 0.5 * value
save(HERE / "differences.safetensors", file)

shown = ("blocks.0.self_attn.q.weight", "blocks.1.cross_attn.o.weight", "blocks.1.ffn.2.weight")
expected = {f"lightning_high_noise.{s:g}.{name}": merged(EXPERT, high, s)[name] for s in (1.0, 0.5) for name in shown}
expected |= {f"differences.1.{name}": changed[name] for name in ["blocks.0.self_attn.q.weight", *differences]}
expected |= {f"differences.0.5.{name}": halved[name] for name in differences if name.startswith("blocks.0") or "mod" in name}

experts = {name: tiny_model.transformer(name) for name in ("high", "low")}
experts["high"].load_state_dict(merged(experts["high"].state_dict(), high))
experts["low"].load_state_dict(merged(experts["low"].state_dict(), low))
text = tiny_model.encoder()(make_golden.tokenize(make_golden.PROMPT)[None])[0]
expected["latents"], _ = make_golden.generate(experts, [text], "euler", 4, {"high": 1.0, "low": 1.0})
save(HERE / "expected.safetensors", expected)
