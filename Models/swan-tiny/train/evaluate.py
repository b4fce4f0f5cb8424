"""Sample the test prompts, decode, and let the scorer judge."""
import json
import sys
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import load_file

import sampling
import text
import whole_clip
from train_scorer import new_scorer
from vocabulary import COLOUR_NAMES, MOTIONS, PLACE_NAMES, THINGS
from world import film_strip

EVAL = Path(__file__).resolve().parent.parent / "eval"
sys.path.insert(0, str(EVAL))
from scorer import FRAMES_SEEN, marks

SHOWN = ("A cat walking on the grass", "a red circle moving to the right on the beach", "in the snow, a penguin is walking to the left",
         "a dog and a cat on the grass", "A rocket flying up in space", "a car driving to the left in the city",
         "a butterfly flying in the forest", "A ball rolling to the right in a room", "a ghost spinning at night",
         "a camel standing still in the desert", "a whale jumping at sea", "a big blue star falling at night",
         "a yellow square and a green triangle moving to the left in the desert", "An elephant walking to the right on the beach", "a tiger jumping in the forest")


class Judge:
    """The scorer, the test prompts with their targets, and the noise that is the same for every model."""

    def __init__(self, scorer_path, device, count=200, seed=5):
        self.device = device
        self.scorer = new_scorer().to(device).eval()
        self.scorer.load_state_dict({k: v.float() for k, v in load_file(scorer_path).items()})
        self.records = [json.loads(line) for line in (EVAL / "prompts.jsonl").read_text().splitlines()][:count]
        self.pairs = [json.loads(line) for line in (EVAL / "pairs.jsonl").read_text().splitlines()][:max(1, count // 5)]
        self.prompts = [r["prompt"] for r in self.records + self.pairs] + list(SHOWN)
        self.targets = self._targets(self.records + self.pairs)
        self.noise = torch.randn(len(self.prompts), *sampling.LATENT, generator=torch.Generator().manual_seed(seed)).to(device)

    def _targets(self, records):
        """Numbers of what the prompts ask for; −1 where they ask nothing."""
        things = torch.zeros(len(records), len(THINGS))
        for row, record in zip(things, records):
            row[[THINGS.index(t) for t in record["things"]]] = 1
        number = lambda names, value: names.index(value) if value else -1
        targets = {"thing": things, "place": torch.tensor([number(PLACE_NAMES, r["place"]) for r in records]),
                   "colour": torch.tensor([number(COLOUR_NAMES, r["colours"][0]) if len(r["colours"]) == 1 else -1 for r in records]),
                   "motion": torch.tensor([number(MOTIONS, r["motion"]) for r in records])}
        return {k: v.to(self.device) for k, v in targets.items()}

    @torch.no_grad()
    def score(self, clips):
        """Percentages on the held-back prompts and on the pairs."""
        count = len(self.records)
        frames = clips[:len(self.targets["place"]), :, list(FRAMES_SEEN)]
        parts = [self.scorer(f) for f in frames.split(50)]
        right = marks({k: torch.cat([p[k] for p in parts]) for k in parts[0]}, self.targets)
        percent = lambda x: round(100 * x.nanmean().item(), 1)
        report = {k: percent(v[:count]) for k, v in right.items()}
        report["pairs"] = {k: percent(v[count:]) for k, v in right.items() if k != "colour"}
        return report

    def sheet(self, clips, path):
        """Film strips of the prompts in SHOWN and a few held-back ones."""
        chosen = list(range(len(clips) - len(SHOWN), len(clips))) + list(range(min(9, len(self.records))))
        Image.fromarray(film_strip([clips[k] for k in chosen])).save(path)


@torch.no_grad()
def decode(vae, latents, mean, std, device, chunk=16):
    """Normalised latents → clips."""
    out = []
    for z in latents.split(chunk):
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            out.append(whole_clip.decode(vae, z * std + mean).float().clamp(-1, 1))
    return torch.cat(out)


@torch.no_grad()
def sample(high, low, encoder, tokenizer, judge, solver, steps, guidance_high, guidance_low):
    """Latents of all prompts of the judge."""
    with torch.autocast(judge.device, torch.bfloat16, enabled=judge.device == "cuda"):
        rows, lengths = text.encode(encoder, tokenizer.ids(judge.prompts).to(judge.device))
        empty_rows, empty_lengths = text.encode(encoder, tokenizer.ids([""]).to(judge.device))
        velocity = sampling.guided(high, low, rows, lengths, empty_rows, empty_lengths, guidance_high, guidance_low)
        return solver(velocity, judge.noise.clone(), steps)
