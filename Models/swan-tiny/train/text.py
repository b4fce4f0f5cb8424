"""Captions → text rows: tokenizer, UMT5 encoder, and a whole-batch form of the encoder for training."""
import math

import numpy as np
import sentencepiece
import torch
import torch.nn.functional as F
from transformers import UMT5Config, UMT5EncoderModel

ROWS = 32            # text rows in training; the last one stands for all pad rows
PAD_ROWS = 512       # text rows at inference
EOS = 1


def new_encoder(pieces):
    """A UMT5 encoder of half a million parameters; the table has a few spare rows."""
    rows = -(-pieces // 64) * 64
    return UMT5EncoderModel(UMT5Config(vocab_size=rows, d_model=128, d_kv=32, d_ff=192, num_layers=3, num_heads=4, feed_forward_proj="gated-gelu", dropout_rate=0.0, pad_token_id=0, eos_token_id=EOS))


class Tokenizer:
    """SentencePiece ids with the end mark, padded with zeros."""

    def __init__(self, path):
        self.model = sentencepiece.SentencePieceProcessor(model_file=str(path))
        sizes = range(self.model.get_piece_size())
        self.rare = [i for i in sizes if i > 3 and (self.model.is_byte(i) or len(self.model.id_to_piece(i)) <= 2)]

    def ids(self, captions, rng=None, noise=0.0):
        """Ids [B, ROWS − 1]; with `noise`, that share of captions gets a few meaningless pieces in between."""
        table = np.zeros((len(captions), ROWS - 1), dtype=np.int64)
        for row, text in zip(table, captions):
            line = self.model.encode(text)
            if rng is not None and rng.random() < noise:
                at = int(rng.integers(len(line) + 1))
                line[at:at] = [int(rng.choice(self.rare)) for _ in range(int(rng.integers(1, 4)))]
            line = line[:ROWS - 2] + [EOS]
            row[:len(line)] = line
        return torch.from_numpy(table)


def position_buckets(length, device):
    """UMT5's bidirectional buckets of relative positions: [length, length]."""
    distance = torch.arange(length, device=device)[None] - torch.arange(length, device=device)[:, None]
    size = distance.abs()
    far = 8 + (torch.log(size.clamp(min=1).float() / 8) / math.log(16) * 8).long()
    return torch.where(size < 8, size, far.clamp(max=15)) + 16 * (distance > 0)


def root_norm(x, weight, eps=1e-6):
    """T5's norm, in single precision."""
    x = x.float()
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * weight


def encode(encoder, ids):
    """The encoder's output with zero rows at the pads: [B, ROWS, width] and the number of real tokens [B].

    The same function as the library's forward (tests check it), free of host synchronisation.
    """
    real = ids != 0
    hidden = F.embedding(ids, encoder.shared.weight)
    mask = torch.where(real, 0.0, -1e9)[:, None, None]
    buckets = position_buckets(ids.shape[1], ids.device)
    for block in encoder.encoder.block:
        attention, norm = block.layer[0].SelfAttention, block.layer[0].layer_norm
        bias = F.embedding(buckets, attention.relative_attention_bias.weight).permute(2, 0, 1)[None]
        x = root_norm(hidden, norm.weight)
        q, k, v = (F.linear(x, m.weight).unflatten(-1, (attention.n_heads, -1)).transpose(1, 2) for m in (attention.q, attention.k, attention.v))
        weights = torch.softmax((q @ k.mT).float() + bias + mask, -1).to(v.dtype)
        hidden = hidden + F.linear((weights @ v).transpose(1, 2).flatten(2), attention.o.weight)
        feed, norm = block.layer[1].DenseReluDense, block.layer[1].layer_norm
        x = root_norm(hidden, norm.weight)
        hidden = hidden + F.linear(F.gelu(F.linear(x, feed.wi_0.weight), approximate="tanh") * F.linear(x, feed.wi_1.weight), feed.wo.weight)
    out = root_norm(hidden, encoder.encoder.final_layer_norm.weight) * real[..., None]
    return F.pad(out, (0, 0, 0, 1)), real.sum(1)
