"""Official tensor names in the spelling of diffusers and transformers, component by component."""
import re


def renamed(name, rules):
    """The name after the first rule that matches it whole; unchanged when none does."""
    for pattern, replacement in rules:
        new, count = re.subn(rf"^{pattern}$", replacement, name)
        if count:
            return new
    return name


TRANSFORMER = [
    (r"time_embedding\.0\.(\w+)", r"condition_embedder.time_embedder.linear_1.\1"),
    (r"time_embedding\.2\.(\w+)", r"condition_embedder.time_embedder.linear_2.\1"),
    (r"time_projection\.1\.(\w+)", r"condition_embedder.time_proj.\1"),
    (r"text_embedding\.0\.(\w+)", r"condition_embedder.text_embedder.linear_1.\1"),
    (r"text_embedding\.2\.(\w+)", r"condition_embedder.text_embedder.linear_2.\1"),
    (r"head\.head\.(\w+)", r"proj_out.\1"),
    (r"head\.modulation", "scale_shift_table"),
    (r"(blocks\.\d+)\.modulation", r"\1.scale_shift_table"),
    (r"(blocks\.\d+)\.self_attn\.([qkv])\.(\w+)", r"\1.attn1.to_\2.\3"),
    (r"(blocks\.\d+)\.self_attn\.o\.(\w+)", r"\1.attn1.to_out.0.\2"),
    (r"(blocks\.\d+)\.self_attn\.(norm_[qk]\.\w+)", r"\1.attn1.\2"),
    (r"(blocks\.\d+)\.cross_attn\.([qkv])\.(\w+)", r"\1.attn2.to_\2.\3"),
    (r"(blocks\.\d+)\.cross_attn\.o\.(\w+)", r"\1.attn2.to_out.0.\2"),
    (r"(blocks\.\d+)\.cross_attn\.(norm_[qk]\.\w+)", r"\1.attn2.\2"),
    (r"(blocks\.\d+)\.norm3\.(\w+)", r"\1.norm2.\2"),
    (r"(blocks\.\d+)\.ffn\.0\.(\w+)", r"\1.ffn.net.0.proj.\2"),
    (r"(blocks\.\d+)\.ffn\.2\.(\w+)", r"\1.ffn.net.2.\2"),
]

ENCODER = [
    (r"token_embedding\.weight", "shared.weight"),
    (r"norm\.weight", "encoder.final_layer_norm.weight"),
    (r"blocks\.(\d+)\.norm1\.weight", r"encoder.block.\1.layer.0.layer_norm.weight"),
    (r"blocks\.(\d+)\.norm2\.weight", r"encoder.block.\1.layer.1.layer_norm.weight"),
    (r"blocks\.(\d+)\.attn\.([qkvo])\.weight", r"encoder.block.\1.layer.0.SelfAttention.\2.weight"),
    (r"blocks\.(\d+)\.pos_embedding\.embedding\.weight",
     r"encoder.block.\1.layer.0.SelfAttention.relative_attention_bias.weight"),
    (r"blocks\.(\d+)\.ffn\.gate\.0\.weight", r"encoder.block.\1.layer.1.DenseReluDense.wi_0.weight"),
    (r"blocks\.(\d+)\.ffn\.fc1\.weight", r"encoder.block.\1.layer.1.DenseReluDense.wi_1.weight"),
    (r"blocks\.(\d+)\.ffn\.fc2\.weight", r"encoder.block.\1.layer.1.DenseReluDense.wo.weight"),
]

VAE = [
    (r"conv1\.(\w+)", r"quant_conv.\1"),
    (r"conv2\.(\w+)", r"post_quant_conv.\1"),
    (r"(encoder|decoder)\.conv1\.(\w+)", r"\1.conv_in.\2"),
    (r"(encoder|decoder)\.head\.0\.(\w+)", r"\1.norm_out.\2"),
    (r"(encoder|decoder)\.head\.2\.(\w+)", r"\1.conv_out.\2"),
    (r"(encoder|decoder)\.middle\.0\.(.+)", r"\1.mid_block.resnets.0.\2"),
    (r"(encoder|decoder)\.middle\.1\.(.+)", r"\1.mid_block.attentions.0.\2"),
    (r"(encoder|decoder)\.middle\.2\.(.+)", r"\1.mid_block.resnets.1.\2"),
    (r"encoder\.downsamples\.(.+)", r"encoder.down_blocks.\1"),
]

RESIDUAL = [
    (r"(.+)\.residual\.0\.(\w+)", r"\1.norm1.\2"),
    (r"(.+)\.residual\.2\.(\w+)", r"\1.conv1.\2"),
    (r"(.+)\.residual\.3\.(\w+)", r"\1.norm2.\2"),
    (r"(.+)\.residual\.6\.(\w+)", r"\1.conv2.\2"),
    (r"(.+)\.shortcut\.(\w+)", r"\1.conv_shortcut.\2"),
]


def transformer_to_diffusers(name):
    """`blocks.0.self_attn.q.weight` -> `blocks.0.attn1.to_q.weight`."""
    return renamed(name, TRANSFORMER)


def encoder_to_transformers(name):
    """`blocks.0.attn.q.weight` -> `encoder.block.0.layer.0.SelfAttention.q.weight`."""
    return renamed(name, ENCODER)


def vae_to_diffusers(name):
    """`decoder.middle.0.residual.2.weight` -> `decoder.mid_block.resnets.0.conv1.weight`."""
    upsample = re.match(r"decoder\.upsamples\.(\d+)\.(.+)", name)
    if upsample:                                        # four to a stage: three residuals, then the resampling
        stage, place = divmod(int(upsample[1]), 4)
        kind = "upsamplers.0" if place == 3 else f"resnets.{place}"
        name = f"decoder.up_blocks.{stage}.{kind}.{upsample[2]}"
    return renamed(renamed(name, VAE), RESIDUAL)
