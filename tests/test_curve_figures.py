"""Figures of curves: what they show of tables, and that it can be read, at both widths of a journal and in grey."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from featuresharing import InputError
from featuresharing.cli import main
from featuresharing.colours.task_colours import PALETTE, colours_of, looks_of
from featuresharing.data.columns import ACCURACY, LESIONS, TRAINING
from featuresharing.data.lists import write_classes
from featuresharing.data.sharing_columns import SHARING, SHARING_OVER_NETWORKS
from featuresharing.data.table_files import frame_of, write_table
from featuresharing.figures.lesion_curves import plot_lesions
from featuresharing.figures.panels import balanced
from featuresharing.figures.saving import save_figure
from featuresharing.figures.sharing_lines import plot_sharing
from featuresharing.figures.sharing_over_training import layer_colours, plot_sharing_over_training
from featuresharing.figures.step_axis import steps_of
from featuresharing.figures.style import Page
from featuresharing.figures.training_curves import plot_training
from tests.support.figure_texts import unreadable
from tests.support.made_curves import made_lesions, made_sharing, made_training

COLUMN, WHOLE = Page(width=89), Page(width=183)


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def line_with(axes: Axes, values: Any) -> Line2D:
    """Return the line of axes that has these values along y."""
    wanted = np.asarray(values, float)
    found = [line for line in axes.lines if np.array_equal(np.asarray(line.get_ydata(), float), wanted, equal_nan=True)]
    assert found, f"no line has {values}"
    return found[0]


# --- colours and lines


def test_a_task_has_its_colour_wherever_it_is_shown() -> None:
    tasks = ["subordinate", "basic", "word"]
    assert colours_of(tasks) == dict(zip(tasks, PALETTE, strict=False))
    logs, accuracy = made_training(2)
    training = plot_training(logs, accuracy, tasks=["word", *tasks])
    lesions = plot_lesions(made_lesions(2), tasks=["word", *tasks])
    for figure in (training, lesions):
        drawn = [handle for legend in figure.legends for handle in legend.legend_handles]
        handles = dict(zip(texts(figure), drawn, strict=True))
        found = {name.removeprefix("accuracy of "): handle for name, handle in handles.items()}
        assert [found[task].get_color() for task in tasks[:2]] == list(PALETTE[1:3])  # type: ignore[union-attr]
    lines = plot_sharing(made_sharing(2)[0], tasks=tasks).legends[-1].legend_handles
    assert [line.get_color() for line in lines if isinstance(line, Line2D)] == list(PALETTE[3:5])


def test_lines_differ_without_colour() -> None:
    looks = looks_of([str(number) for number in range(35)])
    assert len({(look.colour, look.dashes) for look in looks.values()}) == 35
    assert len({(look.dashes, look.marker) for look in looks.values()}) == 35
    for figure in (plot_sharing(made_sharing(4)[0]), plot_lesions(made_lesions(4)), plot_training(*made_training(4))):
        named = zip(texts(figure), (h for legend in figure.legends for h in legend.legend_handles), strict=True)
        lines = [handle for name, handle in named if any(task in name for task in ("basic", "word", "colour"))]
        styles = {(line.get_linestyle(), str(line._dash_pattern), line.get_marker()) for line in lines}  # type: ignore[union-attr]
        assert len(styles) == len(lines) >= 3


def test_colours_of_layers_rise_in_lightness() -> None:
    for count in (1, 2, 7, 20):
        colours = layer_colours(list("abcdefghijklmnopqrst"[:count])).values()
        shades = [np.dot(to_rgb(colour), (0.2126, 0.7152, 0.0722)) for colour in colours]
        assert shades == sorted(shades)
        assert len(set(shades)) == count
        assert max(shades) < 0.75  # is seen on white


# --- texts


def at_the_start(checkpoint: str, _: str) -> str:
    return "word" if int(checkpoint) == 0 else ""


SMALL, LARGE = Page(width=80, dpi=600, font_size=5), Page(width=80, dpi=50, font_size=12)
COUNTS = [(1, 1, 1, 1), (2, 1, 1, 2), (3, 7, 8, 5), (4, 3, 20, 1), (2, 20, 3, 2)]


@pytest.mark.parametrize(
    ("page", "tasks", "layers", "checkpoints", "networks"),
    [(page, *counts) for page in (COLUMN, WHOLE) for counts in COUNTS]
    + [(page, 2, 3, 4, 2) for page in (SMALL, LARGE)],
)
def test_texts_are_within_the_figure_and_beside_each_other(
    page: Page, tasks: int, layers: int, checkpoints: int, networks: int
) -> None:
    sharing, means = made_sharing(tasks, layers, checkpoints, networks, near=at_the_start)
    last, over = (frame[frame["checkpoint"] == frame["checkpoint"].max()] for frame in (sharing, means))
    figures = {
        "sharing": plot_sharing(last, over, page=page),
        "over training": plot_sharing_over_training(means, page=page),
        "lesions": plot_lesions(made_lesions(tasks, layers, networks), page=page),
        "training": plot_training(*made_training(tasks, checkpoints, networks, experiments=1 + tasks // 2), page=page),
    }
    for name, figure in figures.items():
        assert round(figure.get_size_inches()[0] * 25.4) == page.width
        assert unreadable(figure) == [], name


def test_long_names_are_shortened() -> None:
    long = "a_task_with_a_name_of_one_hundred_letters_" + "x" * 58
    sharing = made_sharing(2, 3, 2)[1].replace({"basic": long, "conv2": "module_path." * 3, "experiment_1": long})
    assert unreadable(plot_sharing_over_training(sharing, page=COLUMN)) == []
    assert (
        unreadable(plot_sharing(made_sharing(2, 3)[0].replace({"basic": long, "conv2": "layer." * 9}), page=COLUMN))
        == []
    )
    lesions = made_lesions(2).replace({"basic": long, "conv2": "layer." * 9, "demo": long})
    assert unreadable(plot_lesions(lesions, page=COLUMN)) == []


def test_rows_of_panels_are_full_where_they_can_be() -> None:
    assert [balanced(count, 4) for count in (1, 4, 5, 6, 7, 9)] == [1, 4, 3, 3, 4, 3]


# --- sharing


def test_sharing_stands_beside_what_chance_gives() -> None:
    table = made_sharing(2, 3, experiments=1)[0]
    figure = plot_sharing(table, page=WHOLE)
    upper, lower = figure.axes
    assert upper.get_ylim() == (0, 1)
    for axes, value in ((upper, "sharing"), (lower, "excess")):
        assert [label.get_text() for label in axes.get_xticklabels()] == ["conv1", "conv2", "conv3"]
        line = line_with(axes, table[value])
        assert np.round(np.asarray(line.get_xdata(), float)).tolist() == [0, 1, 2]
    bars = [(bar.get_y(), bar.get_y() + bar.get_height()) for bar in upper.patches]  # type: ignore[attr-defined]
    np.testing.assert_allclose(bars, table[["chance_low", "chance_high"]])
    bars = [(bar.get_y(), bar.get_y() + bar.get_height()) for bar in lower.patches]  # type: ignore[attr-defined]
    scale = 1 - table["chance"]
    np.testing.assert_allclose(bars, np.stack([-0.1 / scale, 0.1 / scale], axis=1))
    assert texts(figure) == [
        "95 % interval",
        "95 % of what chance gives, and its median",
        "experiment_1: subordinate + basic",
    ]


def test_cells_near_zero_are_hollow_and_say_so() -> None:
    table = made_sharing(2, 3, near=lambda _, layer: "basic" if layer == "conv2" else "", experiments=1)[0]
    figure = plot_sharing(table)
    assert "hollow: units contribute nearly nothing to a task" in texts(figure)
    hollow = [line for line in figure.axes[0].lines if line.get_markerfacecolor() == "white"]
    assert [np.asarray(line.get_ydata()).tolist() for line in hollow] == [[table["sharing"].iloc[1]]]
    nothing = made_sharing(2, 3, 3, near=lambda *_: "basic + subordinate")[1]
    for each in (plot_sharing_over_training(nothing), plot_sharing(nothing.assign(replicate=1))):
        marks = [line for axes in each.axes for line in axes.lines if line.get_marker() not in ("None", "")]
        assert all(line.get_markerfacecolor() == "white" for line in marks if len(np.asarray(line.get_xdata())))


def test_what_has_no_number_has_no_mark_and_too_few_images_are_told() -> None:
    table = made_sharing(2, 3, experiments=1)[0]
    table.loc[table.index[1], ["sharing", "low", "high", "excess", "excess_low", "excess_high", "p"]] = np.nan
    figure = plot_sharing(table)
    assert "95 % interval (none: too few images)" in texts(figure)
    line_with(figure.axes[0], table["sharing"])
    bare = plot_sharing(table.assign(low=np.nan, high=np.nan))
    assert "No intervals: too few images." in [text.get_text() for text in bare.texts]
    assert not any("interval" in text for text in texts(bare))
    nothing = frame_of(SHARING, []), frame_of(SHARING_OVER_NETWORKS, [])
    for each in (plot_sharing(nothing[0]), plot_sharing_over_training(nothing[1])):
        assert [text.get_text() for text in each.texts] == ["Nothing is shared: every experiment has one task."]


def test_networks_are_dots_around_their_mean() -> None:
    table, means = made_sharing(2, 3, networks=4, experiments=1)
    figure = plot_sharing(table, means)
    for axes, value in zip(figure.axes, ("sharing", "excess"), strict=True):
        line_with(axes, means[value])
        dots = line_with(axes, table[value])
        assert dots.get_linestyle() == "None"
    assert "95 % interval over networks and images" in texts(figure)
    with pytest.raises(InputError, match=r"found 4 replicates; accepted is one, or a table over networks beside it\."):
        plot_sharing(table)
    with pytest.raises(InputError, match=r"found 4 replicates; accepted is one, or a table over networks\."):
        plot_sharing_over_training(table)


def test_excess_sharing_over_training_has_a_line_a_layer_and_a_panel_a_pair() -> None:
    means = made_sharing(3, 2, 4)[1]
    means["p"] = np.where(means["layer"] == "conv1", 0.05, 0.051)
    figure = plot_sharing_over_training(means)
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert len(shown) == 6
    assert [axes.get_title(loc="left") for axes in shown][:2] == [
        *("experiment_1: subordinate + basic", "experiment_1: subordinate + word")
    ]
    first = means[
        (means["experiment"] == "experiment_1") & (means["task_a"] == "subordinate") & (means["task_b"] == "basic")
    ]
    for layer, colour in layer_colours(["conv1", "conv2"]).items():
        own = first[first["layer"] == layer]
        line = line_with(shown[0], own["excess"])
        assert (line.get_color(), np.asarray(line.get_xdata()).tolist()) == (colour, [0, 32, 64, 128])
        marks = [mark for mark in shown[0].lines if mark.get_color() == colour and mark.get_linestyle() == "None"]
        sizes = {mark.get_markersize() for mark in marks if len(np.asarray(mark.get_xdata()))}
        assert sizes == {4.2 if layer == "conv1" else 2.0}
    (band,) = shown[0].collections
    edges = np.asarray(band.get_paths()[0].vertices)
    wanted = (0.1 / (1 - first["chance"])).groupby(first["checkpoint"]).mean()
    np.testing.assert_allclose(
        sorted({*np.round(edges[:, 1], 9)}), sorted({*np.round(wanted, 9), *np.round(-wanted, 9)})
    )
    named = plot_sharing_over_training(means.replace({"0000000": "start"}))
    assert [label.get_text() for label in named.axes[0].get_xticklabels()] == ["start", "0000032", "0000064", "0000128"]
    assert steps_of(["0000", "0050"]) == [0, 50]


# --- training and lesions


def test_training_has_a_column_for_each_experiment(tmp_path: Path) -> None:
    log = frame_of(TRAINING, [(s, t, 3 / (s + 1), s / 1000) for t in ("x", "y") for s in range(0, 1001, 50)])
    accuracies = [(e, 1, str(s), s, t, s / 2000, 9) for e in "ab" for t in ("x", "y") for s in (0, 10, 100, 1000)]
    chance = {"a": {"x": 0.125}}
    figure = plot_training({"a": log, "b": log}, frame_of(ACCURACY, accuracies), chance=chance)
    save_figure(figure, tmp_path / "training.png")
    assert [axes.get_title() for axes in figure.axes] == ["a", "b", "", ""]
    assert list(figure.axes[3].lines[1].get_xdata()) == [0, 10, 100, 1000]  # type: ignore[arg-type]
    assert [list(line.get_ydata()) for line in figure.axes[2].lines if len(line.get_ydata()) == 2] == [[0.125, 0.125]]  # type: ignore[arg-type]
    assert "100%" in [label.get_text() for label in figure.axes[2].get_yticklabels()]
    assert texts(figure)[-2:] == ["x", "y"]
    with pytest.raises(InputError, match="no points"):
        plot_training({}, frame_of(ACCURACY, []))


def test_training_of_networks_is_their_mean_with_each_faintly() -> None:
    logs, accuracy = made_training(1, 3, networks=3, experiments=1)
    figure = plot_training(logs, accuracy)
    upper, lower = figure.axes
    frames = logs["experiment_1"]
    np.testing.assert_allclose(
        np.asarray(upper.lines[-1].get_ydata(), float), np.mean([log["loss"] for log in frames], axis=0)
    )
    for log in frames:
        assert line_with(upper, log["loss"]).get_linewidth() < upper.lines[-1].get_linewidth()
    tested = accuracy.groupby("step")["accuracy"].mean()
    assert line_with(lower, tested).get_marker() == "o"
    assert "faint: a single network" in texts(figure)


def marks_of(axes: Axes, colour: str) -> list[float]:
    """Return at which fractions marks above a panel stand."""
    marks = [line for line in axes.lines if line.get_color() == colour and line.get_linestyle() == "None"]
    (found,) = (line for line in marks if line.get_markersize() < 2)
    return np.asarray(found.get_xdata(), float).tolist()


def test_lesions_show_quantiles_chance_and_what_differs() -> None:
    curves = made_lesions(1, 1)
    curves["p_corrected"] = np.where(curves["fraction"] < 0.5, curves["p_corrected"], 0.2)
    figure = plot_lesions(curves, threshold=0.2)
    (axes,) = figure.axes
    colour = PALETTE[0]
    line_with(axes, curves["accuracy"])
    line_with(axes, [0.1, 0.1])
    (band,) = axes.collections
    edges = np.asarray(band.get_paths()[0].vertices)
    assert {*curves["random_low"].round(9), *curves["random_high"].round(9)} <= {*np.round(edges[:, 1], 9)}
    assert marks_of(axes, colour) == curves["fraction"][curves["p_corrected"] <= 0.2].tolist()
    assert 0 < len(marks_of(axes, colour)) < len(curves)
    assert "differs from random orders, p \N{LESS-THAN OR EQUAL TO} .2" in texts(figure)
    with pytest.raises(InputError, match="no points"):
        plot_lesions(frame_of(LESIONS, []))


def test_lesions_of_networks_are_marked_where_all_differ_alike() -> None:
    curves = made_lesions(1, 1, 3).reset_index(drop=True)
    curves["p_corrected"] = np.where((curves["replicate"] == 2) & (curves["fraction"] == 0.5), 0.06, 0.05)
    curves["accuracy"] = np.clip(curves["random_mean"] - 0.01, 0, 1)
    other = (curves["replicate"] == 3) & (curves["fraction"] == 0.3)
    curves.loc[other, "accuracy"] = curves.loc[other, "random_mean"] + 0.01
    figure = plot_lesions(curves)
    (axes,) = figure.axes
    assert marks_of(axes, PALETTE[0]) == [0, 0.1, 0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 1]
    mean = curves.groupby("fraction")["accuracy"].mean()
    assert line_with(axes, mean).get_linewidth() > 1
    for _, own in curves.groupby("replicate"):
        assert line_with(axes, own["accuracy"]).get_linewidth() < 0.5
    assert "every network differs from random orders, p \N{LESS-THAN OR EQUAL TO} .05" in texts(figure)


# --- commands


def test_commands_draw_tables_of_several_networks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sharing, means = made_sharing(2, 3, 2, networks=2)
    write_table(tmp_path / "sharing.csv", sharing, SHARING)
    write_table(tmp_path / "over.csv", means, SHARING_OVER_NETWORKS)
    over = ["--over-networks", str(tmp_path / "over.csv"), "--layers", "conv3", "conv1"]
    plot = ["plot-sharing", "--sharing", str(tmp_path / "sharing.csv"), *over, "--checkpoint", "0000032", "--output"]
    assert main([*plot, str(tmp_path / "sharing.png")]) == 0
    training = ["plot-excess-sharing", *over, "--checkpoints", "0000032", "0000000", "--output"]
    assert main([*training, str(tmp_path / "over.svg")]) == 0
    assert (tmp_path / "over.svg").read_bytes().startswith(b"<?xml")
    assert main([*training[:-3], "7", "--output", str(tmp_path / "x.png")]) == 2
    assert "there is no checkpoint '7'; accepted are 0000000, 0000032." in capsys.readouterr().err


def test_training_has_chance_of_the_held_out_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logs, accuracy = made_training(2, 3, experiments=1)
    write_table(tmp_path / "log.csv", logs["experiment_1"][0], TRAINING)
    write_table(tmp_path / "accuracy.csv", accuracy, ACCURACY)
    write_classes(tmp_path / "classes.csv", {"subordinate": ["owl", "oak"], "basic": ["bird", "tree"]})
    (tmp_path / "test.txt").write_text("a.png 0,1\nb.png 0,-\nc.png 1,0\nd.png 0,1\n")
    files = {"logs": "log.csv", "classes": "classes.csv"}
    given = [f"--{name}=experiment_1={tmp_path / file}" for name, file in files.items()]
    given += [f"--accuracy={tmp_path / 'accuracy.csv'}", f"--output={tmp_path / 'training.svg'}"]
    assert main(["plot-training", *given]) == 2
    assert "--lists and --classes: found other experiments in one; accepted are the same" in capsys.readouterr().err
    with pytest.MonkeyPatch.context() as patch:
        seen: dict[str, Any] = {}
        patch.setattr(
            "featuresharing.figures.training_curves.plot_training",
            lambda *frames, **settings: seen.update(settings) or plot_training(*frames, **settings),
        )
        assert main(["plot-training", *given, f"--lists=experiment_1={tmp_path / 'test.txt'}"]) == 0
    assert seen["chance"] == {"experiment_1": {"subordinate": 0.75, "basic": pytest.approx(2 / 3)}}
