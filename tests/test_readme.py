"""What the README says to type, and what it says was found."""

import re
import runpy
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.support.commands import ROOT
from tests.support.files import rows
from tests.support.made_tables import made_run

README = (ROOT / "README.md").read_text()


class TwoTasks(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.first, self.second = nn.Linear(12, 5), nn.Linear(5, 3), nn.Linear(5, 2)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = torch.tanh(self.hidden(x.flatten(1)))
        return self.first(x), self.second(x)


def test_the_examples_run_on_ones_own_network(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"(?:^    from featuresharing.*\n)(?:^(?:    .*)?\n)+", README, re.MULTILINE)
    code = "\n".join(map(textwrap.dedent, blocks)).replace("layer3.0.conv1", "hidden")
    targets = [np.array([0, 1, 2]), np.array([0, 1, 0])]
    names: dict[str, Any] = {
        "network": TwoTasks(),
        "images": np.eye(3, 12, dtype=np.float32).reshape(3, 3, 2, 2),
        "targets": targets,
    }
    exec(code, names)
    assert names["layer"].conditionals["word"].shape == (5, 3)
    assert names["accuracy"].shape == (21, 6, 2)
    assert names["image"].shape == (3, 2, 2)
    assert names["unit"] == 1
    assert 0 <= float(capsys.readouterr().out) <= 1


class Named(nn.Module):
    """A network whose outputs have several forms."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.conv, self.hidden, self.out = nn.Conv2d(3, 4, 1), nn.Linear(16, 6), nn.Linear(6, 5)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        scores = self.out(torch.relu(self.hidden(torch.relu(self.conv(x)).flatten(1))))
        return {"out": scores.softmax(1), "animal": scores[:, 0].sigmoid(), "scores": scores, "age": scores[:, 1:2]}


def test_the_page_for_users_of_python_runs(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs/python.md").read_text()
    for of_a_run in ("## One unit\n.*?\n(?=## )", "    from featuresharing import TABLES, read_table\n.*?\n(?=[A-Z])"):
        page = re.sub(of_a_run, "", page, flags=re.DOTALL)
    blocks = re.findall(r"(?:^    .*\n|^\n(?=    ))+", page, re.MULTILINE)
    images = np.random.default_rng(0).normal(size=(6, 3, 2, 2)).astype(np.float32)
    targets = [np.arange(6) % 5, np.arange(6) % 2, np.arange(6) % 2]
    names: dict[str, Any] = {"network": Named().eval(), "images": images, "targets": targets}
    exec("\n".join(map(textwrap.dedent, blocks)), names)
    said = capsys.readouterr().out
    assert re.search(r"^out \[images, 5\] probabilities, .*, which sum up to 1$", said, re.MULTILINE)
    assert re.search(r"^animal \[images\] numbers from 0 to 1, ", said, re.MULTILINE)
    assert names["tasks"] == ("object", "dog", "vehicle")
    assert names["table"]["path"].tolist() == ["conv", "hidden", "out"]
    assert names["arrays"]["hidden_vehicle"].shape == (6, 6)
    assert (tmp_path / "evidence.mat").exists()
    assert (tmp_path / "hidden.pdf").read_bytes().startswith(b"%PDF")


def test_linked_files_exist() -> None:
    folders = (ROOT, ROOT / "benchmarks", ROOT / "docs", ROOT / "resources")
    for page in [page for folder in folders for page in folder.glob("*.md")]:
        for link in re.findall(r"\]\(([^)#]+)", page.read_text()):
            assert link.startswith("http") or (page.parent / link).exists(), f"{page}: {link}"


SCRIPT = runpy.run_path(str(ROOT / "benchmarks/readme.py"))
FOLDER = ROOT / "docs/replicates"
LINES = {"related": ("subordinate_basic", "subordinate", "basic"), "unrelated": ("object_text", "basic", "word")}


def said(mark: str) -> str:
    """Return what stands after a mark of the README, in one line."""
    (found,) = re.findall(rf"<!-- made by benchmarks/readme.py: {mark} -->\n(.*?)<!-- end -->", README, re.DOTALL)
    return " ".join(found.split())


def last_rows(name: str, line: tuple[str, ...]) -> list[dict[str, str]]:
    """Return the rows of a line at the last checkpoint, in the order of layers."""
    found = [row for row in rows(FOLDER / f"{name}.csv") if (row["experiment"], row["task_a"], row["task_b"]) == line]
    return [row for row in found if row["checkpoint"] == max(row["checkpoint"] for row in found)]


def expand(words: str, layers: list[str]) -> list[str]:
    """Return the layers that words such as "in conv1 to conv3 and fc7" name."""
    if words.endswith((" every layer", " any layer")):
        return layers
    found = []
    for part in re.split(", | and ", words.removeprefix("in ")):
        first, _, end = part.partition(" to ")
        found += layers[layers.index(first) : layers.index(end or first) + 1]
    return found


def points(value: str) -> str:
    return re.sub(r"^(-?)0\.", r"\1.", f"{float(value):.2f}").replace("-.00", ".00")


def test_captions_and_finding_are_made_from_the_tables() -> None:
    assert SCRIPT["filled"](README, SCRIPT["read_tables"]()) == README, "run: python benchmarks/readme.py"
    assert set(re.findall("readme.py: ([a-z]+) -->", README)) == set(SCRIPT["BLOCKS"])


@pytest.mark.parametrize("name", LINES)
def test_the_caption_of_sharing_is_true(name: str) -> None:
    cells = last_rows("sharing_over_networks", LINES[name])
    layers = [cell["layer"] for cell in cells]
    text = said("sharing").replace(" (an owl is a bird)", "")
    other = "two unrelated" if name == "related" else "$"
    (sentence,) = re.findall(rf"two {name} tasks,? (.*?)(?:{other}|\*$)", text, re.IGNORECASE)
    told = {
        "less": r"less than chance gives (in .*?)(?: and more|;|\.)",
        "more": r"more (?:than chance gives )?(in .*?)(?:;|\.)",
        "same": r"no difference from chance can be told (in .*?)(?:;|\.)",
        "near": r"nothing is said of sharing (in .*?), where at least one task is near zero",
    }
    wanted: dict[str, list[str]] = {kind: [] for kind in told}
    for cell in cells:
        told_apart = "less" if float(cell["excess"]) < 0 else "more"
        differs = float(cell["p"]) < 0.05 and float(cell["excess_low"]) * float(cell["excess_high"]) > 0
        kind = "near" if cell["near_zero"] else told_apart if differs else "same"
        wanted[kind].append(cell["layer"])
    for kind, pattern in told.items():
        words = re.search(pattern, sentence)
        assert (expand(words[1], layers) if words else []) == wanted[kind], kind
    ends = [cell for cell in cells if not cell["near_zero"]]
    first, last = (f"{points(cell['excess'])} in {cell['layer']}" for cell in (ends[0], ends[-1]))
    assert f"Excess sharing is {first} and {last}." in sentence


def test_the_numbers_of_the_finding_are_those_of_trends() -> None:
    text = said("finding")
    table = rows(FOLDER / "trends.csv")
    last = max(row["checkpoint"] for row in table)
    numbers = {digits for row in table for name in ("value", "low", "high") for digits in forms(row[name])}
    numbers |= {f"{float(row['p']):.3f}"[1:] for row in table if row["p"] not in ("", "nan")} | {".001", "95"}
    found = re.findall(r"(?<![\w.])-?\.?\d+(?:\.\d+)?", re.sub(r"\b(conv|fc)\d", "", text))
    assert found
    assert set(found) <= numbers
    for name, line in LINES.items():
        (slope,) = [
            row
            for row in table
            if (row["experiment"], row["task_a"], row["task_b"], row["other_experiment"]) == (*line, "")
            and row["quantity"] == "slope over layers"
            and row["checkpoint"] == last
        ]
        falls = "falls" if float(slope["value"]) < 0 else "rises"
        tested = slope["p"] != "nan"
        differs = float(slope["low"]) * float(slope["high"]) > 0 and not (tested and float(slope["p"]) >= 0.05)
        assert (f"excess sharing of two {name} tasks {falls} by" in text) == differs
        assert (f"no trend of excess sharing can be told for two {name} tasks" in text) == (not differs)


def forms(value: str) -> set[str]:
    """Return how a number may be printed: with two or three digits, with and without its sign."""
    if value in ("", "nan"):
        return set()
    number = float(value)
    return {
        re.sub(r"^(-?)0\.", r"\1.", f"{each:.{digits}f}")
        for each in (number, abs(number), -number)
        for digits in (2, 3)
    }


def test_the_caption_of_lesions_is_true() -> None:
    table = [row for row in rows(FOLDER / "lesions_at_half.csv") if row["experiment"] == "object_text"]
    layers = list(dict.fromkeys(row["layer"] for row in table))
    networks = sorted({row["replicate"] for row in table})
    accuracy = {
        tuple(row[key] for key in ("order", "layer", "replicate", "task")): float(row["accuracy"]) for row in table
    }
    (below, above) = re.findall(r"without half of a layer, (.*?)\.(?: Above|\*$)", said("lesions"))
    verbs = {"word": ("words are read", "reading"), "basic": ("objects are named", "naming")}
    for text, own, other in ((below, "word", "basic"), (above, "basic", "word")):
        for task in (own, other):
            means = {
                layer: sum(accuracy[own, layer, network, task] for network in networks) / len(networks)
                for layer in layers
            }
            least, most = min(means, key=means.__getitem__), max(means, key=means.__getitem__)
            assert f"{verbs[task][0]} in {means[least]:.0%}".replace("%", " %") + f" ({least}) to " in text
            assert f" to {means[most]:.0%}".replace("%", " %") + f" ({most})" in text
        for first, second in ((own, other), (other, own)):
            lower = [
                layer
                for layer in layers
                if all(accuracy[own, layer, each, first] < accuracy[own, layer, each, second] for each in networks)
            ]
            pattern = rf"{verbs[first][1]} falls lower than {verbs[second][1]}(?: in all \w+ networks)? (in .*?)(?:;|$)"
            words = re.search(pattern, text)
            assert (expand(words[1], layers) if words else []) == lower


def test_the_caption_of_units_is_true() -> None:
    both_tables = rows(FOLDER / "units.csv")
    table = [row for row in both_tables if row["experiment"] == "object_text"]
    text = said("units")
    checkpoints = list(dict.fromkeys(row["checkpoint"] for row in table))
    given = {(row["checkpoint"], int(row["unit"]), row["task"]): float(row["contribution"]) for row in table}
    units = len({row["unit"] for row in table})
    mean = {
        (name, task): sum(given[name, unit, task] for unit in range(units)) / units
        for name in checkpoints
        for task in ("basic", "word")
    }
    first = next(name for name in checkpoints if min(mean[name, task] for task in ("basic", "word")) >= 0.05)

    def both(name: str) -> int:
        return sum(
            all(given[name, u, task] >= mean[name, task] / 2 for task in ("basic", "word")) for u in range(units)
        )

    assert f"At step {int(first)}, the first at which the average unit of conv5 contributes .05 bits" in text
    assert f"{both(first)} of its {units} units contribute at least half of that average to each" in text
    assert re.search(rf"at the end {both(checkpoints[-1])} do(es)?\.", text)
    read = [
        row
        for row in rows(FOLDER / "accuracy.csv")
        if (row["experiment"], row["replicate"], row["task"]) == ("object_text", "1", "word")
    ]
    *_, row = (row for row in read if row["step"] == "0" or float(row["accuracy"]) < 0.1)
    late = re.search(r"at step (\d+), (\d+) % are read \(5 % by guessing\), .* contributes (\S+) bits to it", text)
    assert (late is None) == (row["step"] == "0")
    if late:
        assert (late[1], late[2]) == (row["step"], f"{100 * float(row['accuracy']):.0f}")
        assert late[3] == points(str(mean[row["checkpoint"], "word"]))
        assert f"against {mean[checkpoints[-1], 'word']:.1f} at the end" in text
    related = [
        row for row in both_tables if row["experiment"] != "object_text" and row["checkpoint"] == checkpoints[-1]
    ]
    of = {
        task: [float(row["contribution"]) for row in related if row["task"] == task]
        for task in ("subordinate", "basic")
    }
    serving = sum(all(values[u] >= sum(values) / units / 2 for values in of.values()) for u in range(units))
    assert f"at the end, {serving} of {units} units still do." in text


def test_captions_of_several_networks_tell_what_holds_in_all_of_them() -> None:
    experiments = {"subordinate_basic": ["subordinate", "basic"], "object_text": ["basic", "word"]}
    made = made_run(experiments, networks=3, layers=("conv1", "conv2", "fc7"))
    lesions = SCRIPT["at_half"](made.lesions.assign(accuracy=0.5))
    assert len(lesions) == 2 * 3 * 3 * 2 * 2
    assert set(lesions.fraction) == {0.5}
    word_first = (lesions.order == "word") & (lesions.experiment == "object_text")
    for layer, replicates, right in (("conv1", (1, 2, 3), 0.25), ("conv2", (1, 3), 0.0), ("fc7", (1, 2, 3), 0.75)):
        chosen = word_first & (lesions.layer == layer) & lesions.replicate.isin(replicates) & (lesions.task == "word")
        lesions.loc[chosen, "accuracy"] = right
    text = SCRIPT["lesions"]({"lesions_at_half": lesions})
    assert (
        "without half of a layer, words are read in 17 % (conv2) to 75 % (fc7) of the images, and objects are named in"
        " 50 % (conv1) to 50 % (conv1); reading falls lower than naming in all three networks in conv1; naming falls"
        " lower than reading in all three networks in fc7; neither does so in all three networks in conv2. Above,"
        in text
    )
    assert text.endswith("neither does so in all three networks in any layer.")
    assert SCRIPT["run"]({"accuracy": made.accuracy}).startswith(
        "Pictures and numbers are of one run with three networks an experiment:"
    )
    cells = made.sharing.assign(excess=0.25, excess_low=0.2, excess_high=0.3, p=0.01)
    related = cells.experiment == "subordinate_basic"
    cells.loc[~related, ["excess", "excess_low", "excess_high", "p"]] = [-0.125, -0.2, -0.1, 0.02]
    text = SCRIPT["sharing"]({"sharing_over_networks": cells})
    assert (
        "Two related tasks (an owl is a bird) share more than chance gives in every layer. Excess sharing is .25"
        in text
    )
    assert "Two unrelated tasks share less than chance gives in every layer. Excess sharing is -.12 in conv1" in text
