"""The two archives of the paper made small: models written by Torch7, and pictures with the classes that they see."""

import io
import shutil
import tarfile
from pathlib import Path

import torch
from PIL import Image

from featuresharing import load_network
from featuresharing.data.class_maps import class_names, read_class_map
from featuresharing.data.images import read_inputs
from featuresharing.data.preprocessing import imagenet_preprocessing
from tests.support.commands import ROOT

FIXTURES = ROOT / "tests/fixtures/torch7"
MODELS = {
    "objectsvstext": ("alexnet-large-objectsvstextinthewild.t7", "alexnet67_cudnn_cuda.t7", "Object+Text"),
    "basicvssubord": ("alexnet-large-basicvssubord.t7", "alexnet67_flat_dirty.t7", "Basic+Subord"),
}
SIZE = 67
SMALL = {
    "images": {"image_size": SIZE},
    "network": {"channels": [6, 8, 10, 8, 8], "hidden": [24, 24]},
    "baseline": {"max_images": 6},
    "marginalization": {"samples": 10},
    "jobs": {"units": {"conv2": 5}},
    "lesions": {"steps": 3, "random_orders": 2},
    "sharing": {"resamples": 20},
    "figures": {"dpi": 60},
}


def pictures(folder: Path, count: int = 9) -> list[Path]:
    """Cut drawings out of the sheet, in several sizes and kinds of files."""
    sheet = Image.open(ROOT / "resources/drawings/drawings.png").convert("RGBA")
    folder.mkdir(parents=True)
    paths = []
    for index in range(count):
        cell = sheet.crop((64 * index, 0, 64 * index + 64, 64)).resize((60 + 9 * index, 80), Image.Resampling.BICUBIC)
        path = folder / f"a picture {index}.{'JPEG' if index % 2 else 'png'}"
        (cell.convert("RGB") if index % 2 else cell).save(path)
        paths.append(path)
    return paths


def tar(folder: Path, mode: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=f"w:{mode}") as file:
        for path in sorted(folder.iterdir()):
            file.add(path, path.name)
    return buffer.getvalue()


def make_archives(folder: Path, *, broken_image: bool = False) -> dict[str, bytes]:
    """Make the two archives of the paper: small models, and pictures with the classes that those see in them."""
    (folder / "models").mkdir(parents=True)
    paths = pictures(folder / "data/images/test")
    inputs = torch.from_numpy(read_inputs(paths, imagenet_preprocessing(SIZE)))
    for name, (model, fixture, lists) in MODELS.items():
        shutil.copy(FIXTURES / fixture, folder / "models" / model)
        shutil.copy(FIXTURES / "meta.t7", folder / f"models/meta.{name}.t7")
        numbers = list(class_names(read_class_map(FIXTURES / "meta.t7", ["a", "b"])).values())
        with torch.no_grad():
            seen = [scores.argmax(dim=1).tolist() for scores in load_network(FIXTURES / fixture)(inputs)]
        classes = [[names[index] for index in found] for names, found in zip(numbers, seen, strict=True)]
        classes[0][0] = next(other for other in numbers[0] if other != classes[0][0])  # one that is not right
        lines = [f"test/{path.name} {a},{b}\n" for path, a, b in zip(paths, *classes, strict=True)]
        target = folder / f"data/labels/{lists}/test.txt"
        target.parent.mkdir(parents=True)
        target.write_text("".join(lines))
    if broken_image:
        paths[3].write_bytes(paths[3].read_bytes()[:300])
    return {"models.tar.bz2": tar(folder / "models", "bz2"), "mtldataset_test.tar.gz": tar(folder / "data", "gz")}
