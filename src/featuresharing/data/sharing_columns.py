"""The columns of the tables of sharing: by layer, with other measures, over networks, and trends."""

from dataclasses import replace

from featuresharing.data.column_kinds import (
    CHECKPOINT,
    EXPERIMENT,
    LAYER,
    METHOD,
    REPLICATE,
    Column,
    Table,
    count,
    share,
)

_SHARING, _CHANCE, _IMAGES = (
    f"{METHOD}, step 5: analysis/{module}.py" for module in ("overlap", "chance", "image_resampling")
)
_NETWORKS, _TRENDS = f"{METHOD}, step 6: analysis/over_networks.py", f"{METHOD}, step 7: analysis/trends.py"

_LOW = "lower end of its 95 % interval over images, around what more images would give; nan for one image"

PAIR = (
    Column("task_a", "name of the first task", "config: experiments.tasks"),
    Column("task_b", "name of the second task", "config: experiments.tasks"),
)

SHARED = share("sharing", "overlap of the tasks' contributions; nan if a task relies on no unit", _SHARING, none=True)

CHANCE = (
    share("chance", "median of what shuffling the layer's units gives", _CHANCE, none=True),
    share("chance_low", "its 2.5 percentile", _CHANCE, none=True),
    share("chance_high", "its 97.5 percentile", _CHANCE, none=True),
)


def _probability(meaning: str, source: str) -> Column:
    return share("p", f"two-sided p-value, never 0: {meaning}", source, none=True)


def _excess(name: str, meaning: str, source: str = _CHANCE) -> Column:
    return Column(name, meaning, source, "number", "", high=1, none=True)


EXCESS = (
    _excess("excess", "excess sharing, (sharing - chance) / (1 - chance): 0 at chance, 1 if all is shared"),
    _excess("excess_low", "lower end of its 95 % interval", _IMAGES),
    _excess("excess_high", "upper end of its 95 % interval", _IMAGES),
)

NEAR_ZERO = Column(
    "near_zero",
    "names of the tasks, joined by +, to which the layer's average unit contributes less than sharing.near_zero",
    f"{METHOD}, step 5: analysis/near_zero.py",
    none=True,
)

SHARING = Table(
    "sharing",
    ("results/tables/sharing.csv",),
    "two tasks in a layer of a network at a checkpoint",
    (
        EXPERIMENT,
        REPLICATE,
        CHECKPOINT,
        LAYER,
        *PAIR,
        SHARED,
        share("low", _LOW, _IMAGES, none=True),
        share("high", "upper end of the interval; nan for one image", _IMAGES, none=True),
        *CHANCE,
        _probability("of so much or so little if units are exchangeable", _CHANCE),
        *EXCESS,
        NEAR_ZERO,
        replace(
            share(
                "error",
                "by how much at most sharing is off, since light draws were left out; nan in tables that were "
                "made before it was",
                f"{METHOD}, step 5: analysis/overlap.py",
                none=True,
                digits=3,
            ),
            added=True,
        ),
    ),
    what="table of sharing",
    empty=True,  # of experiments with one task each
)


def _measured(name: str, meaning: str, source: str = _CHANCE) -> Column:
    return Column(name, meaning, source, "number", "", -1, 1, none=True)


OVERLAP = Table(
    "overlap",
    ("results/tables/overlap.csv",),
    "another measure of two tasks' overlap in a layer of a network at a checkpoint",
    (
        EXPERIMENT,
        REPLICATE,
        CHECKPOINT,
        LAYER,
        *PAIR,
        Column("measure", "rank_correlation, cosine or top_units (the top 10 % of units)", "analysis/overlap.py"),
        _measured("value", "the measure; nan where it is not defined", f"{METHOD}, step 5: analysis/overlap.py"),
        _measured("low", _LOW, _IMAGES),
        _measured("high", "upper end of the interval; nan for one image", _IMAGES),
        _measured("chance", "median of what shuffling the layer's units gives"),
        _measured("chance_low", "its 2.5 percentile"),
        _measured("chance_high", "its 97.5 percentile"),
        _probability("of so much or so little if units are exchangeable", _CHANCE),
    ),
    what="table of overlap",
    empty=True,
)

SHARING_OVER_NETWORKS = Table(
    "sharing over networks",
    ("results/tables/sharing_over_networks.csv",),
    "two tasks in a layer at a checkpoint, over the networks of the experiment",
    (
        EXPERIMENT,
        CHECKPOINT,
        LAYER,
        *PAIR,
        count("networks", "how many networks have a value", _NETWORKS, "networks"),
        share("sharing", "mean over networks", _NETWORKS, none=True),
        share("low", "lower end of its 95 % interval over networks and images", _NETWORKS, none=True),
        share("high", "upper end of its 95 % interval over networks and images", _NETWORKS, none=True),
        *(replace(column, meaning=f"mean over networks of {column.name}", source=_NETWORKS) for column in CHANCE),
        *(
            replace(column, meaning=meaning, source=_NETWORKS)
            for column, meaning in zip(
                EXCESS,
                (
                    "mean over networks of the excess sharing",
                    "lower end of its 95 % interval over networks and images",
                    "upper end of its 95 % interval over networks and images",
                ),
                strict=True,
            )
        ),
        Column(
            "sd",
            "standard deviation of the excess over networks; nan for one",
            _NETWORKS,
            "number",
            "",
            0,
            none=True,
        ),
        _probability("of such a mean excess if it is 0 over networks; of one network, that of its units", _NETWORKS),
        replace(NEAR_ZERO, meaning=f"{NEAR_ZERO.meaning}, on average over networks"),
    ),
    what="table of sharing over networks",
    empty=True,
)

TRENDS = Table(
    "trends",
    ("results/tables/trends.csv",),
    "a slope of the excess sharing of two tasks, or how far that of two others is from it",
    (
        Column(
            "quantity",
            "slope over layers, slope over checkpoints (both a step), or excess (a difference in one layer, at the "
            "last checkpoint)",
            _TRENDS,
        ),
        EXPERIMENT,
        *PAIR,
        Column(
            "other_experiment",
            "the experiment whose value is subtracted; blank for a value by itself",
            "config: experiments.name",
            none=True,
        ),
        *(Column(f"other_{column.name}", f"{column.meaning} there", column.source, none=True) for column in PAIR),
        replace(CHECKPOINT, meaning=f"{CHECKPOINT.meaning}; blank for a slope over checkpoints", none=True),
        replace(LAYER, meaning=f"{LAYER.meaning}; blank for a slope over layers", none=True),
        count("networks", "how many networks take part, of both", _TRENDS, "networks"),
        count("cells", "how many values of excess sharing take part", _TRENDS, "values"),
        Column(
            "value", "the slope or the difference; nan where under three cells take part", _TRENDS, "number", none=True
        ),
        Column("low", "lower end of its 95 % interval over networks and images", _TRENDS, "number", none=True),
        Column("high", "upper end of its 95 % interval over networks and images", _TRENDS, "number", none=True),
        _probability("by permutation; nan where nothing can be exchanged", _TRENDS),
    ),
    what="table of trends",
    empty=True,
)
