"""The plug-ins of docs/plugins.md, as files outside of the package: a format, and a source with its config."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]


def examples(title: str) -> list[str]:
    """Return what a section of the page shows."""
    sections = (ROOT / "docs/plugins.md").read_text().split("\n## ")
    (section,) = (section for section in sections if section.startswith(f"{title}\n"))
    return re.findall(r"^```\w+\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


def install_format(folder: Path) -> Path:
    """Write the format and the metadata of a distribution that names it; return the folder, for Python's path."""
    (example,) = examples("A format of networks")
    (folder / "toy_format.py").write_text(example)
    metadata = folder / "toy_format-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-format\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[featuresharing.formats]\ntoy = toy_format\n")
    return folder


def write_toy_network(path: Path, *, size: int = 8, change: Any = None) -> Path:
    """Write a network of five filters, for two tasks of 3 and 2 classes; ``change`` takes the place of a number."""
    rng = np.random.default_rng(0)
    heads = {"shape": rng.normal(size=(3, 5)).tolist(), "colour": rng.normal(size=(2, 5)).tolist()}
    if change is not None:
        heads["shape"][1][2] = change
    stored = {"toy": rng.normal(size=(5, 3, 3, 3)).tolist(), "heads": heads, "size": size}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(stored))
    return path


def write_toy_images(folder: Path, network: Path) -> Path:
    """Write eight images, a list that gives them the classes that a network sees, and the names of classes."""
    from PIL import Image

    from featuresharing import predict
    from featuresharing.data.images import read_inputs
    from featuresharing.networks.opening import open_network

    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(1)
    paths = [folder / f"{number}.png" for number in range(8)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)).save(path)
    stored = open_network(network)
    _, seen = predict(stored.network, read_inputs(paths, stored.preprocessing))
    classes = zip(*(scores.argmax(axis=1).tolist() for scores in seen), strict=True)
    lines = [f"{path} {shape},{colour}\n" for path, (shape, colour) in zip(paths, classes, strict=True)]
    (folder / "test.txt").write_text("".join(lines))
    rows = ["shape,0,round", "shape,1,flat", "shape,2,long", "colour,0,red", "colour,1,blue"]
    (folder / "classes.csv").write_text("\n".join(["task,index,name", *rows]) + "\n")
    return folder


def forget_format() -> None:
    """Forget the module of the format, which another test has in another folder."""
    sys.modules.pop("toy_format", None)
