"""Makes LoRA files of the rarer kinds for the high-noise expert of ../pipeline/layouts/official, and what they make of it.

Packages: ../requirements.txt (torch, safetensors). Values by fill of ../support.py; float32. Rank 2, alpha 1 where there
is one. The merged weights are computed here from the published formulas, in float64:

  lokr           kron(w1, w2): both whole on one layer, w2 of rank 2 with an alpha on another
  loha           (alpha / rank) (w1_a w1_b) * (w2_a w2_b)
  dora           V = W + (alpha / rank) up down, each row of it stretched to `dora_scale`, `[outputs, 1]`: V m / (|V| + eps),
                 as LyCORIS has it with wd_on_output (LoConModule.get_merged_weight, lycoris-lora 4.1.3)
  dora_columns   the same of columns, `[1, inputs]`, on a square layer and on another: LyCORIS without wd_on_output
  dora_peft      the same of rows, without eps, from `lora_magnitude_vector`, `[outputs]`: PEFT (DoraLinearLayer, peft 0.21.2)
  rslora         PEFT names, alpha and `use_rslora` in diffusers' note: alpha / sqrt(rank)
  metadata       the same note without rslora: alpha / rank
  set_weight     a bias-like norm and a matrix that take the old one's place; `lora_B.bias` beside a pair
  two_experts    `transformer.` and `transformer_2.` in one file, in diffusers' names
  kohya_diffusers  `lora_unet_` with underscores, in diffusers' names

kinds.safetensors: `FILE.STRENGTH.TENSOR`, the merged tensors at strengths 1 and 0.5; for two_experts `.high` and `.low`.
"""
import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent)]
from names import transformer_to_diffusers
from support import fill

base = {}
for shard in sorted((HERE.parent / "pipeline/layouts/official/high_noise_model").glob("*.safetensors")):
    base |= load_file(shard)
RANK, ALPHA = 2, 1.0
Q, UP, OUT = "blocks.0.self_attn.q", "blocks.1.ffn.0", "blocks.1.cross_attn.o"
expected = {}


def value(tag, *shape):
    return fill(f"kinds.{tag}", shape) * 0.5


def expect(file, name, change):
    """`change(W)` is what the weight becomes at strength 1."""
    weight = base[name].double()
    for strength in (1.0, 0.5):
        expected[f"{file}.{strength:g}.{name}"] = (weight + strength * (change(weight) - weight)).float()


def write(file, tensors, **metadata):
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, HERE / f"{file}.safetensors", metadata=metadata or None)


def pair(tag, module):
    rows, columns = base[f"{module}.weight"].shape
    return value(f"{tag}.{module}.down", RANK, columns), value(f"{tag}.{module}.up", rows, RANK)


def diffusers(module):
    return transformer_to_diffusers(f"{module}.weight").removesuffix(".weight")


# LoKr: 32x32 as kron(4x8, 8x4); 48x32 as kron(6x4, 8x8), the right factor of rank 2.
w1, w2 = value("lokr.q.w1", 4, 8), value("lokr.q.w2", 8, 4)
v1, a, b = value("lokr.up.w1", 6, 4), value("lokr.up.a", 8, RANK), value("lokr.up.b", RANK, 8)
write("lokr", {
    f"diffusion_model.{Q}.lokr_w1": w1, f"diffusion_model.{Q}.lokr_w2": w2, f"diffusion_model.{Q}.alpha": torch.tensor(ALPHA),
    f"diffusion_model.{UP}.lokr_w1": v1, f"diffusion_model.{UP}.lokr_w2_a": a, f"diffusion_model.{UP}.lokr_w2_b": b,
    f"diffusion_model.{UP}.alpha": torch.tensor(ALPHA)})
expect("lokr", f"{Q}.weight", lambda w: w + torch.kron(w1.double(), w2.double()))
expect("lokr", f"{UP}.weight", lambda w: w + ALPHA / RANK * torch.kron(v1.double(), a.double() @ b.double()))

# LoHa.
parts = {name: value(f"loha.{name}", *shape) for name, shape in
         {"w1_a": (48, RANK), "w1_b": (RANK, 32), "w2_a": (48, RANK), "w2_b": (RANK, 32)}.items()}
write("loha", {f"lora_unet_{UP.replace('.', '_')}.hada_{name}": tensor for name, tensor in parts.items()}
      | {f"lora_unet_{UP.replace('.', '_')}.alpha": torch.tensor(ALPHA)})
expect("loha", f"{UP}.weight", lambda w: w + ALPHA / RANK * (parts["w1_a"].double() @ parts["w1_b"].double())
       * (parts["w2_a"].double() @ parts["w2_b"].double()))

# DoRA.
down, up = pair("dora", UP)
lengths = 1 + value("dora.lengths", 48, 1)
write("dora", {f"{UP}.lora_down.weight": down, f"{UP}.lora_up.weight": up, f"{UP}.alpha": torch.tensor(ALPHA),
               f"{UP}.dora_scale": lengths})
EPS = torch.finfo(torch.float32).eps


def stretched(v, lengths, axis, eps=EPS):
    return v * (lengths.double() / (v.norm(dim=axis, keepdim=True) + eps))


expect("dora", f"{UP}.weight", lambda w: stretched(w + ALPHA / RANK * up.double() @ down.double(), lengths, 1))

columns, tensors = {}, {}
for module in (Q, UP):
    columns[module] = pair("dora_columns", module) + (1 + value(f"dora_columns.{module}.lengths", 1, 32),)
    tensors |= dict(zip((f"lora_unet_{module.replace('.', '_')}.{part}" for part in
                         ("lora_down.weight", "lora_up.weight", "dora_scale")), columns[module]))
    tensors[f"lora_unet_{module.replace('.', '_')}.alpha"] = torch.tensor(ALPHA)
write("dora_columns", tensors)
for module in (Q, UP):
    a, b, m = columns[module]
    expect("dora_columns", f"{module}.weight",
           lambda w: stretched(w + ALPHA / RANK * b.double() @ a.double(), m, 0))

peft_down, peft_up, peft_lengths = *pair("dora_peft", UP), 1 + value("dora_peft.lengths", 48)
write("dora_peft", {f"base_model.model.{UP}.lora_A.weight": peft_down, f"base_model.model.{UP}.lora_B.weight": peft_up,
                    f"base_model.model.{UP}.lora_magnitude_vector": peft_lengths})
expect("dora_peft", f"{UP}.weight",
       lambda w: stretched(w + peft_up.double() @ peft_down.double(), peft_lengths[:, None], 1, eps=0))

# PEFT with its configuration in diffusers' note.
down, up = pair("note", OUT)
for file, stable in (("rslora", True), ("metadata", False)):
    note = {"transformer.lora_alpha": 3, "transformer.r": RANK, "transformer.use_rslora": stable, "transformer.alpha_pattern": {}}
    write(file, {f"transformer.{diffusers(OUT)}.lora_A.weight": down, f"transformer.{diffusers(OUT)}.lora_B.weight": up},
          lora_adapter_metadata=json.dumps(note))
    factor = 3 / RANK**0.5 if stable else 3 / RANK
    expect(file, f"{OUT}.weight", lambda w: w + factor * up.double() @ down.double())

# Replacements, and a bias beside the outer factor.
matrix, gain, bias = value("set.matrix", 32, 32), value("set.gain", 32), value("set.bias", 32)
write("set_weight", {f"{Q}.set_weight": matrix, "blocks.0.norm3.set_weight": gain, f"{OUT}.lora_A.weight": down,
                     f"{OUT}.lora_B.weight": up, f"{OUT}.lora_B.bias": bias})
expect("set_weight", f"{Q}.weight", lambda w: matrix.double())
expect("set_weight", "blocks.0.norm3.weight", lambda w: gain.double())
expect("set_weight", f"{OUT}.weight", lambda w: w + up.double() @ down.double())
expect("set_weight", f"{OUT}.bias", lambda w: w + bias.double())

# Both experts in one file.
low_down, low_up = pair("low", OUT)
write("two_experts", {
    f"transformer.{diffusers(OUT)}.lora_A.weight": down, f"transformer.{diffusers(OUT)}.lora_B.weight": up,
    f"transformer_2.{diffusers(OUT)}.lora_A.weight": low_down, f"transformer_2.{diffusers(OUT)}.lora_B.weight": low_up})
expect("two_experts.high", f"{OUT}.weight", lambda w: w + up.double() @ down.double())
expect("two_experts.low", f"{OUT}.weight", lambda w: w + low_up.double() @ low_down.double())

write("kohya_diffusers", {f"lora_unet_{diffusers(OUT).replace('.', '_')}.lora_down.weight": down,
                          f"lora_unet_{diffusers(OUT).replace('.', '_')}.lora_up.weight": up})
expect("kohya_diffusers", f"{OUT}.weight", lambda w: w + up.double() @ down.double())

save_file(expected, HERE / "kinds.safetensors")
