"""Draw every figure of the world once: sprites.npz holds one RGBA image per thing.

Figures come from the Noto Color Emoji font (drawings Apache-2.0, font OFL 1.1);
the coloured shapes and the ten places (see places.py) are drawn here.

Usage: python sprites.py OUT.npz [--sheet sheet.png]
"""
import argparse

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vocabulary import COLOURS, FIGURES, SHAPES, coloured_shapes
from places import draw_places

FONT = "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf"
FONT_SIZE = 109          # the only bitmap size that the font holds
CANVAS, FIGURE = 72, 66  # sprite side and longest side of the figure, in pixels


def trimmed(image):
    """An RGBA drawing without what is empty around it."""
    return image.crop(image.getchannel("A").point(lambda a: 255 * (a > 8)).getbbox())


def place_on_canvas(image):
    """Trim an RGBA drawing, scale it to FIGURE pixels and centre it on a square canvas."""
    image = trimmed(image)
    scale = FIGURE / max(image.size)
    size = [max(1, round(side * scale)) for side in image.size]
    image = image.convert("RGBa").resize(size, Image.LANCZOS).convert("RGBA")
    canvas = Image.new("RGBA", (CANVAS, CANVAS))
    canvas.paste(image, ((CANVAS - size[0]) // 2, (CANVAS - size[1]) // 2))
    return canvas


def draw_emoji(font, emoji):
    """One drawing of the font."""
    image = Image.new("RGBA", (160, 160))
    ImageDraw.Draw(image).text((12, 16), emoji, font=font, embedded_color=True)
    return image


def with_face(body, face):
    """A body that looks to the left, with another head: some four fifths of its width, as the dog's is."""
    body, face = trimmed(body), trimmed(face)
    width, height = body.size
    ImageDraw.Draw(body).rectangle([0, 0, int(0.63 * width), height // 2], fill=(0, 0, 0, 0))
    side = round(0.8 * width)
    face = face.resize((side, round(side * face.size[1] / face.size[0])), Image.LANCZOS)
    image = Image.new("RGBA", (2 * width, 2 * height))
    image.paste(body, (width // 2, height // 2))
    image.alpha_composite(face, (round(0.84 * width) - side // 2, round(0.79 * height) - face.size[1] // 2))
    return image


def draw_figure(font, figure):
    """One emoji, turned and mirrored so that it faces left and stands upright."""
    image = draw_emoji(font, figure.emoji)
    if figure.face:
        image = with_face(image, draw_emoji(font, figure.face))
    if figure.mirror:
        image = image.transpose(Image.FLIP_LEFT_RIGHT)
    if figure.turn:
        image = image.rotate(figure.turn, Image.BICUBIC, expand=True)
    return place_on_canvas(image)


def outline_points(shape, centre, radius):
    """Corner points of a shape; None for the circle."""
    if shape == "square":
        r = radius * 0.86
        return [(centre - r, centre - r), (centre + r, centre - r), (centre + r, centre + r), (centre - r, centre + r)]
    if shape == "triangle":
        angles = [-90, 30, 150]
        return [(centre + radius * np.cos(np.radians(a)), centre + 0.14 * radius + radius * np.sin(np.radians(a))) for a in angles]
    if shape == "diamond":
        return [(centre, centre - radius), (centre + 0.72 * radius, centre), (centre, centre + radius), (centre - 0.72 * radius, centre)]
    if shape == "star":
        radii = [radius if k % 2 == 0 else 0.45 * radius for k in range(10)]
        return [(centre + r * np.cos(np.radians(36 * k - 90)), centre + r * np.sin(np.radians(36 * k - 90))) for k, r in enumerate(radii)]
    if shape == "heart":
        t = np.linspace(0, 2 * np.pi, 90)
        x, y = 16 * np.sin(t) ** 3, 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
        return [(centre + radius * a / 17, centre - radius * (b + 2) / 17) for a, b in zip(x, y)]
    return None


def draw_shape(shape, colour):
    """A flat shape with a dark rim, so that it shows on every background."""
    side = 400
    image = Image.new("RGBA", (side, side))
    pen = ImageDraw.Draw(image)
    fill = COLOURS[colour]
    rim = tuple(int(channel * 0.45) for channel in fill)
    for radius, paint in ((180, rim), (152, fill)):
        points = outline_points(shape, side / 2, radius)
        if points is None:
            pen.ellipse([side / 2 - radius] * 2 + [side / 2 + radius] * 2, fill=paint)
        else:
            pen.polygon(points, fill=paint)
    return place_on_canvas(image)


def draw_all():
    """Every sprite by name, and the pictures of the places."""
    font = ImageFont.truetype(FONT, FONT_SIZE)
    sprites = {name: draw_figure(font, figure) for name, figure in FIGURES.items()}
    for colour, shape in coloured_shapes():
        sprites[f"{colour} {shape}"] = draw_shape(shape, colour)
    return sprites


def contact_sheet(sprites, columns=12):
    """All sprites on mid grey, for a look."""
    rows = -(-len(sprites) // columns)
    sheet = Image.new("RGB", (columns * CANVAS, rows * CANVAS), (150, 160, 170))
    for k, image in enumerate(sprites.values()):
        sheet.paste(image, (k % columns * CANVAS, k // columns * CANVAS), image)
    return sheet


def main():
    """Write the sprites, the places and, on request, a contact sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out")
    parser.add_argument("--sheet")
    options = parser.parse_args()
    sprites, places = draw_all(), draw_places()
    arrays = {f"thing/{name}": np.asarray(image) for name, image in sprites.items()}
    arrays.update({f"place/{name}": images for name, images in places.items()})
    np.savez_compressed(options.out, **arrays)
    if options.sheet:
        contact_sheet(sprites).save(options.sheet)
        tiles = [np.concatenate(list(images), axis=1) for images in places.values()]
        half = len(tiles) // 2
        picture = np.concatenate([np.concatenate(tiles[:half]), np.concatenate(tiles[half:])], axis=1)
        Image.fromarray(picture).save(options.sheet.replace(".png", "-places.png"))
    print(len(sprites), "things,", len(places), "places")


if __name__ == "__main__":
    main()
