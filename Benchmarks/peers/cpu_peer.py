"""What Swan is compared with on a CPU: PyTorch and diffusers, float32, as a user would run them.

  cpu_peer.py kernels [--model FOLDER]      one transformer block and the VAE's decode, each the median of
                                            --runs after a warm-up
  cpu_peer.py generate --model FOLDER …     a prompt to an mp4: 4 Euler steps of the Lightning schedule
                                            without guidance, LoRAs merged, two experts

FOLDER has the diffusers layout (model_index.json). Both print one JSON object on standard output. Packages:
requirements.txt. Use --threads to fix the number of threads.
"""
import time

STARTED = time.perf_counter()                           # before the imports, which a user waits for too

import argparse
import json
import os
import re
import resource
import statistics
from pathlib import Path

import torch


def seconds(work, runs):
    """Median, fastest and slowest of `runs` calls after one that warms up."""
    times = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return {"median": statistics.median(times[1:]), "min": min(times[1:]), "max": max(times[1:])}


# -- Kernels ---------------------------------------------------------------------------------------

def block(runs):
    """One block of width 1536 on 1,560 tokens (a grid of 1 x 30 x 52) and 512 rows of text."""
    from diffusers.models.transformers.transformer_wan import WanRotaryPosEmbed, WanTransformerBlock
    model = WanTransformerBlock(dim=1536, ffn_dim=8960, num_heads=12, cross_attn_norm=True).eval()
    angles = WanRotaryPosEmbed(128, (1, 2, 2), 1024)(torch.empty(1, 16, 1, 60, 104))
    x, text, modulation = torch.randn(1, 1560, 1536), torch.randn(1, 512, 1536), torch.randn(1, 6, 1536)
    return seconds(lambda: model(x, text, modulation, angles), runs)


def decode(vae, runs):
    """128 x 128 pixels, 25 frames."""
    latent = torch.randn(1, vae.config.z_dim, 7, 16, 16)
    return seconds(lambda: vae.decode(latent), runs)


def kernels(options):
    from diffusers import AutoencoderKLWan
    result = {"block": block(options.runs), "vae16": decode(AutoencoderKLWan(base_dim=16, z_dim=16).eval(), options.runs)}
    if options.model:
        vae = AutoencoderKLWan.from_pretrained(options.model / "vae", torch_dtype=torch.float32).eval()
        result["vae"] = decode(vae, options.runs)
    return result


# -- A whole generation ----------------------------------------------------------------------------

MODULES = [                                             # official -> diffusers, for the linears of a block
    (r"(self_attn)\.o$", r"\1.to_out.0"), (r"(cross_attn)\.o$", r"\1.to_out.0"),
    (r"(self_attn|cross_attn)\.([qkv])$", r"\1.to_\2"), (r"self_attn", "attn1"), (r"cross_attn", "attn2"),
    (r"ffn\.0$", "ffn.net.0.proj"), (r"ffn\.2$", "ffn.net.2")]


def merge_lora(model, path):
    """Adds (alpha / rank) up down to every linear that the file names."""
    from safetensors.torch import load_file
    tensors = load_file(path)
    for key in [key for key in tensors if key.endswith((".lora_down.weight", ".lora_A.weight"))]:
        base, kind = re.match(r"(.+)\.(lora_down|lora_A)\.weight", key).groups()
        down = tensors[key].float()
        up = tensors[f"{base}.{'lora_up' if kind == 'lora_down' else 'lora_B'}.weight"].float()
        alpha = tensors.get(f"{base}.alpha", torch.tensor(len(down))).item()
        name = re.sub(r"^(diffusion_model|transformer)\.", "", base)
        for pattern, replacement in MODULES:
            name = re.sub(pattern, replacement, name)
        model.get_submodule(name).weight += alpha / len(down) * (up @ down)


def encode(folder, prompt):
    """The prompt's states, followed by zero rows to 512."""
    import ftfy
    from transformers import AutoTokenizer, UMT5EncoderModel
    ids = AutoTokenizer.from_pretrained(folder / "tokenizer")(ftfy.fix_text(prompt), return_tensors="pt").input_ids
    states = UMT5EncoderModel.from_pretrained(folder / "text_encoder", dtype=torch.float32).eval()(ids)[0]
    return torch.nn.functional.pad(states, (0, 0, 0, 512 - states.shape[1]))


def expert(folder, lora):
    from diffusers import WanTransformer3DModel
    model = WanTransformer3DModel.from_pretrained(folder, torch_dtype=torch.float32).eval()
    if lora:
        merge_lora(model, lora)
    return model


def denoise(options, text):
    """4 steps: two of the high-noise expert, two of the low-noise one."""
    high = expert(options.model / "transformer", options.lora_high)
    low = expert(options.model / "transformer_2", options.lora_low)
    shape = (1, 16, (options.frames - 1) // 4 + 1, options.height // 8, options.width // 8)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(options.seed))
    even = torch.linspace(1, 0, 5)
    sigmas = 5 * even / (1 + 4 * even)
    for sigma, following in zip(sigmas[:-1], sigmas[1:]):
        timestep = 1000 * sigma
        model = high if timestep >= 875 else low
        x = x + (following - sigma) * model(x, timestep[None], text, return_dict=False)[0]
    return x


def frames(folder, latent):
    """[frames, height, width, 3] in 0...1."""
    from diffusers import AutoencoderKLWan
    vae = AutoencoderKLWan.from_pretrained(folder / "vae", torch_dtype=torch.float32).eval()
    mean, deviation = (torch.tensor(v)[:, None, None, None] for v in (vae.config.latents_mean, vae.config.latents_std))
    return (vae.decode(latent * deviation + mean).sample[0] / 2 + 0.5).permute(1, 2, 3, 0).numpy()


def generate(options):
    """Seconds of each stage; loading counts towards the stage that needs it."""
    from diffusers.utils import export_to_video
    stages, last = {}, STARTED

    def mark(name):
        nonlocal last
        now = time.perf_counter()
        stages[name], last = now - last, now

    import diffusers, transformers
    mark("import")
    text = encode(options.model, options.prompt)
    mark("text")
    latent = denoise(options, text)
    mark("denoise")
    video = frames(options.model, latent)
    mark("decode")
    export_to_video(list(video), str(options.output), fps=options.fps, quality=8)
    mark("export")
    return {"stages": stages, "seconds": last - STARTED}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["kernels", "generate"])
    parser.add_argument("--model", type=Path, help="a folder in the diffusers layout")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--prompt", default="a cat walking on the grass")
    parser.add_argument("--lora-high", type=Path)
    parser.add_argument("--lora-low", type=Path)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--height", type=int, default=128)
    parser.add_argument("--frames", type=int, default=25)
    parser.add_argument("--fps", type=int, default=16)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--output", type=Path, default=Path("peer.mp4"))
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    torch.set_grad_enabled(False)
    result = {"kernels": kernels, "generate": generate}[options.what](options)
    result["peak_rss_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps(result | {"threads": options.threads, "torch": torch.__version__}))


if __name__ == "__main__":
    main()
