"""Animations: the frames of a layer over the checkpoints, as one GIF."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from featuresharing.errors import InputError
from featuresharing.files import replacing

TRANSPARENT = 255
"""Palette index that keeps the pixel of the frame before."""


def animate(frames: Sequence[Path], output: Path, *, milliseconds: int = 330) -> None:
    """Write images of one size to the GIF ``output``, which shows each for ``milliseconds`` and loops forever.

    All frames share one palette of 255 colours, so that a colour that stays the same does not flicker. As many frames
    are written as given, equal ones included.

    Raises :class:`InputError` if there are no frames, one cannot be read, their sizes differ, or ``milliseconds`` is
    not a multiple of 10 from 10 to 600000 (GIF counts hundredths of a second).
    """
    if not frames:
        raise InputError("an animation has no frames; accepted: at least one image")
    if not 0 < milliseconds <= 600_000 or milliseconds % 10:
        raise InputError(f"milliseconds of an animation is {milliseconds}; accepted: 10 to 600000, in steps of 10")
    images = [_read(path) for path in frames]
    for path, image in zip(frames, images, strict=True):
        if image.size != images[0].size:
            raise InputError(f"frame {path} has {image.size} pixels; accepted: those of {frames[0]}, {images[0].size}")
    indexed = _share_palette(images)
    pixels = [image.tobytes() for image in indexed]
    # Pillow merges equal neighbours, so every second one of a run keeps its first pixel instead of repeating it.
    marked = False
    for index in range(1, len(indexed)):
        marked = not marked and pixels[index] == pixels[index - 1]
        if marked:
            indexed[index].putpixel((0, 0), TRANSPARENT)
    with replacing(output) as temporary:
        indexed[0].save(
            temporary,
            format="GIF",
            save_all=True,
            append_images=indexed[1:],
            duration=milliseconds,
            loop=0,
            transparency=TRANSPARENT,
            disposal=1,
            optimize=False,
        )


def _read(path: Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except (OSError, SyntaxError) as error:
        raise InputError(f"frame {path} cannot be read ({error}); accepted: an image file, such as PNG") from error


def _share_palette(images: Sequence[Image.Image]) -> list[Image.Image]:
    """Return the images with indices into one palette of 255 colours that suits them all."""
    width, height = images[0].size
    stack = Image.new("RGB", (width, height * len(images)))
    for index, image in enumerate(images):
        stack.paste(image, (0, height * index))
    stack = stack.quantize(TRANSPARENT, Image.Quantize.MEDIANCUT, kmeans=1)
    return [stack.crop((0, height * index, width, height * (index + 1))) for index in range(len(images))]
