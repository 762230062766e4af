"""Figures: what their pixels, sizes and files say."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from featuresharing.data.sharing_columns import SHARING
from featuresharing.errors import InputError
from featuresharing.figures.saving import save_figure
from featuresharing.figures.unit_map import plot_units
from featuresharing.settings import FigureSettings
from tests.support import all_figures
from tests.support.all_figures import draw_all
from tests.support.commands import ROOT
from tests.support.sharing_rows import CHANCE


def small_map(**style: Any) -> Figure:
    return plot_units(np.array([1.0, 2]), np.array([2.0, 1]), style=FigureSettings(**style))


HOSTILE = """
text.usetex: True
backend: nonsense
font.family: serif
font.size: 25
lines.linewidth: 9
axes.prop_cycle: cycler('color', ['k'])
axes.facecolor: pink
figure.dpi: 37
figure.autolayout: True
savefig.format: pdf
savefig.dpi: 11
savefig.bbox: tight
savefig.facecolor: green
svg.fonttype: none
svg.hashsalt: other
pdf.fonttype: 42
image.interpolation: bicubic
no.such.key: 1
"""


def drawings(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in (".png", ".pdf", ".svg")}


@pytest.mark.slow
def test_settings_of_a_user_change_no_figure_and_all_formats_repeat(tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_text(HOSTILE)
    (tmp_path / "plain").mkdir()
    draw_all(tmp_path / "plain")
    plain = drawings(tmp_path / "plain")
    assert len(plain) == 27
    (tmp_path / "hostile").mkdir()
    command = [sys.executable, all_figures.__file__, str(tmp_path / "hostile")]
    settings = {"PYTHONPATH": str(ROOT), "MATPLOTLIBRC": str(tmp_path / "matplotlibrc"), "SOURCE_DATE_EPOCH": "0"}
    subprocess.run(command, cwd=tmp_path, env=os.environ | settings, check=True, capture_output=True)
    assert drawings(tmp_path / "hostile") == plain
    starts = {".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml"}
    for name, content in plain.items():
        assert content.startswith(starts[Path(name).suffix])
    assert all(word not in b"".join(plain.values()) for word in (b"CreationDate", b"Matplotlib", b"<dc:date>"))


def test_commands_draw_where_matplotlib_would_not_load(tmp_path: Path) -> None:
    chance = ",".join(map(str, CHANCE))
    table = f"{','.join(SHARING.names)}\na,1,5,conv1,x,y,0.5,0.4,0.6,{chance}\n"
    (tmp_path / "sharing.csv").write_text(table)
    (tmp_path / "rc").write_bytes(b"font.family: caf\xe9\n")
    settings = ["--sharing", "sharing.csv", "--layers", "conv1", "--checkpoint", "5", "--output", "a.svg"]
    hostile = os.environ | {"MPLBACKEND": "nonsense", "MATPLOTLIBRC": str(tmp_path / "rc")}

    def draw_it() -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "featuresharing", "plot-sharing", *settings]
        return subprocess.run(command, cwd=tmp_path, env=hostile, capture_output=True, text=True, check=False)

    ended = draw_it()
    assert (ended.returncode, ended.stderr) == (0, "")
    (tmp_path / "rc").rename(tmp_path / "matplotlibrc")  # that of the working directory counts first
    ended = draw_it()
    assert ended.returncode == 2
    said = ended.stderr.splitlines()[-1]  # before it, matplotlib says what it is about
    assert re.fullmatch("featuresharing: matplotlib cannot be loaded .*matplotlibrc in UTF-8 and an MPL.*", said)
    assert (tmp_path / "a.svg").read_bytes().startswith(b"<?xml")


def test_figures_of_no_format_are_refused(tmp_path: Path) -> None:
    for name in ("a.txt", "a", "a.jpg", "a.png.", ".png"):
        with pytest.raises(
            InputError, match=r"has a name of no format; accepted is a name that ends in \.png, \.pdf or \.svg"
        ):
            save_figure(small_map(), tmp_path / name)
    assert not list(tmp_path.iterdir())
    save_figure(small_map(), tmp_path / "A.PNG")
    assert (tmp_path / "A.PNG").read_bytes().startswith(b"\x89PNG")


def test_a_figure_stays_as_it_is_when_it_is_written(tmp_path: Path) -> None:
    figure = small_map(dpi=120)
    save_figure(figure, tmp_path / "a.png")
    for name in ("a.pdf", "a.svg", "b.png"):
        save_figure(figure, tmp_path / name)
    assert figure.dpi == 120
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
