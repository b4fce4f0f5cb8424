"""Encoded clips in device memory, growing while training goes on."""
from pathlib import Path

import torch

import sampling
import text
from train_transformer import EMPTY_SHARE, encode_text

HELD = 512      # the first clips are never trained on


def part_path(folder, number):
    """The file of one part of a pool."""
    return Path(folder) / f"part-{number:05}.pt"


class LivePool:
    """Training batches from the parts that another process writes; a full pool forgets its oldest clips.

    Everything has its final size from the start and `filled` is a tensor, so that batches can be part of a CUDA graph.
    Text rows are stored in place of ids, since the text encoder does not change.
    """

    def __init__(self, folder, capacity, encoder, tokenizer, device, held=HELD):
        self.folder, self.encoder, self.device, self.held = folder, encoder, device, held
        precision = torch.bfloat16 if device == "cuda" else torch.float32
        self.latents = torch.zeros(capacity, *sampling.LATENT, dtype=torch.bfloat16, device=device)
        self.cover = torch.zeros(capacity, *sampling.LATENT[1:], dtype=torch.uint8, device=device)
        self.rows = torch.zeros(capacity, text.ROWS, 128, dtype=precision, device=device)
        self.lengths = torch.ones(capacity, dtype=torch.long, device=device)
        self.filled = torch.full((), held + 1.0, device=device)
        self.empty_rows, self.empty_lengths = self._encode(tokenizer.ids([""]).to(device))
        self.part = self.next = self.count = 0

    @torch.no_grad()
    def _encode(self, ids):
        rows, lengths = encode_text(self.encoder, ids)
        return rows.to(self.rows.dtype), lengths

    def has_part(self):
        """Whether the next part is there."""
        return part_path(self.folder, self.part).exists()

    def take_part(self):
        """Copy the next part."""
        path = part_path(self.folder, self.part)
        data = torch.load(path, mmap=True)
        if self.next + len(data["latents"]) > len(self.latents):
            self.next = self.held
        at = slice(self.next, min(len(self.latents), self.next + len(data["latents"])))
        size = at.stop - at.start
        self.latents[at].copy_(data["latents"][:size])
        self.cover[at].copy_(data["cover"][:size])
        self.rows[at], self.lengths[at] = self._encode(data["ids"][:size].to(self.device))
        self.part, self.next, self.count = self.part + 1, at.stop, max(self.count, at.stop)
        self.filled.fill_(self.count)
        path.unlink()

    def batch(self, size, low, high, random, held=False):
        """Noised latents, velocity, sigma, text rows (some of the empty prompt) with lengths, and the figures' cover 0…1."""
        uniform = lambda *shape: torch.rand(*shape, device=self.device, generator=random)
        pick = uniform(size) * self.held if held else self.held + uniform(size) * (self.filled - self.held)
        pick = pick.long().clamp(max=len(self.latents) - 1)
        clean = self.latents[pick].float()
        u = (torch.arange(size, device=self.device) + uniform(size)) / size
        sigma = sampling.shifted(low + (high - low) * u)
        noise = torch.randn(clean.shape, device=self.device, generator=random)
        noisy = clean.lerp(noise, sigma.view(-1, 1, 1, 1, 1))
        drop = uniform(size) < EMPTY_SHARE
        rows = torch.where(drop[:, None, None], self.empty_rows, self.rows[pick])
        lengths = torch.where(drop, self.empty_lengths, self.lengths[pick])
        return noisy, noise - clean, sigma, rows, lengths, self.cover[pick][:, None].float() / 255
