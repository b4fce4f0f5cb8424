"""Writes blocks.gguf, blocks.safetensors and narrow.safetensors into its own folder.

Made with gguf 0.19.0, numpy 2.4.6, safetensors 0.8.0, torch 2.11.0. Random numbers from fixed seeds.

  blocks.gguf          a tensor for each quantised type, of random bytes; its scales are float16 numbers of all sizes,
                       negative, subnormal and zero among them
  blocks.safetensors   the values that the gguf package gives them, float32
  narrow.safetensors   `x` [6, 64] of all sizes, and what packages make of it: `Q4_0` ... the gguf package's blocks;
                       `bf16`, `f16`, `e4m3`, `e5m2` torch's rounding of `hard`; `row.e4m3`, `row.int8`, `tensor.e4m3`
                       with their scales, computed as LightX2V's converter does

    python make_blocks.py
"""
import pathlib

import gguf
import numpy as np
import torch
from safetensors.torch import save_file

here = pathlib.Path(__file__).parent
Type = gguf.GGMLQuantizationType
# Offsets of the float16 numbers in a block.
SCALES = {
    "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2],
    "Q5_K": [0, 2], "Q6_K": [208], "IQ4_NL": [0], "IQ4_XS": [0],
}


def blocks():
    random = np.random.default_rng(20)
    writer = gguf.GGUFWriter(here / "blocks.gguf", "wan")
    expected = {}
    for name, offsets in SCALES.items():
        kind = Type[name]
        elements, size = gguf.GGML_QUANT_SIZES[kind]
        rows, per_row = 2, 4 if elements == 32 else 2
        data = random.integers(0, 256, (rows * per_row, size), dtype=np.uint8)
        for offset in offsets:
            scale = (random.standard_normal(rows * per_row) * 10.0 ** random.integers(-6, 2, rows * per_row)).astype(np.float16)
            scale[1] = 0 if offset == offsets[-1] else -0.0
            scale[2] = np.uint16(0x8123).view(np.float16)  # subnormal
            data[:, offset:offset + 2] = scale.view(np.uint8).reshape(-1, 2)
        values = gguf.quants.dequantize(data.reshape(rows, -1), kind)
        assert values.dtype == np.float32 and np.isfinite(values).all()
        writer.add_tensor(name, data.reshape(rows, -1), raw_dtype=kind)
        expected[name] = torch.from_numpy(values.copy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    save_file(expected, here / "blocks.safetensors")


def narrow():
    random = np.random.default_rng(21)
    x = (random.standard_normal((6, 64)) * 10.0 ** random.integers(-4, 3, (6, 1))).astype(np.float32)
    x[1, :32] = 0
    # Ties of Q8_0, whose step is 1 here, and of the four-bit types in the other half.
    x[3, :16] = [127, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 63.5, -63.5, 126.5, -126.5, 3.5, 0.49999997, -0.49999997, 1, 0]
    x[3, 32:48] = [-8, 0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5, -0.5, -1.5, -2.5, -7.5, 7, 1, 0]
    out = {"x": torch.from_numpy(x)}
    for name in ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"):
        out[name] = torch.from_numpy(gguf.quants.quantize(x, Type[name]).copy())

    def quantize(w, dtype, per_row):
        most = torch.finfo(dtype).max if dtype.is_floating_point else 127
        least = -most if dtype.is_floating_point else -128
        magnitude = w.abs().amax(dim=1, keepdim=True) if per_row else w.abs().amax()
        scales = magnitude.clamp(min=1e-5) / most
        q = w / scales
        return (q if dtype.is_floating_point else q.round()).clamp(least, most).to(dtype).view(torch.uint8), scales

    w = out["x"]
    out["row.e4m3"], out["row.e4m3.scales"] = quantize(w, torch.float8_e4m3fn, True)
    out["row.int8"], out["row.int8.scales"] = quantize(w, torch.int8, True)
    out["tensor.e4m3"], out["tensor.e4m3.scales"] = quantize(w, torch.float8_e4m3fn, False)

    # Every value of float8 and the middles between neighbours, and values around them; ties, subnormals, limits.
    e4m3 = torch.arange(0, 0x7F, dtype=torch.uint8).view(torch.float8_e4m3fn).float()
    e5m2 = torch.arange(0, 0x7C, dtype=torch.uint8).view(torch.float8_e5m2).float()
    hard = [e4m3, (e4m3[1:] + e4m3[:-1]) / 2, e5m2[e5m2 <= 448], ((e5m2[1:] + e5m2[:-1]) / 2)[:100]]
    hard = torch.cat(hard)
    up, down = torch.nextafter(hard, torch.tensor(float("inf"))), torch.nextafter(hard, torch.tensor(-float("inf")))
    hard = torch.cat([hard, up, down, torch.tensor([1e-30, 6e-8, 2.9802322e-08, 2.9802326e-08, 6.1035e-05, 1 / 3, 0.1])])
    hard = hard[hard <= 448]
    hard = torch.cat([hard, -hard])
    out["hard"] = hard
    out["bf16"], out["f16"] = (hard.to(kind).view(torch.int16) for kind in (torch.bfloat16, torch.float16))
    out["e4m3"], out["e5m2"] = (hard.to(kind).view(torch.uint8) for kind in (torch.float8_e4m3fn, torch.float8_e5m2))
    save_file(out, here / "narrow.safetensors")


if __name__ == "__main__":
    blocks()
    narrow()
