"""Write the fixed test prompts: 200 held-back combinations, and 40 prompts with two things.

Usage: python make_prompts.py ../eval
"""
import json
import sys
from pathlib import Path

import numpy as np

from captions import caption, draw_label

SEED = 20261124


def record(rng, label):
    """One line of the file: the prompt and what a clip of it must show."""
    return {"prompt": caption(rng, label), "things": list(label.things), "place": label.place,
            "colours": list(label.colours), "motion": label.motion if label.tells_motion == "full" else ""}


def main():
    """Draw the labels with a fixed seed."""
    rng, out = np.random.default_rng(SEED), Path(sys.argv[1])
    single = [record(rng, draw_label(rng, held=True)) for _ in range(200)]
    double = []
    while len(double) < 40:
        label = draw_label(rng)
        if len(label.things) == 2 and label.tells_place and label.tells_colour:
            double.append(record(rng, label))
    for name, lines in (("prompts", single), ("pairs", double)):
        (out / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


if __name__ == "__main__":
    main()
