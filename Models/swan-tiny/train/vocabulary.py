"""Names of the world: things, colours, places, motions, and which combinations are held back."""
import zlib
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One drawn figure: its emoji, how it moves, and how the drawing is turned to face left."""
    emoji: str
    ability: str            # walk, fly, flutter, swim, drive, roll, sail, float or stand
    mirror: bool = False    # the drawing faces right
    turn: float = 0         # degrees counter-clockwise
    face: str = ""          # a drawing from the front that takes the head's place, where a side view is hard to know


FIGURES = {
    "cat": Figure("🐈", "walk", face="🐱"), "dog": Figure("🐕", "walk"), "horse": Figure("🐎", "walk"),
    "cow": Figure("🐄", "walk"), "pig": Figure("🐖", "walk"), "sheep": Figure("🐑", "walk"),
    "rabbit": Figure("🐇", "walk"), "elephant": Figure("🐘", "walk"), "tiger": Figure("🐅", "walk"),
    "turtle": Figure("🐢", "walk"), "penguin": Figure("🐧", "walk"), "camel": Figure("🐫", "walk"),
    "snail": Figure("🐌", "walk"), "crab": Figure("🦀", "walk"), "frog": Figure("🐸", "walk"),
    "dinosaur": Figure("🦕", "walk"), "robot": Figure("🤖", "walk"),
    "duck": Figure("🦆", "walk"), "bird": Figure("🐦", "fly"), "eagle": Figure("🦅", "fly"),
    "butterfly": Figure("🦋", "flutter"), "bee": Figure("🐝", "fly"),
    "airplane": Figure("✈", "fly", mirror=True, turn=45), "rocket": Figure("🚀", "fly", mirror=True, turn=45), "helicopter": Figure("🚁", "fly"),
    "fish": Figure("🐟", "swim"), "whale": Figure("🐋", "swim"), "dolphin": Figure("🐬", "swim"),
    "octopus": Figure("🐙", "swim"), "shark": Figure("🦈", "swim"),
    "car": Figure("🚗", "drive"), "bus": Figure("🚌", "drive"), "train": Figure("🚂", "drive"),
    "bicycle": Figure("🚲", "drive"), "truck": Figure("🚚", "drive"), "tractor": Figure("🚜", "drive"),
    "ball": Figure("⚽", "roll"), "basketball": Figure("🏀", "roll"),
    "sailboat": Figure("⛵", "sail"), "balloon": Figure("🎈", "float"), "ghost": Figure("👻", "float"),
    "snowman": Figure("⛄", "stand"), "sunflower": Figure("🌻", "stand"), "mushroom": Figure("🍄", "stand"),
}
HEADED = ("rocket", "airplane")   # these point where they fly

COLOURS = {"red": (225, 40, 40), "orange": (250, 140, 20), "yellow": (250, 220, 40), "green": (40, 170, 70),
           "blue": (45, 95, 230), "purple": (140, 60, 190), "pink": (250, 130, 190), "white": (245, 245, 245)}
SHAPES = ("circle", "square", "triangle", "star", "heart", "diamond")
PLACES = {"grass": ("on the grass", "in the grass", "on green grass"), "beach": ("on the beach", "at the beach"),
          "snow": ("in the snow", "on the snow"), "night": ("at night", "in the night"),
          "city": ("in the city", "in a city"), "desert": ("in the desert", "in a desert"),
          "sea": ("at sea", "on the sea", "in the sea"), "forest": ("in the forest", "in a forest"),
          "room": ("in a room", "in the room"), "space": ("in space", "in outer space")}
MOTIONS = ("left", "right", "up", "down", "jump", "spin", "still")
VERBS = {"walk": ("walking", "running"), "fly": ("flying",), "flutter": ("flying", "fluttering"), "swim": ("swimming",),
         "drive": ("driving",), "roll": ("rolling",), "sail": ("sailing",), "float": ("floating", "flying"),
         "stand": ("sliding",), "shape": ("sliding",)}
HELD_BACK_SHARE = 12     # one combination in twelve never occurs in training

THINGS = tuple(FIGURES) + SHAPES
PLACE_NAMES = tuple(PLACES)
COLOUR_NAMES = tuple(COLOURS)


def coloured_shapes():
    """Every (colour, shape) pair in the order of the sprite table."""
    return [(colour, shape) for shape in SHAPES for colour in COLOURS]


def ability_of(thing):
    """How a thing moves; shapes have an ability of their own."""
    return FIGURES[thing].ability if thing in FIGURES else "shape"


def motions_of(thing):
    """Motions that a thing can show: a turning circle cannot be seen."""
    return tuple(m for m in MOTIONS if not (m == "spin" and thing == "circle"))


def held_back(thing, place, motion):
    """True for combinations that training never shows (a fixed hash rule)."""
    return zlib.crc32(f"{thing}/{place}/{motion}".encode()) % HELD_BACK_SHARE == 0
