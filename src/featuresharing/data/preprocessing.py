"""What is done to images before a network takes them, described in plain numbers and texts."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

from featuresharing.arguments import is_whole
from featuresharing.errors import InputError
from featuresharing.settings.preprocessing_settings import (
    GREY,
    NO_RESIZE,
    NO_STATISTICS,
    OURS,
    RGB,
    STATISTICS,
    STRETCH,
    PreprocessingSettings,
)

GREY_STATISTICS = (0.449, 0.226)
"""The means over red, green and blue of ImageNet's mean and standard deviation, for networks that see grey."""


@dataclass(frozen=True)
class Preprocessing:
    """How images become what a network takes: ``(pixel - mean) / std`` by channel, pixels from 0 to ``white``.

    ``size`` is the height and width in pixels, of squares one number. ``resize`` says how images of other sizes come to
    it: ``stretch`` (True) brings both sides to ``resize_to`` (None: ``size``), ``shorter-side`` the shorter one, and
    the centre is cut out of that; ``none`` (False) refuses other sizes. ``interpolation`` is bilinear, bicubic, nearest
    or lanczos; with ``antialias`` it is Pillow's, and without it nothing is smoothed, as in the paper's code. Channels
    are those of ``colour``: rgb, bgr or grey. ``decoding`` says how files become colours: as ours or as pillow does
    (docs/data.md). The settings of a config have the same names
    (:class:`featuresharing.settings.PreprocessingSettings`).
    """

    size: int | tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resize: str | bool
    resize_to: int | tuple[int, int] | None = None
    interpolation: str = PreprocessingSettings.interpolation
    antialias: bool = False
    colour: str = RGB
    white: int = 255
    decoding: str = OURS

    whole: ClassVar[bool] = False
    """Networks take floating point."""

    def __post_init__(self) -> None:
        plain = {True: STRETCH, False: NO_RESIZE}
        made: dict[str, Any] = {"resize": plain[self.resize] if isinstance(self.resize, bool) else self.resize}
        for name in ("size", "mean", "std", "resize_to"):
            value = getattr(self, name)
            made[name] = tuple(value) if isinstance(value, list) else value
        for name, value in made.items():
            object.__setattr__(self, name, value)

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width of what the network takes."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape [C, H, W] of what the network takes."""
        return (1 if self.colour == GREY else 3, *self.sides)

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as plain numbers, texts and lists; what is as by default is left out."""
        resize = {STRETCH: True, NO_RESIZE: False}.get(str(self.resize), self.resize)  # as checkpoints always had it
        values = {field.name: getattr(self, field.name) for field in fields(self)} | {"resize": resize}
        more = {field.name: field.default for field in fields(self)[4:]}
        kept = {name: value for name, value in values.items() if name not in more or value != more[name]}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in kept.items()}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> "Preprocessing":
        """Return the settings that :meth:`as_dict` describes; raises KeyError or TypeError for anything else."""
        needed = {name: stored[name] for name in ("size", "mean", "std", "resize")}
        return cls(**{**stored, **needed, "mean": tuple(stored["mean"]), "std": tuple(stored["std"])})

    @classmethod
    def from_settings(cls, settings: PreprocessingSettings) -> "Preprocessing":
        """Return what a block of the config says."""
        values = {field.name: getattr(settings, field.name) for field in fields(cls)}
        channels = 1 if settings.colour == GREY else 3
        for place, name in enumerate(("mean", "std")):
            given = values[name]
            if given == NO_STATISTICS:
                values[name] = (float(place),) * channels  # a mean of 0, a deviation of 1
            elif isinstance(given, str):
                named = STATISTICS[given][place][:: 1 if settings.colour == RGB else -1]
                values[name] = tuple(settings.white * each for each in named)
            else:
                values[name] = tuple(map(float, given)) * (channels if len(given) == 1 else 1)
        return cls(**values)


@dataclass(frozen=True)
class OwnPreprocessing:
    """A user's own ``function``, such as ``mynet.py:prepare``, which gives what the network takes, of a ``shape``.

    ``sha256`` is the digest of its source: of another one, other images come. ``whole`` says that it gives whole
    numbers, such as tokens.
    """

    function: str
    sha256: str
    shape: tuple[int, ...]
    whole: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as plain texts and lists."""
        return asdict(self) | {"shape": list(self.shape)}


@dataclass(frozen=True)
class NoPreprocessing:
    """Arrays of a ``shape`` that the network takes as they are: floating point, or ``whole`` numbers such as tokens."""

    shape: tuple[int, ...]
    whole: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as plain lists."""
        return asdict(self) | {"shape": list(self.shape)}


AnyPreprocessing = Preprocessing | OwnPreprocessing | NoPreprocessing
"""What a network says of how it takes images: a description, a function, or nothing but their shape."""


def preprocessing_from_dict(stored: Mapping[str, Any]) -> AnyPreprocessing:
    """Return what :meth:`as_dict` of any of the three describes; raises KeyError or TypeError for anything else."""
    if "shape" not in stored:
        return Preprocessing.from_dict(stored)
    values = {**stored, "shape": tuple(stored["shape"])}
    return OwnPreprocessing(**values) if "function" in stored else NoPreprocessing(**values)


def stimulus_preprocessing(size: int) -> Preprocessing:
    """Return how the embedded stimuli are preprocessed."""
    return Preprocessing(size, (127.5,) * 3, (64.0,) * 3, resize=False)


def imagenet_preprocessing(size: int | tuple[int, int]) -> Preprocessing:
    """Return how the paper's images are preprocessed: RGB in [0, 1], resized, ImageNet's mean and deviation."""
    red, green, blue = (255 * value for value in (0.485, 0.456, 0.406))
    return Preprocessing(size, (red, green, blue), (255 * 0.229, 255 * 0.224, 255 * 0.225), resize=True)


def usual_preprocessing(shape: tuple[int, ...]) -> AnyPreprocessing:
    """Return how images are preprocessed for a network of which nothing but the shape of its images is known.

    RGB and grey [C, H, W] as the paper's images; arrays of other shapes are taken as they are.
    """
    if len(shape) != 3 or shape[0] not in (1, 3):
        return NoPreprocessing(shape)
    sides = shape[1] if shape[1] == shape[2] else (shape[1], shape[2])
    if shape[0] == 3:
        return imagenet_preprocessing(sides)
    mean, std = (255 * value for value in GREY_STATISTICS)
    return Preprocessing(sides, (mean,), (std,), resize=True, colour=GREY)


ImageSize = int | Sequence[int]
"""The pixels of square RGB images, or the shape of one image, such as (1, 28, 28)."""


def image_shape(size: ImageSize, name: str = "image_size") -> tuple[int, ...]:
    """Return the shape of an image that a size stands for; raises InputError, with the argument's ``name``, for none.

    >>> image_shape(224)
    (3, 224, 224)
    """
    sizes = tuple(size) if isinstance(size, Sequence) and not isinstance(size, str) else (3, size, size)
    if not (sizes and all(is_whole(each) and each > 0 for each in sizes)):
        accepted = "accepted are the pixels of square RGB images, or the shape of one image, such as (1, 28, 28)"
        raise InputError(f"{name}: found {size!r}; {accepted}.")
    return tuple(map(int, sizes))


def shape_in_words(shape: Sequence[int]) -> str:
    """Return what images of a shape are, for a sentence."""
    colour = {1: "grey", 3: "RGB"}.get(shape[0]) if len(shape) == 3 else None
    if colour is None:
        return f"arrays of {list(shape)}"
    return f"{colour} images of {shape[2]} x {shape[1]} pixels"
