"""Command ``visualize-units``: pictures of what drives the units of a layer; resumes at the next group of units."""

import argparse

from featuresharing.cli.figure_options import add_figure, read_page
from featuresharing.cli.options import (
    Commands,
    add_command,
    add_device,
    add_layer,
    add_network,
    add_wait,
    choose_device,
    named_folder,
    read_aliases,
    read_units,
    say,
    whole_range,
)
from featuresharing.cli.setting_options import add_seed, add_settings, read_settings
from featuresharing.settings import FeatureSettings
from featuresharing.settings.preprocessing_settings import RGB


def add_commands(commands: Commands) -> None:
    parser = add_command(
        commands, "visualize-units", _visualize, "find the image that drives each unit of a layer", torch=True
    )
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
    from featuresharing.networks.formats import digest_of_file
    from featuresharing.networks.opening import open_network
    from featuresharing.runs.picturing import Sheet, check_outputs, picture_layer, title_of
    from featuresharing.runs.subjects import NamedNetwork, choose_layer

    check_outputs(options.output_folder, options.output)
    stored = open_network(options.checkpoint, image_size=options.image_size)
    network = NamedNetwork(stored.network, digest_of_file(options.checkpoint), stored.step)
    layer = choose_layer(stored.network, options.layer, read_units(options), read_aliases(options))
    title = title_of(options.title or options.checkpoint.name, layer.name, stored.step)
    picture_layer(
        network,
        layer,
        stored.preprocessing.shape,
        options.output_folder,
        Sheet(options.output, title, read_page(options)),
        settings=read_settings(options, FeatureSettings),
        colour=getattr(stored.preprocessing, "colour", RGB),
        seed=options.seed,
        device=choose_device(options),
        wait=60 * options.wait,
        progress=True,
        say=say,
    )
