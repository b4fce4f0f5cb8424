"""Draw labels of clips and say them in words."""
from dataclasses import dataclass

import numpy as np

from vocabulary import (COLOUR_NAMES, FIGURES, HEADED, MOTIONS, PLACE_NAMES, PLACES, SHAPES, THINGS, VERBS, ability_of, held_back, motions_of)

SIZES = ("", "small", "big")
SIZE_WORDS = {"small": ("small", "little", "tiny"), "big": ("big", "large", "huge")}
FILLERS = ("cute", "happy", "lovely", "nice", "funny", "beautiful", "young", "pretty")
MOTION_ODDS = dict(left=0.2, right=0.2, up=0.12, down=0.12, jump=0.12, spin=0.1, still=0.14)
PAIR_SHARE, NO_PLACE_SHARE, NO_COLOUR_SHARE = 0.15, 0.04, 0.06


@dataclass
class Label:
    """What one clip shows, and which part of it the caption tells."""
    things: tuple           # one or two names
    colours: tuple          # per thing: a colour name for shapes, "" for figures
    sizes: tuple            # per thing: an entry of SIZES
    place: str
    motion: str
    tells_motion: str       # "full", "verb" (no direction) or "none"
    tells_place: bool = True
    tells_colour: bool = True


def pick(rng, items):
    """One item, uniformly."""
    return items[int(rng.integers(len(items)))]


def pick_motion(rng, things):
    """A motion that every thing of the clip can show."""
    odds = np.array([p if all(m in motions_of(t) for t in things) else 0 for m, p in MOTION_ODDS.items()])
    return MOTIONS[int(rng.choice(len(MOTIONS), p=odds / odds.sum()))]


def pick_things(rng, count):
    """Figures in two of three draws, shapes else."""
    return tuple(pick(rng, tuple(FIGURES)) if rng.random() < 0.72 else pick(rng, SHAPES) for _ in range(count))


def draw_label(rng, held=False, pair_share=None):
    """A random label; held=False never gives a held-back combination, held=True only those."""
    while True:
        count = 2 if rng.random() < (pair_share or PAIR_SHARE) and not held else 1
        things, place = pick_things(rng, count), pick(rng, PLACE_NAMES)
        motion = pick_motion(rng, things)
        if any(held_back(t, place, motion) for t in things) == held and len(set(things)) == count:
            break
    colours = tuple(pick(rng, COLOUR_NAMES) if t in SHAPES else "" for t in things)
    sizes = tuple(rng.choice(SIZES, p=(0.8, 0.1, 0.1)) if count == 1 else "" for _ in things)
    tells = rng.choice(("full", "verb", "none"), p=(0.78, 0.14, 0.08))
    if tells == "verb" and motion not in ("left", "right") or tells == "none" and motion not in ("left", "right", "still"):
        tells = "full"
    if held:
        return Label(things, colours, ("",), place, motion, "full")
    return Label(things, colours, sizes, place, motion, str(tells), rng.random() >= NO_PLACE_SHARE, rng.random() >= NO_COLOUR_SHARE)


def is_kept(rng, label, walkers, others, shapes):
    """Whether to keep a label, given the share to keep of those with a walking figure (hard to draw), another figure, shapes alone (easy)."""
    abilities = [ability_of(t) for t in label.things]
    share = walkers if "walk" in abilities else shapes if set(abilities) == {"shape"} else others
    return share >= 1 or rng.random() < share


def noun(rng, label, k, article=None):
    """The k-th thing with its article, size and colour."""
    words = []
    if label.sizes[k]:
        words.append(pick(rng, SIZE_WORDS[label.sizes[k]]))
    if rng.random() < 0.04:
        words.append(pick(rng, FILLERS))
    if label.colours[k] and label.tells_colour:
        words.append(label.colours[k])
    words.append(label.things[k])
    article = article or ("a" if rng.random() < 0.88 else pick(rng, ("the", "one", "")))
    if article == "a" and words[0][0] in "aeiou":
        article = "an"
    return " ".join(([article] if article else []) + words)


def motion_words(rng, label):
    """A phrase for the motion, or the empty string."""
    abilities = {ability_of(t) for t in label.things}
    verb = pick(rng, VERBS[abilities.pop()]) if len(abilities) == 1 and rng.random() < 0.7 else "moving"
    motion = label.motion
    if label.tells_motion == "none":
        return ""
    if label.tells_motion == "verb":
        return verb
    if motion in ("left", "right"):
        other = "right" if motion == "left" else "left"
        return pick(rng, (f"{verb} to the {motion}", f"{verb} to the {motion}", f"{verb} left" if motion == "left" else f"{verb} right", f"{verb} from {other} to {motion}"))
    flies = all(ability_of(t) in ("fly", "flutter", "float") or t in HEADED for t in label.things)
    return pick(rng, {"up": ("rising", "going up", "moving up") + (("flying up",) * 2 if flies else ()),
                      "down": ("falling", "falling down", "going down", "moving down") + (("flying down",) if flies else ()),
                      "jump": ("jumping", "jumping", "jumping up and down", "bouncing"),
                      "spin": ("spinning", "spinning", "spinning around", "turning around"),
                      "still": ("standing still", "standing still", "standing", "not moving", "staying still")}[motion])


def caption(rng, label):
    """One of several phrasings of a label."""
    subject = noun(rng, label, 0)
    if len(label.things) == 2:
        subject += " and " + noun(rng, label, 1)
    motion, place = motion_words(rng, label), pick(rng, PLACES[label.place]) if label.tells_place else ""
    is_ = pick(rng, ("", "is ")) if len(label.things) == 1 else pick(rng, ("", "are "))
    action = f"{is_}{motion}" if motion else is_.strip()
    order = rng.random()
    if place and order < 0.22:
        text = f"{place}, {subject} {action}" if motion else f"{place}, {subject}"
    elif place and motion and order < 0.3:
        text = f"{subject} {place} {motion}"
    else:
        text = f"{subject} {action} {place}"
    text = " ".join(text.split())
    if rng.random() < 0.6:
        text = text[0].upper() + text[1:]
    return text + ("." if rng.random() < 0.15 else "")
