"""Makes clips.safetensors: what swan-tiny's classifier says of clips that integer formulas draw.

Code and weights: Models/swan-tiny/eval, scorer.py and scorer.safetensors (float16, computed in float64 on the CPU: in float32 the
logits of `black` depend on the memory's layout in the fourth digit, since its maps hardly vary).
Packages: ../requirements.txt. No random numbers; SceneScorerTests.swift draws the same bytes.

  KIND.QUESTION   logits of a clip, KIND one of disc, waves, black; QUESTION one of thing, place, colour, motion
It does not guard what the classifier is worth: that was measured when it was trained.
"""
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

HERE = Path(__file__).parent
EVAL = HERE.parents[2] / "Models/swan-tiny/eval"
sys.path[:0] = [str(HERE.parent), str(EVAL)]
from scorer import FRAMES_SEEN, Scorer
from support import save

t, y, x, channel = np.meshgrid(np.arange(25), np.arange(128), np.arange(128), np.arange(3), indexing="ij")
square = (x - 30 - 3 * t) ** 2 + (y - 64) ** 2
disc = np.where(square < 900, np.array([90, 20, 20]), np.array([90, 160, 70]) + y // 4)
disc = np.where(square < 700, np.array([230, 30, 40]), disc)
waves = (x * (3 + channel) + y * 5 + t * 7 * (channel + 1) + x * y // 16) % 256
clips = {"disc": disc, "waves": waves, "black": 0 * x}

weights = {name: value.double() for name, value in load_file(EVAL / "scorer.safetensors").items()}
scorer = Scorer(*(len(weights[f"{question}.bias"]) for question in ("thing", "place", "colour")), len(weights["motion.2.bias"])).double().eval()
scorer.load_state_dict(weights)
tensors = {}
for kind, clip in clips.items():
    frames = torch.from_numpy(clip.astype(np.uint8)[list(FRAMES_SEEN)]).permute(3, 0, 1, 2)[None].double() / 127.5 - 1
    tensors |= {f"{kind}.{question}": value[0].float() for question, value in scorer(frames).items()}
save(HERE / "clips.safetensors", tensors)
