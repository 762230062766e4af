"""What the README says to type."""

import re
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.support.commands import ROOT

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
    blocks = re.findall(r"(?:^    .*\n|^\n(?=    ))+", (ROOT / "docs/python.md").read_text(), re.MULTILINE)
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


def test_linked_files_exist() -> None:
    folders = (ROOT, ROOT / "benchmarks", ROOT / "docs", ROOT / "resources")
    for page in [page for folder in folders for page in folder.glob("*.md")]:
        for link in re.findall(r"\]\(([^)#]+)", page.read_text()):
            assert link.startswith("http") or (page.parent / link).exists(), f"{page}: {link}"
