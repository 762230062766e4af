"""Sizes of a multi-task AlexNet, without torch: for those who only plan."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from itertools import count

from featuresharing.errors import InputError
from featuresharing.settings import NetworkSettings, check


@dataclass(frozen=True)
class AlexNetShape:
    """Sizes of a multi-task AlexNet.

    ``image_size`` in pixels (height = width), ``stride`` of conv1, ``channels`` and ``kernels`` of conv1 to conv5,
    ``hidden`` units of fc6 and fc7, ``classes`` of every task's head. Maps are halved after conv1, conv2 and conv5, by
    poolings of ``pool`` x ``pool`` pixels. ``padding`` of conv1 is half its kernel (None) or what is given.
    """

    image_size: int
    stride: int
    channels: tuple[int, ...]
    kernels: tuple[int, ...]
    hidden: tuple[int, ...]
    classes: tuple[int, ...]
    pool: int = NetworkSettings.pool
    padding: int | None = NetworkSettings.padding

    def __post_init__(self) -> None:
        for name in ("stride", "channels", "kernels", "hidden", "pool", "padding"):
            check(NetworkSettings, name, getattr(self, name))
        if min(self.classes, default=0) < 1:
            raise InputError(f"classes: found {list(self.classes)}; accepted is at least one task of 1 class or more.")
        if self.padding is not None and self.padding > self.kernels[0] // 2:
            raise InputError(
                f"padding: found {self.padding}; accepted is 0 to {self.kernels[0] // 2}, half the kernel."
            )
        if min(self.maps) < 1:
            least = next(size for size in count(1) if min(map_sizes(self, size)) >= 1)
            raise InputError(f"image_size: found {self.image_size} pixels; accepted are at least {least}.")

    @property
    def paddings(self) -> tuple[int, ...]:
        """Return the padding of conv1 to conv5."""
        first = self.kernels[0] // 2 if self.padding is None else self.padding
        return (first, *(kernel // 2 for kernel in self.kernels[1:]))

    @property
    def maps(self) -> tuple[int, int, int, int]:
        """Return the height and width of what conv1 gives, and of what the three poolings behind convolutions give."""
        return map_sizes(self, self.image_size)

    def as_dict(self) -> dict[str, object]:
        """Return the sizes as plain numbers and lists, as checkpoints store them."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, stored: Mapping[str, object]) -> "AlexNetShape":
        """Return the shape that :meth:`as_dict` describes; raises InputError for anything else."""
        known, sequences = {field.name for field in fields(cls)}, {"channels", "kernels", "hidden", "classes"}
        if not isinstance(stored, Mapping) or not known - {"pool", "padding"} <= set(stored) <= known:
            raise InputError("sizes: found other names than those of an AlexNet; accepted are its sizes.")
        for key, value in stored.items():
            numbers = value if key in sequences and isinstance(value, list | tuple) else [value]
            absent = key == "padding" and value is None
            if not absent and any(type(number) is not int or not 0 <= number < 2**31 for number in numbers):
                raise InputError(f"{key}: found {str(value)[:40]}; accepted are whole numbers below 2^31.")
            if (key in sequences) != isinstance(value, list | tuple):
                raise InputError(
                    f"{key}: found {str(value)[:40]}; accepted are one or several numbers, as its name says."
                )
        return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in stored.items()})  # type: ignore[arg-type]


def map_sizes(shape: AlexNetShape, image_size: int) -> tuple[int, int, int, int]:
    """Return :attr:`AlexNetShape.maps` for images of another size."""
    first = (image_size + 2 * shape.paddings[0] - shape.kernels[0]) // shape.stride + 1
    second = (first - shape.pool) // 2 + 1
    third = (second - shape.pool) // 2 + 1
    return first, second, third, (third - shape.pool) // 2 + 1
