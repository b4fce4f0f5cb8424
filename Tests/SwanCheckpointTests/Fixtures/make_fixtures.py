"""Writes the fixtures of the checkpoint tests into its own folder.

Made with torch 2.11.0, safetensors 0.8.0, gguf 0.19.0, numpy 2.4.6. No random numbers. Running it again gives the
same tensors; torch notes a serialization id in its archives, so their bytes may differ.

    python make_fixtures.py
"""

import collections
import json
import os
import pathlib
import pickle
import struct
import zipfile

import gguf
import numpy as np
import torch
from safetensors.torch import save_file

here = pathlib.Path(__file__).parent


def ramp(*shape, dtype=torch.float32):
    """0, 0.5, 1, ... in row-major order."""
    count = int(np.prod(shape, dtype=np.int64))
    return (torch.arange(count, dtype=torch.float32) * 0.5).reshape(shape).to(dtype)


def pytorch():
    base = ramp(3, 4)
    state = collections.OrderedDict()
    state["f32"] = base
    state["transposed"] = ramp(2, 3).t()
    state["shared"] = base
    state["row"] = base[1]
    state["columns"] = base[:, 1:3]
    state["permuted"] = ramp(2, 3, 4).permute(2, 0, 1)
    state["f64"] = ramp(2, dtype=torch.float64)
    state["f16"] = ramp(5, dtype=torch.float16)
    state["bf16"] = ramp(2, 3, dtype=torch.bfloat16)
    state["f8"] = ramp(4).to(torch.float8_e4m3fn)
    state["i64"] = torch.tensor([-1, 2**40], dtype=torch.int64)
    state["i32"] = torch.tensor([-1, 70000], dtype=torch.int32)
    state["i16"] = torch.tensor([-1, 300], dtype=torch.int16)
    state["i8"] = torch.tensor([-1, 100], dtype=torch.int8)
    state["u8"] = torch.tensor([0, 200], dtype=torch.uint8)
    state["bool"] = torch.tensor([True, False, True])
    state["scalar"] = torch.tensor(2.5)
    state["empty"] = torch.zeros(0, 4)
    state["parameter"] = torch.nn.Parameter(ramp(2, 2))
    torch.save(state, here / "state.pth")

    module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Conv3d(2, 2, (1, 2, 2)))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(ramp(*parameter.shape))
    # A module's own state dict carries `_metadata`, set by BUILD.
    torch.save({"state_dict": module.state_dict(), "epoch": 3, "note": "wrapped", "loss": 0.25, "done": None},
               here / "wrapped.pth")

    torch.save({"weight": ramp(2, 2).expand(2, 2), "wide": torch.ones(1).expand(1000)}, here / "expanded.pth")
    torch.save(ramp(2), here / "bare_tensor.pth")
    torch.save({"weight": ramp(2)}, here / "legacy.pth", _use_new_zipfile_serialization=False)

    class Evil:
        def __reduce__(self):
            return (os.system, ("true",))

    torch.save({"weight": ramp(2), "evil": Evil()}, here / "evil.pth")

    # The same archive as state.pth, compressed by another tool.
    with zipfile.ZipFile(here / "state.pth") as source, \
            zipfile.ZipFile(here / "compressed.pth", "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(zipfile.ZipInfo(name), source.read(name), zipfile.ZIP_DEFLATED)

    # Sizes and offsets in zip64 fields, as in archives beyond 4 GiB, and an end record that defers to its zip64 form.
    def entry(name, data):
        raw = name.encode()
        crc = zipfile.crc32(data)
        local = struct.pack("<IHHHHHIIIHH", 0x04034B50, 45, 0, 0, 0, 0, crc, 0xFFFFFFFF, 0xFFFFFFFF, len(raw), 20)
        return raw, crc, len(data), local + raw + struct.pack("<HHQQ", 1, 16, len(data), len(data)) + data

    with zipfile.ZipFile(here / "wrapped.pth") as source:
        body, directory = b"", b""
        for name in source.namelist():
            raw, crc, size, data = entry(name, source.read(name))
            directory += struct.pack("<IHHHHHHIIIHHHHHII", 0x02014B50, 45, 45, 0, 0, 0, 0, crc, 0xFFFFFFFF, 0xFFFFFFFF,
                                     len(raw), 28, 0, 0, 0, 0, 0xFFFFFFFF)
            directory += raw + struct.pack("<HHQQQ", 1, 24, size, size, len(body))
            body += data
        count = len(source.namelist())
    wide = struct.pack("<IQHHIIQQQQ", 0x06064B50, 44, 45, 45, 0, 0, count, count, len(directory), len(body))
    locator = struct.pack("<IIQI", 0x07064B50, 0, len(body) + len(directory), 1)
    end = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    (here / "zip64.pth").write_bytes(body + directory + wide + locator + end)


def safetensors():
    tensors = {
        "f64": ramp(2, dtype=torch.float64),
        "f32": ramp(2, 3),
        "f16": ramp(3, dtype=torch.float16),
        "bf16": ramp(3, dtype=torch.bfloat16),
        "f8_e4m3": torch.tensor([1, 7, 8, 0x38, 0x39, 0x7E, 0x7F, 0xB8, 0xFE], dtype=torch.uint8).view(torch.float8_e4m3fn),
        "f8_e5m2": torch.tensor([1, 3, 4, 0x3C, 0x3D, 0x7B, 0x7C, 0x7D], dtype=torch.uint8).view(torch.float8_e5m2),
        "i64": torch.tensor([-1, 2**40], dtype=torch.int64),
        "i32": torch.tensor([-1, 70000], dtype=torch.int32),
        "i16": torch.tensor([-1, 300], dtype=torch.int16),
        "i8": torch.tensor([-1, 100], dtype=torch.int8),
        "u8": torch.tensor([0, 200], dtype=torch.uint8),
        "bool": torch.tensor([True, False, True]),
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 4),
        "u16": torch.tensor([65535], dtype=torch.uint16),
    }
    save_file(tensors, here / "types.safetensors", metadata={"format": "pt", "note": "ä \"quoted\""})


def gguf_file():
    writer = gguf.GGUFWriter(here / "types.gguf", "wan")
    writer.add_file_type(7)
    writer.add_quantization_version(2)
    writer.add_string("tokenizer.ggml.model", "t5")
    writer.add_token_list(["<pad>", "</s>", "▁ä", "<0x00>"])
    writer.add_token_scores([0.0, 0.0, -1.5, -2.25])
    writer.add_token_types([3, 3, 1, 6])
    writer.add_bool("tokenizer.ggml.add_space_prefix", True)
    writer.add_uint32("tokenizer.ggml.eos_token_id", 1)
    writer.add_array("tokenizer.ggml.precompiled_charsmap", bytes([1, 2, 255]))
    writer.add_float64("test.f64", 0.1)
    writer.add_int8("test.i8", -5)
    writer.add_uint64("test.u64", 2**40)
    writer.add_array("comfy.gguf.orig_shape.flattened", [2, 4, 8])

    writer.add_tensor("f32", ramp(2, 3).numpy())
    writer.add_tensor("f16", ramp(3).numpy().astype(np.float16))
    writer.add_tensor("f64", ramp(3).numpy().astype(np.float64))
    writer.add_tensor("i64", np.array([-1, 2**40], dtype=np.int64))
    writer.add_tensor("i32", np.array([-1, 70000], dtype=np.int32))
    writer.add_tensor("i16", np.array([-1, 300], dtype=np.int16))
    writer.add_tensor("i8", np.array([-1, 100], dtype=np.int8))
    bf16 = gguf.quants.quantize(ramp(2, 4).numpy(), gguf.GGMLQuantizationType.BF16)
    writer.add_tensor("bf16", bf16, raw_dtype=gguf.GGMLQuantizationType.BF16)
    writer.add_tensor("patch_embedding.weight", ramp(2, 3, 1, 2, 2).numpy())
    writer.add_tensor("flattened", ramp(64).numpy())
    for kind in (gguf.GGMLQuantizationType.Q8_0, gguf.GGMLQuantizationType.Q4_0):
        data = gguf.quants.quantize(ramp(2, 64).numpy(), kind)
        writer.add_tensor(kind.name.lower(), data, raw_dtype=kind)
    # The block of the specification's vectors: byte i is (37 i + 11) mod 256, with the scale 0.0625.
    block = np.array([(37 * i + 11) % 256 for i in range(34)], dtype=np.uint8)
    block[:2] = (0x00, 0x2C)
    writer.add_tensor("vector", block.reshape(1, 34), raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def others():
    (here / "pointer.safetensors").write_text(
        "version https://git-lfs.github.com/spec/v1\n"
        "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n")
    (here / "page.safetensors").write_text("<!DOCTYPE html><html><body>Please sign in</body></html>\n")


if __name__ == "__main__":
    pytorch()
    safetensors()
    gguf_file()
    others()
