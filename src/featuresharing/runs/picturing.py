"""Pictures of what drives the units of a layer, into a folder and a sheet: resumed at the next group of units."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from featuresharing.analysis.maximization import maximize_units
from featuresharing.arguments import as_path, kind_of
from featuresharing.data.images import read_image
from featuresharing.data.preprocessing import ImageSize
from featuresharing.data.preprocessing import image_shape as as_shape
from featuresharing.errors import InputError
from featuresharing.figures.feature_sheet import feature_picture, plot_features
from featuresharing.figures.saving import save_figure
from featuresharing.figures.style import SCREEN, Page
from featuresharing.files.atomic import check_free, check_place
from featuresharing.files.identity import Identity
from featuresharing.files.locks import holding
from featuresharing.files.partial import PartialFolder, write_piece
from featuresharing.files.second_names import is_there
from featuresharing.networks.layers import Units
from featuresharing.runs.status_report import duration_in_words
from featuresharing.runs.stopping import Say, stoppable
from featuresharing.runs.subjects import ChosenLayer, NamedNetwork, Network, choose_layer, named_network
from featuresharing.settings import Config, FeatureSettings
from featuresharing.settings.preprocessing_settings import BGR, RGB

OURS = r"\d{4,}\.png|\.snakemake_timestamp"
"""What a folder of pictures may hold that is replaced."""

NOTE = "The image that drives each unit most. Its number: left + above."


@dataclass(frozen=True)
class Sheet:
    """The figure of all pictures: its file, its title, and the page that it is drawn for."""

    output: Path
    title: str
    page: Page = SCREEN


def picture_units(
    network: Network,
    layer: str,
    image_shape: ImageSize,
    folder: Path | str,
    sheet: Path | str,
    *,
    settings: FeatureSettings | None = None,
    units: Units | None = None,
    seed: int = Config.seed,
    device: str = "cpu",
    aliases: Mapping[str, str] | None = None,
    title: str | None = None,
    wait: float = 0.0,
    progress: bool = False,
    say: Say = print,
) -> None:
    """Write a PNG of the image that drives each unit of a layer into ``folder``, and all together on ``sheet``.

    Images have a shape [C, H, W], or so many pixels a side in RGB. Whatever ends the process, the same call goes on at
    the next group of units. Before it starts, it says about how long it will take. ``title`` stands above the sheet
    (None: the layer). Other arguments are those of :func:`featuresharing.maximize_units` and
    :func:`featuresharing.marginalize_to_file`. Raises InputError as the first does, for a folder that holds other
    files, and for a sheet in the folder.

    >>> settings = FeatureSettings(iterations=10)
    >>> picture_units(pictured, "0", 8, "units", "units.png", settings=settings)  # doctest: +ELLIPSIS
    features of 0: 4 units, 10 iterations: about ... s.
    4 units are in units, and together on units.png.
    >>> sorted(path.name for path in Path("units").glob("*.png"))
    ['0000.png', '0001.png', '0002.png', '0003.png']
    """
    if not isinstance(settings, FeatureSettings | None):
        raise InputError(f"settings: found {kind_of(settings)}; accepted are FeatureSettings.")
    place, drawn_on = as_path("folder", folder), as_path("sheet", sheet)
    shape = as_shape(image_shape, "image_shape")
    named = named_network(network, image_size=shape)
    chosen = choose_layer(named.network, layer, units, aliases)
    drawn = Sheet(drawn_on, layer if title is None else title)
    picture_layer(
        named,
        chosen,
        shape,
        place,
        drawn,
        settings=settings or FeatureSettings(),
        seed=seed,
        device=str(device),
        wait=wait,
        progress=progress,
        say=say,
    )


def picture_layer(
    network: NamedNetwork,
    layer: ChosenLayer,
    image_shape: tuple[int, ...],
    folder: Path,
    sheet: Sheet,
    *,
    settings: FeatureSettings,
    colour: str = RGB,
    seed: int,
    device: str,
    wait: float = 0.0,
    progress: bool = False,
    say: Say = print,
) -> None:
    """Do what :func:`picture_units` does with a network and a layer that are there.

    ``colour`` is the order of the channels: pictures are in RGB.
    """
    check_outputs(folder, sheet.output)
    values: dict[str, Any] = {**asdict(settings), "seed": seed, "layer": layer.path}
    values |= {"image_size": _named_shape(image_shape)} | ({"colour": colour} if colour == BGR else {})
    values |= {"device": device.partition(":")[0], "network_sha256": network.sha256}
    units = sorted(set(layer.units))
    names = {unit: f"{unit:04d}.png" for unit in units}
    partial = PartialFolder(folder, Identity("features", values).key)
    on_sheet = {"pictures": partial.key, "title": sheet.title, "units": units, "page": asdict(sheet.page)}
    key = Identity("features", on_sheet).key
    with stoppable(lambda: _kept(partial, names)) as stopper, holding(folder, wait=wait, say=say):
        if partial.is_complete(names.values()) and is_there(sheet.output, key):
            say(f"{folder} and {sheet.output} are there already.")
            return
        partial.begin()
        missing = _missing(partial, names, say)
        for unit, image in maximize_units(
            network.network,
            layer.path,
            image_shape,
            settings=settings,
            units=missing,
            seed=seed,
            device=device,
            progress=progress,
            foretell=lambda seconds: say(_foretold(layer.name, missing, settings, seconds)),
        ):
            with stopper.deferred():
                _save_picture(partial, names[unit], image[::-1] if colour == BGR else image)
        with stopper.deferred():
            _save_sheet(partial, names, sheet, key)
            partial.finish(names.values(), keep=True)
    say(f"{len(units)} units are in {folder}, and together on {sheet.output}.")


def _named_shape(shape: tuple[int, ...]) -> int | list[int]:
    """Return what stands for a shape in identities: of square RGB images it always was one number."""
    return shape[1] if shape == as_shape(shape[-1]) else list(shape)


def title_of(name: str, layer: str, step: int) -> str:
    """Return the title of a sheet of a network called ``name``, after so many training steps, if these are known."""
    return f"{name}: {layer}" + (f" after {step} training steps" if step >= 0 else "")


def check_outputs(folder: Path, sheet: Path) -> None:
    """Raise InputError for a folder with other files than pictures, and a sheet that lies in it or is a folder."""
    if folder.resolve() in (sheet.resolve(), *sheet.resolve().parents):
        raise InputError(
            f"sheet: found {sheet}, in the folder {folder}; accepted is a name beside that of the pictures."
        )
    check_place(sheet)
    check_free(folder, ours=OURS)


def _foretold(layer: str, units: Sequence[int], settings: FeatureSettings, seconds: float) -> str:
    counts = f"{len(units)} units, {settings.iterations} iterations"
    return f"features of {layer}: {counts}: about {duration_in_words(max(seconds, 1))}."


def _kept(partial: PartialFolder, names: Mapping[int, str]) -> str:
    done = sum(partial.noted(name) is not None for name in names.values())
    return f"{done} of {len(names)} units are done and kept"


def _missing(partial: PartialFolder, names: Mapping[int, str], say: Say) -> list[int]:
    """Return the units whose pictures are not there as they were written, and say how many are."""
    missing = [unit for unit, name in names.items() if not partial.is_sound(name)]
    if damaged := sum(partial.noted(names[unit]) is not None for unit in missing):
        say(f"{damaged} of {len(names)} units are damaged in {partial.path}: they are computed again.")
    if len(missing) < len(names):
        say(f"{len(names) - len(missing)} of {len(names)} units are there already.")
    return missing


def _save_picture(partial: PartialFolder, name: str, image: NDArray[np.float32]) -> None:
    content = BytesIO()
    Image.fromarray(feature_picture(image)).save(content, format="PNG")
    partial.note(name, write_piece(partial.path / name, content.getvalue()))


def _save_sheet(partial: PartialFolder, names: Mapping[int, str], sheet: Sheet, key: str) -> None:
    shown = {unit: read_image(partial.path / name) for unit, name in names.items()}
    save_figure(plot_features(shown, title=sheet.title, note=NOTE, page=sheet.page), sheet.output, key=key)
