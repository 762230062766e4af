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


def test_linked_files_exist() -> None:
    folders = (ROOT, ROOT / "benchmarks", ROOT / "docs", ROOT / "resources")
    for page in [page for folder in folders for page in folder.glob("*.md")]:
        for link in re.findall(r"\]\(([^)#]+)", page.read_text()):
            assert link.startswith("http") or (page.parent / link).exists(), f"{page}: {link}"
