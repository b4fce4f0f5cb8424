"""A drawn world: labels → clips [B, 3, T, 128, 128] in −1…1, composed on the training device."""
import math

import numpy as np
import torch
import torch.nn.functional as F

from captions import draw_label, is_kept
from vocabulary import COLOUR_NAMES, HEADED, MOTIONS, PLACE_NAMES, THINGS, ability_of

SIDE, FRAMES = 128, 25
CANVAS_OVER_FIGURE = 72 / 66
FIGURE_SIZE = 0.58                      # longest side of a figure, in frames
SIZE_FACTOR = {"": 1.0, "small": 0.66, "big": 1.26}
PAIR_FACTOR = 0.8
ABILITIES = ("walk", "fly", "flutter", "swim", "drive", "roll", "sail", "float", "stand", "shape")
AIRBORNE = ("fly", "flutter", "float")


class World:
    """Sprites and places on a device, and the composition of clips from them."""

    def __init__(self, path, device, seed=0, spread=0.05):
        """`spread` is how far from the middle figures may be that do not cross the frame."""
        data = np.load(path)
        self.device, self.spread = device, spread
        self.names = [k[6:] for k in data.files if k.startswith("thing/")]
        self.index = {name: k for k, name in enumerate(self.names)}
        sprites = torch.stack([torch.from_numpy(data["thing/" + n]).float() / 255 for n in self.names]).permute(0, 3, 1, 2)
        sprites[:, :3] *= sprites[:, 3:]
        self.sprites = sprites.to(device)
        self.extent = self._half_heights(sprites).to(device)
        places = np.stack([data["place/" + n] for n in PLACE_NAMES])
        self.places = (torch.from_numpy(places).float() / 255).permute(0, 1, 4, 2, 3).contiguous().to(device)
        self.rng = np.random.default_rng(seed)
        self.random = torch.Generator(device).manual_seed(seed)

    @staticmethod
    def _half_heights(sprites):
        """Half the visible height of every sprite, as a share of its longest side."""
        rows = (sprites[:, 3] > 0.1).any(2).float()
        return rows.sum(1) / 2 / 66

    def labels(self, count, held=False, pair_share=None, keep=None):
        """Random labels, without or with only held-back combinations; `keep` is for `is_kept`."""
        out = []
        while len(out) < count:
            label = draw_label(self.rng, held, pair_share)
            if keep is None or is_kept(self.rng, label, *keep):
                out.append(label)
        return out

    def uniform(self, count, low, high):
        """One uniform number a clip, as a column."""
        return low + (high - low) * torch.rand(count, 1, device=self.device, generator=self.random)

    def send(self, values):
        """A NumPy array on the device, without waiting for the work queued there."""
        tensor = torch.from_numpy(np.ascontiguousarray(values))
        if self.random.device.type == "cuda":
            return tensor.pin_memory().to(self.device, non_blocking=True)
        return tensor

    def backgrounds(self, labels):
        """A shifted and slightly re-lit picture of each place: [B, 3, S, S]."""
        count = len(labels)
        place = self.send(np.array([PLACE_NAMES.index(label.place) for label in labels]))
        variant = torch.randint(self.places.shape[1], (count,), device=self.device, generator=self.random)
        room = self.places.shape[-1] - SIDE + 1
        shift = torch.randint(room, (2, count), device=self.device, generator=self.random)
        steps = torch.arange(SIDE, device=self.device)
        y, x = shift[0][:, None, None] + steps[:, None], shift[1][:, None, None] + steps
        picture = self.places[place, variant].permute(0, 2, 3, 1)[torch.arange(count, device=self.device)[:, None, None], y, x]
        return (picture.permute(0, 3, 1, 2) * self.uniform(count, 0.95, 1.03)[:, :, None, None]).clamp(0, 1)

    def facts(self, labels, slot):
        """Sprite numbers and 0/1 columns of one thing of each clip, sent in one piece."""
        slots = [min(slot, len(label.things) - 1) for label in labels]
        things = [label.things[k] for k, label in zip(slots, labels)]
        names = [f"{label.colours[k]} {t}".strip() for k, label, t in zip(slots, labels, things)]
        columns = [[self.index[n] for n in names], [t in HEADED for t in things], [label.place == "space" for label in labels],
                   [len(label.things) == 2 for label in labels], [SIZE_FACTOR[str(label.sizes[0])] for label in labels]]
        columns += [[label.motion == m for label in labels] for m in MOTIONS]
        columns += [[ability_of(t) == a for t in things] for a in ABILITIES]
        table = self.send(np.array(columns, dtype=np.float32))[:, :, None]
        motion = dict(zip(MOTIONS, table[5:5 + len(MOTIONS)]))
        can = dict(zip(ABILITIES, table[5 + len(MOTIONS):]))
        return table[0, :, 0].long(), *table[1:5], motion, can

    def path(self, labels, slot, times):
        """Centre, angle, size, mirror and width factor of one thing of each clip over time."""
        count = len(labels)
        sprite, headed, in_space, is_pair, factor, motion, can = self.facts(labels, slot)
        factor = factor * (1 - is_pair * (1 - PAIR_FACTOR))
        size = FIGURE_SIZE * factor * self.uniform(count, 0.95, 1.05)
        t = times[None]
        across = motion["right"] - motion["left"]
        moves = across.abs()

        reach = self.uniform(count, 0.50, 0.58) * (1 - 0.62 * is_pair)
        spread = 0.05 * moves + self.spread * (1 - moves)
        centre = 0.5 + self.uniform(count, -1, 1) * spread * (1 - is_pair) + is_pair * (0.5 * slot - 0.25)
        x = centre + across * reach * (t - 0.5)
        airborne = sum(can[a] for a in AIRBORNE) * (moves + motion["still"] + motion["spin"]).clamp(max=1)
        feet = self.uniform(count, 0.83, 0.89) - self.extent[sprite][:, None] * size
        aloft = self.uniform(count, 0.36, 0.46)
        lifted = torch.maximum(airborne, in_space)
        y = feet * (1 - lifted) + (aloft + 0.08 * in_space) * lifted
        climb = motion["up"] - motion["down"]
        y = y * (1 - climb.abs()) + 0.5 * climb.abs() - climb * self.uniform(count, 0.44, 0.50) * (t - 0.5)
        y = y - motion["jump"] * (0.2 + 0.04 * (1 - factor)) * torch.sin(2 * math.pi * t).abs()
        y = y - motion["spin"] * 0.08 * (1 - lifted)
        swing = torch.sin(2 * math.pi * 3 * t)
        y = y - moves * (0.022 * swing.abs() * can["walk"] + 0.006 * swing * can["drive"] + 0.03 * torch.sin(4 * math.pi * t) * (can["fly"] + can["flutter"] + can["float"] + can["swim"]) * (1 - headed))

        angle = motion["spin"] * 2 * math.pi * t
        angle = angle + moves * (0.10 * swing * can["walk"] + 0.12 * torch.sin(4 * math.pi * t) * (can["swim"] + can["sail"] + can["float"]) + 0.05 * swing * can["stand"])
        angle = angle + across * can["roll"] * 1.4 * reach * (t - 0.5) / size * 2
        angle = angle + headed * (motion["up"] - motion["down"]) * math.pi / 2
        mirror = torch.where(motion["right"] > 0, -1.0, 1.0)
        width = 1 - can["flutter"] * (1 - motion["spin"]) * 0.45 * torch.sin(math.pi * 4 * t) ** 2
        return sprite, x, y, angle, size * CANVAS_OVER_FIGURE, mirror, width

    def layer(self, labels, slot, times):
        """Premultiplied colour and cover of one thing: [B, T, 4, S, S]."""
        sprite, x, y, angle, size, mirror, width = self.path(labels, slot, times)
        cos, sin = torch.cos(angle), torch.sin(angle)
        u, v = 2 * x - 1, 2 * y - 1
        top = torch.stack([cos, sin, -(cos * u + sin * v)], -1) * (mirror / size)[..., None] / (width.expand_as(angle))[..., None]
        low = torch.stack([-sin, cos, sin * u - cos * v], -1) / size[..., None]
        theta = torch.stack([top, low], -2).flatten(0, 1)
        grid = F.affine_grid(theta, (len(theta), 4, SIDE, SIDE), align_corners=False)
        picture = F.grid_sample(self.sprites[sprite].repeat_interleave(len(times), 0), grid, align_corners=False)
        return picture.view(len(labels), len(times), 4, SIDE, SIDE)

    @torch.no_grad()
    def draw(self, labels, frames=None, with_cover=False):
        """Clips of the labels; `frames` selects frame numbers (all 25 by default)."""
        numbers = range(FRAMES) if frames is None else frames
        times = self.send(np.array([k / (FRAMES - 1) for k in numbers], dtype=np.float32))
        clip = self.backgrounds(labels)[:, None]
        first = self.layer(labels, 0, times)
        clip, cover = first[:, :, :3] + clip * (1 - first[:, :, 3:]), first[:, :, 3:]
        pairs = [k for k, label in enumerate(labels) if len(label.things) == 2]
        if pairs:
            second = self.layer([labels[k] for k in pairs], 1, times)
            at = self.send(np.array(pairs))
            clip[at] = second[:, :, :3] + clip[at] * (1 - second[:, :, 3:])
            cover[at] = torch.maximum(cover[at], second[:, :, 3:])
        clip = (clip.clamp(0, 1) * 2 - 1).transpose(1, 2)
        return (clip, cover.transpose(1, 2)) if with_cover else clip

    def targets(self, labels):
        """Numbers of the labels for the scorer: things (multi-hot), place, colour (−1: none or several), motion."""
        things = np.zeros((len(labels), len(THINGS)), dtype=np.float32)
        for k, label in enumerate(labels):
            things[k, [THINGS.index(t) for t in label.things]] = 1
        single = [label.colours[0] if len(label.things) == 1 else "" for label in labels]
        numbers = {"thing": things, "place": np.array([PLACE_NAMES.index(label.place) for label in labels]),
                   "colour": np.array([COLOUR_NAMES.index(c) if c else -1 for c in single]),
                   "motion": np.array([MOTIONS.index(label.motion) for label in labels])}
        return {name: self.send(value) for name, value in numbers.items()}


def film_strip(clips, frames=(0, 6, 12, 18, 24), columns=3):
    """A contact sheet (uint8 array): one row of frames per clip, in columns."""
    rows = [torch.cat([clip[:, f] for f in frames if f < clip.shape[1]], 2) for clip in clips]
    while len(rows) % columns:
        rows.append(torch.full_like(rows[0], -1))
    height = len(rows) // columns
    sheet = torch.cat([torch.cat(rows[c * height:(c + 1) * height], 1) for c in range(columns)], 2)
    return ((sheet.float().clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).cpu().numpy()
