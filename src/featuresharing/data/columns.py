"""The column dictionary: every table that is written or read, with unit, meaning and source of each column.

docs/tables.md is made of it (:mod:`featuresharing.data.column_docs`). Readers and writers of tables ask it which
columns there are, which values they take, and with how many digits numbers are written.
"""

from dataclasses import replace
from pathlib import PurePosixPath

from featuresharing.data.column_kinds import (
    CHECKPOINT,
    EXPERIMENT,
    LAYER,
    METHOD,
    REPLICATE,
    STEP,
    TASK,
    Column,
    Table,
    count,
    share,
)
from featuresharing.data.sharing_columns import OVERLAP, SHARING, SHARING_OVER_NETWORKS, TRENDS


def tables_of(path: PurePosixPath) -> list[Table]:
    """Return the kinds of tables that a file may hold by its path, which ends as one from the folder of a run."""
    return [table for table in TABLES.values() if any(path.match(pattern) for pattern in table.files)]


_DRAWINGS = "resources/drawings/drawings.csv"

RIGHT = "share of images whose likeliest class is the true one"

CONTRIBUTIONS = Table(
    "contributions",
    ("results/tables/contributions.csv",),
    "what a unit contributes to a task",
    (
        EXPERIMENT,
        REPLICATE,
        CHECKPOINT,
        LAYER,
        count("unit", "number of the unit in its layer", "estimators/draws.py", "counted from 0"),
        TASK,
        Column(
            "contribution",
            "size of the mean over images of the evidence at the true class (probdiff: in probability, or in scores)",
            f"{METHOD}, step 4: analysis/evidence.py",
            "number",
            "bits",
            0,
        ),
        Column(
            "effective_samples",
            "1 / Σπ², how many draws carry the weight; inf where nothing is drawn",
            f"{METHOD}, step 2: estimators/draw_weights.py",
            "number",
            "draws",
            0,
            infinite=True,
        ),
        share(
            "skipped_mass",
            "by how much at most a conditional is too low, since light draws were left out",
            f"{METHOD}, step 2: estimators/draw_weights.py",
        ),
        Column(
            "error",
            "by how much at most the contribution is off for that reason (probdiff: in probability); nan in "
            "tables that were made before it was",
            f"{METHOD}, step 4: analysis/tables.py",
            "number",
            "bits",
            0,
            none=True,
            digits=3,
            added=True,
        ),
    ),
    what="table of contributions",
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
        share("accuracy", RIGHT, "networks/predictions.py"),
        count("images", "how many images of the task were predicted", "networks/predictions.py", "images"),
    ),
    what="table of accuracy",
)

LESIONS = Table(
    "lesions",
    ("results/tables/lesions.csv", "results/lesion_curves/*/*.csv", "results/lesion_curves/*/*/*.csv"),
    "the accuracy of a task without some units of a layer",
    (
        EXPERIMENT,
        REPLICATE,
        CHECKPOINT,
        LAYER,
        Column("order", "the task whose strongest units are removed first", "analysis/lesions.py"),
        TASK,
        count("removed", "how many units are removed", "analysis/lesions.py", "units"),
        share("fraction", "removed units over all units of the layer", "analysis/lesions.py", digits=6),
        share("accuracy", RIGHT, "analysis/lesions.py"),
        share("random_mean", "mean accuracy over random orders", "paper, chapter 3: analysis/lesions.py"),
        share("random_low", "2.5 % quantile of the accuracies over random orders", f"{METHOD}: analysis/tables.py"),
        share("random_high", "97.5 % quantile of them", f"{METHOD}: analysis/tables.py"),
        share(
            "chance",
            "accuracy of always naming the task's most frequent class; nan where nothing says it",
            f"{METHOD}: analysis/guessing.py",
            none=True,
        ),
        share(
            "p",
            "two-sided p-value by the rank of the accuracy among the random orders",
            f"{METHOD} (docs/fidelity.md): analysis/deviation.py",
        ),
        share(
            "p_corrected",
            "the same for all points of a curve together, by its largest deviations",
            f"{METHOD} (docs/fidelity.md): analysis/deviation.py",
        ),
    ),
    what="table of curves",
)

TRAINING = Table(
    "training",
    ("results/networks/*/training.csv", "results/networks/*/*/training.csv"),
    "the training batches of a task since the last row",
    (
        STEP,
        TASK,
        Column("loss", "mean cross entropy", "networks/alexnet/trainer.py", "number", "nats", 0, digits=6),
        share("accuracy", RIGHT, "networks/alexnet/trainer.py", digits=6),
    ),
    what="log of training",
)

CLASS = Column(
    "task", "name of the class in the task that the column is named after; - for none", "networks/predictions.py"
)

KEPT = Table(
    "kept",
    ("results/baseline/*/kept.csv", "results/baseline/*/*/kept.csv"),
    "an image that is analysed",
    (
        count("index", "position of the image in the full list", "networks/predictions.py", "counted from 0"),
        Column("image", "name of the image's file; bytes that are not UTF-8 as escapes", "networks/predictions.py"),
    ),
    rest=CLASS,
    what="table of kept images",
)

EXTREMES = Table(
    "images",
    ("results/tables/images.csv",),
    "an image on which a unit gives a task most, or least, evidence for the true class",
    (
        EXPERIMENT,
        REPLICATE,
        CHECKPOINT,
        LAYER,
        count("unit", "number of the unit in its layer", "estimators/draws.py", "counted from 0"),
        TASK,
        Column("side", "highest or lowest evidence", "analysis/extreme_images.py"),
        Column(
            "place",
            "place on its side, 1 being the highest or the lowest evidence of all images of the task",
            "analysis/extreme_images.py",
            "whole",
            "counted from 1",
            low=1,
        ),
        count("image", "position of the image in the list of kept images", "networks/predictions.py", "counted from 0"),
        Column("file", "name of the image's file, as in the table of kept images", "networks/predictions.py"),
        Column(
            "evidence",
            "evidence at the true class (probdiff: in probability, or in scores)",
            f"{METHOD}, step 3: analysis/evidence.py",
            "number",
            "bits",
        ),
    ),
    what="table of images",
)

CLASSES = Table(
    "classes",
    ("results/lists/*/classes.csv",),
    "a class of a task",
    (
        TASK,
        count("index", "number of the class, as in image lists", "data/lists.py", "counted from 0"),
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
        count("drawing", "number of the drawing", "resources/drawings/drawings.csv", "counted from 0"),
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
        count("index", "number of the drawing", "resources/README.md", "counted from 0"),
        count("row", "row of its cell on the sheet", "resources/README.md", "cells"),
        count("column", "column of its cell on the sheet", "resources/README.md", "cells"),
        Column("basic", "basic class, such as bird", "resources/README.md"),
        Column("subordinate", "subordinate class, such as owl", "resources/README.md"),
        Column("set", "icon set that the drawing is of", "resources/README.md"),
    ),
    what="table of drawings",
)

TABLES = {
    table.name: table
    for table in (
        *(CONTRIBUTIONS, SHARING, OVERLAP, SHARING_OVER_NETWORKS, TRENDS, ACCURACY, LESIONS, EXTREMES),
        *(TRAINING, KEPT, CLASSES),
        *(STIMULI, WORDED, HIERARCHY, DRAWINGS),
    )
}
"""Every kind of table by its name."""
