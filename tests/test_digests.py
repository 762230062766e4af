"""Digests of results: equal for equal values, whatever holds them, and others for other values."""

import hashlib
import json
import runpy
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import requests
from PIL import Image

from featuresharing import load_network
from tests.support.commands import ROOT

FIXTURES = ROOT / "tests/fixtures/torch7"
NETWORK, OTHER_NETWORK = "alexnet67_cudnn_cuda.t7", "alexnet224_float.t7"
SCRIPT = runpy.run_path(str(ROOT / "benchmarks/digests.py"))
results_digests = SCRIPT["results_digests"]


def write_results(folder: Path, *, plain: bool, change: str = "") -> Path:
    """Write the same values in one of two ways, with one of them changed."""
    results = folder / "results"
    for name in ("tables", "lists", "marginal", "networks", "images/test", "logs", "figures"):
        (results / name).mkdir(parents=True)
    number = "0.25" if change == "number" else "0.5" if plain else "0.50"
    rows = [["unit", "note", "image"], ["1", number, f"{folder}/a.png"], ["2", "nan" if plain else "NaN", "1_0"]]
    end, mark = ("\n", "") if plain else ("\r\n", '"')
    table = end.join(",".join(f"{mark}{cell}{mark}" for cell in row) for row in rows) + end
    (results / "tables/x.csv").write_bytes(table.encode())
    lines = [f"{folder}/a.png 0,1", "b.png 2,2" if change == "line" else "b.png 1,2"]
    (results / "lists/test.txt").write_bytes(end.join(lines).encode())
    values = np.arange(6, dtype="<f4" if plain else ">f4").reshape(2, 3)
    values[1, 2] += change == "dataset"
    with h5py.File(results / "marginal/x.h5", "w") as file:
        file.attrs["fingerprint"] = str(plain)
        file.create_dataset("group/values", data=values, compression=None if plain else "gzip")
        file["names"] = ["a", "é"] if plain else np.array([b"a", "é".encode()])
    shutil.copy(FIXTURES / (OTHER_NETWORK if change == "network" else NETWORK), results / "networks/x.t7")
    pixels = np.zeros((2, 3, 3), dtype=np.uint8)
    pixels[0, 0, 0] = change == "pixel"
    Image.fromarray(pixels).save(results / "images/test/a.png", compress_level=9 if plain else 0)
    for left_out in ("logs/x.txt", "figures/x.txt", "tables/.x.csv.sha256"):
        (results / left_out).write_text(str(folder))
    return results


def test_only_values_count(tmp_path: Path) -> None:
    first = results_digests(write_results(tmp_path / "one", plain=True))
    assert first == results_digests(write_results(tmp_path / "two", plain=False))
    assert first == sorted(first)
    digest = hashlib.sha256(np.arange(6, dtype=np.float32).tobytes()).hexdigest()
    assert f"results/marginal/x.h5:group/values float32 [2, 3] {digest}" in first
    digest = hashlib.sha256(json.dumps(["0.5", "nan"]).encode()).hexdigest()
    assert f"results/tables/x.csv:note {digest}" in first
    digest = hashlib.sha256(json.dumps(["a.png", "1_0"]).encode()).hexdigest()
    assert f"results/tables/x.csv:image {digest}" in first
    digest = hashlib.sha256(json.dumps(["a.png 0,1", "b.png 1,2"]).encode()).hexdigest()
    assert f"results/lists/test.txt {digest}" in first
    places = {line.split()[0] for line in first}
    parameters = {f"results/networks/x.t7:{name}" for name in load_network(FIXTURES / NETWORK).state_dict()}
    assert len(parameters) == 18
    assert places == parameters | {
        *("results/images/test/", "results/lists/test.txt"),
        *(f"results/marginal/x.h5:{name}" for name in ("names", "group/values")),
        *(f"results/tables/x.csv:{name}" for name in ("unit", "note", "image")),
    }


def test_every_changed_value_changes_its_line_and_no_other(tmp_path: Path) -> None:
    first = set(results_digests(write_results(tmp_path / "first", plain=True)))
    changes = {
        "number": "tables/x.csv:note",
        "line": "lists/test.txt",
        "dataset": "marginal/x.h5:group/values",
        "network": "networks/x.t7:",
        "pixel": "images/test/",
    }
    for change, place in changes.items():
        now = set(results_digests(write_results(tmp_path / change, plain=True, change=change)))
        assert now - first
        assert all(line.startswith(f"results/{place}") for line in now ^ first)


def test_both_archives_of_the_paper_are_served_while_the_workflow_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {}

    def fetch(root: Path, folder: Path, cores: int, *configs: Path) -> None:
        assert (root, folder, cores, configs[0]) == (ROOT, tmp_path, 3, ROOT / "config/paper.yaml")
        (url,) = json.loads(configs[1].read_text())["archives"]["urls"]
        for name in ("models.tar.bz2", "mtldataset_test.tar.gz"):
            found[name] = requests.get(url + name, timeout=30).content[:2]

    monkeypatch.setitem(SCRIPT["run_paper"].__globals__, "run_workflow", fetch)
    SCRIPT["run_paper"](ROOT, tmp_path, 3)
    assert found == {"models.tar.bz2": b"BZ", "mtldataset_test.tar.gz": b"\x1f\x8b"}
