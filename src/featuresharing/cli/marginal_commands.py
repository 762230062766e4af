"""Commands ``marginalize``, which computes conditionals of a layer's units and resumes, and ``merge-blocks``."""

import argparse
import glob
from dataclasses import asdict
from pathlib import Path

from featuresharing.cli.options import (
    Commands,
    add_command,
    add_device,
    add_layer,
    add_list,
    add_network,
    add_output,
    add_wait,
    choose_device,
    read_aliases,
    read_list,
    say,
    whole,
    whole_range,
)
from featuresharing.cli.setting_options import add_setting, add_settings
from featuresharing.errors import InputError
from featuresharing.runs.stopping import StoppedError, stoppable
from featuresharing.settings import LesionSettings, MarginalizationSettings


def add_commands(commands: Commands) -> None:
    parser = add_command(commands, "marginalize", _marginalize, "marginalize the units of one layer, one at a time")
    add_list(parser)
    add_network(parser)
    parser.add_argument("--experiment", required=True, help="name of the experiment, for the file's attributes")
    add_layer(parser)
    add_setting(
        parser,
        MarginalizationSettings,
        "estimator",
        help="prior-weighted, published, monte-carlo, quadrature or lesion",
    )
    add_settings(parser, MarginalizationSettings, "samples", "scale", "tolerance", "dtype", "storage", "seed")
    add_setting(parser, LesionSettings, "softmax", help="predictions, or with false the raw scores; of lesions only")
    parser.add_argument(
        "--units", type=whole_range, nargs="+", metavar="UNIT", help="units, such as 3 or 0-127 (none: all)"
    )
    parser.add_argument("--batch-size", type=whole(1), help="images in one pass (none: all)")
    parser.add_argument(
        "--memory", type=whole(1), metavar="MB", help="main memory for values (none: half of what is free); not a GPU's"
    )
    parser.add_argument("--engine", default="one-channel", help="one-channel, or plain for networks it cannot trace")
    parser.add_argument(
        "--reuse", type=Path, metavar="BASE", help="take units over from BASE.h5, files in BASE/, and their progress"
    )
    add_wait(parser)
    add_device(parser)
    add_output(parser, "HDF5 file of conditionals")

    parser = add_command(commands, "merge-blocks", _merge, "put files of some units each together to the layer's file")
    parser.add_argument("--blocks", type=Path, nargs="+", required=True, help="files of conditionals")
    add_output(parser, "HDF5 file of conditionals")


def _marginalize(options: argparse.Namespace) -> None:
    import numpy as np

    from featuresharing.analysis.conditionals import Marginalization
    from featuresharing.data.images import read_inputs
    from featuresharing.engine.memory import SHARE, free_memory
    from featuresharing.estimators.estimation import Estimation
    from featuresharing.files.atomic import file_digest
    from featuresharing.networks.layers import choose_units, find_layer, unit_count
    from featuresharing.networks.opening import check_fits, open_network
    from featuresharing.networks.predicting import predict
    from featuresharing.store import Layout, TaskData, UnitStore
    from featuresharing.version import NUMERICS, PACKAGE

    aliases = read_aliases(options)
    classes, images = read_list(options)
    stored = open_network(options.checkpoint, image_size=options.image_size)
    check_fits(options.checkpoint, stored, classes)
    path, module = find_layer(stored.network, options.layer, aliases)
    asked = None if options.units is None else [unit for units in options.units for unit in units]
    units = choose_units(module, options.layer, asked)
    estimation = Estimation(options.estimator, options.samples, options.scale, options.tolerance, options.seed)
    if not options.softmax and estimation.estimator != "lesion":
        raise InputError("--softmax: found false; false needs --estimator lesion.")
    device = choose_device(options)
    pixels = read_inputs(images.paths, stored.preprocessing)

    own = (
        {"estimator": "lesion", "softmax": options.softmax} if estimation.estimator == "lesion" else asdict(estimation)
    )
    settings = {
        **own,
        "dtype": options.dtype,
        "engine": options.engine,
        "layer": path,
        "network_sha256": file_digest(options.checkpoint),
        "images_sha256": file_digest(*images.paths),
        "numerics": NUMERICS["marginalization"],
    }
    attributes = {
        **settings,
        "alias": options.layer,
        "experiment": options.experiment,
        "checkpoint": options.checkpoint.stem,
        "step": stored.step,
        "tasks": list(classes),
        "code_version": PACKAGE,
        "device": device.partition(":")[0],
        "threads": options.threads,
    }
    _, predictions = predict(
        stored.network,
        pixels,
        batch_size=options.batch_size,
        device=device,
        softmax=options.softmax,
        dtype=options.dtype,
    )
    tasks = [
        TaskData(name, len(names), targets, probabilities.astype(np.float32, copy=False))
        for (name, names), targets, probabilities in zip(classes.items(), images.targets.T, predictions, strict=True)
    ]
    errors = {"monte-carlo": "standard_error", "quadrature": "error_estimate"}.get(estimation.estimator, "none")
    layout = Layout(tasks, options.storage, errors, options.softmax)
    store = UnitStore(
        options.output,
        layout,
        units=units,
        layer_units=unit_count(module),
        settings=settings,
        attributes=attributes,
        relatives=_relatives(options.reuse),
        wait=60 * options.wait,
        say=say,
    )
    with stoppable() as stopper, store:
        if store.is_complete() or store.put_back():
            say(f"{options.output} is there already, with all {len(units)} units.")
            store.clear()
            return
        # with the memory of an interrupted run, batches and with them all bits are those of that run
        given = None if device.startswith("cuda") else options.memory
        memory = int(SHARE * free_memory(device)) if given is None else given * 2**20
        memory = min(memory, store.recorded().get("memory", memory))
        run = Marginalization(
            stored.network,
            options.layer,
            pixels,
            estimation,
            softmax=options.softmax,
            units=units,
            aliases=aliases,
            batch_size=options.batch_size,
            device=device,
            dtype=options.dtype,
            memory=memory,
            engine=options.engine,
        )
        store.begin(step=run.step, conditions={"memory": memory})
        if done := store.units_done():
            say(f"{done} of {len(units)} units are there already.")
        try:
            for piece in run.pieces(step=store.step, done=store.is_done, progress=True):
                with stopper.deferred():
                    store.write(
                        piece.rows,
                        piece.images,
                        piece.probabilities,
                        effective_samples=piece.effective_samples,
                        skipped_mass=piece.skipped_mass,
                        standard_error=piece.standard_error,
                        error_estimate=piece.error_estimate,
                    )
            with stopper.deferred():
                store.finish()
        except StoppedError as stopped:
            kept = f"{store.units_done()} of {len(units)} units are done and kept; the same command goes on there"
            raise StoppedError(stopped.number, f"{stopped.reason}: {kept}") from None


def _merge(options: argparse.Namespace) -> None:
    from featuresharing.files.records import forget
    from featuresharing.files.second_names import keep_second_name
    from featuresharing.store import key_of, merge_conditionals, remove_progress
    from featuresharing.store.layer_files import read_fingerprint

    merge_conditionals(options.blocks, options.output)
    if merged := read_fingerprint(options.output):
        remove_progress(_relatives(options.output.with_suffix("")), *merged)
        keep_second_name(options.output, key_of(*merged))
    for block in options.blocks:
        forget(block)  # Snakemake removes it now


def _relatives(base: Path | None) -> list[Path]:
    """Return the files of a layer, whole or cut into blocks: final ones, their hidden names, and progress."""
    if base is None:
        return []
    whole = base.with_name(f"{base.name}.h5")
    hidden = [*base.parent.glob(f".{glob.escape(whole.name)}.*"), *base.glob(".*")]
    known = [path for path in hidden if path.suffix in (".progress", ".done")]
    return [path for path in (whole, *sorted(base.glob("*.h5")), *sorted(known)) if path.exists()]
