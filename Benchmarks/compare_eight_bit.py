#!/usr/bin/env python3
"""How far eight-bit linear layers move one forward of Wan2.2-T2V-A14B's shapes, in Swan and in PyTorch.

  compare_eight_bit.py --swan swan [--size 256x256] [--frames 17] [--json PATH]

Both sides compute the same forward: the weights, latent, text and timestep of
  swan bench cuda:0 --synthetic t2v-a14b --stages forward --outliers --save-velocity PATH
which follow from a formula (Swan's Noise and SyntheticWeights) that this script repeats on the GPU. Some channels are 20
times the others, as those of trained models are. diffusers computes it in float32, which is taken to be exact; in
bfloat16; and with the blocks' linear layers in float8 with a scale for each row (torch._scaled_mm), in bfloat16
otherwise. Swan computes it in bf16, fp8 and int8. Prints |result - exact| / |exact| of each, and writes them with
--json PATH. Needs some 62 GB of GPU memory and a Python with the packages of peers/requirements.txt, by an environment or
PYTHONPATH. --tiny tries the script on small shapes, on a CPU if --device says so.
"""
import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent / "peers"))
import gpu_peer

MASK = (1 << 64) - 1


def signed(value):
    """A 64-bit pattern as PyTorch's whole numbers have it."""
    value &= MASK
    return value - (1 << 64) if value >> 63 else value


def shifted(z, bits):
    """z >> bits of unsigned numbers."""
    return (z >> bits) & ((1 << (64 - bits)) - 1)


def noise(shape, seed, deviation, mean=0.0, rounded=True, device="cuda"):
    """Swan's Noise: mean + scale * n, in float32, rounded to bfloat16 unless told otherwise."""
    count = 1
    for extent in shape:
        count *= extent
    variance = 4 * (2.0 ** 32 - 1) / 12
    deviation = torch.tensor(deviation, dtype=torch.float32).item()
    scale = torch.tensor(deviation / variance ** 0.5, dtype=torch.float32).item()
    result = torch.empty(count, dtype=torch.float32, device=device)
    piece = 1 << 26
    for first in range(0, count, piece):
        last = min(count, first + piece)
        z = torch.arange(first + 1, last + 1, dtype=torch.int64, device=device)
        z = z * signed(0x9E3779B97F4A7C15) + signed(seed * 0xD1B54A32D192ED03)
        z = (z ^ shifted(z, 30)) * signed(0xBF58476D1CE4E5B9)
        z = (z ^ shifted(z, 27)) * signed(0x94D049BB133111EB)
        z = z ^ shifted(z, 31)
        steps = (z & 0xFFFF) + (shifted(z, 16) & 0xFFFF) + (shifted(z, 32) & 0xFFFF) + shifted(z, 48) - 131070
        # Rounded once, as a fused multiplication and addition is: n has 18 bits and scale 24, which float64 holds.
        result[first:last] = (mean + scale * steps.double()).float()
    result = result.reshape(shape)
    return result.bfloat16().float() if rounded else result


def official(name):
    """The name of a diffusers tensor in the official layout."""
    for theirs, ours in [
            ("condition_embedder.text_embedder.linear_1", "text_embedding.0"),
            ("condition_embedder.text_embedder.linear_2", "text_embedding.2"),
            ("condition_embedder.time_embedder.linear_1", "time_embedding.0"),
            ("condition_embedder.time_embedder.linear_2", "time_embedding.2"),
            ("condition_embedder.time_proj", "time_projection.1"), ("proj_out", "head.head")]:
        if name.startswith(theirs + "."):
            return ours + name[len(theirs):]
    if name == "scale_shift_table":
        return "head.modulation"
    name = name.replace("scale_shift_table", "modulation").replace("attn1.", "self_attn.").replace("attn2.", "cross_attn.")
    for part in "qkv":
        name = name.replace(f".to_{part}.", f".{part}.")
    name = name.replace(".to_out.0.", ".o.").replace(".ffn.net.0.proj.", ".ffn.0.").replace(".ffn.net.2.", ".ffn.2.")
    return name.replace(".norm2.", ".norm3.") if name.startswith("blocks.") else name


def weights(name, shape, seed, device):
    """Swan's SyntheticWeights, with outliers."""
    if name.endswith(("bias", "modulation")):
        values = noise(shape, seed, 0.02, device=device)
    elif len(shape) == 1:
        values = noise(shape, seed, 0.02, 1.0, device=device)
    else:
        inputs = 1
        for extent in shape[1:]:
            inputs *= extent
        values = noise(shape, seed, (1 / torch.tensor(float(inputs)).sqrt()).item(), device=device)
    if name.startswith("blocks."):
        rows = values.reshape(-1, shape[-1])
        if name.endswith(".modulation"):
            rows[[1, 4], 100::512] += 20
        elif name.endswith(".norm3.weight"):
            rows[:, 100::512] += 20
        elif name.endswith((".v.bias", ".ffn.0.bias")):
            rows[:, 100::512] += 10
    return values


def transformer(options, device):
    """An expert in float32 with Swan's weights."""
    from diffusers import WanTransformer3DModel
    sizes = dict(num_attention_heads=40, attention_head_dim=128, num_layers=40, ffn_dim=13824, text_dim=4096)
    if options.tiny:
        sizes = dict(num_attention_heads=3, attention_head_dim=64, num_layers=6, ffn_dim=512, text_dim=128)
    with torch.device("meta"):
        model = WanTransformer3DModel(
            **sizes, in_channels=16, out_channels=16, freq_dim=256, patch_size=(1, 2, 2), cross_attn_norm=True,
            qk_norm="rms_norm_across_heads", eps=1e-6)
    model = model.float().to_empty(device=device).eval()
    model.rope = type(model.rope)(sizes["attention_head_dim"], (1, 2, 2), 1024).to(device)
    parameters = {official(name): values for name, values in model.named_parameters()}
    # The low-noise expert's numbers begin at 2 * 65536, in the order of the official names.
    for place, name in enumerate(sorted(parameters)):
        values = parameters[name]
        values.data.copy_(weights(name, list(values.shape), 2 * 65536 + place, device))
    return model, sizes["text_dim"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--swan", type=Path, required=True, help="the swan program")
    parser.add_argument("--device", default="cuda:0", help="Swan's name of the device")
    parser.add_argument("--size", default="256x256")
    parser.add_argument("--frames", type=int, default=17)
    parser.add_argument("--ways", type=lambda text: text.split(","), default=["auto", "fp8", "int8"],
                        help="precisions of Swan, each with +ATTENTION where it is not the device's own choice")
    parser.add_argument("--tiny", action="store_true", help="small shapes, to try the script itself")
    parser.add_argument("--json", type=Path, help="where to write every number")
    options = parser.parse_args()
    if not shutil.which(options.swan):
        parser.error(f"{options.swan} is not a program")
    torch.set_grad_enabled(False)
    # Products of float32 in float32: nothing else is exact.
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    device = torch.device("cuda" if options.device.startswith("cuda") else "cpu")

    # Swan first: its memory is free again when its process ends.
    from safetensors.torch import load_file
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for way in options.ways:
            precision, _, attention = way.partition("+")
            path = Path(folder) / f"{way}.safetensors"
            command = [options.swan, "bench", options.device, "--synthetic", "swan-tiny" if options.tiny else "t2v-a14b",
                       "--stages", "forward", "--size", options.size, "--frames", options.frames, "--runs", 1,
                       "--precision", precision, "--attention", attention or "auto", "--outliers", "--save-velocity", path, "--json"]
            done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, text=True)
            if done.returncode:
                sys.exit(f"{' '.join(map(str, command))}\nexited with {done.returncode}")
            found[f"swan {way}"] = load_file(path)["velocity"].double()

    model, text_width = transformer(options, device)
    width, height = (int(part) for part in options.size.split("x"))
    latent = noise([1, 16, (options.frames - 1) // 4 + 1, height // 8, width // 8], 12, 1.0, rounded=False, device=device)
    text = noise([1, 512, text_width], 11, 1.0, rounded=False, device=device)
    timestep = torch.tensor([900.0], device=device)

    def velocity(dtype):
        return model(latent.to(dtype), timestep, text.to(dtype), return_dict=False)[0][0].double().cpu()

    exact = velocity(torch.float32)
    for name, values in model.named_parameters():
        if not any(part in name for part in model._keep_in_fp32_modules):
            values.data = values.data.bfloat16()
    found["pytorch bf16"] = velocity(torch.bfloat16)
    try:
        gpu_peer.to_float8(model)
        found["pytorch fp8"] = velocity(torch.bfloat16)
    except (RuntimeError, NotImplementedError) as error:
        print(f"pytorch fp8: {str(error)[:300]}", file=sys.stderr)
    errors = {name: ((values - exact).norm() / exact.norm()).item() for name, values in found.items()}
    report = {**gpu_peer.facts(device), "date": time.strftime("%Y-%m-%d"), "size": options.size,
              "frames": options.frames, "errors": errors}
    print(f"{report['device']}, one forward of {options.size}, {options.frames} frames, against float32")
    for name, error in errors.items():
        print(f"{name:20} {error:.5f}")
    if options.json:
        options.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
