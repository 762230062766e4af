"""The column dictionary: every table that is written or read, with unit, meaning and source of each column.

docs/tables.md is made of it (:mod:`featuresharing.data.column_docs`). Readers and writers of tables ask it which
columns there are, which values they take, and with how many digits numbers are written.
"""

import math
import re
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

ROUNDING = 1e-6
"""How far outside of its range a number may be by rounding."""

WHOLE = re.compile("-?[0-9]{1,18}")

DECIMAL = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[-+]?[0-9]+)?|[-+]?(nan|inf)", re.IGNORECASE)


@dataclass(frozen=True)
class Column:
    """A column: its ``name``, ``meaning`` and ``source``, and the ``unit`` of its numbers.

    Its ``kind`` is text, whole or number. A text is not blank unless there may be ``none``. Numbers lie between ``low``
    and ``high``, are finite unless ``infinite``, and nan where there is ``none``; so many significant ``digits`` are
    written.
    """

    name: str
    meaning: str
    source: str
    kind: str = "text"
    unit: str = ""
    low: float = -math.inf
    high: float = math.inf
    none: bool = False
    infinite: bool = False
    digits: int = 9

    def read(self, text: str) -> str | float | None:
        """Return what a text in this column stands for; None if it is none of the values that the column takes."""
        if self.kind == "text":
            return text if text or self.none else None
        if not (WHOLE if self.kind == "whole" else DECIMAL).fullmatch(text):
            return None
        value = int(text) if self.kind == "whole" else float(text)
        if math.isnan(value):
            return value if self.none else None
        inside = self.low - ROUNDING <= value <= self.high + ROUNDING
        return value if inside and (self.infinite or math.isfinite(value)) else None

    def write(self, value: float) -> str:
        """Return the text of a number."""
        return str(value) if self.kind == "whole" else f"{value:.{self.digits}g}"

    @property
    def accepted(self) -> str:
        """What values the column takes, in words."""
        if self.kind == "text":
            return "a text" if self.none else "a name"
        kind = "a whole number" if self.kind == "whole" else "a number" if self.infinite else "a finite number"
        start = f" from {self.low:g}" if self.low > -math.inf else ""
        end = f" to {self.high:g}" if self.high < math.inf else ""
        return f"{kind}{start}{end}{', or nan' if self.none else ''}"


@dataclass(frozen=True)
class Table:
    """A kind of table: its ``name``, which ``files`` hold it, what a ``row`` is, and its ``columns`` in their order.

    ``files`` are patterns of paths from the folder of a run. ``rest`` is what further columns hold, which have the
    names of tasks; None where there are none. ``what`` is what errors call the table, which has rows unless it may be
    ``empty``.
    """

    name: str
    files: tuple[str, ...]
    row: str
    columns: tuple[Column, ...]
    rest: Column | None = None
    what: str = "table"
    empty: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(column.name for column in self.columns)

    def column(self, name: str) -> Column | None:
        """Return the column of a name; None for a name that such a table does not have."""
        return next((column for column in self.columns if column.name == name), self.rest)

    def holds(self, head: list[str]) -> bool:
        """Return whether a table with this ``head`` has the columns of this kind, in their order."""
        own = len(self.columns)
        return tuple(head[:own]) == self.names and (len(head) > own if self.rest else len(head) == own)


def tables_of(path: PurePosixPath) -> list["Table"]:
    """Return the kinds of tables that a file may hold by its path, which ends as one from the folder of a run."""
    return [table for table in TABLES.values() if any(path.match(pattern) for pattern in table.files)]


_METHOD, _DRAWINGS = "docs/method.md", "resources/drawings/drawings.csv"

EXPERIMENT = Column("experiment", "name of the experiment", "config: experiments.name")
REPLICATE = Column(
    "replicate",
    "which of the experiment's networks, which differ by their seeds",
    "replicates.py",
    "whole",
    "counted from 1",
    low=1,
)
CHECKPOINT = Column("checkpoint", "name of the checkpoint: its step, or pretrained", "config: training.checkpoints")
LAYER = Column("layer", "name of the layer", "config: layers")
TASK = Column("task", "name of the task", "config: experiments.tasks")
STEP = Column(
    "step",
    "steps of training so far, -1 where the network does not say",
    "networks/alexnet/trainer.py",
    "whole",
    "steps",
    low=-1,
)

RIGHT = "share of images whose likeliest class is the true one"


def _share(name: str, meaning: str, source: str, *, none: bool = False, digits: int = 9) -> Column:
    return Column(name, meaning, source, "number", "share", 0, 1, none=none, digits=digits)


def _count(name: str, meaning: str, source: str, unit: str) -> Column:
    return Column(name, meaning, source, "whole", unit, 0)


CONTRIBUTIONS = Table(
    "contributions",
    ("results/tables/contributions.csv",),
    "what a unit contributes to a task",
    (
        EXPERIMENT,
        REPLICATE,
        CHECKPOINT,
        LAYER,
        _count("unit", "number of the unit in its layer", "estimators/draws.py", "counted from 0"),
        TASK,
        Column(
            "contribution",
            "size of the mean over images of the evidence at the true class (probdiff: in probability, or in scores)",
            f"{_METHOD}, step 4: analysis/evidence.py",
            "number",
            "bits",
            0,
        ),
        Column(
            "effective_samples",
            "1 / Σπ², how many draws carry the weight; inf where nothing is drawn",
            f"{_METHOD}, step 2: estimators/draw_weights.py",
            "number",
            "draws",
            0,
            infinite=True,
        ),
        _share(
            "skipped_mass",
            "by how much at most a conditional is too low, since light draws were left out",
            f"{_METHOD}, step 2: estimators/draw_weights.py",
        ),
    ),
    what="table of contributions",
)

SHARING = Table(
    "sharing",
    ("results/tables/sharing.csv",),
    "two tasks in a layer at a checkpoint",
    (
        EXPERIMENT,
        REPLICATE,
        CHECKPOINT,
        LAYER,
        Column("task_a", "name of the first task", "config: experiments.tasks"),
        Column("task_b", "name of the second task", "config: experiments.tasks"),
        _share(
            "sharing",
            "overlap of the tasks' contributions; nan if a task relies on no unit",
            f"{_METHOD}, step 5: analysis/sharing.py",
            none=True,
        ),
        _share(
            "low",
            "lower end of its 95 % bootstrap interval over images; nan for one image",
            f"{_METHOD}, step 5: analysis/sharing.py",
            none=True,
        ),
        _share(
            "high", "upper end of the interval; nan for one image", f"{_METHOD}, step 5: analysis/sharing.py", none=True
        ),
        Column(
            "spearman",
            "rank correlation of the tasks' contributions; nan where one is the same for all units",
            f"{_METHOD}, step 5: analysis/sharing.py",
            "number",
            "",
            -1,
            1,
            none=True,
        ),
    ),
    what="table of sharing",
    empty=True,  # of experiments with one task each
)

ACCURACY = Table(
    "accuracy",
    ("results/tables/accuracy.csv",),
    "a task of a network on the held-out images",
    (
        EXPERIMENT,
        REPLICATE,
        CHECKPOINT,
        STEP,
        TASK,
        _share("accuracy", RIGHT, "networks/predictions.py"),
        _count("images", "how many images of the task were predicted", "networks/predictions.py", "images"),
    ),
    what="table of accuracy",
)

LESIONS = Table(
    "lesions",
    ("results/tables/lesions.csv", "results/lesion_curves/*/*.csv"),
    "the accuracy of a task without some units of a layer",
    (
        EXPERIMENT,
        REPLICATE,
        CHECKPOINT,
        LAYER,
        Column("order", "the task whose strongest units are removed first", "analysis/lesions.py"),
        TASK,
        _count("removed", "how many units are removed", "analysis/lesions.py", "units"),
        _share("fraction", "removed units over all units of the layer", "analysis/lesions.py", digits=6),
        _share("accuracy", RIGHT, "analysis/lesions.py"),
        _share("random_mean", "mean accuracy over random orders", "paper, chapter 3: analysis/lesions.py"),
        _share("random_low", "2.5 % quantile of the accuracies over random orders", f"{_METHOD}: analysis/tables.py"),
        _share("random_high", "97.5 % quantile of them", f"{_METHOD}: analysis/tables.py"),
        _share(
            "chance",
            "accuracy of always naming the task's most frequent class; nan where nothing says it",
            f"{_METHOD}: analysis/true_classes.py",
            none=True,
        ),
        _share(
            "p",
            "two-sided p-value by the rank of the accuracy among the random orders",
            f"{_METHOD} (docs/fidelity.md): analysis/deviation.py",
        ),
        _share(
            "p_corrected",
            "the same for all points of a curve together, by its largest deviations",
            f"{_METHOD} (docs/fidelity.md): analysis/deviation.py",
        ),
    ),
    what="table of curves",
)

TRAINING = Table(
    "training",
    ("results/networks/*/training.csv",),
    "the training batches of a task since the last row",
    (
        STEP,
        TASK,
        Column("loss", "mean cross entropy", "networks/alexnet/trainer.py", "number", "nats", 0, digits=6),
        _share("accuracy", RIGHT, "networks/alexnet/trainer.py", digits=6),
    ),
    what="log of training",
)

CLASS = Column(
    "task", "name of the class in the task that the column is named after; - for none", "networks/predictions.py"
)

KEPT = Table(
    "kept",
    ("results/baseline/*/kept.csv",),
    "an image that is analysed",
    (
        _count("index", "position of the image in the full list", "networks/predictions.py", "counted from 0"),
        Column("image", "name of the image's file; bytes that are not UTF-8 as escapes", "networks/predictions.py"),
    ),
    rest=CLASS,
    what="table of kept images",
)

CLASSES = Table(
    "classes",
    ("results/lists/*/classes.csv",),
    "a class of a task",
    (
        TASK,
        _count("index", "number of the class, as in image lists", "data/lists.py", "counted from 0"),
        Column("name", "name of the class", "data/lists.py"),
    ),
    what="table of classes",
)

IMAGE = Column("image", "path of the image, from the table's folder", "data/stimuli.py")
WORD = Column("word", "the word over the image", "resources/words.txt, or config: folders.words")
SUBORDINATE = Column("subordinate", "subordinate class, such as owl", f"{_DRAWINGS}, or the folder's name")
BASIC = Column("basic", "basic class, such as bird", f"{_DRAWINGS}, or config: folders.hierarchy")

STIMULI = Table(
    "stimuli",
    ("results/images/train.csv", "results/images/test.csv"),
    "a rendering of a drawing with a word over it",
    (
        IMAGE,
        _count("drawing", "number of the drawing", "resources/drawings/drawings.csv", "counted from 0"),
        Column("set", "icon set that the drawing is of", "resources/drawings/drawings.csv"),
        SUBORDINATE,
        BASIC,
        WORD,
    ),
    what="table of stimuli",
)

WORDED = Table(
    "worded images",
    ("results/images/train.csv", "results/images/test.csv"),
    "an image of a folder with a word over it",
    (
        IMAGE,
        SUBORDINATE,
        replace(BASIC, meaning="basic class; blank without a hierarchy", none=True),
        WORD,
    ),
    what="table of stimuli",
)

HIERARCHY = Table(
    "hierarchy",
    (),
    "the basic class of a class folder: a table that you write (config: folders.hierarchy)",
    (
        Column("subordinate", "name of the class folder", "you"),
        Column("basic", "name of its basic class", "you"),
    ),
)

DRAWINGS = Table(
    "drawings",
    ("resources/drawings/drawings.csv",),
    "an embedded drawing",
    (
        _count("index", "number of the drawing", "resources/README.md", "counted from 0"),
        _count("row", "row of its cell on the sheet", "resources/README.md", "cells"),
        _count("column", "column of its cell on the sheet", "resources/README.md", "cells"),
        Column("basic", "basic class, such as bird", "resources/README.md"),
        Column("subordinate", "subordinate class, such as owl", "resources/README.md"),
        Column("set", "icon set that the drawing is of", "resources/README.md"),
    ),
    what="table of drawings",
)

TABLES = {
    table.name: table
    for table in (
        *(CONTRIBUTIONS, SHARING, ACCURACY, LESIONS, TRAINING, KEPT, CLASSES),
        *(STIMULI, WORDED, HIERARCHY, DRAWINGS),
    )
}
"""Every kind of table by its name."""
