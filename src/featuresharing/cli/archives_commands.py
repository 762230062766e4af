"""Commands for archives of models and images: ``download``, ``extract``, ``import-list`` and ``import-model``."""

import argparse
import sys
from pathlib import Path

from featuresharing.cli.options import Commands, add_command, add_output, image_size, say
from featuresharing.cli.setting_options import add_settings, read_settings
from featuresharing.errors import InputError, quoted
from featuresharing.settings import ArchiveFile, DownloadSettings, ExtractionSettings


def add_commands(commands: Commands) -> None:
    parser = add_command(commands, "download", _download, "download a file, resumed where a download was interrupted")
    parser.add_argument("--urls", nargs="+", required=True, help="mirrors, in the order in which they are tried")
    add_settings(parser, ArchiveFile, "size", "sha256")
    add_settings(parser, DownloadSettings, "attempts")
    add_output(parser, "the file; if it is there, it is only checked")

    parser = add_command(commands, "extract", _extract, "check a tar archive and extract it safely")
    parser.add_argument("--archive", type=Path, required=True, help="tar archive, compressed or not")
    add_settings(parser, ArchiveFile, "size", "sha256")
    add_settings(parser, ExtractionSettings, "most_gb")
    parser.add_argument("--output-folder", type=Path, required=True, help="gets what is in the archive, all or nothing")

    parser = add_command(commands, "import-list", _import_list, "turn a list of class numbers into one of outputs")
    parser.add_argument("--list", type=Path, required=True, help="image list, 'path a,b' a line, with class numbers")
    parser.add_argument("--images", type=Path, required=True, help="folder that paths of the list are relative to")
    parser.add_argument("--class-map", type=Path, required=True, help="Torch7 file with classToIdx of every task")
    parser.add_argument("--tasks", nargs="+", required=True, help="names of the tasks, in the order of the heads")
    parser.add_argument("--output-folder", type=Path, required=True, help="gets test.txt and classes.csv")

    parser = add_command(commands, "import-model", _import_model, "check a network and copy it", torch=True)
    parser.add_argument("--model", type=Path, required=True, help="network")
    parser.add_argument("--classes", type=Path, required=True, help="table of classes that its heads have to have")
    parser.add_argument("--image-size", type=image_size, default=224, help="pixels of its images")
    parser.add_argument(
        "--layers", nargs="+", default=[], metavar="PATH=UNITS", help="layers that it has to have, with their units"
    )
    add_output(parser, "the copy")


def _download(options: argparse.Namespace) -> None:
    from featuresharing.fetch.downloads import download

    digest = download(
        options.urls,
        options.output,
        size=options.size,
        sha256=options.sha256,
        settings=read_settings(options, DownloadSettings, "attempts"),
        show=sys.stderr.isatty(),
    )
    say(f"{options.output} is there, with SHA-256 {digest}.")


def _extract(options: argparse.Namespace) -> None:
    from featuresharing.fetch.checksums import check_archive, forget_record
    from featuresharing.fetch.extraction import DamagedArchiveError, extract
    from featuresharing.files.atomic import check_free

    limits = read_settings(options, ExtractionSettings, "most_gb")
    check_free(options.output_folder)
    check_archive(options.archive, size=options.size, sha256=options.sha256)
    try:
        count = extract(options.archive, options.output_folder, most_bytes=limits.most_bytes)
    except DamagedArchiveError:
        forget_record(options.archive)
        raise
    say(f"{count} files of {options.archive} are in {options.output_folder}.")


def _import_list(options: argparse.Namespace) -> None:
    import os

    from featuresharing.data.class_maps import class_names, read_class_map, read_numbered_list
    from featuresharing.data.lists import write_classes, write_image_list

    class_map = read_class_map(options.class_map, options.tasks)
    images = read_numbered_list(options.list, options.images, class_map)
    if missing := next((path for path in images.paths if not os.path.isfile(path)), None):  # of names of any length
        raise InputError(f"{options.list}: image {missing} does not exist; accepted are images that are there.")
    write_classes(options.output_folder / "classes.csv", class_names(class_map))
    write_image_list(options.output_folder / "test.txt", images.paths, images.targets)


def _import_model(options: argparse.Namespace) -> None:
    import shutil

    from featuresharing.data.lists import read_classes
    from featuresharing.files.atomic import replacing
    from featuresharing.networks.layers import find_layer, unit_count
    from featuresharing.networks.opening import check_fits, open_network

    stored = open_network(options.model, image_size=options.image_size)
    for pair in options.layers:
        path, _, units = pair.rpartition("=") if "=" in pair else (pair, "", "")
        if units and not (units.isascii() and units.isdecimal()):
            raise InputError(f"--layers: found {quoted(pair)}; accepted is PATH=UNITS, such as 0.0.0=96.")
        _, layer = find_layer(stored.network, path)
        if units and unit_count(layer) != int(units):
            raise InputError(
                f"model {options.model}: layer '{path}' has {unit_count(layer)} units; accepted are {units}, as the "
                "config's network has."
            )
    check_fits(options.model, stored, read_classes(options.classes))
    with replacing(options.output, room=options.model.stat().st_size) as temporary:
        shutil.copyfile(options.model, temporary)
