"""Figures that users of Python ask for: what would be drawn as nonsense is refused in one sentence."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.collections import LineCollection

from featuresharing import plot, write_table
from featuresharing.analysis.tables import lesion_table
from featuresharing.data.columns import ACCURACY, TABLES, TRAINING
from featuresharing.data.sharing_columns import SHARING, SHARING_OVER_NETWORKS
from featuresharing.data.table_files import frame_of, read_table
from featuresharing.errors import InputError
from tests.support.sharing_rows import CHANCE

WORD, BASIC = np.random.default_rng(0).lognormal(size=(2, 12))


def shared(*rows: tuple[str, int, str]) -> Any:
    """Return a table of sharing with two layers for each of ``rows``: experiment, replicate and checkpoint."""
    cells = [(*row, layer, "word", "basic", 0.5, 0.4, 0.6, *CHANCE) for row in rows for layer in ("conv1", "conv2")]
    return frame_of(SHARING, cells)


def curves(experiment: str = "demo", checkpoint: str = "10", replicate: int = 1) -> Any:
    removed, half = np.array([0, 4, 8]), np.full((1, 3, 2), 0.5)
    place = (experiment, replicate, checkpoint, "conv5")
    return lesion_table(place, ["word"], ["word", "basic"], removed, half, np.repeat(half, 3, axis=0))


def joined(*frames: Any) -> Any:
    from pandas import concat

    return concat(frames, ignore_index=True)


ONE = ("demo", 1, "4500")
ACCURATE = frame_of(ACCURACY, [("demo", 1, "10", 10, "word", 0.5, 8)])
LOG = frame_of(TRAINING, [(step, "word", 1 / (step + 1), 0.5) for step in range(4)])

REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "checkpoints": (
        lambda: plot.sharing(shared(("demo", 1, "0000"), ONE)),
        r"sharing: found 2 checkpoints, 0000 to 4500; accepted is one, such as"
        r' table\[table.checkpoint == "4500"\]\.',
    ),
    "replicates": (lambda: plot.sharing(shared(ONE, ("demo", 2, "4500"))), "sharing: found 2 replicates; accepted is"),
    "replicates over training": (
        lambda: plot.sharing_over_training(shared(ONE, ("demo", 2, "4500"))),
        r"found 2 replicates, 1 to 2; accepted is one, such as table\[table.replicate == 2\]",
    ),
    "rows twice": (
        lambda: plot.sharing(joined(shared(ONE), shared(ONE))),
        "sharing: found two rows of experiment demo, task_a word, task_b basic, checkpoint 4500, layer conv1,"
        " replicate 1; accepted is one.",
    ),
    "rows twice over training": (lambda: plot.sharing_over_training(joined(shared(ONE), shared(ONE))), "two rows of"),
    "experiments": (
        lambda: plot.lesions(joined(curves(), curves("other"))),
        r"lesions: found 2 experiments, demo to other; accepted is one, such as"
        r' curves\[curves.experiment == "other"\]\.',
    ),
    "checkpoints of lesions": (lambda: plot.lesions(joined(curves(), curves(checkpoint="9"))), "found 2 checkpoints"),
    "curves twice": (lambda: plot.lesions(joined(curves(), curves())), "lesions: found two rows of experiment demo"),
    "accuracy twice": (lambda: plot.training({"demo": LOG}, joined(ACCURATE, ACCURATE)), "accuracy: found two rows"),
    "log twice": (lambda: plot.training({"demo": joined(LOG, LOG)}, ACCURATE), "log of demo: found two rows of step 0"),
    "log alone": (lambda: plot.training(LOG, ACCURATE), "logs: found a DataFrame; accepted are logs of training by"),
    "log as text": (lambda: plot.training({"demo": "log.csv"}, ACCURATE), r"log of demo: found 'log.csv'; accepted is"),
    "path": (
        lambda: plot.sharing(Path("results/tables/sharing.csv")),
        r"sharing: found 'results/tables/sharing.csv'; accepted is a frame, such as"
        r" read_table\(path, TABLES\['sharing'\]\)\.",
    ),
    "path of lesions": (lambda: plot.lesions("lesions.csv"), r"lesions: found 'lesions.csv'; accepted is a frame"),
    "path over training": (lambda: plot.sharing_over_training("a.csv"), r"sharing: found 'a.csv'; accepted is a frame"),
    "columns": (
        lambda: plot.sharing(shared(ONE).drop(columns="excess")),
        "sharing: found no column 'excess'; accepted",
    ),
    "columns of lesions": (lambda: plot.lesions(curves().drop(columns="p")), "lesions: found no column 'p'; accepted"),
    "blank texts": (
        lambda: plot.sharing(shared(ONE).assign(near_zero=np.nan)),
        "sharing: column 'near_zero' holds nan; accepted are texts, as read_table",
    ),
    "numbers for texts": (
        lambda: plot.lesions(curves().assign(checkpoint=10)),
        "column 'checkpoint' holds 10; accepted",
    ),
    "texts for numbers": (
        lambda: plot.lesions(curves().assign(accuracy="x")),
        "'accuracy' holds .*; accepted are numb",
    ),
    "letters for tasks": (lambda: plot.lesions(curves(), tasks="word"), "tasks: found 'word'; accepted is a list"),
    "one name": (
        lambda: plot.units(WORD, BASIC, names=("x",)),  # type: ignore[arg-type]
        r"names: found \('x',\); accepted are two, such as \(\"word\", \"basic\"\)\.",
    ),
    "letters for names": (lambda: plot.units(WORD, BASIC, names="ab"), "names: found 'ab'; accepted are two"),  # type: ignore[arg-type]
    "text": (lambda: plot.units(["a", "b"], ["c", "d"]), r"found \['a', 'b'\]; accepted are numbers, one a unit"),
    "ragged": (lambda: plot.units([[1.0], [1.0, 2.0]]), "found a list that is no array; accepted are numbers"),
    "lengths": (lambda: plot.units(WORD, BASIC[1:]), "have shapes"),
    "places": (lambda: plot.units(WORD[:3], order=[0, 0, 2]), r"order: found \[0, 0, 2\]; accepted is each of 0 to 2"),
    "other layer": (
        lambda: plot.layers({"conv1": (WORD, BASIC)}, orders={"conv2": [0]}),
        "orders: found layer 'conv2'; accepted is conv1",
    ),
    "three arrays": (
        lambda: plot.tasks({"conv1": (WORD, BASIC, WORD)}),  # type: ignore[dict-item]
        "contributions of conv1: found 3 arrays; accepted are two, of a task each, or one",
    ),
    "mixed": (
        lambda: plot.layers({"conv1": (WORD, BASIC), "conv2": (WORD,)}),
        "contributions: found layers of 1 and of 2 tasks; accepted are as many in all layers",
    ),
    "no layers by name": (lambda: plot.layers([WORD]), "contributions: found a list; accepted are two arrays by"),  # type: ignore[arg-type]
    "limit": (lambda: plot.units(WORD, BASIC, near_zero=-1), "near_zero: found -1; accepted is a number from 0"),
    "video": (
        lambda: plot.animate([plot.units(WORD, BASIC, dpi=50)], "e.mp4"),
        r"animation e.mp4: found a name of another format; accepted is \.gif\.",
    ),
    "no figures": (lambda: plot.animate([WORD], "e.gif"), "figure: found an? ndarray; accepted is a figure"),
    "no figure": (lambda: plot.save(WORD, "e.png"), "figure: found an? ndarray; accepted is a figure"),
    "no path": (lambda: plot.save(plot.units(WORD, dpi=50), 3), "path: found an int; accepted is a path"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_be_nonsense_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    draw, words = REFUSED[name]
    with pytest.raises(InputError, match=words) as raised:
        draw()
    assert "\n" not in str(raised.value)
    assert not list(tmp_path.iterdir())


def test_means_must_be_those_of_the_checkpoint() -> None:
    networks = shared(ONE, ("demo", 2, "4500"))
    means = shared(ONE).assign(networks=2, sd=0.1).reindex(columns=SHARING_OVER_NETWORKS.names)
    assert len(plot.sharing(networks, means, width=89).axes) == 2
    assert len(plot.sharing_over_training(means, width=89).axes) == 1
    with pytest.raises(InputError, match="over networks: found checkpoint 10; accepted is checkpoint 4500, as in the"):
        plot.sharing(networks, means.assign(checkpoint="10"))


def test_one_checkpoint_of_a_table_is_drawn_as_the_refusal_says(tmp_path: Path) -> None:
    write_table(tmp_path / "sharing.csv", shared(("demo", 1, "0000"), ONE), SHARING)
    table = read_table(tmp_path / "sharing.csv", TABLES["sharing"])
    assert len(plot.sharing(table[table.checkpoint == "4500"], width=89).axes) == 2
    assert len(plot.sharing_over_training(table, width=89).axes) == 1


def hatches(figure: Any) -> bool:
    return any(isinstance(artist, LineCollection) for artist in figure.get_children())


def test_what_is_near_zero_is_hatched_as_in_the_workflow() -> None:
    nothing, little = np.zeros(12), np.full(12, 0.04996)
    figure = plot.units(WORD, nothing, names=("word", "basic"), dpi=50)
    assert hatches(figure)
    said = " ".join(text.get_text().replace("\n", " ") for text in figure.texts)
    assert "Hatched: the average unit contributes less than 0.05 (basic 0), which says little." in said
    assert hatches(plot.units(little, BASIC))
    assert not hatches(plot.units(WORD, BASIC))
    assert not hatches(plot.units(little, BASIC, near_zero=0.005))
    assert hatches(plot.layers({"conv1": (WORD, BASIC), "conv2": (nothing, BASIC)}))
    faces = [axes.get_facecolor()[0] for axes in plot.tasks({"a": (WORD, BASIC), "b": (nothing, BASIC)}).axes]
    assert faces == [1.0, pytest.approx(0.92)]


@pytest.mark.parametrize("width", [89, 183, 400])
@pytest.mark.parametrize("layers", [1, 2, 3, 7])
def test_axes_of_two_tasks_are_named_in_the_middle_of_their_panels(layers: int, width: int) -> None:
    figure = plot.tasks({f"conv{number}": (WORD, BASIC) for number in range(layers)}, width=width)
    (label,) = (text for text in figure.texts if text.get_text() == "contribution to first task (bits)")
    wide = figure.get_size_inches()[0]
    boxes = [axes.get_position() for axes in figure.axes]
    middle = (min(box.x0 for box in boxes) + max(box.x1 for box in boxes)) / 2 * wide
    assert label.get_position()[0] == pytest.approx(middle, abs=0.01)
