"""A small classifier of clips: which things, which place, which colour, which motion."""
import torch
import torch.nn as nn
import torch.nn.functional as F

FRAMES_SEEN = (0, 3, 6, 9, 12, 15, 18, 21, 24)


def layer(inputs, outputs, kernel, stride):
    """Convolution, group norm, ReLU."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2), nn.GroupNorm(8, outputs), nn.ReLU())


class Scorer(nn.Module):
    """Nine frames of 128 × 128 in −1…1 → logits of the four questions."""

    def __init__(self, things, places, colours, motions):
        super().__init__()
        self.frame = nn.Sequential(layer(3, 24, 5, 2), layer(24, 40, 3, 2), layer(40, 64, 3, 2), layer(64, 96, 3, 2), layer(96, 96, 3, 1))
        self.thing, self.place, self.colour = nn.Linear(192, things), nn.Linear(192, places), nn.Linear(192, colours)
        self.time = nn.Conv3d(96, 20, 3, (1, 2, 2), 1)
        self.motion = nn.Sequential(nn.Linear(20 * len(FRAMES_SEEN) * 16, 64), nn.ReLU(), nn.Linear(64, motions))

    def forward(self, frames):
        """Frames [B, 3, 9, 128, 128] → dictionary of logits."""
        batch, _, count = frames.shape[:3]
        maps = self.frame(frames.transpose(1, 2).flatten(0, 1))
        pooled = torch.cat([maps.amax((2, 3)), maps.mean((2, 3))], 1).unflatten(0, (batch, count)).mean(1)
        volume = F.relu(self.time(maps.unflatten(0, (batch, count)).transpose(1, 2)))
        return {"thing": self.thing(pooled), "place": self.place(pooled), "colour": self.colour(pooled), "motion": self.motion(volume.flatten(1))}


def marks(logits, targets):
    """Right or wrong per clip and question; NaN where the question does not arise.

    Things are right when the highest-scored ones are exactly those asked for.
    """
    wanted = targets["thing"]
    ranks = logits["thing"].argsort(1, descending=True).argsort(1)
    right = {"thing": ((ranks < wanted.sum(1, keepdim=True)) == (wanted > 0)).all(1).float()}
    for name in ("place", "colour", "motion"):
        mark = (logits[name].argmax(1) == targets[name]).float()
        right[name] = torch.where(targets[name] >= 0, mark, torch.full_like(mark, float("nan")))
    return right
