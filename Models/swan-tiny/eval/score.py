"""Score generated clips with the classifier, on the CPU.

Usage: python score.py PROMPTS.jsonl FOLDER [--weights scorer.safetensors] [--limit N]

FOLDER holds for prompt number k (from 0, in the order of the file) either a folder named
k, 0k or 00k … of PNG frames, or a file of that name ending in .y4m. Clips have 25 frames of 128 × 128.
"""
import argparse
import json
import re
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file

from scorer import FRAMES_SEEN, Scorer, marks

THINGS = ("cat dog horse cow pig sheep rabbit elephant tiger turtle penguin camel snail crab frog dinosaur robot duck bird eagle butterfly bee airplane rocket helicopter "
          "fish whale dolphin octopus shark car bus train bicycle truck tractor ball basketball sailboat balloon ghost snowman sunflower mushroom "
          "circle square triangle star heart diamond").split()
PLACES = "grass beach snow night city desert sea forest room space".split()
COLOURS = "red orange yellow green blue purple pink white".split()
MOTIONS = "left right up down jump spin still".split()


def read_frames(folder):
    """PNG frames in name order: uint8 [T, H, W, 3]."""
    return np.stack([np.asarray(Image.open(f).convert("RGB")) for f in sorted(Path(folder).glob("*.png"))])


def read_y4m(path):
    """An 8-bit 4:2:0 or 4:4:4 YUV4MPEG2 file as RGB: uint8 [T, H, W, 3] (BT.601, limited range)."""
    data = Path(path).read_bytes()
    end = data.index(b"\n")
    fields = {f[:1]: f[1:] for f in data[:end].decode().split()[1:]}
    width, height = int(fields["W"]), int(fields["H"])
    half = not fields.get("C", "420").startswith("444")
    chroma = (height // 2, width // 2) if half else (height, width)
    frames, at = [], end + 1
    while at < len(data):
        at = data.index(b"\n", at) + 1
        planes = []
        for shape in ((height, width), chroma, chroma):
            plane = np.frombuffer(data, np.uint8, shape[0] * shape[1], at).reshape(shape).astype(np.float32)
            planes.append(plane.repeat(2, 0).repeat(2, 1) if half and len(planes) else plane)
            at += shape[0] * shape[1]
        y, u, v = 1.164 * (planes[0] - 16), planes[1] - 128, planes[2] - 128
        frames.append(np.stack([y + 1.596 * v, y - 0.392 * u - 0.813 * v, y + 2.017 * u], -1).clip(0, 255).round().astype(np.uint8))
    return np.stack(frames)


def find_clip(folder, number):
    """The clip of one prompt."""
    for path in Path(folder).iterdir():
        stem = path.stem if path.suffix == ".y4m" else path.name
        if re.fullmatch(r"\d+", stem) and int(stem) == number and (path.is_dir() or path.suffix == ".y4m"):
            return read_frames(path) if path.is_dir() else read_y4m(path)
    return None


def targets_of(records):
    """Numbers of what the prompts ask for; −1 where they ask nothing."""
    things = torch.zeros(len(records), len(THINGS))
    for row, record in zip(things, records):
        row[[THINGS.index(t) for t in record["things"]]] = 1
    number = lambda names, value: names.index(value) if value else -1
    return {"thing": things, "place": torch.tensor([number(PLACES, r["place"]) for r in records]),
            "colour": torch.tensor([number(COLOURS, r["colours"][0]) if len(r["colours"]) == 1 else -1 for r in records]),
            "motion": torch.tensor([number(MOTIONS, r["motion"]) for r in records])}


def main():
    """Print one line per wrong clip and the shares of right answers as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prompts")
    parser.add_argument("folder")
    parser.add_argument("--weights", default=Path(__file__).resolve().parent / "scorer.safetensors")
    parser.add_argument("--limit", type=int)
    options = parser.parse_args()
    scorer = Scorer(len(THINGS), len(PLACES), len(COLOURS), len(MOTIONS)).eval()
    scorer.load_state_dict({k: v.float() for k, v in load_file(options.weights).items()})
    records = [json.loads(line) for line in Path(options.prompts).read_text().splitlines()][:options.limit]
    right, missing = [], 0
    for number, record in enumerate(records):
        clip = find_clip(options.folder, number)
        if clip is None:
            missing += 1
            continue
        frames = torch.from_numpy(clip[list(FRAMES_SEEN)]).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
        with torch.no_grad():
            mark = marks(scorer(frames), targets_of([record]))
        right.append(mark)
        wrong = [name for name, value in mark.items() if value.item() == 0]
        if wrong:
            print(f"{number}: wrong {', '.join(wrong)}: {record['prompt']}")
    shares = {name: round(100 * torch.cat([r[name] for r in right]).nanmean().item(), 1) for name in right[0]} if right else {}
    print(json.dumps({"clips": len(right), "missing": missing, **shares}))


if __name__ == "__main__":
    main()
