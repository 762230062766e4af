"""One task, two and five: tables, figures and commands have what they need for each."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.lines import Line2D
from torch import Tensor, nn

from featuresharing import (
    TABLES,
    InputError,
    contribution_table,
    lesion_curves_to_file,
    marginalize_to_file,
    read_table,
    sharing,
    sharing_table,
)
from featuresharing.analysis.tables import layer_contributions
from featuresharing.cli import main
from featuresharing.data.table_files import check_table, write_table
from featuresharing.data.whole_tables import read_sharing
from featuresharing.figures.layer_map import plot_layer
from featuresharing.figures.lesion_curves import plot_lesions
from featuresharing.figures.sharing_lines import plot_sharing
from featuresharing.settings import EvidenceSettings, FigureSettings
from featuresharing.store import LayerConditionals

IMAGES = np.random.default_rng(0).standard_normal((24, 4)).astype(np.float32)


class Heads(nn.Module):
    """As many tasks of three classes as wanted, called a, b, c, ..."""

    def __init__(self, count: int) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.hidden = nn.Linear(4, 6)
            self.heads = nn.ModuleList(nn.Linear(6, 3) for _ in range(count))

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        hidden = torch.relu(self.hidden(images))
        return {name: head(hidden) for name, head in zip("abcdefg", self.heads, strict=False)}


def computed(count: int, folder: Path, missing: bool = False) -> LayerConditionals:
    """Return the conditionals of a layer, and leave its file ``h.h5`` in a folder."""
    targets = {name: (np.arange(24) + place) % 3 for place, name in enumerate("abcdefg"[:count])}
    if missing:
        numbered = enumerate(targets.items())
        targets = {name: np.where(np.arange(24) % 5 == place, -1, own) for place, (name, own) in numbered}
    given = {"samples": 4, "say": lambda _: None}
    return marginalize_to_file(Heads(count), "hidden", IMAGES, targets, folder / "h.h5", **given)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_tables_have_a_row_a_task_and_a_row_a_pair(count: int, tmp_path: Path) -> None:
    layer = computed(count, tmp_path)
    tasks = list("abcdefg"[:count])
    contributions = contribution_table([layer])
    assert contributions["task"].tolist() == tasks * 6
    table = sharing_table([layer], resamples=10)
    assert list(zip(table["task_a"], table["task_b"], strict=True)) == list(combinations(tasks, 2))
    by_task = layer_contributions(layer, method="we", laplace="paper")
    for row in table.to_dict("records"):
        assert row["sharing"] == pytest.approx(sharing(by_task[row["task_a"]], by_task[row["task_b"]]))
    path = tmp_path / "sharing.csv"
    write_table(path, table, TABLES["sharing"])
    assert len(path.read_text().splitlines()) == 1 + count * (count - 1) // 2
    check_table(path, [TABLES["sharing"]])
    assert len(read_table(path, TABLES["sharing"])) == len(table)
    read = read_sharing(path, checkpoints=["checkpoint"], layers=["hidden"])
    figure = plot_sharing(read)
    said = [text.get_text() for text in figure.texts]
    assert ("Nothing is shared: every experiment has one task." in said) == (count == 1)
    drawn = figure.legends[-1].legend_handles if count > 1 else []
    looks = {(line.get_color(), line.get_marker()) for line in drawn if isinstance(line, Line2D)}
    assert len(looks) == len(table)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_figures_of_units_and_lesions_say_what_they_show(count: int, tmp_path: Path) -> None:
    layer = computed(count, tmp_path, missing=count == 5)
    figure = plot_layer(layer, EvidenceSettings(), FigureSettings())
    note = figure.texts[1].get_text()
    means = {task: values.mean() for task, values in layer_contributions(layer, method="we", laplace="paper").items()}
    if count == 5:
        assert note.startswith("6 units, 19 to 20 images a task.  Average unit: ")
        assert f"{min(means.values()):.2g} to {max(means.values()):.2g} bits by task." in note
        assert note.endswith("6 pairs of tasks not shown.")
    else:
        assert note.startswith("6 units, 24 images.  ")
        assert all(f"{task} {mean:.2g} bits" in note for task, mean in means.items())
    keys = [(key.get_xlabel(), key.get_ylabel()) for key in figure.axes]
    assert keys == {1: [("a", "")], 2: [("a", "b")], 5: [("a", other) for other in "bcde"]}[count]
    given = {task: np.arange(6.0) for task in "abcdefg"[:count]}
    targets = {task: np.arange(24) % 3 for task in given}
    curves = lesion_curves_to_file(
        Heads(count), "hidden", IMAGES, targets, given, tmp_path / "c.csv", steps=2, random_orders=3, say=lambda _: None
    )
    assert len(curves) == count * count * 3
    drawn = plot_lesions(curves)
    assert len(drawn.axes) == count
    assert sum(len(legend.get_texts()) for legend in drawn.legends) == count + 3


def test_commands_take_one_task(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    computed(1, tmp_path)
    table = str(tmp_path / "s.csv")
    assert main(["tabulate-sharing", "--conditionals", str(tmp_path / "h.h5"), "--output", table]) == 0
    plot = ["plot-sharing", "--sharing", table, "--layers", "hidden", "--checkpoint", "checkpoint", "--output"]
    assert main([*plot, str(tmp_path / "s.png")]) == 0
    assert main(["plot-units", "--conditionals", str(tmp_path / "h.h5"), "--output", str(tmp_path / "u.png")]) == 0
    assert (tmp_path / "u.png").stat().st_size > 1000
    (tmp_path / "odd.csv").write_text("experiment,checkpoint\n")
    with pytest.raises(InputError, match="column 'replicate' is missing"):
        read_table(tmp_path / "odd.csv", TABLES["sharing"])
    (tmp_path / "odd.csv").write_text("")
    with pytest.raises(InputError, match="column 'experiment' is missing"):
        check_table(tmp_path / "odd.csv", [TABLES["sharing"]])


def test_images_of_two_tasks_that_differ_are_counted_for_each(tmp_path: Path) -> None:
    layer = computed(2, tmp_path, missing=True)
    figure = plot_layer(layer, EvidenceSettings(), FigureSettings())
    assert figure.texts[1].get_text().startswith("6 units, 19 images of a and 19 images of b.  Sharing ")
