"""What ``status`` shows: trainings that are under way, a table of the layers, and how many are complete."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from featuresharing.replicates import network_label
from featuresharing.runs.trainings import TrainingStatus
from featuresharing.store.status import LayerStatus

HEAD = ("experiment", "checkpoint", "layer", "units", "done", "a second", "left", "state")

NUMBERS = range(3, 7)
"""Columns that are set flush right."""


def training_lines(trainings: Sequence[TrainingStatus]) -> Iterator[str]:
    """Yield a line on every training that is not over."""
    for each in trainings:
        state = "running" if each.runs else f"stopped {duration_in_words(each.silent)} ago"
        share = int(1000 * each.step / max(1, each.steps)) / 10
        yield f"training in {each.folder}: step {each.step} of {each.steps} is kept, {share:.1f} %; {state}"


def status_lines(layers: Sequence[LayerStatus], unread: Sequence[str], folder: Path) -> Iterator[str]:
    """Yield the lines of a report on a folder's layers; ``unread`` are sentences about files that cannot be read."""
    if not layers:
        yield from unread
        yield f"No layer has been started in {folder}."
        return
    rows = [HEAD, *map(_row, layers)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    for row in rows:
        texts = [text.rjust(widths[i]) if i in NUMBERS else text.ljust(widths[i]) for i, text in enumerate(row)]
        yield "  ".join(texts).rstrip()
    yield from unread
    complete = sum(layer.done >= layer.units for layer in layers)
    units, done = sum(layer.units for layer in layers), sum(int(layer.done) for layer in layers)
    jobs = sum(layer.jobs for layer in layers)
    other = f"; {len(unread)} file{'s' * (len(unread) != 1)} cannot be read" if unread else ""
    run = "1 job runs" if jobs == 1 else f"{jobs} jobs run"
    yield (f"{complete} of {len(layers)} layers that were started are complete, {done} of {units} units; {run}{other}.")


def _row(layer: LayerStatus) -> Sequence[str]:
    share = int(1000 * layer.done / max(1, layer.units)) / 10
    rate = f"{layer.rate:.3g}" if layer.jobs else ""
    left = "" if layer.seconds_left is None or not layer.jobs else duration_in_words(layer.seconds_left)
    state = "complete" if layer.done >= layer.units else f"{layer.jobs} jobs" if layer.jobs > 1 else "running"
    if state == "running" and not layer.jobs:
        state = "waiting" if layer.silent is None else f"stopped {duration_in_words(layer.silent)} ago"
    counts = f"{int(layer.done + 1e-9)} of {layer.units}"
    network = network_label(layer.experiment, layer.replicate)
    return (network, layer.checkpoint, layer.layer, counts, f"{share:.1f} %", rate, left, state)


def duration_in_words(seconds: float) -> str:
    """Return a time in its two largest units."""
    whole = int(seconds + 0.5)
    for size, large, smaller, small in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            return f"{whole // size} {large} {whole % size // smaller} {small}"
    return f"{whole} s"
