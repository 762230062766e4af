"""Render stimuli: a drawing on a varied background with a word over it, each from its own random generator."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageEnhance

from featuresharing.data.words import WordStyle, overlay_word


@dataclass(frozen=True)
class Variation:
    """How much renderings of one drawing differ.

    ``rotation`` in degrees (either way), ``scale`` as the range of the drawing's width over the image's, ``shift`` as a
    share of the image's width (either way), ``colour`` as the largest relative change of brightness, contrast and
    saturation.
    """

    rotation: float
    scale: tuple[float, float]
    shift: float
    colour: float
    flip: bool


def render_stimulus(
    drawing: Image.Image, word: str, *, size: int, variation: Variation, style: WordStyle, rng: np.random.Generator
) -> Image.Image:
    """Return an RGB image of ``size`` x ``size`` pixels: background, drawing (RGBA), word.

    The result depends on the arguments alone, ``rng`` included.
    """
    canvas = random_background(size, rng)
    figure, position = _vary(drawing, size, variation, rng)
    canvas.paste(figure, position, mask=figure)
    return overlay_word(canvas, word, style, rng)


def random_background(size: int, rng: np.random.Generator) -> Image.Image:
    """Return an RGB background of two random colours: plain, a gradient, stripes or clouds."""
    first, second = rng.integers(40, 230, size=(2, 3))
    kind = rng.integers(4)
    angle, frequency, phase = rng.random(3)
    rows, columns = np.mgrid[0:size, 0:size] / size
    along = columns * np.cos(2 * np.pi * angle) + rows * np.sin(2 * np.pi * angle)
    if kind == 0:
        blend = np.zeros((size, size))
    elif kind == 1:
        blend = (along - along.min()) / np.ptp(along)
    elif kind == 2:
        blend = 0.5 + 0.5 * np.sin(2 * np.pi * ((1 + 5 * frequency) * along + phase))
    else:
        noise = Image.fromarray(rng.integers(0, 256, size=(5, 5), dtype=np.uint8))
        blend = np.asarray(noise.resize((size, size), Image.Resampling.BICUBIC)) / 255
    pixels = first + blend[..., None] * (second - first)
    return Image.fromarray(pixels.astype(np.uint8))


def _vary(
    drawing: Image.Image, size: int, variation: Variation, rng: np.random.Generator
) -> tuple[Image.Image, tuple[int, int]]:
    """Scale, turn, flip and recolour the drawing; return it with its left upper corner on the canvas."""
    width = round(size * rng.uniform(*variation.scale))
    angle = rng.uniform(-variation.rotation, variation.rotation)
    shift = rng.uniform(-variation.shift, variation.shift, size=2) * size
    gains = 1 + rng.uniform(-variation.colour, variation.colour, size=3)
    figure = drawing.resize((width, width), Image.Resampling.LANCZOS)
    if variation.flip and rng.random() < 0.5:
        figure = figure.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    figure = figure.rotate(angle, Image.Resampling.BICUBIC)
    alpha = figure.getchannel("A")
    colours = figure.convert("RGB")
    for enhance, gain in zip((ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color), gains, strict=True):
        colours = enhance(colours).enhance(float(gain))
    colours.putalpha(alpha)
    left, top = ((size - width) / 2 + shift).round().astype(int)
    return colours, (int(left), int(top))
