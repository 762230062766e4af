"""Make the pictures and numbers of the README anew from a run with several networks an experiment.

    snakemake --cores all --directory RUN --configfile docs/replicates/config.yaml
    python benchmarks/readme.py RUN

copies the run's config, summary and tables to docs/replicates and its pictures to docs/images, and writes what the
tables say between the marks of README.md. Without RUN it writes README.md from the tables that are there.
tests/test_readme.py compares the README with them.
"""

import argparse
import re
import shutil
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd

from featuresharing.data.columns import ACCURACY, CONTRIBUTIONS, LESIONS
from featuresharing.data.sharing_columns import SHARING_OVER_NETWORKS, TRENDS
from featuresharing.data.table_files import read_table, write_table
from featuresharing.reports.claims import (
    Line,
    against_chance,
    at_end,
    differences,
    in_layers,
    of_line,
    trend_of,
    trends_over_training,
)
from featuresharing.reports.phrases import NUMERALS, counted, decimal, joined, percent

ROOT = Path(__file__).resolve().parents[1]
FOLDER, IMAGES = ROOT / "docs/replicates", ROOT / "docs/images"

RELATED = Line("subordinate_basic", "subordinate", "basic")
UNRELATED = Line("object_text", "basic", "word")
SHOWN_LAYER, CLASSES = "conv5", 20
NEAR_ZERO = 0.05
"""The layer whose units are counted, how many words there are, and the bits of the config's sharing.near_zero."""

KINDS = {
    "accuracy": ACCURACY,
    "sharing_over_networks": SHARING_OVER_NETWORKS,
    "trends": TRENDS,
    "lesions_at_half": LESIONS,
    "units": CONTRIBUTIONS,
}
"""The tables in docs/replicates: the run's own, and rows of two others."""

PICTURES = {
    "object_text.gif": "object_text/layers.gif",
    "subordinate_basic.gif": "subordinate_basic/layers.gif",
    "sharing.png": "sharing.png",
    "lesions.png": "object_text/lesions.png",
}
"""Pictures of the documentation, and where in results/figures they are."""

MARK = re.compile(r"(<!-- made by benchmarks/readme.py: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)

Tables = Mapping[str, pd.DataFrame]


def copy_run(run: Path) -> None:
    """Copy what the documentation shows of a run."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in ("config.yaml", "summary.md"):
        shutil.copyfile(run / "results" / name, FOLDER / name)
    source = run / "results/tables"
    for name in ("accuracy", "sharing_over_networks", "trends"):
        write_table(FOLDER / f"{name}.csv", read_table(source / f"{name}.csv", KINDS[name]), KINDS[name])
    write_table(FOLDER / "lesions_at_half.csv", at_half(read_table(source / "lesions.csv", LESIONS)), LESIONS)
    units = read_table(source / "contributions.csv", CONTRIBUTIONS)
    shown = (units.replicate == 1) & (units.layer == SHOWN_LAYER)
    write_table(FOLDER / "units.csv", units[shown], CONTRIBUTIONS)
    for name, place in PICTURES.items():
        shutil.copyfile(run / "results/figures" / place, IMAGES / name)
    for record in FOLDER.glob(".*.sha256"):
        record.unlink()


def at_half(lesions: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of lesions with as near to half of a layer's units removed as there are."""
    distance = (lesions.fraction - 0.5).abs()
    least = distance.groupby([lesions.experiment, lesions.replicate, lesions.layer]).transform("min")
    near = lesions[distance == least]
    return near.drop_duplicates(["experiment", "replicate", "layer", "order", "task"])


def read_tables(folder: Path = FOLDER) -> dict[str, pd.DataFrame]:
    """Return the tables of docs/replicates."""
    return {name: read_table(folder / f"{name}.csv", kind) for name, kind in KINDS.items()}


def units(tables: Tables) -> str:
    """Return the caption of the animations: above of unrelated tasks, below of related ones."""
    means, serving = averages(tables["units"], UNRELATED)
    first = (means >= NEAR_ZERO).all(axis=1).idxmax()
    count = tables["units"].unit.nunique()
    _, related = averages(tables["units"], RELATED)
    text = (
        f"One square is one unit of a network that learns two tasks at once{of_several(tables)}; it keeps its place"
        " over training. Above, the tasks are unrelated: naming the object in a picture (`basic`) and reading the word"
        " over it. Orange units"
        " serve the word only, blue ones the object only, grey ones both, black ones neither. At step"
        f" {int(first)}, the first at which the average unit of {SHOWN_LAYER} contributes"
        f" {decimal(NEAR_ZERO)} bits or more to each task,"
        f" {serving[first]} of its {count} units contribute at least half of that average to each; at the end"
        f" {serving.iloc[-1]} {'does' if serving.iloc[-1] == 1 else 'do'}."
    )
    below = (
        f"Below, the tasks are related (an owl is a bird): at the end, {related.iloc[-1]} of {count} units still do."
    )
    return " ".join(
        [text, *learnt_late(tables, means), below, "Hatched layers say little: their units do next to nothing."]
    )


def of_several(tables: Tables) -> str:
    """Return which network the animations and their numbers are of, where an experiment has several."""
    networks = int(tables["accuracy"].replicate.max())
    return f" (the first of {NUMERALS[networks]}, whose numbers these are)" if networks > 1 else ""


def averages(found: pd.DataFrame, line: Line) -> tuple[pd.DataFrame, pd.Series]:
    """Return by checkpoint what the average unit contributes to both tasks, and how many units half of that to each."""
    found = found[found.experiment == line.experiment]
    tasks = [line.task_a, line.task_b]
    units = found.pivot_table(index=["checkpoint", "unit"], columns="task", values="contribution", sort=False)[tasks]
    means = units.groupby("checkpoint", sort=False).mean()
    both = (units >= means.reindex(units.index, level=0) / 2).all(axis=1)
    return means, both.groupby("checkpoint", sort=False).sum()


def learnt_late(tables: Tables, means: pd.DataFrame) -> list[str]:
    """Return until when reading is below twice what guessing gives, if that is later than the untrained network."""
    rows = tables["accuracy"]
    rows = rows[(rows.experiment == UNRELATED.experiment) & (rows.replicate == 1) & (rows.task == UNRELATED.task_b)]
    rows = rows[(rows.step > 0) & (rows.accuracy < 2 / CLASSES)]
    if rows.empty:
        return []
    late, bits = rows.iloc[-1], means[UNRELATED.task_b]
    return [
        f"Words are learnt late: at step {late.step}, {percent(late.accuracy)} are read ({percent(1 / CLASSES)} by"
        f" guessing), and the average unit contributes {decimal(bits[late.checkpoint])} bits to it, against"
        f" {decimal(bits.iloc[-1], 1)} at the end."
    ]


def in_prose(text: str) -> str:
    """Return a sentence of the summary with the words of the README."""
    for line, name in ((RELATED, "two related tasks"), (UNRELATED, "two unrelated tasks")):
        text = text.replace(line.whole, name).replace(line.tasks, name)
    return re.sub(r"(?:^|(?<=\. ))[a-z]", lambda found: found[0].upper(), text)


def last_cells(tables: Tables, line: Line) -> pd.DataFrame:
    """Return sharing over networks at the last checkpoint."""
    cells = of_line(tables["sharing_over_networks"], line)
    return cells[cells.checkpoint == cells.checkpoint.iloc[-1]]


def sharing(tables: Tables) -> str:
    """Return the caption of the figure of sharing."""
    said = [
        "How much two tasks share at the last checkpoint. Pale bars are what chance gives: units shuffled in a layer."
    ]
    for line in (RELATED, UNRELATED):
        cells = last_cells(tables, line)
        told = cells[cells.near_zero == ""]
        ends = [f"{decimal(told.excess.iloc[place])} in {told.layer.iloc[place]}" for place in (0, -1)]
        said.append(f"{in_prose(against_chance(line, cells, list(cells.layer)))} Excess sharing is {joined(ends)}.")
    return " ".join(said).replace("Two related tasks", "Two related tasks (an owl is a bird)", 1)


def finding(tables: Tables) -> str:
    """Return the statement of the finding: the difference between experiments, and trends over layers and training."""
    cells = last_cells(tables, UNRELATED)
    trends, layers = at_end(tables["trends"], cells.checkpoint.iloc[0]), list(cells.layer)
    compared = [sentence for each in differences(trends, layers) for sentence in reversed(each)]
    over_layers = [trend_of(line, trends) for line in (RELATED, UNRELATED)]
    training = [trends_over_training(line, trends, layers) for line in (RELATED, UNRELATED)]
    return in_prose(" ".join(filter(None, [*compared, *over_layers, *training])))


def run(tables: Tables) -> str:
    """Return of how many networks the pictures and numbers are."""
    networks = int(tables["accuracy"].replicate.max())
    return (
        f"Pictures and numbers are of one run with {counted(networks, 'network')} an experiment: [what it found in"
        " full](docs/replicates/summary.md), with its [config and tables](docs/replicates)."
    )


def lesions(tables: Tables) -> str:
    """Return the caption of the figure of lesions."""
    rows = tables["lesions_at_half"]
    rows = rows[rows.experiment == UNRELATED.experiment]
    read, named = ("words are read", UNRELATED.task_b, "reading"), ("objects are named", UNRELATED.task_a, "naming")
    said = [
        "Tasks need the units that they rely on. Bands hold 95 % of the random orders; the dotted line is chance.",
        f"Below, units that reading relies on most are removed first: {half(rows, read, named)}",
        f"Above, units that naming relies on most: {half(rows, named, read)}",
    ]
    return " ".join(said)


def half(rows: pd.DataFrame, own: tuple[str, str, str], other: tuple[str, str, str]) -> str:
    """Return what both tasks still reach without the half that the first relies on, and which suffers more."""
    layers = list(dict.fromkeys(rows.layer))
    accuracy = rows[rows.order == own[1]].pivot_table(
        index=["layer", "replicate"], columns="task", values="accuracy", sort=False
    )
    means = accuracy.groupby("layer", sort=False).mean()
    ranges = [
        f"{percent(of_task.min())} ({of_task.idxmin()}) to {percent(of_task.max())} ({of_task.idxmax()})"
        for of_task in (means[own[1]], means[other[1]])
    ]
    differs = (accuracy[own[1]] - accuracy[other[1]]).groupby("layer", sort=False)
    networks = accuracy.index.get_level_values("replicate").nunique()
    every = f" in all {NUMERALS[networks]} networks" if networks > 1 else ""
    said = [f"without half of a layer, {own[0]} in {ranges[0]} of the images, and {other[0]} in {ranges[1]}"]
    told: set[str] = set()
    for found, first, second in ((differs.max() < 0, own[2], other[2]), (differs.min() > 0, other[2], own[2])):
        chosen = list(found[found].index)
        told |= set(chosen)
        if chosen:
            said.append(f"{first} falls lower than {second}{every} {in_layers(chosen, layers)}")
    if neither := [layer for layer in layers if layer not in told]:
        said.append(f"neither does so{every} {in_layers(neither, layers, 'any')}")
    return "; ".join(said) + "."


BLOCKS: dict[str, tuple[Callable[[Tables], str], str]] = {
    "units": (units, "*"),
    "sharing": (sharing, "*"),
    "finding": (finding, ""),
    "lesions": (lesions, "*"),
    "run": (run, ""),
}
"""What stands between marks of the README, and what stands around it."""


def filled(text: str, tables: Tables) -> str:
    """Return the text of the README with what the tables say."""

    def block(found: re.Match[str]) -> str:
        make, around = BLOCKS[found[2]]
        return f"{found[1]}{textwrap.fill(f'{around}{make(tables)}{around}', 125, break_on_hyphens=False)}\n{found[3]}"

    return MARK.sub(block, text)


def main() -> None:
    """Copy a run, if one is named, and fill the README."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="?", help="folder of a run")
    options = parser.parse_args()
    if options.run:
        copy_run(options.run)
    readme = ROOT / "README.md"
    readme.write_text(filled(readme.read_text(encoding="utf-8"), read_tables()), encoding="utf-8")


if __name__ == "__main__":
    main()
