"""What Swan is compared with on a GPU: PyTorch and diffusers on Wan2.2-T2V-A14B's shapes, with random weights.

  gpu_peer.py [--stages eager,compiled,fp8,large,decode,decode-tuned,text] [--budget 200] [--json PATH]

  eager         one forward of one expert, bfloat16, as `from_pretrained` and a call give it: PyTorch's own attention
  compiled      the same with cuDNN's attention and compiled blocks: the fastest that diffusers documents
  fp8           the compiled forward with the blocks' linear layers in float8, a scale for each row of weights and of
                activations (torch._scaled_mm): the fastest that PyTorch has for them
  large         the compiled forward at --large-size
  decode        the autoencoder's whole decode in bfloat16
  decode-tuned  the same with channels last and cuDNN's search for the fastest convolutions
  text          UMT5-XXL on 512 tokens

Weights and inputs are random and nowhere zero, since products of zeros are faster than those of data. Times are the
GPU's own (events), the median of --runs calls behind one that warms up; that first call is reported as well. Prints one
JSON object at the end, and rewrites --json after each stage, so that a run that is cut off leaves what it has. No stage
is begun that the budget (seconds, from the start of the process) has no room for. --tiny runs the same code on small
shapes, on a CPU if --device says so. Packages: requirements.txt, by an environment or PYTHONPATH.
"""
import time

STARTED = time.perf_counter()                           # before the imports, which a user waits for too

import argparse
import gc
import json
import statistics
import subprocess
import sys
from pathlib import Path

import torch

TEXT_ROWS = 512                                         # the official code pads every prompt to as many

# Seconds that a stage may take on an H100 beside its timed calls: making the model, warming up, compiling.
RESERVED = {"eager": 12, "compiled": 30, "large": 45, "fp8": 30, "decode": 8, "decode-tuned": 12, "text": 10}


class Shapes:
    """The sizes of Wan2.2-T2V-A14B's parts, or small ones of the same form."""

    def __init__(self, tiny):
        self.heads, self.layers, self.feed_forward, self.text_width = (2, 2, 96, 48) if tiny else (40, 40, 13824, 4096)
        self.head_width, self.base = (16, 8) if tiny else (128, 96)
        self.text = dict(vocab_size=256384, d_model=4096, d_kv=64, d_ff=10240, num_layers=24, num_heads=64)
        if tiny:
            self.text = dict(vocab_size=512, d_model=48, d_kv=16, d_ff=80, num_layers=2, num_heads=3)


class RowScaledLinear(torch.nn.Module):
    """A linear layer in float8 with a scale for each row of its weights and of what it is given."""

    def __init__(self, linear):
        super().__init__()
        scale = linear.weight.data.float().abs().amax(1, keepdim=True).clamp(min=1e-12) / 448
        self.weight = torch.nn.Parameter((linear.weight.data.float() / scale).to(torch.float8_e4m3fn), requires_grad=False)
        self.register_buffer("scale", scale.t().contiguous())
        self.bias = linear.bias

    def forward(self, x):
        rows = x.reshape(-1, x.shape[-1])
        scale = (rows.abs().amax(1, keepdim=True).float() / 448).clamp(min=1e-12)
        numbers = (rows.float() / scale).to(torch.float8_e4m3fn)
        result = torch._scaled_mm(numbers, self.weight.t(), scale, self.scale, bias=self.bias.to(torch.bfloat16),
                                  out_dtype=torch.bfloat16, use_fast_accum=True)
        return result.reshape(*x.shape[:-1], -1)


def to_float8(model):
    """Puts the linear layers of a transformer's blocks in float8; those of the few rows of text stay as they are."""
    for block in model.blocks:
        for attention, names in [(block.attn1, ["to_q", "to_k", "to_v"]), (block.attn2, ["to_q"])]:
            for name in names:
                setattr(attention, name, RowScaledLinear(getattr(attention, name)))
            attention.to_out[0] = RowScaledLinear(attention.to_out[0])
        block.ffn.net[0].proj = RowScaledLinear(block.ffn.net[0].proj)
        block.ffn.net[2] = RowScaledLinear(block.ffn.net[2])


class Bench:
    """Makes the models, times the stages, writes what it has."""

    def __init__(self, options):
        self.options = options
        self.device = torch.device(options.device)
        self.shapes = Shapes(options.tiny)
        self.transformer = None
        self.report = {"stages": {}} | facts(self.device)

    # -- Time and memory -----------------------------------------------------------------------------

    def left(self):
        return self.options.budget - (time.perf_counter() - STARTED)

    def synchronize(self):
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def once(self, work):
        """Seconds of one call: on a GPU between two events, so that the host's own time counts only where it delays."""
        if self.device.type != "cuda":
            start = time.perf_counter()
            work()
            return time.perf_counter() - start
        before, after = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        before.record()
        work()
        after.record()
        after.synchronize()
        return before.elapsed_time(after) / 1000

    def measure(self, work):
        """The first call by the wall clock, then as many as were asked for; fewer when time runs out."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        start = time.perf_counter()
        work()
        self.synchronize()
        result = {"first_seconds": time.perf_counter() - start}
        times = []
        while len(times) < self.options.runs and (not times or self.left() > 2 * max(times)):
            times.append(self.once(work))
        result |= {"seconds": statistics.median(times), "all": times}
        if self.device.type == "cuda":
            result["peak_bytes"] = torch.cuda.max_memory_allocated()
        return result

    # -- Models --------------------------------------------------------------------------------------

    def make(self, build, dtype):
        """A model without a file: its parameters appear on the device."""
        with torch.device("meta"):
            model = build()
        return model.to(dtype).to_empty(device=self.device).eval()

    @staticmethod
    def fill(model):
        """Matrices of deviation 0.02, gains around 1, small biases."""
        for name, values in model.named_parameters():
            is_gain = values.ndim == 1 and "bias" not in name or name.endswith("gamma")
            torch.nn.init.normal_(values, mean=1.0 if is_gain else 0.0, std=0.02)

    def expert(self):
        """One expert with the types that diffusers loads it with: norms, timestep and modulation in float32."""
        if self.transformer is None:
            from diffusers import WanTransformer3DModel
            s = self.shapes
            model = self.make(lambda: WanTransformer3DModel(
                num_attention_heads=s.heads, attention_head_dim=s.head_width, num_layers=s.layers,
                ffn_dim=s.feed_forward, text_dim=s.text_width, in_channels=16, out_channels=16, freq_dim=256,
                patch_size=(1, 2, 2), cross_attn_norm=True, qk_norm="rms_norm_across_heads", eps=1e-6), torch.bfloat16)
            # Its tables are computed when it is made, which a model without memory cannot do.
            model.rope = type(model.rope)(s.head_width, (1, 2, 2), 1024).to(self.device)
            for name, values in model.named_parameters():
                if any(part in name for part in model._keep_in_fp32_modules):
                    values.data = values.data.float()
            self.fill(model)
            self.transformer = model
            self.attention = "native"
        return self.transformer

    def release(self):
        self.transformer = None
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def latent(self, size, dtype):
        width, height = size
        frames = (self.options.frames - 1) // 4 + 1
        return torch.randn(1, 16, frames, height // 8, width // 8, device=self.device, dtype=dtype)

    # -- Stages --------------------------------------------------------------------------------------

    def forward(self, size, is_compiled, is_float8=False):
        model = self.expert()
        if is_float8:
            torch._dynamo.reset()
            to_float8(model)
            gc.collect()
            self.attention = "native"
        if is_compiled and self.attention == "native":
            if self.device.type == "cuda":
                model.set_attention_backend("_native_cudnn")
            # Anew for each size: code that serves any size is slower.
            model.compile_repeated_blocks(fullgraph=True, dynamic=False)
            self.attention = "cudnn"
        latent = self.latent(size, torch.bfloat16)
        text = torch.randn(1, TEXT_ROWS, self.shapes.text_width, device=self.device, dtype=torch.bfloat16)
        timestep = torch.tensor([900.0], device=self.device)
        return self.measure(lambda: model(latent, timestep, text, return_dict=False))

    def decode(self, is_tuned):
        self.release()
        from diffusers import AutoencoderKLWan
        model = self.make(lambda: AutoencoderKLWan(base_dim=self.shapes.base, z_dim=16), torch.bfloat16)
        self.fill(model)
        if is_tuned:
            for values in model.parameters():
                layout = {4: torch.channels_last, 5: torch.channels_last_3d}.get(values.ndim)
                if layout:
                    values.data = values.data.contiguous(memory_format=layout)
        latent = self.latent(self.options.size, torch.bfloat16)
        torch.backends.cudnn.benchmark = is_tuned
        try:
            return self.measure(lambda: model.decode(latent, return_dict=False))
        finally:
            torch.backends.cudnn.benchmark = False

    def text(self):
        self.release()
        from transformers import UMT5Config, UMT5EncoderModel
        config = UMT5Config(**self.shapes.text, feed_forward_proj="gated-gelu", tie_word_embeddings=False)
        model = self.make(lambda: UMT5EncoderModel(config), torch.bfloat16)
        self.fill(model)
        ids = torch.randint(0, config.vocab_size, (1, TEXT_ROWS), device=self.device)
        mask = torch.ones_like(ids)
        return self.measure(lambda: model(ids, attention_mask=mask))

    def run(self):
        stages = {
            "eager": lambda: self.forward(self.options.size, is_compiled=False),
            "compiled": lambda: self.forward(self.options.size, is_compiled=True),
            "large": lambda: self.forward(self.options.large_size, is_compiled=True),
            # After the others: it changes the model.
            "fp8": lambda: self.forward(self.options.size, is_compiled=True, is_float8=True),
            "decode": lambda: self.decode(is_tuned=False),
            "decode-tuned": lambda: self.decode(is_tuned=True),
            "text": self.text}
        start = time.perf_counter()
        import diffusers, transformers
        self.report |= {"diffusers": diffusers.__version__, "transformers": transformers.__version__,
                        "import_seconds": IMPORTED - STARTED + time.perf_counter() - start}
        for name in (name for name in STAGES if name in self.options.stages):
            if self.left() < (0 if self.options.tiny else RESERVED[name]):
                result = {"skipped": f"{self.left():.0f} s of the budget were left"}
            else:
                try:
                    result = stages[name]()
                except Exception as error:               # the other stages are worth having
                    result = {"error": f"{type(error).__name__}: {str(error)[:500]}"}
            self.report["stages"][name] = result
            self.report["seconds"] = time.perf_counter() - STARTED
            print(f"{name}: {result}", file=sys.stderr, flush=True)
            if self.options.json:
                self.options.json.write_text(json.dumps(self.report, indent=1))
        self.release()


STAGES = list(RESERVED)


def facts(device):
    """The device and the versions of what computes."""
    result = {"torch": torch.__version__, "date": time.strftime("%Y-%m-%d"), "device": device.type}
    if device.type == "cuda":
        result |= {"device": torch.cuda.get_device_name(device), "cuda": torch.version.cuda,
                   "cudnn": torch.backends.cudnn.version()}
        query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        try:
            result["driver"] = subprocess.run(query, capture_output=True, text=True, check=True).stdout.split()[0]
        except (OSError, subprocess.CalledProcessError, IndexError):
            pass
    return result


def size(text):
    width, height = (int(part) for part in text.split("x"))
    if width % 16 or height % 16 or min(width, height) < 16:
        raise argparse.ArgumentTypeError(f"{text}: both sides are multiples of 16")
    return width, height


def stages(text):
    unknown = [name for name in text.split(",") if name not in STAGES]
    if unknown:
        raise argparse.ArgumentTypeError(f"no stage {', '.join(unknown)}; there are {', '.join(STAGES)}")
    return text.split(",")


IMPORTED = time.perf_counter()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stages", type=stages, default=STAGES, help=f"of {','.join(STAGES)}")
    parser.add_argument("--size", type=size, default=(832, 480))
    parser.add_argument("--large-size", type=size, default=(1280, 720))
    parser.add_argument("--frames", type=int, default=81)
    parser.add_argument("--runs", type=int, default=3, help="timed calls of each stage")
    parser.add_argument("--budget", type=float, default=200, help="seconds in all")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="small shapes, to try the script itself")
    parser.add_argument("--json", type=Path, help="where results are written after each stage")
    options = parser.parse_args()
    if options.frames % 4 != 1:
        parser.error("--frames is 4k + 1")

    torch.set_grad_enabled(False)
    bench = Bench(options)
    bench.run()
    print(json.dumps(bench.report))


if __name__ == "__main__":
    main()
