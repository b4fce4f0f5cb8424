"""Score generated clips with the classifier, on the CPU.

Usage: python score.py PROMPTS.jsonl FOLDER [--weights scorer.safetensors] [--limit N]

FOLDER holds for prompt number k (from 0, in the order of the file) either a folder named
k, 0k or 00k … of PNG frames, or a video of that name (read through ffmpeg; .y4m as Swan writes it without). Clips have 25 frames of
128 × 128. `swan bench cpu --scores 200` makes and scores Swan's own without Python; for files, Swan makes them so:

  python -c 'import json, sys; [print(json.loads(line)["prompt"]) for line in sys.stdin]' < prompts.jsonl > prompts.txt
  swan generate --prompts prompts.txt --seed 1 --output clips/%04d.mp4
"""
import argparse
import json
import re
import subprocess
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file

from scorer import FRAMES_SEEN, Scorer, marks

SIDE = 128
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
    """A y4m file of whole chroma planes, BT.709 in limited range, as RGB: uint8 [T, H, W, 3]."""
    head, data = path.read_bytes().split(b"\n", 1)
    if b"C444" not in head:
        raise SystemExit(f"{path} has no whole chroma planes")
    planes = np.frombuffer(data, np.uint8).reshape(-1, 6 + 3 * SIDE * SIDE)[:, 6:].reshape(-1, 3, SIDE, SIDE).astype(np.float32)
    y, cb, cr = (planes[:, 0] - 16) / 219, (planes[:, 1] - 128) / 224, (planes[:, 2] - 128) / 224
    red, blue = y + 1.5748 * cr, y + 1.8556 * cb
    green = (y - 0.2126 * red - 0.0722 * blue) / 0.7152
    return (np.stack([red, green, blue], -1) * 255).round().clip(0, 255).astype(np.uint8)


def read_video(path):
    """A video file as RGB through ffmpeg: uint8 [T, 128, 128, 3]."""
    if Path(path).suffix == ".y4m":
        return read_y4m(Path(path))
    command = ["ffmpeg", "-v", "error", "-i", path, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = subprocess.run(command, check=True, capture_output=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, SIDE, SIDE, 3)


def find_clip(folder, number):
    """The clip of one prompt."""
    for path in Path(folder).iterdir():
        name = path.name if path.is_dir() else path.stem
        if re.fullmatch(r"\d+", name) and int(name) == number:
            return read_frames(path) if path.is_dir() else read_video(path)
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
