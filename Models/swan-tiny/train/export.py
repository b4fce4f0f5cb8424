"""Write the model in diffusers layout, in half precision, with Swan's own defaults and the Lightning pair.

A new model needs all parts:
    python export.py MODEL_FOLDER --vae vae.safetensors --text text.safetensors --high high.safetensors --low low.safetensors
        --statistics transformer.json --spiece spiece.model [--lora-high … --lora-low …] --guidance 3 3
Into a model that exists, only what is given gets written:
    python export.py MODEL_FOLDER --high high.safetensors --low low.safetensors --lora-high … --lora-low …
Folders that would be larger than the limit are an error.
"""
import argparse
import json
import shutil
from pathlib import Path

import torch
from diffusers import UniPCMultistepScheduler
from safetensors.torch import load_file, save_file

import text
import whole_clip
from network import new_transformer
from sampling import BOUNDARY, SHIFT

VERSION = "0.42.1"
LIMIT = 24_000_000      # bytes of the whole model
PARTS = ("model_index.json", "swan.json", "transformer", "transformer_2", "vae", "text_encoder", "tokenizer", "scheduler", "lightning")


def halves(state, skip=()):
    """A state dictionary in half precision; non-finite values are refused."""
    out = {k: v.to(torch.float16).contiguous() for k, v in state.items() if k not in skip}
    assert all(v.isfinite().all() for v in out.values())
    return out


def write_json(path, value):
    """Indented JSON with a final newline."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n")


def config_of(module, class_name):
    """The configuration of a diffusers model as it would be saved."""
    values = {k: v for k, v in module.config.items() if not k.startswith("_")}
    return {"_class_name": class_name, "_diffusers_version": VERSION, **values}


def export_transformer(folder, state):
    """One expert."""
    model = new_transformer()
    model.load_state_dict(state)
    write_json(folder / "config.json", config_of(model, "WanTransformer3DModel"))
    save_file(halves(model.state_dict()), folder / "diffusion_pytorch_model.safetensors", {"format": "pt"})


def export_vae(folder, state, mean, std):
    """The VAE with the statistics of its latents."""
    vae = whole_clip.new_vae()
    vae.load_state_dict(state)
    config = {**config_of(vae, "AutoencoderKLWan"), "latents_mean": mean, "latents_std": std}
    write_json(folder / "config.json", config)
    save_file(halves(vae.state_dict()), folder / "diffusion_pytorch_model.safetensors", {"format": "pt"})


def export_text(folder, state, pieces):
    """The text encoder; its table is stored once, as `shared.weight`."""
    encoder = text.new_encoder(pieces)
    encoder.load_state_dict({**state, "encoder.embed_tokens.weight": state["shared.weight"]})
    config = encoder.config.to_dict()
    keep = ("vocab_size", "d_model", "d_kv", "d_ff", "num_layers", "num_heads", "feed_forward_proj", "relative_attention_num_buckets",
            "relative_attention_max_distance", "layer_norm_epsilon", "dropout_rate", "pad_token_id", "eos_token_id", "is_gated_act", "dense_act_fn")
    write_json(folder / "config.json", {"architectures": ["UMT5EncoderModel"], "model_type": "umt5", **{k: config[k] for k in keep if k in config}})
    save_file(halves(state, skip=("encoder.embed_tokens.weight",)), folder / "model.safetensors", {"format": "pt"})


def export_tokenizer(folder, spiece):
    """The SentencePiece model and the two small files that transformers expects."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(spiece, folder / "spiece.model")
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "T5Tokenizer", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>", "extra_ids": 0, "model_max_length": 512, "legacy": False})


def export_index(folder, guidance):
    """The pipeline's index, the scheduler and Swan's defaults."""
    write_json(folder / "model_index.json", {
        "_class_name": "WanPipeline", "_diffusers_version": VERSION, "boundary_ratio": BOUNDARY, "expand_timesteps": False,
        "scheduler": ["diffusers", "UniPCMultistepScheduler"], "text_encoder": ["transformers", "UMT5EncoderModel"], "tokenizer": ["transformers", "T5TokenizerFast"],
        "transformer": ["diffusers", "WanTransformer3DModel"], "transformer_2": ["diffusers", "WanTransformer3DModel"], "vae": ["diffusers", "AutoencoderKLWan"]})
    scheduler = UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=SHIFT)
    write_json(folder / "scheduler" / "scheduler_config.json", config_of(scheduler, "UniPCMultistepScheduler"))
    write_json(folder / "swan.json", {"name": "swan-tiny", "width": 128, "height": 128, "frames": 25, "fps": 12, "steps": 40, "shift": SHIFT, "boundary": BOUNDARY,
                                      "guidance_high": guidance[0], "guidance_low": guidance[1], "negative_prompt": "", "preset": "lightning"})


def random_states():
    """Weights of a model of the same form that knows nothing."""
    torch.manual_seed(0)
    model = lambda: {k: 0.05 * torch.randn_like(v) + (1 if "norm" in k and k.endswith("weight") else 0) for k, v in new_transformer().state_dict().items()}
    return model(), model(), whole_clip.new_vae().state_dict()


def export_pair(folder, paths):
    """The Lightning pair."""
    for name, path in paths.items():
        (folder / "lightning").mkdir(exist_ok=True)
        save_file(halves(load_file(path)), folder / "lightning" / f"{name}_noise_model.safetensors", {"format": "pt"})


def size_of(folder):
    """Bytes and number of the model's files."""
    files = [f for part in PARTS for f in ([folder / part] if (folder / part).is_file() else (folder / part).rglob("*")) if f.is_file()]
    return sum(f.stat().st_size for f in files), len(files)


def given_states(options, pieces):
    """Tensors of the parts that are given (or random ones of all parts) and the statistics of the latents."""
    if options.random:
        high, low, vae = random_states()
        words = {k: v for k, v in text.new_encoder(pieces).state_dict().items() if k != "encoder.embed_tokens.weight"}
        return {"high": high, "low": low, "vae": vae, "text": words}, {"latents_mean": [0.0] * 16, "latents_std": [1.0] * 16}
    if options.vae and not options.statistics:
        raise SystemExit("--vae needs --statistics")
    states = {name: load_file(getattr(options, name)) for name in ("high", "low", "vae", "text") if getattr(options, name)}
    return states, json.loads(Path(options.statistics).read_text()) if options.statistics else None


def main():
    """Read the trained parts and write the folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    for name in ("vae", "text", "high", "low", "statistics", "spiece", "lora-high", "lora-low"):
        parser.add_argument("--" + name)
    parser.add_argument("--guidance", type=float, nargs=2, metavar=("HIGH", "LOW"))
    parser.add_argument("--random", action="store_true")
    options = parser.parse_args()
    folder = options.folder
    spiece = options.spiece or folder / "tokenizer" / "spiece.model"
    states, statistics = given_states(options, text.Tokenizer(spiece).model.get_piece_size())
    if options.guidance or not (folder / "swan.json").exists():
        export_index(folder, options.guidance or (3.0, 3.0))
    for name, subfolder in (("high", "transformer"), ("low", "transformer_2")):
        if name in states:
            export_transformer(folder / subfolder, states[name])
    if "vae" in states:
        export_vae(folder / "vae", states["vae"], statistics["latents_mean"], statistics["latents_std"])
    if "text" in states:
        export_text(folder / "text_encoder", states["text"], text.Tokenizer(spiece).model.get_piece_size())
    if options.spiece:
        export_tokenizer(folder / "tokenizer", spiece)
    pair = {name: getattr(options, f"lora_{name}") for name in ("high", "low")}
    export_pair(folder, {name: path for name, path in pair.items() if path})
    size, files = size_of(folder)
    print(size, "bytes in", files, "files")
    if size > LIMIT:
        raise SystemExit(f"larger than {LIMIT} bytes")


if __name__ == "__main__":
    main()
