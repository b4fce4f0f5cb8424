"""The ten places, drawn with flat colours and a few clear props (no random texture)."""
import numpy as np
from PIL import Image, ImageDraw

SIDE, SCALE, VARIANTS = 136, 4, 3   # pictures are a little larger than a frame, so that frames can shift
BIG = SIDE * SCALE


def gradient(top, bottom, height=BIG):
    """A vertical blend of two colours."""
    blend = np.linspace(0, 1, height)[:, None, None]
    rows = np.array(top)[None, None] * (1 - blend) + np.array(bottom)[None, None] * blend
    return np.broadcast_to(rows, (height, BIG, 3)).round().astype(np.uint8)


def scene(sky, ground, horizon=0.55):
    """Sky over ground; returns the picture, its pen and the horizon in big pixels."""
    line = int(BIG * horizon)
    picture = np.concatenate([gradient(*sky, height=line), gradient(*ground, height=BIG - line)])
    image = Image.fromarray(picture)
    return image, ImageDraw.Draw(image), line


def disc(pen, x, y, r, fill):
    """A filled circle in units of the frame."""
    pen.ellipse([(x - r) * BIG, (y - r) * BIG, (x + r) * BIG, (y + r) * BIG], fill=fill)


def box(pen, x0, y0, x1, y1, fill):
    """A filled rectangle in units of the frame."""
    pen.rectangle([x0 * BIG, y0 * BIG, x1 * BIG, y1 * BIG], fill=fill)


def cloud(pen, x, y, fill=(255, 255, 255)):
    """Three discs on a line."""
    for dx, r in ((-0.06, 0.04), (0, 0.055), (0.06, 0.04)):
        disc(pen, x + dx, y, r, fill)


def hill(pen, x, y, rx, ry, fill):
    """An ellipse that the ground will cover in part."""
    pen.ellipse([(x - rx) * BIG, (y - ry) * BIG, (x + rx) * BIG, (y + ry) * BIG], fill=fill)


def fir(pen, x, base, height, fill, trunk=(92, 60, 34)):
    """A fir tree: a trunk and two triangles."""
    box(pen, x - 0.018, base - 0.2 * height, x + 0.018, base, trunk)
    for low, high, width in ((0.15, 0.7, 0.26), (0.45, 1.0, 0.2)):
        pen.polygon([((x - width * height) * BIG, (base - low * height) * BIG), ((x + width * height) * BIG, (base - low * height) * BIG), (x * BIG, (base - high * height) * BIG)], fill=fill)


def stars(pen, until):
    """A fixed map of stars."""
    points = np.random.default_rng(5).uniform(0.03, 0.97, (26, 2))
    for x, y in points:
        if y < until:
            disc(pen, x, y, 0.008, (255, 255, 235))


def grass(v):
    """A meadow with hills."""
    image, pen, line = scene(((120, 190, 250), (190, 226, 255)), ((96, 186, 74), (66, 150, 52)))
    cloud(pen, (0.25, 0.7, 0.45)[v], 0.16)
    hill(pen, (0.75, 0.2, 0.5)[v], 0.6, 0.5, 0.14, (80, 168, 72))
    box(pen, 0, 0.58, 1, 0.62, (92, 180, 72))
    for k in range(4):
        x = (0.1 + 0.26 * k + 0.06 * v) % 1
        disc(pen, x, 0.93, 0.012, ((255, 255, 255), (255, 225, 80), (255, 150, 170))[v])
    return image


def beach(v):
    """Sand, a strip of sea and a sun."""
    image, pen, line = scene(((110, 195, 250), (200, 235, 255)), ((240, 220, 160), (226, 198, 130)), 0.6)
    box(pen, 0, 0.44, 1, 0.6, (40, 140, 205))
    box(pen, 0, 0.585, 1, 0.61, (235, 248, 255))
    disc(pen, (0.2, 0.8, 0.5)[v], 0.15, 0.075, (255, 225, 90))
    return image


def snow(v):
    """White ground, grey sky, fixed flakes and two firs."""
    image, pen, line = scene(((165, 185, 210), (210, 222, 236)), ((250, 252, 255), (228, 236, 246)))
    for k in range(14):
        disc(pen, (0.07 + 0.219 * k) % 1, (0.05 + 0.137 * k) % 0.5, 0.011, (255, 255, 255))
    for x in ((0.12, 0.9), (0.2, 0.8), (0.08, 0.68))[v]:
        fir(pen, x, 0.58, 0.3, (70, 120, 110))
    return image


def night(v):
    """A dark meadow under moon and stars."""
    image, pen, line = scene(((14, 18, 52), (34, 42, 92)), ((30, 58, 54), (20, 40, 40)))
    stars(pen, 0.5)
    x = (0.2, 0.8, 0.55)[v]
    disc(pen, x, 0.16, 0.085, (250, 244, 205))
    disc(pen, x + 0.04, 0.14, 0.07, (20, 26, 64))
    return image


def city(v):
    """A street with lit houses."""
    image, pen, line = scene(((170, 200, 228), (214, 228, 240)), ((110, 112, 120), (84, 86, 94)), 0.62)
    tones = ((150, 92, 80), (96, 104, 132), (176, 150, 110), (112, 120, 116))
    for k in range(5):
        x, top = 0.02 + 0.2 * k, 0.12 + 0.09 * ((k * 2 + v) % 4)
        box(pen, x, top, x + 0.165, 0.62, tones[(k + v) % 4])
        for row in range(int((0.56 - top) / 0.105)):
            for column in range(2):
                box(pen, x + 0.03 + 0.07 * column, top + 0.045 + 0.105 * row, x + 0.068 + 0.07 * column, top + 0.1 + 0.105 * row, (250, 226, 140))
    box(pen, 0, 0.62, 1, 0.655, (176, 176, 176))
    for k in range(4):
        box(pen, 0.04 + 0.27 * k, 0.925, 0.16 + 0.27 * k, 0.95, (235, 235, 220))
    return image


def desert(v):
    """Dunes, a sun and cacti."""
    image, pen, line = scene(((250, 196, 120), (255, 228, 170)), ((224, 164, 92), (202, 138, 70)))
    disc(pen, (0.78, 0.25, 0.5)[v], 0.17, 0.08, (255, 246, 200))
    hill(pen, (0.25, 0.75, 0.1)[v], 0.58, 0.45, 0.12, (214, 152, 82))
    x = (0.9, 0.1, 0.85)[v]
    for x0, y0, x1, y1 in ((-0.02, 0.36, 0.02, 0.6), (-0.07, 0.44, -0.02, 0.47), (-0.07, 0.4, -0.045, 0.46), (0.02, 0.49, 0.07, 0.52), (0.045, 0.43, 0.07, 0.5)):
        box(pen, x + x0, y0, x + x1, y1, (62, 128, 70))
    return image


def sea(v):
    """Open water with rows of waves."""
    image, pen, line = scene(((130, 200, 248), (206, 234, 252)), ((36, 116, 190), (16, 70, 140)), 0.5)
    cloud(pen, (0.7, 0.3, 0.5)[v], 0.14)
    for row, y in enumerate((0.57, 0.68, 0.79, 0.9)):
        for k in range(5):
            x = (0.22 * k + 0.11 * row + 0.07 * v) % 1.1 - 0.05
            pen.arc([(x - 0.07) * BIG, (y - 0.03) * BIG, (x + 0.07) * BIG, (y + 0.05) * BIG], 200, 340, fill=(130, 190, 232), width=int(0.016 * BIG))
    return image


def forest(v):
    """Dark firs in a row."""
    image, pen, line = scene(((112, 158, 132), (150, 186, 150)), ((62, 98, 50), (46, 76, 38)))
    for k in range(6):
        fir(pen, (0.02 + 0.19 * k + 0.06 * v), 0.57, 0.5, (38, 92 + 8 * (k % 2), 58))
    for x in ((0.05, 0.97), (0.02, 0.93), (0.1, 0.99))[v]:
        box(pen, x - 0.045, 0, x + 0.045, 0.66, (96, 64, 40))
    return image


def room(v):
    """A wall with a window, a wooden floor and a lamp or a shelf."""
    image, pen, line = scene(((242, 222, 190), (236, 212, 176)), ((170, 112, 66), (146, 92, 52)), 0.62)
    box(pen, 0, 0.6, 1, 0.63, (250, 244, 232))
    x = (0.3, 0.7, 0.5)[v]
    box(pen, x - 0.16, 0.08, x + 0.16, 0.42, (255, 255, 255))
    box(pen, x - 0.135, 0.105, x + 0.135, 0.395, (150, 208, 246))
    box(pen, x - 0.01, 0.1, x + 0.01, 0.4, (255, 255, 255))
    box(pen, x - 0.14, 0.24, x + 0.14, 0.26, (255, 255, 255))
    y = (0.86, 0.14, 0.88)[v]
    box(pen, y - 0.09, 0.2, y + 0.09, 0.36, ((200, 80, 80), (90, 150, 110), (90, 110, 180))[v])
    return image


def space(v):
    """Black sky, the star map and a planet."""
    image, pen, line = scene(((8, 8, 24), (12, 10, 34)), ((12, 10, 34), (16, 12, 42)), 0.5)
    stars(pen, 1)
    x, y = ((0.82, 0.18), (0.18, 0.2), (0.8, 0.85))[v]
    disc(pen, x, y, 0.1, ((220, 140, 90), (110, 160, 220), (200, 180, 120))[v])
    pen.ellipse([(x - 0.17) * BIG, (y - 0.03) * BIG, (x + 0.17) * BIG, (y + 0.03) * BIG], outline=(235, 220, 190), width=int(0.015 * BIG))
    return image


DRAWERS = dict(grass=grass, beach=beach, snow=snow, night=night, city=city, desert=desert, sea=sea, forest=forest, room=room, space=space)


def draw_places():
    """Every place in its variants: name → uint8 [VARIANTS, SIDE, SIDE, 3]."""
    return {name: np.stack([np.asarray(draw(v).resize((SIDE, SIDE), Image.BOX)) for v in range(VARIANTS)]) for name, draw in DRAWERS.items()}
