"""Settings of what is done to images before a network takes them."""

from collections.abc import Iterator
from dataclasses import dataclass

from featuresharing.settings.block import Block, Problem
from featuresharing.settings.fields import setting
from featuresharing.settings.sentences import shown

STATISTICS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "inception": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "clip": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
}
"""Means and standard deviations of red, green and blue from 0 to 1, by the names of those who use them."""

NO_STATISTICS = "none"

NAMES = "|".join((*STATISTICS, NO_STATISTICS))

VALUES = f"{', '.join(STATISTICS)} or {NO_STATISTICS}, or a list of numbers"

STRETCH, SHORTER_SIDE, NO_RESIZE = RESIZES = ("stretch", "shorter-side", "none")
"""Ways in which images come to have the size that a network takes."""

RGB, BGR, GREY = COLOURS = ("rgb", "bgr", "grey")
"""Orders of channels."""

INTERPOLATIONS = ("bilinear", "bicubic", "nearest", "lanczos")

OURS, PILLOW = DECODINGS = ("featuresharing", "pillow")
"""Ways in which files become red, green and blue: docs/data.md."""

MOST_SIDE = 8192
"""Pixels of the largest side of images that networks take."""


@dataclass(frozen=True)
class PreprocessingSettings(Block):
    """What is done to the images of a network of your own; defaults are those of torchvision's evaluation."""

    size: int | tuple[int, int] = setting(
        224,
        "height and width of what the network takes",
        least=1,
        most=MOST_SIDE,
        accepted="pixels of both sides, or height and width in a list",
    )
    resize: str = setting(
        SHORTER_SIDE,
        "bring the shorter side to `resize_to` and cut out the centre, stretch both sides, or refuse other sizes",
        choices=RESIZES,
    )
    resize_to: int | tuple[int, int] | None = setting(
        None,
        "pixels before the centre is cut out, such as 256 for a size of 224",
        least=1,
        most=MOST_SIDE,
        accepted="pixels of the shorter side, for `stretch` also height and width in a list",
        null="`size`",
    )
    interpolation: str = setting("bilinear", "how pixels between pixels are found", choices=INTERPOLATIONS)
    antialias: bool = setting(True, "smooth what is made smaller, as Pillow does; the paper's code does not")
    colour: str = setting(RGB, "channels in this order; grey is one channel", choices=COLOURS)
    white: int = setting(1, "what the largest value of a pixel becomes, before mean and std", choices=(1, 255))
    mean: str | tuple[float, ...] = setting(
        "imagenet",
        "what is subtracted of each channel, in the order of `colour` and the units of `white`",
        pattern=NAMES,
        least=-(10**6),
        most=10**6,
        fewest=1,
        longest_list=3,
        accepted=f"{VALUES}, one a channel or one for all",
        each="a number",
    )
    std: str | tuple[float, ...] = setting(
        "imagenet",
        "what each channel is divided by after that",
        pattern=NAMES,
        above=0,
        most=10**6,
        fewest=1,
        longest_list=3,
        accepted=f"{VALUES} above 0, one a channel or one for all",
        each="a number above 0",
    )
    decoding: str = setting(
        PILLOW, "how files become colours: as torchvision's loader reads them, or as our own stimuli", choices=DECODINGS
    )

    def contradictions(self) -> Iterator[Problem]:
        """Statistics are those of the channels, and what is cut out fits into what is there."""
        yield from self._statistics_problems()
        least = self.size if isinstance(self.size, int) else max(self.size)
        if self.resize == NO_RESIZE and self.resize_to is not None:
            yield Problem("resize_to", f": found {shown(self.resize_to)}; accepted is null with resize: none")
        elif isinstance(self.resize_to, tuple | list):
            if self.resize != STRETCH:
                accepted = f"accepted is the shorter side alone with resize: {self.resize}"
                yield Problem("resize_to", f": found {shown(self.resize_to)}; {accepted}")
            elif min(self.resize_to) < least:
                yield Problem("resize_to", f": found {shown(self.resize_to)}; accepted are at least {least}, as `size`")
        elif self.resize_to is not None and self.resize_to < least:
            yield Problem("resize_to", f": found {self.resize_to}; accepted is at least {least}, as `size`")
        if self.interpolation == "lanczos" and not self.antialias:
            yield Problem("antialias", ": found false; accepted is true with interpolation: lanczos")

    def _statistics_problems(self) -> Iterator[Problem]:
        channels = 1 if self.colour == GREY else 3
        for key in ("mean", "std"):
            value = getattr(self, key)
            if isinstance(value, str):
                if self.colour == GREY and value != NO_STATISTICS:
                    yield Problem(key, f": found {value}; accepted with colour: grey is a list of one number, or none")
            elif len(value) not in (1, channels):
                yield Problem(key, f": found {len(value)} numbers; accepted is one, or one for each of {channels}")
