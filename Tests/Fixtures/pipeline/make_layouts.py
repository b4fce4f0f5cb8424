"""Saves the model of tiny_model.py in every layout that checkpoints are published in, under layouts/.

Packages: ../requirements.txt. All layouts load to the same values; only dtypes and names differ.

  official/    experts F32 in 2 shards with index and config.json, encoder .pth BF16 (plain dictionary), VAE
               .pth F32 (a module's state dictionary), google/umt5-xxl/{spiece.model, tokenizer.json}
  diffusers/   BF16, written by the libraries' own save_pretrained and read back to check
  comfy/       split_files/…, F16; the high expert under the prefix `model.diffusion_model.`, the low one
               bare; the encoder holds the tokenizer as `spiece_model` (U8)
  lightx2v/    the experts BF16, one file each in high_noise_model/ and low_noise_model/
  gguf/        matrices BF16 (high) and F16 (low), the rest F32; patch_embedding.weight has 5 dimensions in
               high and is flattened to [32, 64] in low, with comfy.gguf.orig_shape.patch_embedding.weight

The heads cannot be told from shapes here (d / 128 is 0). config.json says it as published ones do. Single
files say it where nothing is published: safetensors in `__metadata__` "config", a JSON object in a string,
{"num_heads": 2}; GGUF in the u32 key wan.attention.head_count.
"""
import json
import shutil
import sys
from pathlib import Path

import gguf
import torch
from safetensors.torch import load_file, save_file

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
import tiny_model
from names import encoder_to_transformers, transformer_to_diffusers, vae_to_diffusers

LAYOUTS = HERE / "layouts"
CONFIG = {"config": json.dumps({"num_heads": tiny_model.HEADS})}


def cast(state, dtype, rename=lambda name: name):
    """The tensors in another dtype and under other names, checked to be exact."""
    out = {rename(name): value.to(dtype).contiguous() for name, value in state.items()}
    assert all(torch.equal(new.float(), old) for new, old in zip(out.values(), state.values()))
    return out


def folder(*parts):
    path = LAYOUTS.joinpath(*parts)
    path.mkdir(parents=True, exist_ok=True)
    return path


def official(experts, encoder, vae):
    for name, expert in experts.items():
        path = folder("official", f"{name}_noise_model")
        expert.save_config(path)
        state = cast(expert.state_dict(), torch.float32)
        keys, shards = sorted(state), ["diffusion_pytorch_model-0000%d-of-00002.safetensors" % i for i in (1, 2)]
        files = {key: shards[2 * i // len(keys)] for i, key in enumerate(keys)}
        for shard in shards:
            save_file({key: state[key] for key in keys if files[key] == shard}, path / shard, {"format": "pt"})
        index = {"metadata": {"total_size": sum(value.nbytes for value in state.values())}, "weight_map": files}
        (path / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index, indent=1))
    torch.save(cast(encoder.state_dict(), torch.bfloat16), folder("official") / "models_t5_umt5-xxl-enc-bf16.pth")
    torch.save(vae.state_dict(), folder("official") / "Wan2.1_VAE.pth")
    for name in ("spiece.model", "tokenizer.json"):
        shutil.copy(HERE / name, folder("official", "google", "umt5-xxl"))


def diffusers(experts, encoder, vae):
    from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanTransformer3DModel
    from transformers import UMT5Config, UMT5EncoderModel

    def store(model, state, rename, name, **loading):
        model.load_state_dict(cast(state, torch.float32, rename), **loading)
        model.to(torch.bfloat16).save_pretrained(folder("diffusers", name))

    for name, expert in (("transformer", experts["high"]), ("transformer_2", experts["low"])):
        store(WanTransformer3DModel(
            num_attention_heads=2, attention_head_dim=16, in_channels=16, out_channels=16, text_dim=32, freq_dim=32,
            ffn_dim=48, num_layers=2), expert.state_dict(), transformer_to_diffusers, name)
    store(AutoencoderKLWan(base_dim=2, z_dim=16), vae.state_dict(), vae_to_diffusers, "vae")
    store(UMT5EncoderModel(UMT5Config(
        vocab_size=304, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4, dropout_rate=0.0,
        feed_forward_proj="gated-gelu")), encoder.state_dict(), encoder_to_transformers, "text_encoder", strict=False)
    UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=5.0).save_pretrained(folder("diffusers", "scheduler"))
    for name in ("spiece.model", "tokenizer.json"):
        shutil.copy(HERE / name, folder("diffusers", "tokenizer"))
    (folder("diffusers", "tokenizer") / "tokenizer_config.json").write_text(json.dumps({
        "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 512, "pad_token": "<pad>",
        "eos_token": "</s>", "bos_token": "<s>", "unk_token": "<unk>"}, indent=1))
    (folder("diffusers") / "model_index.json").write_text(json.dumps({
        "_class_name": "WanPipeline", "_diffusers_version": "0.42.1", "boundary_ratio": 0.875, "expand_timesteps": False,
        "scheduler": ["diffusers", "UniPCMultistepScheduler"], "text_encoder": ["transformers", "UMT5EncoderModel"],
        "tokenizer": ["transformers", "PreTrainedTokenizerFast"], "transformer": ["diffusers", "WanTransformer3DModel"],
        "transformer_2": ["diffusers", "WanTransformer3DModel"], "vae": ["diffusers", "AutoencoderKLWan"]}, indent=1))


def comfy(experts, encoder, vae):
    models = folder("comfy", "split_files", "diffusion_models")
    for name, prefix in (("high", "model.diffusion_model."), ("low", "")):
        state = cast(experts[name].state_dict(), torch.float16, lambda key: prefix + key)
        save_file(state, models / f"wan2.2_t2v_{name}_noise_14B_fp16.safetensors", CONFIG)
    state = cast(encoder.state_dict(), torch.float16, encoder_to_transformers)
    state["spiece_model"] = torch.tensor(list((HERE / "spiece.model").read_bytes()), dtype=torch.uint8)
    save_file(state, folder("comfy", "split_files", "text_encoders") / "umt5_xxl_fp16.safetensors")
    save_file(cast(vae.state_dict(), torch.float16), folder("comfy", "split_files", "vae") / "wan_2.1_vae.safetensors")


def lightx2v(experts):
    for name, expert in experts.items():
        save_file(cast(expert.state_dict(), torch.bfloat16), folder("lightx2v", f"{name}_noise_model")
                  / f"wan2.2_t2v_A14b_{name}_noise_lightx2v_4step.safetensors", CONFIG)


def write_gguf(experts):
    types, files = gguf.GGMLQuantizationType, gguf.LlamaFileType
    for name, matrices, file_type in (("high", types.BF16, files.MOSTLY_BF16), ("low", types.F16, files.MOSTLY_F16)):
        part = f"{name.capitalize()}Noise"
        writer = gguf.GGUFWriter(folder("gguf", part) / f"Wan2.2-T2V-A14B-{part}-{matrices.name}.gguf", "wan")
        writer.add_quantization_version(2)
        writer.add_file_type(file_type)
        writer.add_uint32("wan.attention.head_count", tiny_model.HEADS)
        for key, value in experts[name].state_dict().items():
            value = value.numpy()
            if name == "low" and key == "patch_embedding.weight":
                writer.add_array(f"comfy.gguf.orig_shape.{key}", list(value.shape))
                value = value.reshape(len(value), -1)
            elif value.ndim == 2:
                writer.add_tensor(key, gguf.quants.quantize(value, matrices), raw_dtype=matrices)
                continue
            writer.add_tensor(key, value)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


def check(experts, encoder, vae):
    """The libraries' own readers, on the files just written, agree with the official classes."""
    from diffusers import AutoencoderKLWan, WanTransformer3DModel
    from transformers import AutoTokenizer, UMT5EncoderModel
    for name, expert in experts.items():
        (path,) = (LAYOUTS / "gguf").rglob(f"*{name.capitalize()}*.gguf")
        for tensor in gguf.GGUFReader(path).tensors:
            value = torch.from_numpy(gguf.quants.dequantize(tensor.data, tensor.tensor_type).copy())
            assert torch.equal(value.flatten(), expert.state_dict()[tensor.name].flatten())
    golden, root = load_file(HERE / "golden.safetensors"), LAYOUTS / "diffusers"
    near = lambda a, b: torch.allclose(a, b, atol=5e-5, rtol=1e-4)

    tokenizer = AutoTokenizer.from_pretrained(root / "tokenizer")
    assert tokenizer("A cat walking on the grass").input_ids == golden["ids.prompt"].tolist()
    text = UMT5EncoderModel.from_pretrained(root / "text_encoder", dtype=torch.float32).eval()(golden["ids.prompt"][None])[0]
    assert near(text[0], golden["text.prompt"])
    padded = torch.cat([text, torch.zeros(1, 512 - text.shape[1], 32)], 1)
    high = WanTransformer3DModel.from_pretrained(root / "transformer", torch_dtype=torch.float32).eval()
    velocity = high(golden["noise"][None], torch.tensor([999]), padded, return_dict=False)[0][0]
    assert near(velocity, golden["velocity.prompt"])
    latent = golden["unipc.latents"][-1] * torch.tensor(tiny_model.DEVIATION)[:, None, None, None] \
        + torch.tensor(tiny_model.MEAN)[:, None, None, None]
    frames = AutoencoderKLWan.from_pretrained(root / "vae", torch_dtype=torch.float32).eval().decode(latent[None]).sample[0]
    assert (frames - golden["unipc.frames"]).abs().max() < 1e-3


if __name__ == "__main__":
    shutil.rmtree(LAYOUTS, ignore_errors=True)
    experts = {name: tiny_model.transformer(name) for name in ("high", "low")}
    encoder, vae = tiny_model.encoder(), tiny_model.vae()
    official(experts, encoder, vae)
    diffusers(experts, encoder, vae)
    comfy(experts, encoder, vae)
    lightx2v(experts)
    write_gguf(experts)
    check(experts, encoder, vae)
    for path in sorted(LAYOUTS.rglob("*")):
        if path.is_file():
            print(f"{path.stat().st_size:9,} {path.relative_to(LAYOUTS)}")
