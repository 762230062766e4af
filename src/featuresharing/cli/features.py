"""Command ``visualize-units``: pictures of what drives the units of a layer; resumes at the next group of units."""

import argparse
import glob
import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from featuresharing.cli.options import (
    Commands,
    add_command,
    add_device,
    add_layer,
    add_network,
    add_output,
    choose_device,
    number,
    read_aliases,
    say,
    whole,
    whole_range,
)
from featuresharing.runs.stopping import StoppedError, stoppable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def add_commands(commands: Commands) -> None:
    parser = add_command(commands, "visualize-units", _visualize, "find the image that drives each unit of a layer")
    add_network(parser)
    add_layer(parser)
    parser.add_argument("--title", help="first words above the sheet (none: the file of the network)")
    parser.add_argument(
        "--units", type=whole_range, nargs="+", metavar="UNIT", help="units, such as 3 or 0-127 (none: all)"
    )
    parser.add_argument("--iterations", type=whole(1), default=500, help="steps that an image climbs")
    parser.add_argument("--step", type=number(0), default=1.0, help="by so many times the gradient each")
    parser.add_argument("--decay", type=number(0, 1), default=0.2, help="share that pixels lose at each")
    parser.add_argument("--blur-every", type=whole(1), default=4, help="steps from one blur to the next")
    parser.add_argument("--seed", type=whole(0), default=0, help="seed of the noise at the start")
    add_device(parser)
    parser.add_argument("--output-folder", type=Path, required=True, help="gets a PNG file of each unit, 0000.png on")
    add_output(parser, "PNG file of all units, the sheet")


def _visualize(options: argparse.Namespace) -> None:
    from featuresharing.data.images import read_image
    from featuresharing.figures.features import plot_features
    from featuresharing.figures.saving import save_figure
    from featuresharing.files import check_free, file_digest
    from featuresharing.networks.checkpoints import open_network
    from featuresharing.networks.layers import choose_units, find_layer
    from featuresharing.networks.maximization import Maximization, maximize_units
    from featuresharing.version import NUMERICS

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
        "numerics": NUMERICS,
    }
    with stoppable():
        work = _begin(options.output_folder, identity)
        pictures = {unit: work / f"{unit:04d}.png" for unit in units}
        missing = [unit for unit, picture in pictures.items() if not picture.exists()]
        if len(missing) < len(units):
            say(f"{len(units) - len(missing)} of {len(units)} units are there already.")
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
                _save_picture(pictures[unit], image)
        except StoppedError as stopped:
            done = sum(picture.exists() for picture in pictures.values())
            kept = f"{done} of {len(units)} units are done and kept; the same command goes on there"
            raise StoppedError(stopped.number, f"{stopped.reason}: {kept}") from None
        title = f"{options.title or options.checkpoint.name}: {options.layer}"
        if stored.step >= 0:
            title += f" after {stored.step} training steps"
        shown = {unit: read_image(picture) for unit, picture in pictures.items()}
        sheet = plot_features(
            shown, title=title, note="The image that drives each unit most. Its number: left + above."
        )
        save_figure(sheet, options.output)
        _finish(work, options.output_folder, pictures)
    say(f"{len(units)} units are in {options.output_folder}, and together on {options.output}.")


def _begin(folder: Path, identity: Mapping[str, object]) -> Path:
    """Return the hidden folder of these settings' pictures; those of other settings are deleted."""
    key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
    work = folder.with_name(f".{folder.name}.{key}.pictures")
    for other in folder.parent.glob(f".{glob.escape(folder.name)}.*.pictures"):
        if other != work:
            shutil.rmtree(other)
    return work


def _save_picture(path: Path, image: "NDArray[np.float32]") -> None:
    from PIL import Image

    from featuresharing.figures.features import feature_picture
    from featuresharing.files import replacing

    with replacing(path) as temporary:
        Image.fromarray(feature_picture(image)).save(temporary, format="PNG")


def _finish(work: Path, folder: Path, pictures: Mapping[int, Path]) -> None:
    """Give the pictures their final name; those of units that were not asked for now are left out."""
    for other in set(work.iterdir()) - set(pictures.values()):
        other.unlink()
    if folder.exists():
        shutil.rmtree(folder)
    work.rename(folder)
