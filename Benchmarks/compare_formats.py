#!/usr/bin/env python3
"""What formats of weight files, and LoRAs, cost in speed at the A14B's width: loading, steps, and how far latents move.

  compare_formats.py --swan swan [--device cuda:0] [--variants bf16,fp8_scaled,q8_0,…] [--layers 8] [--size 832x480]
      [--frames 81] [--steps 4] [--runs 3] [--budget SECONDS] [--folder PATH] [--json PATH]

Makes a model of one transformer with random weights, as wide as an expert of Wan2.2-T2V-A14B and of few layers; text
encoder, tokenizer, autoencoder and scheduler are those of Models/swan-tiny. The other formats are made from its bfloat16
file by `swan convert`; Q4_K, which that does not write, is rounded here, from the same weights. The LoRA has rank 64 for
each linear layer of the blocks. Each measurement is a process of its own, all with the same prompt, noise, size and steps:
  swan generate … --preset none --guidance 1 --profile none --weights PLACE --json
A variant is FORMAT, FORMAT+lora, and either with :pinned or :file behind it: no layer stays on the card then. Without a
place all do. --runs rounds, each in an order of its own; medians. A run's first step, in which kernels are chosen, is
told apart from the others. Files come from the system's cache, since they have just been written.

The column "latents" is how far they are from those of the bfloat16 file with the same LoRA or none (of the LoRA: without
it), as a share of their way from the noise. Where that is more than the format explains, the line says WRONG; then, and
where a variant failed, the status is 1. Times fail nothing.

Needs 2 GB of disk for each layer and 2 GB beside them, with the usual variants: in a temporary folder that is removed at
the end, or in --folder, which is left. After the first round, --budget begins no run that would end later. --tiny tries
the script on small shapes, on a CPU if --device says so. Needs numpy.
"""
import argparse
import json
import os
import random
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy

HERE = Path(__file__).parent
PROMPT = "A cat walking on the grass"
RANK = 64  # of the LoRA
# What swan convert calls each format, and how many bytes a weight takes.
FORMATS = {"bf16": (None, 2), "fp8_scaled": ("fp8_scaled", 1), "fp8-row": ("fp8-row", 1), "q8_0": ("gguf-q8_0", 34 / 32),
           "q4_k": (None, 144 / 256)}
PLACES = ["resident", "pinned", "file"]
VARIANTS = ["bf16", "fp8_scaled", "fp8-row", "q8_0", "q4_k", "bf16+lora", "bf16:pinned", "bf16+lora:pinned", "q8_0:pinned",
            "bf16:file", "bf16+lora:file"]
SHAPES = {"layers": 8, "width": 5120, "size": "832x480", "frames": 81, "steps": 4, "runs": 3}
TINY = {"layers": 2, "width": 256, "size": "64x64", "frames": 5, "steps": 3, "runs": 2}
# How far latents may be from those of the bfloat16 file with the same LoRA or none, as a share of how far the LoRA moves
# them: it changes weights by 16 %, fp8 by 2.6 %, Q8_0 by 0.6 %, Q4_K by 8 %. A file that is read wrongly is at 5 or more.
FARTHEST = {"bf16": 0.15, "fp8_scaled": 0.5, "fp8-row": 0.5, "q8_0": 0.2, "q4_k": 1}


class Variant:
    """What is measured: a format, with the LoRA or without, and where the weights are."""

    def __init__(self, text):
        self.name = text
        rest, _, place = text.partition(":")
        self.format, _, lora = rest.partition("+")
        self.place, self.has_lora = place or "resident", lora == "lora"
        if self.format not in FORMATS or self.place not in PLACES or lora not in ("", "lora"):
            raise argparse.ArgumentTypeError(
                f"{text}: expected one of {', '.join(FORMATS)}, with +lora or without, and with :pinned, :file or nothing")


class Tile:
    """A stretch of random values that all weights repeat from places of their own, so that writing is all that it takes
    to make them. Its length is a prime number of Q4_K's superblocks: rows of a matrix do not fall on each other."""
    SUPERBLOCKS, ELEMENTS = 65521, 256

    def __init__(self, deviation=0.02):
        values = numpy.random.default_rng(0).standard_normal(self.SUPERBLOCKS * self.ELEMENTS, numpy.float32)
        bits = (values * numpy.float32(deviation)).view(numpy.uint32)
        self.bf16 = ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(numpy.uint16)
        self.places = random.Random(0)

    @property
    def floats(self):
        return widened(self.bf16)

    def place(self):
        """Where a tensor begins, in superblocks."""
        return self.places.randrange(self.SUPERBLOCKS)


def widened(bf16):
    return (bf16.astype(numpy.uint32) << 16).view(numpy.float32)


def repeated(values, start, count):
    """Pieces of `values`, one behind the other, from `start` on and over again."""
    while count:
        piece = values[start:start + count]
        yield piece
        count -= len(piece)
        start = 0


def q4_k(values):
    """Superblocks of 256 as Q4_K stores them: [n, 144] bytes.

    Source: the layout in ggml-org/ggml `src/ggml-common.h`, `block_q4_K`; scales are the plain ones, of smallest and
    largest value, where ggml searches for better.
    """
    values = values.reshape(-1, 8, 32)
    least = numpy.maximum(0, -values.min(2))
    step = (values.max(2) + least) / 15
    d, dmin = ((part.max(1, keepdims=True) / 63).astype(numpy.float16) for part in (step, least))
    wide, low = d.astype(numpy.float32), dmin.astype(numpy.float32)
    scales, minima = (numpy.clip(numpy.rint(part / by), 0, 63).astype(numpy.uint8)
                      for part, by in ((step, wide), (least, low)))
    shifted = values + (low * minima)[:, :, None]
    q = numpy.clip(numpy.rint(shifted / numpy.maximum(wide * scales, 1e-12)[:, :, None]), 0, 15).astype(numpy.uint8)
    first, last = slice(0, 4), slice(4, 8)
    packed = numpy.concatenate([
        scales[:, first] | scales[:, last] >> 4 << 6, minima[:, first] | minima[:, last] >> 4 << 6,
        scales[:, last] & 15 | (minima[:, last] & 15) << 4], 1)
    nibbles = (q[:, 0::2] | q[:, 1::2] << 4).reshape(-1, 128)
    return numpy.concatenate([d.view(numpy.uint8), dmin.view(numpy.uint8), packed, nibbles], 1)


def linear_layers(width, feed_forward):
    """Inputs and outputs of a block's linear layers."""
    layers = {f"{attention}.{part}": (width, width) for attention in ("self_attn", "cross_attn") for part in "qkvo"}
    return layers | {"ffn.0": (width, feed_forward), "ffn.2": (feed_forward, width)}


def tensor_shapes(config, width):
    """Every tensor of the transformer, in official names. Source: Sources/SwanModels/Wan/WanConfiguration+Tensors.swift."""
    shapes = {"patch_embedding.weight": [width, config["in_channels"], *config["patch_size"]],
              "patch_embedding.bias": [width], "head.modulation": [1, 2, width]}
    volume = config["patch_size"][0] * config["patch_size"][1] * config["patch_size"][2]
    linear = {"text_embedding.0": (config["text_dim"], width), "text_embedding.2": (width, width),
              "time_embedding.0": (config["freq_dim"], width), "time_embedding.2": (width, width),
              "time_projection.1": (width, 6 * width), "head.head": (width, config["out_channels"] * volume)}
    for block in (f"blocks.{index}." for index in range(config["num_layers"])):
        shapes |= {block + "modulation": [1, 6, width], block + "norm3.weight": [width], block + "norm3.bias": [width]}
        shapes |= {f"{block}{attention}.norm_{part}.weight": [width]
                   for attention in ("self_attn", "cross_attn") for part in "qk"}
        linear |= {block + name: sizes for name, sizes in linear_layers(width, config["ffn_dim"]).items()}
    for name, (inputs, outputs) in linear.items():
        shapes |= {name + ".weight": [outputs, inputs], name + ".bias": [outputs]}
    return shapes


def count(shape):
    return int(numpy.prod(shape, dtype=numpy.int64))


def write_safetensors(path, tensors):
    """`tensors`: name → type, shape, pieces of the values."""
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, (dtype, shape, _) in tensors.items():
        end = offset + count(shape) * {"BF16": 2, "F32": 4}[dtype]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, _, pieces in tensors.values():
            for piece in pieces:
                file.write(piece)


def write_gguf(path, tensors):
    """`tensors`: name → type's number, bytes, shape, pieces of the values."""
    def text(value):
        return struct.pack("<Q", len(value)) + value.encode()
    notes = text("general.architecture") + struct.pack("<I", 8) + text("wan")
    notes += text("general.quantization_version") + struct.pack("<II", 4, 2)
    notes += text("general.file_type") + struct.pack("<II", 4, 14)  # mostly Q4_K, small
    header, offset = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), 3) + notes, 0
    for name, (kind, size, shape, _) in tensors.items():
        header += text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *reversed(shape), kind, offset)
        offset += size + -size % 32
    with open(path, "wb") as file:
        file.write(header + bytes(-len(header) % 32))
        for _, size, _, pieces in tensors.values():
            for piece in pieces:
                file.write(piece)
            file.write(bytes(-size % 32))


class Model:
    """The folders that swan is given, one for each format, and the LoRA."""

    def __init__(self, folder, options):
        self.folder, self.options = folder, options
        config = json.loads((options.parts / "transformer/config.json").read_text())
        width = options.width
        # As wide inside the feed-forward as the A14B's, relative to the width, and in whole superblocks.
        config |= {"num_attention_heads": width // 128, "attention_head_dim": 128, "num_layers": options.layers,
                   "ffn_dim": -(-width * 27 // 2560) * 256}
        self.config, self.shapes = config, tensor_shapes(config, width)
        self.block_weights = sum(a * b for a, b in linear_layers(width, config["ffn_dim"]).values())
        self.lora, self.noise = folder / "lora.safetensors", folder / "noise.safetensors"

    def root(self, name):
        return self.folder / name

    def file(self, name):
        is_gguf = name.startswith("q")
        return self.root(name) / "transformer" / ("model.gguf" if is_gguf else "diffusion_pytorch_model.safetensors")

    def bytes_needed(self, formats):
        around = sum(count(shape) for name, shape in self.shapes.items() if not name.startswith("blocks."))
        return sum(2 * around + self.options.layers * self.block_weights * FORMATS[name][1] for name in formats) * 1.05

    def is_quantized(self, name):
        return name.startswith("blocks.") and name.endswith(".weight") and len(self.shapes[name]) == 2

    def make(self, formats, has_lora):
        """Writes everything, and says how long that took."""
        for name in formats:
            root = self.root(name)
            (root / "transformer").mkdir(parents=True)
            for part in ("text_encoder", "tokenizer", "vae", "scheduler"):
                (root / part).symlink_to((self.options.parts / part).resolve())
            index = json.loads((self.options.parts / "model_index.json").read_text())
            index.pop("transformer_2", None)
            (root / "model_index.json").write_text(json.dumps(index, indent=2))
            (root / "transformer/config.json").write_text(json.dumps(self.config, indent=2))
        start = time.perf_counter()
        tile = Tile()
        places = {name: tile.place() for name in self.shapes}
        ones = numpy.full(self.options.width, 0x3F80, numpy.uint16)

        def values(name):
            if self.is_norm(name):
                return repeated(ones, 0, count(self.shapes[name]))
            return repeated(tile.bf16, places[name] * tile.ELEMENTS, count(self.shapes[name]))
        write_safetensors(self.file("bf16"), {name: ("BF16", shape, values(name)) for name, shape in self.shapes.items()})
        if has_lora:
            self.write_lora(tile)
        self.write_noise()
        told(f"random weights: {time.perf_counter() - start:.1f} s")
        start = time.perf_counter()
        with ThreadPoolExecutor() as pool:
            list(pool.map(self.convert, [name for name in formats if FORMATS[name][0]]))
        if "q4_k" in formats:
            self.write_q4_k(tile, places, values)
        told(f"other formats: {time.perf_counter() - start:.1f} s")

    @staticmethod
    def is_norm(name):
        return "norm" in name and name.endswith(".weight")

    def write_lora(self, tile):
        tensors = {}
        for index in range(self.options.layers):
            for name, (inputs, outputs) in linear_layers(self.options.width, self.config["ffn_dim"]).items():
                module = f"diffusion_model.blocks.{index}.{name}"
                for part, shape in (("lora_down.weight", [RANK, inputs]), ("lora_up.weight", [outputs, RANK])):
                    pieces = repeated(tile.bf16, tile.place() * tile.ELEMENTS, count(shape))
                    tensors[f"{module}.{part}"] = ("BF16", shape, pieces)
                tensors[module + ".alpha"] = ("F32", [], [numpy.float32(RANK).tobytes()])
        write_safetensors(self.lora, tensors)

    def write_noise(self):
        width, height = map(int, self.options.size.split("x"))
        shape = [self.config["in_channels"], (self.options.frames - 1) // 4 + 1, height // 8, width // 8]
        values = numpy.random.default_rng(1).standard_normal(shape, numpy.float32)
        write_safetensors(self.noise, {"noise": ("F32", shape, [values])})

    def convert(self, name):
        run([self.options.swan, "convert", self.file("bf16").parent, self.file(name), "--format", FORMATS[name][0]])

    def write_q4_k(self, tile, places, values):
        blocks, tensors = q4_k(tile.floats), {}
        for name, shape in self.shapes.items():
            if self.is_quantized(name):
                size = count(shape) // tile.ELEMENTS
                tensors[name] = (12, size * blocks.shape[1], shape, repeated(blocks, places[name], size))
            elif len(shape) == 2:
                tensors[name] = (30, 2 * count(shape), shape, values(name))
            else:  # vectors, tables and the patch embedding in float32, as converters have them
                tensors[name] = (0, 4 * count(shape), shape, [widened(piece) for piece in values(name)])
        write_gguf(self.file("q4_k"), tensors)


def told(text):
    print(text, file=sys.stderr, flush=True)


class Failure(Exception):
    """A process that did not succeed."""


def run(command, environment=None):
    """Standard output of a process that has to succeed."""
    command = [str(part) for part in command]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        # With --json the error is the last event as well.
        said = done.stderr.strip() or (done.stdout.splitlines() or ["nothing was said"])[-1]
        raise Failure(f"{said}\n$ {' '.join(command)}\nexited with {done.returncode}")
    return done.stdout


def events(output):
    """The data of each kind of event, in order."""
    found = {}
    for line in output.splitlines():
        event = json.loads(line)
        found.setdefault(event["event"], []).append(event["data"])
    return found


def generate(variant, model, options, extra=()):
    """The events of one run; its latents are left in the folder."""
    for name in ("clip.y4m", "latents.safetensors"):
        (model.folder / name).unlink(missing_ok=True)
    command = [options.swan, "generate", PROMPT, "--model", model.root(variant.format), "--device", options.device, "--size",
               options.size, "--frames", options.frames, "--steps", options.steps, "--noise", model.noise, "--preset",
               "none", "--guidance", 1, "--profile", "none", "--precision", "auto", "--output", model.folder / "clip.y4m",
               "--save-latents", model.folder / "latents.safetensors", "--json"]
    if options.device not in ("cpu", "reference"):
        command += ["--weights", variant.place]
    if variant.has_lora:
        command += ["--lora", model.lora]
    # Its list of runs is not the user's. Libraries and compiled kernels are.
    return events(run([*command, *extra], os.environ | {"XDG_STATE_HOME": str((model.folder / "state").resolve())}))


def streaming_limit(variant, model, options):
    """Bytes of the card's memory at which no layer stays there, and everything else is as with more."""
    plan = generate(variant, model, options, ["--dry-run"])["plan"][-1]
    layout = plan["plan"].get("device", {}).get("layout", {})
    where = layout.get("transformer", {}).get(variant.place)
    if where is None:
        raise Failure(f"planned as {layout or plan['plan']}, expected weights that are {variant.place}")
    # Each layer that stays takes a block's weights in bfloat16, and a little more.
    block = 2 * model.block_weights
    return plan["peakBytes"] - where["resident"] * block + block // 2


def read(path, name):
    """The float32 values of a tensor."""
    with open(path, "rb") as file:
        size, = struct.unpack("<Q", file.read(8))
        entry = json.loads(file.read(size))[name]
        begin, end = entry["data_offsets"]
        file.seek(8 + size + begin)
        return numpy.frombuffer(file.read(end - begin), {"F32": numpy.float32}[entry["dtype"]])


def measure(variant, model, options, limit):
    """Seconds of loading and of each step, what the report says beside them, and the latents."""
    found = generate(variant, model, options, ["--memory-limit", limit] if limit else [])
    report, steps = found["done"][-1], [step["seconds"] for step in found["step"]]
    stages = {stage["stage"]: stage["seconds"] for stage in report["stages"]}
    numbers = {"load": stages["load-low"], "first_step": steps[0], "steps": steps[1:], "decode": stages["decode"],
               "seconds": report["seconds"], "weights": report["weights"], "peak_memory": report["peakMemory"]}
    if "deviceMemory" in report:
        numbers |= {"device_peak": report["deviceMemory"]["peak"], "memory_limit": limit,
                    "layout": found["plan"][-1]["plan"].get("device", {}).get("layout")}
    return numbers, report, read(model.folder / "latents.safetensors", "latents")


def line_of(variant, model, runs):
    """A variant's medians."""
    weights = model.file(variant.format).stat().st_size + (model.lora.stat().st_size if variant.has_lora else 0)
    return {"variant": variant.name, "bytes": weights, "load_first": runs[0]["load"],
            "load": statistics.median(one["load"] for one in runs),
            "first_step": statistics.median(one["first_step"] for one in runs),
            "step": statistics.median(step for one in runs for step in one["steps"]), "weights": runs[0]["weights"],
            "runs": runs}


def compare_latents(variants, latents, noise):
    """How far each variant's latents are from those of the bfloat16 file with the same LoRA or none, and how far the LoRA
    moves them, as shares of their way from the noise; and what is wrong with them, if anything."""
    plain, changed = latents.get("bf16"), latents.get("bf16+lora")
    result = {}
    if plain is None:
        return result
    way = numpy.linalg.norm(plain - noise)
    moved = 0 if changed is None else numpy.linalg.norm(changed - plain) / way
    for variant in variants:
        other = changed if variant.has_lora and variant.name != "bf16+lora" else plain
        if variant.name not in latents or other is None:
            continue
        distance, fault = numpy.linalg.norm(latents[variant.name] - other) / way, None
        if variant.name == "bf16+lora":
            fault = None if distance > 1e-3 else "the LoRA changes next to nothing"
        elif moved > 1e-3 and not distance <= FARTHEST[variant.format] * moved:
            fault = f"{distance / moved:.2f} of what the LoRA does, expected at most {FARTHEST[variant.format]}"
        result[variant.name] = {"distance": float(distance), "fault": fault}
    return result


def table(report):
    """The lines of the table, and what follows from it."""
    lines = {line["variant"]: line for line in report["lines"]}
    yield (f"{'format':18} {'GB':>6} {'load s, first':>13} {'median':>7} {'first step s':>12} {'s per step':>10}"
           f" {'of bf16':>8} {'of fp8':>7} {'latents':>8}  weights")
    for name, line in lines.items():
        def beside(other):
            return f"{lines[other]['step'] / line['step']:.3f}" if other in lines else "–"
        distance = "–" if line["distance"] is None else f"{line['distance']:.1e}"
        yield (f"{name:18} {line['bytes'] / 1e9:6.3f} {line['load_first']:13.3f} {line['load']:7.3f}"
               f" {line['first_step']:12.4f} {line['step']:10.4f} {beside('bf16'):>8} {beside('fp8_scaled'):>7}"
               f" {distance:>8}  {line['weights']}{'  WRONG: ' + line['fault'] if line['fault'] else ''}")
    for what in ("skipped", "failed"):
        for name, reason in report[what].items():
            yield f"{name:18} {what}: {reason}"
    for name in ("q8_0", "q4_k"):
        if name in lines and "fp8_scaled" in lines:
            yield f"{name}: {lines['fp8_scaled']['step'] / lines[name]['step']:.3f} of the speed of fp8_scaled, resident"
    for name, line in lines.items():
        other = name.replace("+lora", "")
        if other != name and other in lines:
            yield (f"{name}: {lines[other]['step'] / line['step']:.3f} of the speed of {other},"
                   f" {line['load'] - lines[other]['load']:+.3f} s to load")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--swan", type=Path, required=True, help="the swan program")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--variants", type=lambda text: [Variant(part) for part in text.split(",")],
                        default=[Variant(text) for text in VARIANTS], help=f"default: {','.join(VARIANTS)}")
    parser.add_argument("--layers", type=int, help="of the transformer; streaming needs 3")
    parser.add_argument("--width", type=int, help="of the transformer, a multiple of 256")
    parser.add_argument("--size")
    parser.add_argument("--frames", type=int)
    parser.add_argument("--steps", type=int, help="of each run; the first is told apart")
    parser.add_argument("--runs", type=int, help="rounds")
    parser.add_argument("--tiny", action="store_true", help=f"unless they are given: {TINY}, in place of {SHAPES}")
    parser.add_argument("--budget", type=float, default=float("inf"), help="seconds; the first round is always finished")
    parser.add_argument("--parts", type=Path, default=HERE.parent / "Models/swan-tiny", help="the model with the rest")
    parser.add_argument("--folder", type=Path, help="where files are made, and left; a new or empty one")
    parser.add_argument("--json", type=Path, help="where to write every number, after each run")
    options = parser.parse_args()
    for name, value in (TINY if options.tiny else SHAPES).items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    if not shutil.which(options.swan):
        parser.error(f"{options.swan} is not a program")
    if not (options.parts / "transformer/config.json").is_file():
        parser.error(f"{options.parts} is no model in diffusers' layout")
    if options.width % 256 or min(options.width, options.layers, options.runs) < 1 or options.steps < 2:
        parser.error("--width has to be a multiple of 256, --layers and --runs at least 1, --steps at least 2")
    if options.folder and options.folder.is_dir() and any(options.folder.iterdir()):
        parser.error(f"{options.folder} is not empty")
    if options.folder:
        options.folder.mkdir(parents=True, exist_ok=True)
    try:
        if options.folder:
            return compare(options.folder, options)
        with tempfile.TemporaryDirectory(prefix="swan-formats-") as folder:
            return compare(Path(folder), options)
    except Failure as failure:
        sys.exit(str(failure))


def compare(folder, options):
    """Makes the files, measures, prints; returns the exit status."""
    end = time.monotonic() + options.budget
    model = Model(folder, options)
    skipped = {}
    for variant in options.variants:
        if variant.place != "resident" and options.device in ("cpu", "reference"):
            skipped[variant.name] = f"{options.device} computes in host memory, and streams nothing"
        elif variant.place != "resident" and options.layers < 3:
            skipped[variant.name] = "fewer than 3 layers are never streamed"
    variants = [variant for variant in options.variants if variant.name not in skipped]
    if not variants:
        sys.exit("no variant is left: " + "; ".join(skipped.values()))
    # All others are made from it.
    formats = list(dict.fromkeys(["bf16", *(variant.format for variant in variants)]))
    needed, free = model.bytes_needed(formats), shutil.disk_usage(folder).free
    if needed > free:
        sys.exit(f"{folder} has {free / 1e9:.1f} GB and {needed / 1e9:.1f} are needed: ask for fewer --layers, or name a"
                 " --folder elsewhere")
    model.make(formats, any(variant.has_lora for variant in variants))

    report = {"date": time.strftime("%Y-%m-%d"), "version": run([options.swan, "--version"]).strip()}
    report |= {name: getattr(options, name) for name in SHAPES}
    report |= {"heads": model.config["num_attention_heads"], "feed_forward": model.config["ffn_dim"], "lines": []}
    runs, latents, limits, longest = {variant.name: [] for variant in variants}, {}, {}, 0
    failed = {}

    def attempt(variant, work, *arguments):
        """What `work` returns for a variant; nothing, and no more of it, where it fails. The others go on."""
        try:
            return work(variant, model, options, *arguments)
        except Failure as failure:
            failed[variant.name] = str(failure).splitlines()[0]
            told(f"{variant.name}: {failure}")
            return None
    for variant in variants:
        if variant.place != "resident":
            limits[variant.name] = attempt(variant, streaming_limit)
    for turn in range(options.runs):
        order = variants[:]
        random.Random(turn).shuffle(order)
        for variant in order:
            start = time.monotonic()
            if variant.name in failed or turn and start + longest > end:
                continue
            answer = attempt(variant, measure, limits.get(variant.name))
            if not answer:
                continue
            numbers, said, values = answer
            longest = max(longest, time.monotonic() - start)
            told(f"{turn + 1}/{options.runs} {variant.name:18} load {numbers['load']:7.3f} s, "
                 f"steps {statistics.median(numbers['steps']):.4f} s")
            runs[variant.name].append(numbers)
            latents.setdefault(variant.name, values)
            report |= {"device": said["device"], "precision": said["precision"], "attention": said["attention"]}
            report["lines"] = [line_of(one, model, runs[one.name]) for one in variants if runs[one.name]]
            if options.json:
                options.json.write_text(json.dumps(report, indent=1))
    report |= {"skipped": skipped, "failed": failed}
    if not report["lines"]:
        sys.exit("nothing could be measured")

    found = compare_latents(variants, latents, read(model.noise, "noise"))
    for line in report["lines"]:
        line |= found.get(line["variant"], {"distance": None, "fault": None})
    if options.json:
        options.json.write_text(json.dumps(report, indent=1))
    print(f"{report['device']}, {report['precision']}, attention {report['attention']}, {report['date']}:"
          f" {options.layers} layers of width {options.width}, {options.size}x{options.frames}, {options.steps} steps,"
          f" {max(len(line['runs']) for line in report['lines'])} rounds")
    print("\n".join(table(report)))
    return 1 if failed or any(line["fault"] for line in report["lines"]) else 0


if __name__ == "__main__":
    sys.exit(main())
