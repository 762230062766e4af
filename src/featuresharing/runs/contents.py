"""What is wrong with a file of results by what it holds, whoever wrote it: one check for each kind of :mod:`.kinds`."""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from featuresharing.errors import InputError


def problems_of_second_name(path: Path, folder: Path) -> Iterable[str]:
    """Yield what is wrong with a second name, unless it is of the same file as its output, which is checked itself."""
    output = _output_of(path)
    if output is None or (output.exists() and os.path.samefile(path, output)):
        return
    if output.suffix == ".h5":
        yield from _wrong_conditionals_of_any_network(path, whole=False)
    elif output.suffix == ".csv":
        yield from problems_of_table(path, folder)
    elif output.suffix == ".pt":
        yield from problems_of_checkpoint(path, folder)
    else:
        yield from problems_of_picture(path, folder)


def _output_of(path: Path) -> Path | None:
    """Return the output that a second name is of; None for a name of another form."""
    place = path.parent
    if place.parent.name == ".progress":
        return place.parent.parent / path.name
    for part in (path, *path.parents):
        if found := re.fullmatch(r"\.(.+)\.[0-9a-f]+\.done", part.name, flags=re.DOTALL):
            return part.with_name(found[1]) / path.relative_to(part)
    return None


def problems_of_part(path: Path, folder: Path) -> Iterable[str]:
    """Say that a file was left behind."""
    yield f"{path} was left behind by a process that was killed; the next run of its job removes it."


def problems_of_progress(path: Path, folder: Path) -> Iterable[str]:
    """Yield what is wrong with conditionals in progress."""
    from featuresharing.store import soundness

    return soundness.problems_of_progress(path)


def problems_of_measured(path: Path, folder: Path) -> Iterable[str]:
    """Yield what is wrong with measurements of lesion curves."""
    from featuresharing.runs.measurements import damaged_lines

    if damaged := damaged_lines(path):
        yield f"{path}: {damaged} lines are damaged; the next run measures their orders again."


def problems_of_hdf5(path: Path, folder: Path) -> Iterable[str]:
    """Yield what is wrong with conditionals, or with predictions."""
    from featuresharing.networks.predictions import read_predictions
    from featuresharing.store import soundness

    try:
        if soundness.is_conditionals(path):
            attributes = soundness.attributes_of(path)
            block = path.parent.name == f"{attributes.get('alias')}_{attributes.get('checkpoint')}"
            yield from _wrong_conditionals_of_any_network(path, whole=not block)
            yield from _wrong_network(path, folder)
        else:
            read_predictions(path)
    except InputError as error:
        yield str(error)


def _wrong_conditionals_of_any_network(path: Path, *, whole: bool) -> Iterable[str]:
    from featuresharing.store import soundness

    return soundness.problems_of_final(path, whole=whole)


def _wrong_network(path: Path, folder: Path) -> Iterator[str]:
    """Say so if the network that conditionals were computed from is another one now."""
    from featuresharing.files.records import refuse_changed
    from featuresharing.hdf5.attributes import replicate_of
    from featuresharing.replicates import network_label
    from featuresharing.store import soundness

    attributes = soundness.attributes_of(path)
    networks = folder / "networks" / network_label(str(attributes.get("experiment")), replicate_of(attributes))
    name = str(attributes.get("checkpoint"))
    network = next((each for each in networks.glob("[!.]*") if each.stem == name and each.is_file()), None)
    try:
        if network is None or _digest_of_network(network) == attributes.get("network_sha256"):
            return
        refuse_changed(network)
    except InputError:
        return  # its own line says so
    yield f"{path} was computed from another network than {network} is now."


def _digest_of_network(path: Path) -> str:
    """Return the digest of a network's files; of a file of no known format, its own."""
    from featuresharing.files.atomic import file_digest
    from featuresharing.networks.formats import digest_of_file

    try:
        return digest_of_file(path)
    except InputError:
        return file_digest(path)


def problems_of_picture(path: Path, folder: Path) -> Iterable[str]:
    """Yield what is wrong with a picture."""
    from PIL import Image

    from featuresharing.data.decoding import FORMATS

    try:
        with Image.open(path, formats=FORMATS) as picture:
            for frame in range(getattr(picture, "n_frames", 1)):
                picture.seek(frame)
                picture.load()
    except Exception as error:  # on damaged files, Pillow's decoders raise nearly anything
        yield f"{path} is no complete picture ({error})."


def problems_of_checkpoint(path: Path, folder: Path) -> Iterable[str]:
    """Yield what is wrong with a checkpoint."""
    from zipfile import BadZipFile, ZipFile

    try:
        with ZipFile(path) as archive:
            if spoilt := archive.testzip():
                yield f"{path} is damaged in {spoilt}."
    except (BadZipFile, OSError) as error:
        yield f"{path} is no complete checkpoint ({error})."


def problems_of_torch7(path: Path, folder: Path) -> Iterable[str]:
    """Yield what is wrong with a network, or a class map, of Torch7."""
    from featuresharing.torch7 import read_torch7

    try:
        read_torch7(path)
    except InputError as error:
        yield str(error)


def problems_of_network(path: Path, folder: Path) -> Iterable[str]:
    """Yield what is wrong with a network of any format."""
    from featuresharing.networks.opening import load_network

    try:
        load_network(path)
    except InputError as error:
        yield str(error)


def problems_of_probes(path: Path, folder: Path) -> Iterable[str]:
    """Yield what is wrong with a file of probes."""
    from featuresharing.networks.probes import read_probes

    try:
        read_probes(path)
    except InputError as error:
        yield str(error)


def problems_of_table(path: Path, folder: Path) -> Iterable[str]:
    """Yield what is wrong with a table: its rows, and the values of a kind that the column dictionary has."""
    from featuresharing.data.columns import tables_of
    from featuresharing.data.table_files import check_table

    kinds = tables_of(PurePosixPath("results", path.relative_to(folder).as_posix()))
    try:
        check_table(path, kinds)
    except InputError as error:
        yield str(error)


def problems_of_list(path: Path, folder: Path) -> Iterable[str]:
    """Yield what is wrong with an image list: its form, its classes, and whether its images are there."""
    from featuresharing.data.lists import read_classes, read_image_list

    try:
        _, experiment, *_ = path.relative_to(folder).parts
        classes = read_classes(folder / "lists" / experiment / "classes.csv")
        read_image_list(path, list(classes.values()))
    except InputError as error:
        yield str(error)


def problems_of_config(path: Path, folder: Path) -> Iterable[str]:
    """Yield what is wrong with a config."""
    from featuresharing.settings.configfiles import check_config_files

    try:
        check_config_files([path])
    except InputError as error:
        yield str(error)
