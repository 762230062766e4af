"""The command ``marginalize``: conditionals of one layer into an HDF5 file, resumed where it stopped."""

import argparse
from dataclasses import asdict
from pathlib import Path

from featuresharing.cli.options import (
    Commands,
    add_command,
    add_device,
    add_list,
    add_output,
    choose_device,
    number,
    read_list,
    whole,
)
from featuresharing.errors import InputError


def add_commands(commands: Commands) -> None:
    parser = add_command(commands, "marginalize", _marginalize, "marginalize the units of one layer, one at a time")
    add_list(parser)
    parser.add_argument("--checkpoint", type=Path, required=True, help="network")
    parser.add_argument("--experiment", required=True, help="name of the experiment, for the file's attributes")
    parser.add_argument("--layer", required=True, help="alias or module path")
    parser.add_argument("--aliases", nargs="*", default=[], metavar="NAME=PATH", help="aliases of module paths")
    parser.add_argument("--estimator", default="prior-weighted", help="prior-weighted, monte-carlo or quadrature")
    parser.add_argument("--samples", type=whole(1), default=100, help="draws from the prior of each unit")
    parser.add_argument("--scale", type=number(0), default=1.0, help="standard deviation of the prior")
    parser.add_argument(
        "--tolerance", type=number(0, 1), default=1e-6, help="largest weight of draws left out, or error of quadrature"
    )
    parser.add_argument("--seed", type=whole(0), default=0, help="seed of the draws")
    parser.add_argument("--units", type=whole(0), nargs="+", help="units (none: all)")
    parser.add_argument("--batch-size", type=whole(1), help="images in one pass (none: all)")
    parser.add_argument("--dtype", default="float32", help="float32 or float64")
    parser.add_argument("--memory", type=whole(1), metavar="MB", help="working set (none: half of what is free)")
    parser.add_argument("--engine", default="one-channel", help="one-channel, or plain for networks it cannot trace")
    parser.add_argument("--storage", default="true-class", help="true-class, or full for every class")
    add_device(parser)
    add_output(parser, "HDF5 file of conditionals")


def _marginalize(options: argparse.Namespace) -> None:
    from featuresharing.data.images import load_images, normalise
    from featuresharing.files import file_digest
    from featuresharing.marginal.conditionals import iterate_units
    from featuresharing.marginal.estimation import Estimation
    from featuresharing.marginal.layers import choose_units, find_layer
    from featuresharing.networks.checkpoints import check_fits, load_checkpoint
    from featuresharing.networks.forward import predict
    from featuresharing.store import TaskData, UnitStore
    from featuresharing.version import NUMERICS, PACKAGE

    aliases = _parse_aliases(options.aliases)
    classes, images = read_list(options)
    checkpoint = load_checkpoint(options.checkpoint)
    check_fits(options.checkpoint, checkpoint, list(classes.values()))
    path, module = find_layer(checkpoint.network, options.layer, aliases)
    units = choose_units(module, options.layer, options.units)
    estimation = Estimation(options.estimator, options.samples, options.scale, options.tolerance, options.seed)
    device = choose_device(options)
    pixels = normalise(load_images(images.paths, size=checkpoint.shape.image_size))

    run = {
        "batch_size": options.batch_size,
        "device": device,
        "dtype": options.dtype,
        "engine": options.engine,
        "memory": None if options.memory is None else options.memory * 2**20,
    }
    settings = {
        **asdict(estimation),
        "dtype": options.dtype,
        "engine": options.engine,
        "layer": path,
        "network_sha256": file_digest(options.checkpoint),
        "images_sha256": file_digest(*images.paths),
        "numerics": NUMERICS,
    }
    attributes = {
        **settings,
        "alias": options.layer,
        "experiment": options.experiment,
        "checkpoint": options.checkpoint.stem,
        "step": checkpoint.step,
        "tasks": list(classes),
        "code_version": PACKAGE,
    }
    _, predictions = predict(checkpoint.network, pixels, batch_size=options.batch_size, device=device)
    tasks = [
        TaskData(name, len(names), targets, probabilities)
        for (name, names), targets, probabilities in zip(classes.items(), images.targets.T, predictions, strict=True)
    ]
    errors = {"monte-carlo": "standard_error", "quadrature": "error_estimate"}.get(estimation.estimator, "none")
    with UnitStore(
        options.output, units=units, tasks=tasks, settings=settings, storage=options.storage, errors=errors
    ) as store:
        if store.restarted:
            print(f"{store.restarted}: starting afresh.", flush=True)
        missing = store.missing()
        if len(missing) < len(units):
            print(f"{len(units) - len(missing)} of {len(units)} units are there already.", flush=True)
        for result in iterate_units(
            checkpoint.network, options.layer, pixels, estimation, units=missing, aliases=aliases, **run, progress=True
        ):
            store.write(
                result.unit,
                result.probabilities,
                effective_samples=result.effective_samples,
                skipped_mass=result.skipped_mass,
                standard_error=result.standard_error,
                error_estimate=result.error_estimate,
            )
        store.finish(attributes)


def _parse_aliases(pairs: list[str]) -> dict[str, str]:
    aliases = {}
    for pair in pairs:
        name, sign, path = pair.partition("=")
        if not (name and sign and path):
            raise InputError(f"--aliases: found '{pair}'; accepted is NAME=PATH, such as conv5=0.0.10.")
        aliases[name] = path
    return aliases
