"""Configs from files and the command line: what YAML hides is refused in one sentence, in no time."""

import argparse
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from featuresharing import InputError
from featuresharing.cli.logs import described
from featuresharing.settings.checking import check_config
from featuresharing.settings.configfiles import check_config_files, check_extent, complete_config
from featuresharing.workflow.targets import describe_target
from tests.support.commands import ROOT
from tests.support.configs import demo_config

sys.path.insert(0, str(ROOT / "benchmarks"))

import fuzz_config


def bomb(first: str, item: str, opening: str, closing: str) -> str:
    """Return 30 lines, each of nine aliases of the one before."""
    lines = [f"a0: &a0 {first}"]
    for level in range(1, 30):
        items = ", ".join(item.format(index=index, alias=f"*a{level - 1}") for index in range(9))
        lines.append(f"a{level}: &a{level} {opening}{items}{closing}")
    return "\n".join(lines)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("text", ["seed: 1\n", '{"seed":\t1}', "a: &x {b: 1}\nc: *x\nd: {<<: *x, e: 2}\n", "ü: é\n"])
def test_files_of_yaml_and_json_pass(tmp_path: Path, text: str, encoding: str) -> None:
    (tmp_path / "a.yaml").write_bytes(text.encode(encoding))
    check_config_files([tmp_path / "a.yaml", tmp_path / "absent.yaml"])


def test_the_shipped_configs_pass() -> None:
    check_config_files(sorted((ROOT / "config").glob("*.yaml")))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("device: café\n".encode("latin-1"), ": byte 11 is not of a text in UTF-8; accepted is YAML in UTF-8."),
        ("device: cpu\n".encode("utf-16"), ": byte 0 is not of a text in UTF-8"),
        (b"", " is empty; accepted are keys"),
        (b"# nothing\n", " is empty"),
        (b"- seed: 1\n", " holds no keys at its top"),
        (b"seed\n", " holds no keys at its top"),
        (b"images:\n\tflip: true\n", ", line 2: found character '\\t' that cannot start any token; accepted is YAML"),
        (b"seed: 1\ndevice: cpu\nseed: 2\n", ", line 3: config key 'seed' stands in a block twice, first in line 1;"),
        (b"images: {flip: true, flip: false}\n", ", line 1: config key 'flip' stands in a block twice"),
        (b"? [a, b]\n: 1\n", ", line 1: found a block or list for a key"),
        (b"images: &a\n  flip: *a\n", ": an alias stands inside what it names"),
        (b"seed: " + b"[" * 100 + b"]" * 100, ": its blocks are nested too deeply; accepted are 50 levels."),
        (b"seed: " + b"[" * 5000 + b"]" * 5000, ": its blocks are nested too deeply; accepted are 50 levels."),
        (b"seed: " + b"9" * 5000, ", line 1: found a value of 5000 characters; accepted are values of up to 3500."),
        (b"seed: !!python/object:os.system 1\n", ", line 1: could not determine a constructor for the tag"),
        (b"seed: 2020-13-45\n", ": a value cannot be read (month must be in 1..12)"),
        (bomb("[x]", "{alias}", "[", "]").encode(), " holds more than 20000 values, with what its aliases repeat"),
        (bomb("{x: 1}", "k{index}: {alias}", "{", "}").encode(), " holds more than 20000 values"),
        (bomb("{x: 1}", "{alias}", "{<<: [", "]}").encode(), " holds more than 20000 values"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_traps_of_yaml_are_refused_in_one_sentence(tmp_path: Path, text: bytes, sentence: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(text)
    with pytest.raises(InputError) as error:
        check_config_files([path])
    assert str(error.value).startswith(f"{path}{sentence}")
    assert "accepted" in str(error.value)
    assert "\n" not in str(error.value)


def test_values_from_anywhere_are_bounded() -> None:
    value: list[Any] = ["x"]
    for _ in range(40):
        value = [value] * 9
    for found, words in ((value, "holds more than 20000 values"), (2**20000, "an integer of 20001 bits")):
        with pytest.raises(InputError, match=words):
            check_extent({"seed": found}, "the config")
        with pytest.raises(InputError, match=words):
            check_config({"seed": found})


SHIPPED = demo_config()


@pytest.mark.parametrize(
    ("given", "path", "value"),
    [
        ({"figures": {"dpi": "300", "grid": "false"}}, "figures", {"dpi": 300, "grid": False}),
        ({"figures": {"limits": ["0.5", "2"], "columns": "null"}}, "figures", {"limits": [0.5, 2], "columns": None}),
        ({"training": {"learning_rate": "1e-3", "decay_at": []}}, "training", {"learning_rate": 0.001, "decay_at": []}),
        ({"layers": {"fc6": "1.2"}}, "layers", {"fc6": "1.2"}),
        ({"folders": {"words": "null", "font": "5"}}, "folders", {"words": None, "font": "5"}),
        ({"network": {"kernels": ["3"] * 5, "pool": "3"}}, "network", {"kernels": [3] * 5, "pool": 3}),
        ({"archives": {"urls": ["1"]}}, "archives", {"urls": ["1"]}),
        ({"jobs": {"units": {"conv1": "4"}}}, "jobs", {"units": {"conv1": 4}}),
        ({"jobs": {"units": "4"}}, "jobs", {"units": 4}),
        ({"experiments": [{"name": "1", "tasks": ["basic", "word"], "sort_by": "word"}]}, "experiments", None),
        ({"figures": {"dpi": "many"}}, "figures", {"dpi": "many"}),
        ({"figures": "5"}, "figures", 5),
    ],
)  # fmt: skip
def test_blocks_of_the_command_line_have_the_types_of_the_schema(given: dict[str, Any], path: str, value: Any) -> None:
    """Snakemake reads texts alone inside a block, and merges them into the config."""
    merged = complete_config(given, SHIPPED)
    kept = yaml.safe_dump(merged)
    whole = not isinstance(value, dict) or path == "layers"
    expected = given[path] if value is None else value if whole else SHIPPED[path] | value
    assert complete_config(merged, {}, given)[path] == expected
    assert yaml.safe_dump(merged) == kept


def test_a_text_of_a_file_stays_a_text() -> None:
    assert complete_config({"figures": {"dpi": "300"}}, {}, {"figures": {"grid": "true"}}) == {
        "figures": {"dpi": "300"}
    }


def test_keys_that_a_config_lacks_are_those_of_the_defaults() -> None:
    found = complete_config({"figures": {"dpi": 60}, "experiments": [1], "images": None}, SHIPPED)
    assert found == SHIPPED | {"figures": SHIPPED["figures"] | {"dpi": 60}, "experiments": [1], "images": None}
    assert list(found) == list(SHIPPED)
    assert list(found["figures"]) == list(SHIPPED["figures"])
    layers = dict(reversed(SHIPPED["layers"].items()))
    assert list(complete_config({"layers": layers}, SHIPPED)["layers"]) == list(layers)
    layers.popitem()  # a layer that is left out stays out
    assert complete_config({"layers": layers}, SHIPPED)["layers"] == layers


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("results/figures/one/conv9.gif", "there is no layer 'conv9'; accepted are conv1, fc.6."),
        ("results/figures/one/conv1_7.png", "there is no checkpoint '7'; accepted are 00, 10."),
        ("results/features/two/conv1_00", "there is no experiment 'two'; accepted are one."),
        ("results/marginal/one/conv1_11.h5", "there is no checkpoint '11'"),
        ("results/lesion_curves/one/fc6_10.csv", "there is no layer 'fc6'"),
        ("results/networks/one/5.pt", "there is no checkpoint '5'"),
        ("results/lists/two/train.txt", "there is no experiment 'two'"),
        ("results/marginal/one/fc.6_10.h5", None),
        ("results/features/one/fc.6_10", None),
        ("results/figures/one/fc.6.gif", None),
        ("results/figures/one/conv9_00.png", "there is no layer 'conv9'"),
        ("results/figures/one/conv1_00.jpg", "found the ending '.jpg'; accepted is .png, .pdf or .svg."),
        (
            "results/figures/one/conv1.png",
            "found the ending '.png'; accepted is .gif, and conv1_10.png for a picture of one checkpoint.",
        ),
        (
            "results/figures/one/layers.svg",
            "found the ending '.svg'; accepted is .gif, and layers_10.svg for a picture of one checkpoint.",
        ),
        ("results/explorer.htm", "there is no such target; accepted is results/explorer.html."),
        ("results/explore.html", "there is no such target; accepted is results/explorer.html."),
        ("results/summary.txt", "there is no such target; accepted is results/summary.md or results/summary.html."),
        ("results/summary.md", None),
        ("results/report.zip", None),
        ("results/config.yaml", None),
        (
            "results/figures/one/2/conv1.gif",
            "found network '2', and this run has one network of each experiment;"
            " accepted is results/figures/one/conv1.gif.",
        ),
        ("results/figures/one/layers.jpg", "found the ending '.jpg'; accepted is .gif."),
        ("results/figures/one/tasks_7.pdf", "there is no checkpoint '7'; accepted are 00, 10."),
        ("results/figures/one/tasks_10.gif", "found the ending '.gif'; accepted is .png, .pdf or .svg."),
        ("results/figures/one/layers_10.svg", None),
        ("results/figures/one/fc.6", "found the ending '.6'"),
        ("results/figures/one/lesions.PDF", "found the ending '.PDF'; accepted is .png, .pdf or .svg."),
        ("results/figures/sharing.jpg", "found the ending '.jpg'; accepted is .png, .pdf or .svg."),
        ("results/figures/sharing.gif", "found the ending '.gif'; accepted is .png, .pdf or .svg."),
        ("results/figures/sharing", "found no ending; accepted is .png, .pdf or .svg."),
        ("results/figures/one/fc.6_10.svg", None),
        ("results/figures/sharing.png", None),
        ("results/tables/lesions.csv", None),
        ("results/report/one/x.zip", None),
        ("all", None),
        ("--cores", None),
    ],
)
def test_a_target_that_is_not_there_is_named_with_those_that_are(target: str, sentence: str | None) -> None:
    found = describe_target(target, ["one"], ["conv1", "fc.6"], ["00", "10"])
    if sentence is None:
        assert found is None
    else:
        assert found
        assert found.startswith(f"{target}: {sentence}")


def test_a_command_says_what_it_read_and_wrote(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output, folder = tmp_path / "out.csv", tmp_path / "folder"
    frames = [Path(f"{index}.png") for index in range(6)]
    options = argparse.Namespace(command="make", list=Path("a.txt"), frames=frames, seed=1, output=output)
    with described(options):
        output.write_text("abc")
    with described(options):
        pass
    with described(argparse.Namespace(command="fill", output_folder=folder, reuse=Path("x"), output=output)):
        folder.mkdir()
        (folder / "a").touch()
    with described(argparse.Namespace(command="status", folder=folder)):
        pass
    read = "a.txt, 0.png, 1.png and 4 other files"
    assert capsys.readouterr().out.splitlines() == [
        f"make: read {read}; wrote {output} (3 bytes) in 0.0 s.",
        f"make: read {read}; left {output} as it was in 0.0 s.",
        f"fill: read no file; wrote {folder} (now 1 files and folders) in 0.0 s.",
    ]


def test_a_hundred_wrong_configs_are_accepted_or_refused_in_sentences() -> None:
    counts, _, wrong = fuzz_config.run(100, 1)
    assert wrong == []
    assert counts["refused"] > 50
    assert counts["accepted"] > 0
