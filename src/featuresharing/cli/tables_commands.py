"""Commands for tables: ``tabulate-accuracy``, ``tabulate-contributions`` and ``tabulate-sharing``."""

import argparse
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featuresharing.cli.options import Commands, add_command, add_output, say
from featuresharing.cli.setting_options import add_seed, add_settings
from featuresharing.settings import EvidenceSettings, SharingSettings

if TYPE_CHECKING:
    from featuresharing.store import LayerConditionals


def add_commands(commands: Commands) -> None:
    parser = add_command(commands, "tabulate-accuracy", _accuracy, "tabulate the accuracy on held-out images")
    parser.add_argument("--predictions", type=Path, nargs="+", required=True, help="EXPERIMENT/CHECKPOINT.h5 files")
    add_output(parser, "CSV file")

    for name, run, help_text in (
        ("tabulate-contributions", _contributions, "tabulate what every unit contributes to every task"),
        ("tabulate-sharing", _sharing, "tabulate how much the tasks share in every layer"),
    ):
        parser = add_command(commands, name, run, help_text)
        parser.add_argument("--conditionals", type=Path, nargs="+", required=True, help="files of conditionals")
        add_settings(parser, EvidenceSettings)
        add_output(parser, "CSV file")
        if run is _sharing:
            add_settings(parser, SharingSettings)
            add_seed(parser, "the bootstrap")


def _accuracy(options: argparse.Namespace) -> None:
    from featuresharing.networks.predictions import read_predictions

    def rows() -> Iterator[Sequence[Any]]:
        for path in options.predictions:
            predictions = read_predictions(path)
            for task, right in predictions.right().items():
                yield path.parent.name, path.stem, predictions.step, task, float(right.mean()), len(right)

    _write(options.output, ("experiment", "checkpoint", "step", "task", "accuracy", "images"), rows())


def _contributions(options: argparse.Namespace) -> None:
    from featuresharing.analysis.tables import CONTRIBUTION_COLUMNS, contribution_rows

    rows = (
        row
        for layer in _layers(options.conditionals)
        for row in contribution_rows(layer, method=options.method, laplace=options.laplace)
    )
    _write(options.output, CONTRIBUTION_COLUMNS, rows)


def _sharing(options: argparse.Namespace) -> None:
    from featuresharing.analysis.tables import SHARING_COLUMNS, sharing_rows

    rows = (
        row
        for layer in _layers(options.conditionals)
        for row in sharing_rows(
            layer,
            method=options.method,
            laplace=options.laplace,
            resamples=options.resamples,
            seed=options.seed,
        )
    )
    _write(options.output, SHARING_COLUMNS, rows)


def _layers(paths: Sequence[Path]) -> "Iterator[LayerConditionals]":
    """Yield the layers of files; in the end, say of each experiment that it has few images."""
    from featuresharing.analysis.sharing import few_images
    from featuresharing.store import read_conditionals

    sentences: dict[str, str] = {}
    for path in paths:
        layer = read_conditionals(path)
        yield layer
        if sentence := few_images(len(next(iter(layer.predictions.values())))):
            sentences[str(layer.attributes["experiment"])] = sentence
    for experiment, sentence in sentences.items():
        say(f"{experiment}: {sentence}")


def _write(output: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    from featuresharing.files.atomic import write_table

    rounded = ([f"{value:.9g}" if isinstance(value, float) else value for value in row] for row in rows)
    write_table(output, columns, rounded)
