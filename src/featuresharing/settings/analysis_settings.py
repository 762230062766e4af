"""Settings of the analysis: which images, how units are taken out, what of that is measured, and how it is cut."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from featuresharing.settings.block import Block, Problem
from featuresharing.settings.fields import NAME, SEED, setting
from featuresharing.settings.image_settings import UNDECODABLE
from featuresharing.settings.network_settings import PROCESSORS, UNITS

ONE_CHANNEL, PLAIN = ENGINES = ("one-channel", "plain")
"""Engines: the second asks nothing of a network's code."""


@dataclass(frozen=True)
class BaselineSettings(Block):
    """The images that are analysed."""

    max_images: int = setting(60, "most test images to keep", least=1, most=10**6)
    undecodable: str = setting(
        "stop", "stop at images that cannot be decoded, or leave them out and count them", **UNDECODABLE
    )


@dataclass(frozen=True)
class MarginalizationSettings(Block):
    """How a unit is marginalized out."""

    estimator: str = setting(
        "prior-weighted",
        "how a unit is marginalized out",
        pattern=NAME,
        longest=100,
        accepted="the name of an estimator",
    )
    samples: int = setting(100, "draws for each unit", least=1, most=10**5)
    scale: float = setting(1.0, "standard deviation of the prior around a unit's own parameters", above=0, most=10**6)
    tolerance: float = setting(
        1e-6, "largest total weight of draws that are left out, or error of an integral", least=0, below=1
    )
    tolerance_bits: float | None = setting(
        None,
        "largest error of the evidence for a unit and image that draws which are left out make",
        unit="bits",
        above=0,
        most=20,
        null="`tolerance` says which draws are left out",
    )
    dtype: str = setting(
        "float32", "precision of the computation; numbers are stored in float32", choices=("float32", "float64")
    )
    engine: str = setting(
        ONE_CHANNEL,
        "compute what a unit changes alone, or run the whole network for every variant, slowly, where it must",
        choices=ENGINES,
    )
    storage: str = setting(
        "true-class",
        "keep conditionals of the true class, or of every class (compressed, much larger)",
        choices=("true-class", "full"),
    )
    seed: int | None = setting(None, "seed of the draws", **SEED)


@dataclass(frozen=True)
class LesionSettings(Block):
    """Units set to zero."""

    softmax: bool = setting(True, "with `method: lesion`, look at predictions, or at raw scores")
    steps: int = setting(20, "points of the curves of accuracy beside that of the whole layer", least=1, most=10**4)
    random_orders: int = setting(20, "random orders of removal to compare with", least=2, most=10**4)
    threshold: float = setting(
        0.05,
        "figures mark p-values up to this one, corrected for the points of a curve",
        above=0,
        below=1,
    )


@dataclass(frozen=True)
class FeatureSettings(Block):
    """What drives a unit: how an image climbs.

    >>> FeatureSettings(iterations=100).blur_every
    4
    """

    iterations: int = setting(500, "steps that an image climbs", least=1, most=10**6)
    step: float = setting(1.0, "step size: each step adds the gradient times this", above=0, most=10**6)
    decay: float = setting(0.2, "share that every pixel loses at each step", least=0, below=1)
    blur_every: int = setting(4, "steps from one blur (7 x 7 pixels) to the next", least=1, most=10**6)


MEAN, FLATTEN = POOLINGS = ("mean", "flatten")
"""What features become of what a layer gives."""


@dataclass(frozen=True)
class ProbeSettings(Block):
    """How probes are trained; no keys of the config."""

    pooling: str = setting(MEAN, "mean over positions, or all", choices=POOLINGS)
    folds: int = setting(5, "folds of the cross-validation", least=2, most=1000)


@dataclass(frozen=True)
class JobSettings(Block):
    """How marginalization is cut into jobs."""

    units: int | Mapping[str, int] | None = setting(
        None,
        "units of a layer that one job computes; layers that are not named are not cut",
        names=".+",
        names_accepted="names of layers",
        longest_list=100,
        null="all units in one job",
        accepted="an integer from 1, numbers by layer such as {conv1: 24}",
        **UNITS,
    )
    threads: int = setting(1, "threads of each job on the CPU", **PROCESSORS)


@dataclass(frozen=True)
class EvidenceSettings(Block):
    """How evidence is measured."""

    method: str = setting(
        "we",
        "weight of evidence (bits), probability difference, or information difference (bits)",
        choices=("we", "probdiff", "infdiff"),
    )
    laplace: str = setting(
        "paper",
        "Laplace correction of probabilities: (pn+1)/(nK) or (pn+1)/(n+K)",
        choices=("paper", "standard"),
    )


@dataclass(frozen=True)
class SharingSettings(Block):
    """Sharing of tasks."""

    resamples: int = setting(1000, "bootstrap samples of the images behind the 95 % interval", least=1, most=10**5)
    permutations: int = setting(
        1000,
        "random orders of units, layers and networks that say what chance gives; all, if these are fewer",
        least=1,
        most=10**5,
    )
    near_zero: float | None = setting(
        None,
        "contribution of a layer's average unit to a task under which sharing says little, in the unit of the evidence",
        least=0,
        most=10**6,
        null="0.05 bits, 0.005 in probability, and 0 for raw scores",
    )


PALETTES = ("orange-blue", "yellow-blue")

PAGE_KEYS = ("width", "dpi", "font_size")
"""Keys of figures that hold for every figure: the page that it is drawn for."""


@dataclass(frozen=True)
class FigureSettings(Block):
    """How figures are drawn."""

    layout: str = setting(
        "rectangle",
        "units in rows, or as dots from the centre outwards; of all layers (`layers.*`) always in rows",
        choices=("rectangle", "sunflower"),
    )
    colour_scale: str = setting("log", "how a contribution becomes brightness", choices=("log", "linear"))
    limits: tuple[float, float] | None = setting(
        None,
        "multiples of the layer's average unit that are darkest and brightest",
        least=0,
        most=10**6,
        null="[0.125, 8] on the log scale, [0, 4] on the linear one",
    )
    palette: str = setting(
        PALETTES[0],
        "colours of units: of two hues that are equally light, or as in the published figures",
        choices=PALETTES,
    )
    sort: str = setting(
        "last",
        "sort units by what `sort_by` relies on at the first or last checkpoint, at each anew, or keep their order",
        choices=("none", "first", "last", "each"),
        accepted="none, first, last or each (once false was none and true was each)",
    )
    numbers: bool = setting(
        False, "write the number of each unit on it, where there is room; not in figures of all layers (`layers.*`)"
    )
    grid: bool = setting(True, "lines between units")
    columns: int | None = setting(
        None,
        "units in a row of the rectangle; not in figures of all layers (`layers.*`)",
        least=1,
        most=999,
        null="a full rectangle, a little higher than wide",
    )
    width: int = setting(183, "width of figures; journals' columns have 89 and 183", unit="mm", least=80, most=400)
    dpi: int = setting(150, "dots per inch of figures", least=50, most=600)
    font_size: float = setting(7, "size of text in figures; none is smaller than 5", unit="points", least=5, most=12)
    milliseconds: int = setting(330, "duration of a frame of the GIFs", least=20, most=60_000, multiple=10)
    hold: int = setting(
        1500, "how much longer the last frame is shown", unit="milliseconds", least=0, most=60_000, multiple=10
    )

    @property
    def darkest_and_brightest(self) -> tuple[float, float]:
        """The limits, or those that suit the scale."""
        if self.limits is not None:
            return self.limits
        return (0.125, 8) if self.colour_scale == "log" else (0, 4)

    def contradictions(self) -> Iterator[Problem]:
        """The average unit, 1, lies between darkest and brightest."""
        low, high = self.darkest_and_brightest
        if not low < 1 < high or (low == 0 and self.colour_scale == "log"):
            accepted = "a number below 1 and one above 1; on a log scale, none is 0"
            yield Problem("limits", f": found {[low, high]}; accepted are {accepted}")
