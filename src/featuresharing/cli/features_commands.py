"""Command ``visualize-units``: pictures of what drives the units of a layer; resumes at the next group of units."""

import argparse
from collections.abc import Mapping
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from featuresharing.cli.options import (
    Commands,
    add_command,
    add_device,
    add_figure,
    add_layer,
    add_network,
    add_wait,
    choose_device,
    is_there,
    named_folder,
    read_aliases,
    say,
    whole_range,
)
from featuresharing.cli.setting_options import add_seed, add_settings
from featuresharing.errors import InputError
from featuresharing.runs.stopping import StoppedError, stoppable
from featuresharing.settings import FeatureSettings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from featuresharing.files.partial import PartialFolder


def add_commands(commands: Commands) -> None:
    parser = add_command(commands, "visualize-units", _visualize, "find the image that drives each unit of a layer")
    add_network(parser)
    add_layer(parser)
    parser.add_argument("--title", help="first words above the sheet (none: the file of the network)")
    parser.add_argument(
        "--units", type=whole_range, nargs="+", metavar="UNIT", help="units, such as 3 or 0-127 (none: all)"
    )
    add_settings(parser, FeatureSettings)
    add_seed(parser, "the noise at the start")
    add_device(parser)
    add_wait(parser)
    parser.add_argument("--output-folder", type=named_folder, required=True, help="gets a PNG file of each unit")
    add_figure(parser, "sheet of all units")


def _visualize(options: argparse.Namespace) -> None:
    from featuresharing.analysis.maximization import Maximization, maximize_units
    from featuresharing.files.atomic import check_free, file_digest
    from featuresharing.files.locks import holding
    from featuresharing.files.partial import PartialFolder, settings_key
    from featuresharing.networks.layers import choose_units, find_layer
    from featuresharing.networks.opening import open_network

    if options.output_folder.resolve() in (options.output.resolve(), *options.output.resolve().parents):
        found = f"found {options.output}, in {options.output_folder}"
        raise InputError(f"--output: {found}; accepted is a name beside the folder of --output-folder.")
    check_free(options.output_folder, ours=r"\d{4,}\.png|\.snakemake_timestamp")
    settings = Maximization(options.iterations, options.step, options.decay, options.blur_every)
    stored = open_network(options.checkpoint, image_size=options.image_size)
    path, module = find_layer(stored.network, options.layer, read_aliases(options))
    asked = None if options.units is None else [unit for units in options.units for unit in units]
    units = sorted(set(choose_units(module, options.layer, asked)))
    device = choose_device(options)
    size = stored.preprocessing.size
    identity = {
        **asdict(settings),
        "seed": options.seed,
        "layer": path,
        "image_size": size,
        "device": device.partition(":")[0],
        "network_sha256": file_digest(options.checkpoint),
    }
    title = f"{options.title or options.checkpoint.name}: {options.layer}"
    if stored.step >= 0:
        title += f" after {stored.step} training steps"
    names = {unit: f"{unit:04d}.png" for unit in units}
    partial = PartialFolder(options.output_folder, settings_key(identity, "features"))
    sheet_key = settings_key({"pictures": partial.key, "title": title, "units": units}, "features")
    with holding(options.output_folder, wait=60 * options.wait, say=say), stoppable() as stopper:
        if partial.is_complete(names.values()) and is_there(options.output, sheet_key):
            say(f"{options.output_folder} and {options.output} are there already.")
            return
        partial.begin()
        missing = _missing(partial, names)
        try:
            for unit, image in maximize_units(
                stored.network,
                path,
                (3, size, size),
                settings=settings,
                units=missing,
                seed=options.seed,
                device=device,
                progress=True,
            ):
                with stopper.deferred():
                    _save_picture(partial, names[unit], image)
        except StoppedError as stopped:
            done = sum(partial.noted(name) is not None for name in names.values())
            kept = f"{done} of {len(units)} units are done and kept; the same command goes on there"
            raise StoppedError(stopped.number, f"{stopped.reason}: {kept}") from None
        with stopper.deferred():
            _save_sheet(partial, names, title, options.output, sheet_key)
            partial.finish(names.values(), keep=True)
    say(f"{len(units)} units are in {options.output_folder}, and together on {options.output}.")


def _missing(partial: "PartialFolder", names: Mapping[int, str]) -> list[int]:
    """Return the units whose pictures are not there as they were written, and say how many are."""
    missing = [unit for unit, name in names.items() if not partial.is_sound(name)]
    if damaged := sum(partial.noted(names[unit]) is not None for unit in missing):
        say(f"{damaged} of {len(names)} units are damaged in {partial.path}: they are computed again.")
    if len(missing) < len(names):
        say(f"{len(names) - len(missing)} of {len(names)} units are there already.")
    return missing


def _save_picture(partial: "PartialFolder", name: str, image: "NDArray[np.float32]") -> None:
    from PIL import Image

    from featuresharing.figures.feature_sheet import feature_picture
    from featuresharing.files.partial import write_piece

    content = BytesIO()
    Image.fromarray(feature_picture(image)).save(content, format="PNG")
    partial.note(name, write_piece(partial.path / name, content.getvalue()))


def _save_sheet(partial: "PartialFolder", names: Mapping[int, str], title: str, output: Path, key: str) -> None:
    from featuresharing.data.images import read_image
    from featuresharing.figures.feature_sheet import plot_features
    from featuresharing.figures.saving import save_figure

    shown = {unit: read_image(partial.path / name) for unit, name in names.items()}
    note = "The image that drives each unit most. Its number: left + above."
    save_figure(plot_features(shown, title=title, note=note), output, key=key)
