#!/usr/bin/env python3
"""Swan's attention kernels beside cuDNN's on Hopper: errors against float64, and rates in turns.

  compare_attention.py [--tokens 32760,75600] [--heads 40] [--rounds 7] [--kernels FOLDER] [--json PATH]

Takes the kernels' text from --kernels (default: this repository's), compiles it with NVRTC as Swan does, and launches it
through the driver, so that a change of a kernel is measured without building Swan. Data is normal, with heads of 128
channels; the errors are those of logits with three spreads, without outlier channels (with them the common part of a
channel hides what rounding does) and beside float8 with a scale for each tensor. Needs a GPU of compute capability 9.0, and
a Python with PyTorch for CUDA 12 or later, whose NVRTC is used. --compile-only needs no GPU.
"""
import argparse
import ctypes
import glob
import json
import os
import statistics
import sys
import time
from pathlib import Path
from random import Random

WIDTH, TILE, PART = 128, 128, 512
LOG2E = 1.4426950408889634
HEADERS = ["swan_intrinsics.cuh", "swan_device.cuh", "swan_hopper.cuh", "attention_sm90.cuh", "attention_int8_rows.cuh",
           "attention_int8_weights.cuh"]


def divided(count, size):
    return (count + size - 1) // size


class Compiler:
    """NVRTC, from where PyTorch's packages or the system have it."""

    def __init__(self, folder):
        self.folder = folder
        found = [path for base in sys.path for path in glob.glob(os.path.join(base, "nvidia", "*", "lib", "libnvrtc.so.1*"))]
        self.library = ctypes.CDLL((found + ["libnvrtc.so.13", "libnvrtc.so.12"])[0])

    def check(self, status, what):
        if status:
            raise RuntimeError(f"{what}: NVRTC's status {status}")

    def text(self, program, size, get):
        count = ctypes.c_size_t()
        self.check(getattr(self.library, size)(program, ctypes.byref(count)), size)
        buffer = ctypes.create_string_buffer(count.value)
        self.check(getattr(self.library, get)(program, buffer), get)
        return buffer.raw

    def cubin(self, name, defines):
        sources = [(self.folder / header).read_bytes() for header in HEADERS]
        names = (ctypes.c_char_p * len(HEADERS))(*[header.encode() for header in HEADERS])
        program = ctypes.c_void_p()
        self.check(self.library.nvrtcCreateProgram(
            ctypes.byref(program), (self.folder / f"{name}.cu").read_bytes(), f"{name}.cu".encode(), len(HEADERS),
            (ctypes.c_char_p * len(HEADERS))(*sources), names), name)
        options = ["--gpu-architecture=sm_90a", "--std=c++17"] + [f"-D{key}={value}" for key, value in defines.items()]
        status = self.library.nvrtcCompileProgram(
            program, len(options), (ctypes.c_char_p * len(options))(*[option.encode() for option in options]))
        if status:
            sys.exit(self.text(program, "nvrtcGetProgramLogSize", "nvrtcGetProgramLog").decode())
        return self.text(program, "nvrtcGetCUBINSize", "nvrtcGetCUBIN")


class Driver:
    """Modules, maps of tiles and launches, in PyTorch's context and stream."""

    def __init__(self, torch):
        self.torch, self.library = torch, ctypes.CDLL("libcuda.so.1")
        torch.zeros(1, device="cuda")

    def check(self, status, what):
        if status:
            raise RuntimeError(f"{what}: the driver's status {status}")

    def function(self, cubin, name):
        module, function = ctypes.c_void_p(), ctypes.c_void_p()
        self.check(self.library.cuModuleLoadData(ctypes.byref(module), cubin), name)
        self.check(self.library.cuModuleGetFunction(ctypes.byref(function), module, name.encode()), name)
        return function

    def map(self, tensor, rows, heads, width, tile_rows):
        """A tensor [rows, heads, width] in tiles of 128 bytes of one head, with the 128-byte swizzle."""
        size = tensor.element_size()
        memory = ctypes.create_string_buffer(128 + 64)
        place = (ctypes.addressof(memory) + 63) // 64 * 64
        extents, steps = (ctypes.c_uint64 * 3)(width, heads, rows), (ctypes.c_uint64 * 2)(width * size, heads * width * size)
        tile, every = (ctypes.c_uint32 * 3)(128 // size, 1, tile_rows), (ctypes.c_uint32 * 3)(1, 1, 1)
        self.check(self.library.cuTensorMapEncodeTiled(
            ctypes.c_void_p(place), 9 if size == 2 else 0, 3, ctypes.c_uint64(tensor.data_ptr()), extents, steps, tile, every,
            0, 3, 2, 0), "cuTensorMapEncodeTiled")
        return memory, place

    def launch(self, function, grid, block, shared, arguments):
        held, pointers = [], (ctypes.c_void_p * len(arguments))()
        for index, argument in enumerate(arguments):
            if isinstance(argument, tuple):
                pointers[index] = argument[1]
                continue
            if isinstance(argument, self.torch.Tensor):
                value = ctypes.c_uint64(argument.data_ptr())
            elif isinstance(argument, ctypes.c_uint64):
                value = argument
            else:
                value = ctypes.c_float(argument) if isinstance(argument, float) else ctypes.c_uint32(argument)
            held.append(value)
            pointers[index] = ctypes.addressof(value)
        if shared:
            self.check(self.library.cuFuncSetAttribute(function, 8, shared), "cuFuncSetAttribute")
        self.check(self.library.cuLaunchKernel(
            function, *grid, 1, block, 1, 1, shared, ctypes.c_void_p(self.torch.cuda.current_stream().cuda_stream), pointers,
            None), "cuLaunchKernel")


KERNELS = {"flash": ("attention_sm90", {}), "ranges": ("attention_int8_ranges", {"PART": PART, "NORMED": 0}),
           "channels": ("attention_int8_channels", {}), "queries": ("attention_int8_queries", {}),
           "keys": ("attention_int8_keys", {"NORMED": 0}), "values": ("attention_int8_values", {}),
           "int8": ("attention_int8_sm90", {"RESULT": "bfloat16"}), "int8-sm80": ("attention_int8_sm80", {"RESULT": "bfloat16"}),
           "flash-sm80": ("attention", {"WIDTH": WIDTH, "PART": WIDTH, "WARPS": 4, "ROW_TILES": 2, "KEYS": 64, "BIAS": 0})}


class Calls:
    """The kernels on one set of data: what CUDA+Attention.swift and CUDA+AttentionInt8.swift launch."""

    def __init__(self, torch, driver, functions, q, k, v):
        self.driver, self.functions = driver, functions
        self.q, self.k, self.v = q, k, v
        (self.queries, self.heads, _), self.keys = q.shape, k.shape[0]
        self.tiles = divided(self.keys, TILE)
        self.pitch, self.all = self.tiles * TILE, self.heads * WIDTH
        self.o = torch.full_like(q, float("nan"))

        def new(*shape, dtype=torch.float32):
            return torch.empty(*shape, dtype=dtype, device="cuda")
        self.parts, self.channels = new(divided(self.keys, PART), 3, self.all), new(3, self.all)
        self.bounds = new(divided(self.all, 256))
        self.unread = [self.bounds, self.bounds]  # what results of eight bits would need
        self.q8, self.k8 = (new(rows, self.heads, WIDTH, dtype=torch.int8) for rows in (self.queries, self.keys))
        self.v8 = new(WIDTH, self.heads, self.pitch, dtype=torch.int8)
        self.q_scales, self.k_scales = new(self.heads, self.queries), new(self.heads, self.tiles)
        self.wide = [driver.map(q, self.queries, self.heads, WIDTH, 128), driver.map(k, self.keys, self.heads, WIDTH, 176),
                     driver.map(v, self.keys, self.heads, WIDTH, 176)]
        self.narrow = [driver.map(self.q8, self.queries, self.heads, WIDTH, TILE),
                       driver.map(self.k8, self.keys, self.heads, WIDTH, TILE // 2),
                       driver.map(self.v8, WIDTH, self.heads, self.pitch, TILE // 2)]

    def launch(self, name, grid, block, shared, *arguments):
        self.driver.launch(self.functions[name], grid, block, shared, arguments)

    def flash(self):
        self.launch("flash", (divided(self.queries, 256) * 2, self.heads), 384, 1024 + 256 * (128 + 4 * 176), *self.wide,
                    self.o, self.queries, self.keys, self.heads, WIDTH ** -0.5 * LOG2E)

    def flash_sm80(self):
        self.launch("flash-sm80", (divided(self.queries, 128), self.heads), 128, 2 * 136 * (128 + 2 * 64), self.q, self.k,
                    self.v, self.o, self.o, self.queries, self.keys, self.heads, ctypes.c_uint64(0),
                    ctypes.c_uint64(0), WIDTH ** -0.5)

    def prepare(self):
        unread = [self.k] * 4  # what norms would need
        self.launch("ranges", (divided(self.all, 256), divided(self.keys, PART)), 256, 0, self.k, *unread, self.v,
                    self.parts, self.keys)
        self.launch("channels", (divided(self.all, 256), 1), 256, 0, self.parts, self.channels, self.bounds, divided(self.keys, PART),
                    self.keys)
        self.launch("queries", (divided(self.queries, TILE), self.heads), 256, 0, self.q, self.q8, self.q_scales,
                    self.queries, self.heads, WIDTH ** -0.5 * LOG2E / WIDTH)
        self.launch("keys", (self.tiles, self.heads), 256, 0, self.k, *unread, self.channels, self.k8, self.k_scales,
                    self.keys, self.heads)
        self.launch("values", (self.tiles, self.heads), 256, 0, self.v, self.channels, self.v8, self.keys, self.heads,
                    self.pitch)

    def int8(self):
        self.launch("int8", (divided(self.queries, 256) * 2, self.heads), 384, 1024 + 128 * 128 * 9, *self.narrow,
                    self.q_scales, self.k_scales, self.channels, self.o, *self.unread, self.queries, self.keys,
                    self.heads)

    def int8_sm80(self):
        self.launch("int8-sm80", (divided(self.queries, 128), self.heads), 256, 5 * 128 * 144, self.q8, self.k8, self.v8,
                    self.q_scales, self.k_scales, self.channels, self.o, *self.unread, self.queries, self.keys,
                    self.heads)

    def prepared_int8(self):
        self.prepare()
        self.int8()

    def prepared_int8_sm80(self):
        self.prepare()
        self.int8_sm80()


def data(torch, queries, keys, heads, spread=1.0):
    generator = torch.Generator("cuda").manual_seed(queries + keys)

    def normal(rows):
        return torch.randn(rows, heads, WIDTH, device="cuda", generator=generator)
    return (normal(queries) * spread).bfloat16(), normal(keys).bfloat16(), normal(keys).bfloat16()


def exact(torch, q, k, v):
    """Attention in float64, head by head."""
    q, k, v = (tensor.double() for tensor in (q, k, v))
    return torch.stack([torch.softmax(q[:, head] @ k[:, head].T * WIDTH ** -0.5, -1) @ v[:, head]
                        for head in range(q.shape[1])], 1)


def float8(torch, tensor):
    scale = tensor.abs().max().double() / 448
    return (tensor.double() / scale).float().to(torch.float8_e4m3fn).double() * scale


def relative(found, wanted):
    return ((found.double() - wanted).norm() / wanted.norm()).item()


def errors(torch, make, heads, tokens):
    """Relative errors: short and odd lengths, then the whole length with logits of three spreads."""
    result = {}
    cases = [(queries, keys, 1.0) for queries, keys in
             [(1, 1), (63, 64), (64, 65), (113, 113), (128, 127), (300, 257), (1000, 4000)]]
    for queries, keys, spread in cases + [(tokens, tokens, spread) for spread in (0.5, 1.0, 2.0)]:
        q, k, v = data(torch, queries, keys, heads, spread)
        rows = torch.arange(0, queries, max(1, queries // 99), device="cuda")
        wanted = exact(torch, q[rows], k, v)
        calls, line, whole = make(q, k, v), {}, {}
        for name, run in (("flash-sm90", calls.flash), ("int8-sm90", calls.prepared_int8),
                          ("int8-sm80", calls.prepared_int8_sm80)):
            calls.o.fill_(float("nan"))
            run()
            line[name], whole[name] = relative(calls.o[rows], wanted), calls.o.clone()
        # The same whole numbers, added up alike.
        if not torch.equal(whole["int8-sm90"], whole["int8-sm80"]):
            sys.exit(f"{queries}x{keys}: int8-sm80 and int8-sm90 differ by {relative(whole['int8-sm80'], whole['int8-sm90'])}")
        if queries == tokens:
            line["float8 inputs"] = relative(exact(torch, *(float8(torch, tensor) for tensor in (q[rows], k, v))), wanted)
        result[f"{queries}x{keys}, spread {spread:g}"] = line
        print(f"{queries:6}x{keys:<6} spread {spread:<4g}" + "".join(f"  {name} {value:.4f}" for name, value in line.items()),
              flush=True)
    return result


def rates(torch, make, heads, tokens, rounds):
    """TFLOP/s, the median of rounds in which each has its turn, in a changing order.

    A card at its power limit goes on for a while at the clock that the kernel before left it. So each one warms up itself.
    """
    from torch.nn.attention import SDPBackend, sdpa_kernel
    q, k, v = data(torch, tokens, tokens, heads)
    calls = make(q, k, v)

    def cudnn():
        with sdpa_kernel(SDPBackend.CUDNN_ATTENTION):
            torch.nn.functional.scaled_dot_product_attention(*(tensor.transpose(0, 1)[None] for tensor in (q, k, v)))

    def seconds(run, count):
        before, after = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        before.record()
        for _ in range(count):
            run()
        after.record()
        after.synchronize()
        return before.elapsed_time(after) / 1000 / count
    ways = {"cudnn": cudnn, "flash-sm90": calls.flash, "int8-sm90": calls.prepared_int8, "int8-sm90, prepared": calls.int8,
            "flash-sm80": calls.flash_sm80, "int8-sm80, prepared": calls.int8_sm80}
    for run in ways.values():
        run()
    torch.cuda.synchronize()
    times, random = {name: [] for name in ways}, Random(5)
    count = max(1, 200_000 // tokens)
    for _ in range(rounds):
        for name, run in random.sample(list(ways.items()), len(ways)):
            seconds(run, count)
            times[name].append(seconds(run, count))
    operations = 4 * tokens * tokens * WIDTH * heads
    result = {name: operations / statistics.median(values) / 1e12 for name, values in times.items()}
    for name, rate in result.items():
        print(f"{tokens:6} tokens  {name:20} {rate:7.1f} TFLOP/s   {rate / result['cudnn']:5.2f} of cuDNN's", flush=True)
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=lambda text: [int(part) for part in text.split(",")], default=[32760, 75600])
    parser.add_argument("--heads", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=7, help="of rates; 0 for errors alone, as under compute-sanitizer")
    parser.add_argument("--kernels", type=Path, default=Path(__file__).parent.parent / "Sources/CSwanKernels/cuda")
    parser.add_argument("--compile-only", action="store_true", help="compile the kernels and stop")
    parser.add_argument("--json", type=Path, help="where to write every number")
    options = parser.parse_args()
    compiler = Compiler(options.kernels)
    cubins = {name: compiler.cubin(kernel, defines | {"WIDTH": options.heads * WIDTH} if name in ("ranges", "channels")
                                   else defines) for name, (kernel, defines) in KERNELS.items()}
    if options.compile_only:
        for name, cubin in cubins.items():
            print(f"{name:9} {len(cubin)} bytes")
        return
    import torch
    if not torch.cuda.is_available() or torch.cuda.get_device_capability() != (9, 0):
        sys.exit("These kernels need a GPU of compute capability 9.0 (H100, H200).")
    driver = Driver(torch)
    functions = {name: driver.function(cubins[name], kernel) for name, (kernel, _) in KERNELS.items()}

    def make(q, k, v):
        return Calls(torch, driver, functions, q, k, v)
    report = {"device": torch.cuda.get_device_name(), "torch": torch.__version__, "cudnn": torch.backends.cudnn.version(),
              "date": time.strftime("%Y-%m-%d"), "heads": options.heads,
              "errors": errors(torch, make, options.heads, options.tokens[0]),
              "tflops": {tokens: rates(torch, make, options.heads, tokens, options.rounds)
                         for tokens in options.tokens if options.rounds}}
    print(f"{report['device']}, PyTorch {report['torch']}, cuDNN {report['cudnn']}, {report['date']}")
    if options.json:
        options.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
