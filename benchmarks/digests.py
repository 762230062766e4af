"""Print a SHA-256 of the values of every result: two versions of the code give the same numbers if no line differs.

Runs the workflow, up to its tables, on tests/small.yaml, and on config/paper.yaml with small archives of the paper's
layout that a local web server gives, on the CPU; then prints a line for each column of a table, each dataset of an HDF5
file, each tensor of a network, each list and each folder of images, sorted by path. Only values count: line ends,
quotes, compression and attributes do not, and neither does where the folder is.
"""

import argparse
import csv
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from PIL import Image

from featuresharing import InputError, load_network

LEFT_OUT = {"archives", "benchmarks", "features", "figures", "logs"}
"""Folders of results that are drawn, measured in seconds, or fetched from elsewhere."""
SHARING = ("sharing", "overlap", "sharing_over_networks", "trends")
TARGETS = [f"results/tables/{name}.csv" for name in ("accuracy", "contributions", *SHARING, "lesions")]
"""Everything that is not a figure follows from these."""
PICTURES = {".png", ".jpg", ".jpeg"}


def sha256(values: Any) -> str:
    """Digest anything that JSON can hold."""
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()


def cell_value(cell: str) -> str:
    """Return a number's shortest form, so that 0.50 is 0.5; other cells as they are."""
    if "_" not in cell:  # Python takes 1_0 for ten
        with suppress(ValueError):
            return repr(float(cell))
    return cell


def array_digest(values: np.ndarray[Any, Any]) -> str:
    """Return dtype, shape and SHA-256 of an array, of numbers in any byte order or of strings."""
    if values.dtype.kind in "OSU":
        texts = [value.decode() if isinstance(value, bytes) else str(value) for value in values.ravel().tolist()]
        return f"text {list(values.shape)} {sha256(texts)}"
    content = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
    return f"{values.dtype.name} {list(values.shape)} {hashlib.sha256(content.tobytes()).hexdigest()}"


def table_digests(path: Path, folder: Path) -> Iterator[tuple[str, str]]:
    """Yield name and digest of each column of a CSV file; paths in it are taken relative to ``folder``."""
    with path.open(newline="", encoding="utf-8") as file:
        names, *rows = csv.reader(file)
    columns = zip(*rows, strict=True) if rows else [()] * len(names)
    for name, column in zip(names, columns, strict=True):
        yield name, sha256([cell_value(cell.replace(f"{folder}/", "")) for cell in column])


def store_digests(path: Path) -> Iterator[tuple[str, str]]:
    """Yield name and digest of each dataset of an HDF5 file."""
    found: dict[str, str] = {}

    def visit(name: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = array_digest(np.asarray(item[()]))

    with h5py.File(path) as file:
        file.visititems(visit)
    yield from found.items()


def network_digests(path: Path) -> Iterator[tuple[str, str]]:
    """Yield name and digest of each tensor of a network's state."""
    for name, tensor in load_network(path).state_dict().items():
        yield name, array_digest(tensor.detach().cpu().numpy())


def picture_digest(folder: Path) -> str:
    """Digest names, sizes and pixels of the pictures that are in a folder, in order of their names."""
    digest, count = hashlib.sha256(), 0
    for path in sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURES):
        with Image.open(path) as image:
            digest.update(json.dumps([path.name, image.mode, image.size]).encode() + image.tobytes())
        count += 1
    return f"{count} images {digest.hexdigest()}"


def file_digests(path: Path, folder: Path) -> Iterator[tuple[str, str]]:
    """Yield name and digest of everything in a file of results; the name is empty where the file is one thing."""
    if path.suffix == ".csv":
        yield from table_digests(path, folder)
    elif path.suffix == ".h5":
        yield from store_digests(path)
    elif path.suffix in {".pt", ".t7"}:
        yield from network_digests(path)
    elif path.suffix == ".txt":
        lines = path.read_text(encoding="utf-8").splitlines()
        yield "", sha256([line.replace(f"{folder}/", "") for line in lines])


def results_digests(results: Path) -> list[str]:
    """Return a line for everything in a folder of results, sorted; paths are relative to the folder that it is in."""
    results = results.resolve()
    folder = results.parent
    lines = []
    for path in results.rglob("*"):
        parts = path.relative_to(results).parts
        if parts[0] in LEFT_OUT or any(part.startswith(".") for part in parts):
            continue
        where = path.relative_to(folder).as_posix()
        if path.is_file():
            lines += [f"{where}{':' if name else ''}{name} {said}" for name, said in file_digests(path, folder)]
        elif any(inner.suffix.lower() in PICTURES for inner in path.iterdir()):
            lines.append(f"{where}/ {picture_digest(path)}")
    return sorted(lines)


def run_workflow(root: Path, folder: Path, cores: int, *configs: Path) -> None:
    """Make the tables with the workflow of the repository ``root``; what it says goes to a log beside the folder."""
    command = [
        *(str(Path(sys.executable).parent / "snakemake"), *TARGETS),
        *("--snakefile", str(root / "workflow/Snakefile"), "--directory", str(folder)),
        *("--workflow-profile", str(root / "workflow/profiles/default"), "--cores", str(cores)),
        *("--configfile", *map(str, configs), "--config", "device=cpu"),
    ]
    log = folder.with_suffix(".log")
    with log.open("w") as file:
        if subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, check=False).returncode:
            sys.exit(f"The workflow failed; {log} says why.")


def run_small(root: Path, folder: Path, cores: int) -> None:
    """Run the workflow on tests/small.yaml."""
    run_workflow(root, folder, cores, root / "tests/small.yaml")


def run_paper(root: Path, folder: Path, cores: int) -> None:
    """Run the paper's config on small archives that a local web server gives."""
    sys.path.insert(0, str(root))
    from tests.support.archive_server import Site, serving
    from tests.support.paper_archives import SMALL, make_archives

    with serving(Site(make_archives(folder / "made"))) as site:
        there = folder / "there.yaml"
        there.write_text(json.dumps(SMALL | {"archives": {"urls": [site.url]}}))
        run_workflow(root, folder, cores, root / "config/paper.yaml", there)


RUNS = {"paper": run_paper, "small": run_small}


def main() -> None:
    """Run what is asked for and print the digests."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("folder", type=Path, nargs="?", help="where to run; it must not exist or be empty")
    place.add_argument("--only", type=Path, metavar="RESULTS", help="digest this folder of results and run nothing")
    parser.add_argument(
        "--root", type=Path, default=Path(__file__).parent.parent, help="repository whose workflow is run"
    )
    parser.add_argument("--cores", type=int, default=2, help="cores that the workflow may use")
    options = parser.parse_args()
    if options.only:
        if not options.only.is_dir():
            parser.error(f"{options.only} is not a folder")
        print(*results_digests(options.only), sep="\n")
        return
    if options.folder.exists() and any(options.folder.iterdir()):
        parser.error(f"{options.folder} is not empty")
    root, lines = options.root.resolve(), []
    for name, run in RUNS.items():
        folder = options.folder.resolve() / name
        shutil.copytree(root / "config", folder / "config")
        run(root, folder, options.cores)
        lines += [f"{name}/{line}" for line in results_digests(folder / "results")]
    print(*lines, sep="\n")


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(str(error))
