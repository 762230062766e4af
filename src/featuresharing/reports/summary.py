"""The summary of a run in words and tables: every sentence is made from numbers."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from featuresharing.reports.cautions import cautions, image_counts
from featuresharing.reports.claims import (
    LEVEL,
    Line,
    against_chance,
    at_end,
    differences,
    lines_of,
    of_line,
    trend_of,
    trends_over_training,
)
from featuresharing.reports.phrases import counted, decimal, interval, joined, p_value, percent
from featuresharing.reports.run_tables import RunTables
from featuresharing.reports.text_blocks import Block, Grid, Heading, Items, Paragraph

if TYPE_CHECKING:
    from pandas import DataFrame

TITLE = "What this run found"

SHARING = (
    "Sharing is 1 where two tasks rely on the same units in the same proportions, 0 where on different ones. Chance is"
    " what shuffling the units within a layer gives, with the range of 95 % of the shuffles. Excess is what is above"
    " chance, (sharing - chance) / (1 - chance): 0 is chance, 1 the same units, below 0 fewer than by chance. Other"
    " brackets are 95 % intervals of what ever more images would give: few images show too little sharing, so that a"
    " number may lie outside its interval. A difference is told where its interval leaves 0 out and, where it can be"
    f" tested, p < {decimal(LEVEL)}, not corrected for how many layers there are."
)

ONE_NETWORK = " Intervals are over images, and p-values say how often shuffled units differ as much."
SEVERAL_NETWORKS = (
    " Numbers are means over networks; intervals and p-values take the network as the unit of replication."
)


def summarize(run: RunTables) -> list[Block]:
    """Return the summary of a run."""
    return [Heading(TITLE, 1), *_trained(run), *_sharing(run), *_trends(run), *_lesions(run), *_warnings(run)]


def _trained(run: RunTables) -> Iterator[Block]:
    networks = sorted({run.networks(experiment) for experiment in run.experiments})
    each = f"{counted(networks[0], 'network')} {'each' if len(run.experiments) > 1 else ''}".strip()
    how = f"trained from seed {run.seed}" if run.trained else f"not trained here, seed {run.seed}"
    layers = f"{counted(len(run.layers), 'layer')}: {', '.join(run.layers)}"
    yield Paragraph(f"{counted(len(run.experiments), 'experiment').capitalize()}, {each}, {how}; {layers}.")
    yield Items(tuple(_of_experiment(run, experiment) for experiment in run.experiments))
    means = ", means over networks (lowest to highest)" if networks[-1] > 1 else ""
    yield Paragraph(f"Accuracy on held-out images at checkpoint `{run.checkpoint}`{means}:")
    yield Grid(("experiment", "task", "accuracy", "chance", "images"), list(_accuracies(run)), texts=(0, 1))


def _of_experiment(run: RunTables, experiment: str) -> str:
    tasks = [f"`{task}`" for task in run.tasks(experiment)]
    checkpoints = run.checkpoints(experiment)
    at = f"{counted(len(checkpoints), 'checkpoint')} ({', '.join(checkpoints)})"
    return f"`{experiment}`: {joined(tasks)}; {at}; {_images_kept(run, experiment)}"


def _images_kept(run: RunTables, experiment: str) -> str:
    """Return how many images are analysed, of each task if these differ, as a range over networks if they differ."""
    counts = image_counts(run, experiment)
    if all(len(set(each.values())) == 1 for each in counts):
        return f"{_range([next(iter(each.values())) for each in counts])} images are analysed"
    of = (f"{_range([each[task] for each in counts])} of `{task}`" for task in counts[0])
    return f"images are analysed: {', '.join(of)}"


def _range(numbers: Sequence[int]) -> str:
    return f"{min(numbers)} to {max(numbers)}" if len(set(numbers)) > 1 else str(numbers[0])


def _accuracies(run: RunTables) -> Iterator[tuple[str, ...]]:
    for experiment in run.experiments:
        rows = run.last(run.accuracy, experiment)
        for task, found in rows.groupby("task", sort=False):
            least, most = percent(found.accuracy.min()), percent(found.accuracy.max())
            over = least if least == most else f"{percent(found.accuracy.mean())} ({least} to {most})"
            images = _range(list(found.images))
            yield experiment, str(task), over, percent(run.chance[experiment, str(task)]), images


def _sharing(run: RunTables) -> Iterator[Block]:
    cells = run.last(run.sharing)
    lines = lines_of(cells)
    if not lines:
        return
    yield Heading(f"Sharing at checkpoint `{run.checkpoint}`, and chance")
    yield Paragraph(SHARING + (SEVERAL_NETWORKS if cells.networks.max() > 1 else ONE_NETWORK))
    for line in lines:
        rows = of_line(cells, line)
        layers = run.in_order(list(rows.layer))
        rows = rows.set_index("layer", drop=False).loc[layers]
        yield Heading(line.whole, 3)
        yield _sharing_grid(rows)
        yield Paragraph(against_chance(line, rows, layers))


def _sharing_grid(rows: "DataFrame") -> Grid:
    head = ["layer", "sharing", "", "chance", "", "excess", "", "p"]
    several = rows.networks.max() > 1
    cells = []
    for row in rows.itertuples():
        numbers = (
            text
            for name, low, high in (
                (row.sharing, row.low, row.high),
                (row.chance, row.chance_low, row.chance_high),
                (row.excess, row.excess_low, row.excess_high),
            )
            for text in (decimal(name), interval(low, high))
        )
        mark = " (near zero)" if row.near_zero else ""
        spread = (decimal(row.sd),) if several else ()
        cells.append((f"{row.layer}{mark}", *numbers, p_value(row.p).removeprefix("p ").removeprefix("= "), *spread))
    return Grid((*head, "sd of excess") if several else head, cells)


def _trends(run: RunTables) -> Iterator[Block]:
    cells = run.last(run.sharing)
    lines, trends = lines_of(cells), at_end(run.trends, run.checkpoint)
    over_layers = [sentence for line in lines if (sentence := trend_of(line, trends))]
    training = [
        sentence for line in lines if (sentence := trends_over_training(line, trends, _layers_of(run, cells, line)))
    ]
    if over_layers or training:
        yield Heading("Trends")
        yield Items((*over_layers, *training))
    compared = [" ".join(sentences) for sentences in differences(trends, run.layers)]
    if compared:
        yield Heading("Differences between experiments")
        yield Items(tuple(compared))


def _layers_of(run: RunTables, cells: "DataFrame", line: Line) -> list[str]:
    return run.in_order(list(of_line(cells, line).layer))


def _lesions(run: RunTables) -> Iterator[Block]:
    if not len(run.lesions):
        return
    told = f"differs from random orders (p < {decimal(LEVEL)}, corrected for the points of the curve)"
    marked = (
        f"Numbers are means over networks; behind them stands in how many of these the accuracy {told}."
        if run.lesions.replicate.max() > 1
        else f"An asterisk marks what {told}."
    )
    yield Heading("Without half of a layer's units")
    yield Paragraph(
        "Accuracy on the analysed images, all of which the whole network gets right, when the half of a layer's units"
        f" that one task relies on most is set to zero; in brackets 95 % of random halves. {marked}"
    )
    for experiment in run.experiments:
        rows = run.last(run.lesions, experiment)
        if len(rows):
            tasks = list(dict.fromkeys(rows.task))
            head = ["layer", "removed first", *(name for task in tasks for name in (task, "random"))]
            yield Heading(f"`{experiment}`", 3)
            yield Grid(head, list(_halves(run, rows, tasks)), texts=(0, 1))


def _halves(run: RunTables, rows: "DataFrame", tasks: Sequence[str]) -> Iterator[tuple[str, ...]]:
    for layer in run.in_order(list(rows.layer)):
        of_layer = rows[rows.layer == layer]
        half = min(of_layer.fraction, key=lambda fraction: (abs(fraction - 0.5), fraction))
        at_half = of_layer[of_layer.fraction == half]
        for order in dict.fromkeys(at_half.order):
            cells = []
            for task in tasks:
                found = at_half[(at_half.order == order) & (at_half.task == task)]
                cells += [
                    f"{percent(found.accuracy.mean())}{_mark(found)}",
                    f"[{percent(found.random_low.mean())}, {percent(found.random_high.mean())}]",
                ]
            yield layer, str(order), *cells


def _mark(found: "DataFrame") -> str:
    """Return how many networks differ from random orders, or an asterisk if the only one does."""
    differing = int((found.p_corrected < LEVEL).sum())
    if len(found) == 1:
        return " *" if differing else "  "
    return f" {differing}/{len(found)}"


def _warnings(run: RunTables) -> Iterator[Block]:
    yield Heading("Warnings")
    found = cautions(run)
    yield Items(tuple(found)) if found else Paragraph("No rule for warnings applies.")
