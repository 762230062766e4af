"""Commands ``marginalize``, which computes conditionals of a layer's units and resumes, and ``merge-blocks``."""

import argparse
from dataclasses import fields
from pathlib import Path

from featuresharing.cli.options import (
    Commands,
    add_command,
    add_device,
    add_layer,
    add_list,
    add_network,
    add_output,
    add_replicate,
    add_wait,
    choose_device,
    list_files,
    read_aliases,
    read_memory,
    read_units,
    say,
    whole,
    whole_range,
)
from featuresharing.cli.setting_options import add_setting, add_settings
from featuresharing.estimators.registry import builtin_names
from featuresharing.settings import EvidenceSettings, LesionSettings, MarginalizationSettings


def add_commands(commands: Commands) -> None:
    parser = add_command(
        commands, "marginalize", _marginalize, "marginalize the units of one layer, one at a time", torch=True
    )
    add_list(parser)
    add_network(parser)
    parser.add_argument("--experiment", required=True, help="name of the experiment, for the file's attributes")
    add_replicate(parser)
    add_layer(parser)
    add_setting(
        parser,
        MarginalizationSettings,
        "estimator",
        help=f"{', '.join(builtin_names())}, or one that an installed package adds",
    )
    add_settings(parser, MarginalizationSettings, "samples", "scale", "tolerance", "tolerance_bits")
    add_setting(parser, EvidenceSettings, "laplace", help="Laplace correction that --tolerance-bits is about")
    add_settings(parser, MarginalizationSettings, "dtype", "engine", "storage", "seed")
    add_setting(parser, LesionSettings, "softmax", help="predictions, or with false the raw scores; of lesions only")
    parser.add_argument(
        "--units", type=whole_range, nargs="+", metavar="UNIT", help="units, such as 3 or 0-127 (none: all)"
    )
    parser.add_argument("--batch-size", type=whole(1), help="images in one pass (none: all)")
    parser.add_argument(
        "--memory", type=whole(1), metavar="MB", help="main memory for values (none: half of what is free); not a GPU's"
    )
    parser.add_argument(
        "--reuse",
        type=Path,
        nargs="+",
        default=[],
        metavar="PATH",
        help="take units over from such files, which need not be there, from files in such folders, and their progress",
    )
    add_wait(parser)
    add_device(parser)
    add_output(parser, "HDF5 file of conditionals")

    parser = add_command(commands, "merge-blocks", _merge, "put files of some units each together to the layer's file")
    parser.add_argument("--blocks", type=Path, nargs="+", required=True, help="files of conditionals")
    add_output(parser, "HDF5 file of conditionals")


def _marginalize(options: argparse.Namespace) -> None:
    from featuresharing.computation import Computation
    from featuresharing.estimators.estimation import Estimation
    from featuresharing.runs.marginalizing import Method, marginalize_subject
    from featuresharing.runs.subjects import Origin, choose_layer, subject_of_files

    aliases = read_aliases(options)
    subject = subject_of_files(options.checkpoint, list_files(options), image_size=options.image_size)
    layer = choose_layer(subject.network, options.layer, read_units(options), aliases)
    estimation = Estimation(**{field.name: getattr(options, field.name) for field in fields(Estimation)})
    device = choose_device(options)
    computation = Computation(device, options.dtype, read_memory(options, device), options.batch_size, options.engine)
    marginalize_subject(
        subject,
        layer,
        options.output,
        Method(estimation, computation, options.softmax, options.storage),
        Origin(options.experiment, options.checkpoint.stem, options.replicate),
        reuse=options.reuse,
        wait=60 * options.wait,
        progress=True,
        say=say,
    )


def _merge(options: argparse.Namespace) -> None:
    from featuresharing.runs.merging import merge_blocks

    merge_blocks(options.blocks, options.output)
