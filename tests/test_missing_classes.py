"""Images that differ by task: what each task says of its own images is what a run on these alone says."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from featuresharing import (
    InputError,
    Origin,
    accuracy_table,
    at_true_classes,
    contribution,
    contribution_table,
    estimate_sharing,
    group_targets,
    lesion_accuracy,
    lesion_curves_to_file,
    marginalize,
    merge_conditionals,
    predict,
    read_conditionals,
    read_group,
    sharing,
    sharing_table,
    weight_of_evidence,
)
from featuresharing.analysis.true_classes import check_targets, name_tasks
from featuresharing.data.class_maps import read_numbered_list
from featuresharing.data.lists import MISSING, ListFiles, read_image_list, write_classes, write_image_list
from featuresharing.networks.predictions import Predictions, choose_images, read_predictions, write_predictions
from featuresharing.randomness import keyed_generator
from featuresharing.runs.selection import select_to_file
from featuresharing.runs.subjects import subject_of_files
from featuresharing.store import UnitStore
from featuresharing.store.soundness import problems_of_final
from tests.support.two_tasks import UNITS, Given, compute, pair

COUNT = 40
RNG = np.random.default_rng(7)
IMAGES = RNG.standard_normal((COUNT, 4)).astype(np.float32)
# images 0 to 24 are of the first task, 15 to 39 of the second, so that ten are of both
WORD = np.where(np.arange(COUNT) < 25, np.arange(COUNT) % 3, MISSING)
BASIC = np.where(np.arange(COUNT) >= 15, np.arange(COUNT) % 2, MISSING)
TARGETS = {"word": WORD, "basic": BASIC}
OWN = {task: np.flatnonzero(targets != MISSING) for task, targets in TARGETS.items()}


def alone(task: str, output: Path, **changes: Any) -> Any:
    """Return the conditionals of one task on its images alone, with any classes for the other task."""
    images = OWN[task]
    targets = {name: values[images] if name == task else images % 2 for name, values in TARGETS.items()}
    return compute(output, images=IMAGES[images], targets=targets, **changes)


@pytest.mark.parametrize("storage", ["true-class", "full"])
@pytest.mark.parametrize("engine", ["one-channel", "plain"])
def test_a_task_contributes_what_a_run_on_its_images_alone_says(storage: str, engine: str, tmp_path: Path) -> None:
    given: Given = {"storage": storage, "engine": engine, "origin": Origin("groups", "last")}
    together = compute(tmp_path / "all.h5", images=IMAGES, targets=TARGETS, **given)
    frame = contribution_table([together], say=pytest.fail)
    for task, images in OWN.items():
        by_itself = alone(task, tmp_path / f"{task}.h5", **given)
        found, wanted = together.conditionals[task], by_itself.conditionals[task]
        assert np.isnan(np.delete(found, images, axis=1)).all()
        np.testing.assert_allclose(found[:, images], wanted, atol=1e-6)
        np.testing.assert_allclose(
            together.standard_errors[task][:, images], by_itself.standard_errors[task], atol=1e-6
        )
        evidence = weight_of_evidence(by_itself.predictions[task], wanted, classes=by_itself.classes[task])
        rows = frame[frame["task"] == task]
        np.testing.assert_allclose(rows["contribution"], contribution(evidence), atol=1e-6)
    assert together.image_counts() == {"word": 25, "basic": 25}
    assert problems_of_final(tmp_path / "all.h5") == []


def test_arrays_in_memory_give_what_files_give(tmp_path: Path) -> None:
    layer = compute(tmp_path / "all.h5", images=IMAGES, targets=TARGETS)
    conditionals = marginalize(pair(), "hidden", IMAGES, estimator="monte-carlo", samples=20, engine="plain")
    _, predictions = predict(pair(), IMAGES)
    evidence = [
        at_true_classes(weight_of_evidence(p, q), targets)
        for p, q, targets in zip(predictions, conditionals, TARGETS.values(), strict=True)
    ]
    table = contribution_table([layer])
    for task, values in zip(TARGETS, evidence, strict=True):
        np.testing.assert_allclose(table[table["task"] == task]["contribution"], contribution(values), atol=1e-6)
    found, (row,) = estimate_sharing(*evidence), sharing_table([layer]).to_dict("records")
    assert row["sharing"] == pytest.approx(found.sharing, abs=1e-5)
    # tables resample the same images alike wherever they are, arrays by the seed alone
    assert (row["low"], row["high"]) == pytest.approx((found.low, found.high), abs=0.03)


def test_an_interrupted_run_goes_on_to_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: Given = {"images": IMAGES, "targets": TARGETS}
    compute(tmp_path / "whole.h5", **given)
    write, calls = UnitStore.write, list[Any]()

    def stopping(store: UnitStore, *values: Any) -> None:
        if len(calls) == 3:
            raise KeyboardInterrupt
        calls.append(values)
        write(store, *values)

    monkeypatch.setattr(UnitStore, "write", stopping)
    with pytest.raises(KeyboardInterrupt):
        compute(tmp_path / "stopped.h5", **given)
    monkeypatch.setattr(UnitStore, "write", write)
    said: list[str] = []
    compute(tmp_path / "stopped.h5", **given, say=said.append)
    assert said == ["3 of 6 units are there already."]
    assert (tmp_path / "stopped.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()
    blocks = [tmp_path / "first.h5", tmp_path / "second.h5"]
    for block, units in zip(blocks, ([0, 1, 2], [3, 4, 5]), strict=True):
        compute(block, **given, units=units)
    merge_conditionals(blocks, tmp_path / "merged.h5")
    merged, whole = read_conditionals(tmp_path / "merged.h5"), read_conditionals(tmp_path / "whole.h5")
    for task in TARGETS:
        np.testing.assert_array_equal(merged.conditionals[task], whole.conditionals[task])


def test_numbers_of_images_without_the_task_are_refused_in_files() -> None:
    from featuresharing.store.layout import wrong_numbers

    missing = np.array([False, True])
    nan = float("nan")
    assert wrong_numbers("conditional_a", np.array([[0.5, nan]]), missing=missing) is None
    assert wrong_numbers("conditional_a", np.array([[nan, nan]]), missing=missing)
    assert wrong_numbers("conditional_a", np.array([[0.5, 0.5]]), missing=missing)
    assert wrong_numbers("conditional_a", np.array([[0.5, nan]]))


def test_targets_may_be_masked_none_or_minus_one() -> None:
    wanted = np.array([[0, -1], [2, 1], [-1, 0]])
    forms: list[Any] = [
        wanted,
        wanted.tolist(),
        torch.from_numpy(wanted),
        np.ma.MaskedArray(np.abs(wanted), wanted < 0),
        [[0, None], [2, 1], [None, 0]],
        {"b": [None, 1, 0], "a": np.ma.masked_equal([0, 2, 9], 9)},
        [torch.tensor([0, 2, -1]), [None, 1, 0]],
    ]
    for form in forms[:-2]:
        np.testing.assert_array_equal(check_targets(form, ("a", "b"), (3, 2), 3), wanted)
    for form in forms[-2:]:
        _, given = name_tasks(form, ("a", "b"))
        np.testing.assert_array_equal(check_targets(given, ("a", "b"), (3, 2), 3), wanted)
    for form, sentence in (
        ([[0, -2], [0, 0]], "task 'b': found -2 for image 0; accepted are 0 to 1, or -1 for none"),
        ([[0, -1], [0, -1]], "task 'b': found no image with a class"),
        ([[0, 0], [-1, -1]], "found no class in any task for image 1"),
        ([[0, None], [0.5, 0]], "found object"),
    ):
        with pytest.raises(InputError, match=sentence):
            check_targets(form, ("a", "b"), (3, 2), 2)


def corrected_interval_naively(first: NDArray[Any], second: NDArray[Any], resamples: int) -> tuple[float, float]:
    """Return the interval around 2 s - mean s* with images drawn within each set of tasks that images belong to.

    Its width is from how much each image moves that, with derivatives from small changes of its weight.
    """
    rng = np.random.default_rng(0)
    own = [np.flatnonzero(~np.isnan(values[0])).tolist() for values in (first, second)]
    kinds = [
        [i for i in range(first.shape[1]) if (i in own[0], i in own[1]) == kind] for kind in ((1, 1), (1, 0), (0, 1))
    ]

    def overlap(weights: NDArray[np.float64]) -> float:
        of = ((values[:, images], weights[images]) for values, images in zip((first, second), own, strict=True))
        return sharing(*(np.abs(values @ weight / len(weight)) for values, weight in of))

    every = np.ones(first.shape[1])
    counts, overlaps = np.zeros((resamples, len(every))), np.zeros(resamples)
    for row in range(resamples):
        for images in kinds:
            for image in rng.choice(images, size=len(images)):
                counts[row, image] += 1
        overlaps[row] = overlap(counts[row])
    exact, step = overlap(every), 1e-6
    moved = np.zeros(len(every))
    for image in range(len(every)):
        change = np.where(np.arange(len(every)) == image, step, 0)
        slope = (overlap(every + change) - overlap(every - change)) / (2 * step)
        moved[image] = 2 * slope - np.cov(counts[:, image], overlaps)[0, 1]
    variance = sum(len(images) * np.var(moved[images], ddof=1) for images in kinds)
    middle, width = 2 * exact - overlaps.mean(), 1.96 * math.sqrt(variance)
    return middle - width, middle + width


@pytest.mark.filterwarnings("ignore:only .* analysed")
def test_the_bootstrap_resamples_images_within_the_tasks_that_they_have() -> None:
    rng = np.random.default_rng(1)
    means = rng.uniform(1, 10, size=(2, 12, 1))
    first, second = (mean + 3 * rng.standard_normal((12, 30)) for mean in means)
    first[:, 20:], second[:, :6] = np.nan, np.nan
    found = estimate_sharing(first, second, resamples=4000)
    exact = sharing(np.abs(first[:, :20].mean(axis=1)), np.abs(second[:, 6:].mean(axis=1)))
    assert found.sharing == pytest.approx(exact, abs=1e-12)
    assert (found.low, found.high) == pytest.approx(corrected_interval_naively(first, second, 4000), abs=0.005)
    # two images of a task, each of a kind of its own: nothing can be resampled
    second[:, 7:] = np.nan
    first[:, :6] = np.nan
    lonely = estimate_sharing(first, second, resamples=10)
    assert np.isnan([lonely.low, lonely.high]).all()
    with pytest.raises(InputError, match=r"second: found \[12, 30\], all NaN"):
        estimate_sharing(first, np.full_like(second, np.nan))


def predictions_of(right: NDArray[np.bool_], present: NDArray[np.bool_]) -> Predictions:
    """Return predictions of two classes by task that are ``right`` [tasks, N] where images are ``present``."""
    tasks = [f"t{number}" for number in range(len(right))]
    probabilities = {
        task: np.where(own[:, None], [0.1, 0.9], [0.9, 0.1]).astype(np.float32)
        for task, own in zip(tasks, right, strict=True)
    }
    targets = {task: np.where(of, 1, MISSING) for task, of in zip(tasks, present, strict=True)}
    return Predictions(probabilities, targets, 5)


def choose_naively(right: NDArray[np.bool_], present: NDArray[np.bool_], most: int, seed: int) -> list[int]:
    """Take, again and again, the next right image of the task that has fewest."""
    order = keyed_generator(seed, "images").permutation(right.shape[1]).tolist()
    fitting = [i for i in order if present[:, i].any() and all(right[t, i] for t in range(len(right)) if present[t, i])]
    chosen: list[int] = []
    while len(chosen) < most and len(chosen) < len(fitting):
        left = [image for image in fitting if image not in chosen]
        tasks = [task for task in range(len(right)) if any(present[task, image] for image in left)]
        task = min(tasks, key=lambda each: sum(present[each, image] for image in chosen))
        chosen.append(next(image for image in left if present[task, image]))
    return sorted(chosen)


@pytest.mark.parametrize("most", [3, 10, 25, 100])
@pytest.mark.parametrize("seed", [0, 1])
def test_of_more_images_those_are_kept_that_balance_tasks(most: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    right, present = rng.random((3, 60)) < 0.8, rng.random((3, 60)) < np.array([[0.8], [0.3], [0.15]])
    found = choose_images(predictions_of(right, present), most=most, seed=seed).tolist()
    assert found == choose_naively(right, present, most, seed)


def test_where_nothing_is_missing_the_first_of_a_random_order_are_kept() -> None:
    right = np.random.default_rng(2).random((2, 50)) < 0.7
    order = keyed_generator(3, "images").permutation(50)
    both = right.all(axis=0)
    found = choose_images(predictions_of(right, np.ones_like(right)), most=9, seed=3)
    assert found.tolist() == np.sort(order[both[order]][:9]).tolist()


def test_a_task_without_a_right_image_is_named() -> None:
    right, present = np.array([[True, True], [True, False]]), np.array([[True, False], [False, True]])
    with pytest.raises(InputError, match="of task 't1', none of 1 images is right"):
        choose_images(predictions_of(right, present), most=9, seed=0)


def test_accuracies_are_over_the_images_of_a_task(tmp_path: Path) -> None:
    right = np.array([[True, True, False, True], [False, False, True, False]])
    present = np.array([[True, False, True, True], [False, True, True, False]])
    write_predictions(tmp_path / "7.h5", predictions_of(right, present))
    table = accuracy_table([read_predictions(tmp_path / "7.h5")])
    assert table["images"].tolist() == [3, 2]
    assert table["accuracy"].tolist() == [pytest.approx(2 / 3), 0.5]
    with pytest.raises(InputError, match="found no image of task 't1'"):
        accuracy_table([predictions_of(right, present & [[True], [False]])])


def test_lesions_count_the_images_of_each_task(tmp_path: Path) -> None:
    targets, order = np.stack([WORD, BASIC], axis=1), list(range(UNITS))[::-1]
    _, found = lesion_accuracy(pair(), "hidden", IMAGES, targets, [order])
    for column, (task, images) in enumerate(OWN.items()):
        others = np.stack([images % 3, images % 2], axis=1)
        assert (others[:, column] == TARGETS[task][images]).all()
        _, wanted = lesion_accuracy(pair(), "hidden", IMAGES[images], others, [order])
        np.testing.assert_array_equal(found[:, :, column], wanted[:, :, column])
    given = {"word": np.arange(6.0), "basic": np.ones(6)}
    curves = lesion_curves_to_file(
        pair(), "hidden", IMAGES, TARGETS, given, tmp_path / "c.csv", steps=2, random_orders=3, say=lambda _: None
    )
    rows = curves[(curves["order"] == "word") & (curves["task"] == "basic")]
    _, whole = lesion_accuracy(pair(), "hidden", IMAGES, targets, [order], counts=[0, 3, 6])
    assert rows["accuracy"].tolist() == pytest.approx(whole[0, :, 1].tolist())


def test_lists_have_a_hyphen_where_a_class_is_missing(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a.png", "b c.png", "d.png")]
    for path in paths:
        path.write_bytes(b"")
    targets = np.array([[0, -1], [-1, 1], [2, 0]])
    write_image_list(tmp_path / "all.txt", paths, targets)
    assert (tmp_path / "all.txt").read_text() == "a.png 0,-\nb c.png -,1\nd.png 2,0\n"
    classes = {"word": ["x", "y", "z"], "basic": ["u", "v"]}
    found = read_image_list(tmp_path / "all.txt", list(classes.values()))
    np.testing.assert_array_equal(found.targets, targets)
    numbered = read_numbered_list(tmp_path / "all.txt", tmp_path, {"word": {0: 1, 2: 0}, "basic": {0: 0, 1: 1}})
    np.testing.assert_array_equal(numbered.targets, [[1, -1], [-1, 1], [0, 0]])
    for line, sentence in (("a.png --,1", "or - for none"), ("a.png -1,1", "or - for none"), ("a.png -", "path a,b")):
        (tmp_path / "odd.txt").write_text(line)
        with pytest.raises(InputError, match=sentence):
            read_image_list(tmp_path / "odd.txt", list(classes.values()))
    write_classes(tmp_path / "classes.csv", classes)
    probabilities = {"word": np.eye(3, dtype=np.float32), "basic": np.eye(2, dtype=np.float32)[[0, 1, 0]]}
    write_predictions(tmp_path / "p.h5", Predictions(probabilities, dict(zip(classes, targets.T, strict=True)), 1))
    said: list[str] = []
    warned: list[str] = []
    listed = ListFiles(tmp_path / "all.txt", tmp_path / "classes.csv")
    told = {"say": said.append, "warn": warned.append}
    select_to_file(tmp_path / "p.h5", listed, tmp_path / "kept.txt", most=9, seed=0, **told)
    assert (tmp_path / "kept.txt").read_bytes() == (tmp_path / "all.txt").read_bytes()
    assert (tmp_path / "kept.csv").read_text() == "index,image,word,basic\n0,a.png,x,-\n1,b c.png,-,v\n2,d.png,z,u\n"
    assert [sentence.startswith(f"{tmp_path / 'all.txt'}: only 2 images are analysed") for sentence in warned] == [True]
    assert len(said) == 1
    second = replace(read_predictions(tmp_path / "p.h5"), replicate=2)
    write_predictions(tmp_path / "p2.h5", second)
    select_to_file(tmp_path / "p2.h5", listed, tmp_path / "kept2.txt", most=9, seed=0, **told)
    assert warned[1].startswith(f"{tmp_path / 'all.txt'}, network 2: only 2 images are analysed")


def test_lists_to_analyse_have_images_of_every_task_and_no_others(tmp_path: Path) -> None:
    write_classes(tmp_path / "classes.csv", {"a": ["x", "y"], "b": ["x", "y"]})
    listed = ListFiles(tmp_path / "all.txt", tmp_path / "classes.csv")
    for name in ("0.png", "1.png"):
        (tmp_path / name).write_bytes(b"")
    for lines, sentence in (
        ("0.png 0,-\n1.png 1,-\n", r"all\.txt: targets of task 'b': found no image with a class"),
        ("0.png 0,1\n1.png -,-\n", r"all\.txt: targets: found no class in any task for image 1"),
    ):
        listed.images.write_text(lines)
        with pytest.raises(InputError, match=sentence):
            subject_of_files(tmp_path / "net.pt", listed)


def test_few_images_are_said_of_each_task_where_tasks_differ(tmp_path: Path) -> None:
    few = {"word": WORD, "basic": np.where(np.arange(COUNT) < 4, BASIC, MISSING)}
    few["basic"][:2] = [0, 1]
    layer = compute(tmp_path / "few.h5", images=IMAGES[:25], targets={task: own[:25] for task, own in few.items()})
    said: list[str] = []
    sharing_table([layer], say=said.append)
    assert said == [
        "experiment, task 'basic': only 2 images are analysed: contributions and sharing say little under 20 images."
    ]


def test_groups_of_classes_become_tasks(tmp_path: Path) -> None:
    names = ["owl", "car", "12", "face"]
    (tmp_path / "faces.txt").write_text("face\n\nowl\n")
    assert read_group(tmp_path / "faces.txt", names) == (0, 3)
    assert read_group(["12", 1, "0"], names) == (0, 1, 2)
    groups = {"a": read_group(["owl", "car"], names), "b": read_group([1, 3], names)}
    found = group_targets(np.array([0, 1, 2, 3]), groups)
    np.testing.assert_array_equal(found, [[0, -1], [1, 1], [-1, -1], [-1, 3]])
    for given, sentence in (
        (["fac"], "group: found class 'fac'; accepted are 0 to 3, or names, such as 'face'."),
        ([4], "group: found class '4'; accepted are 0 to 3, or names."),
        ([True], "group: found class 'True'"),
        ([0, "owl"], "group: found class 'owl' twice"),
        ([], "group: found no class"),
        ("owl", "group: found a str; accepted is a list of classes"),
    ):
        with pytest.raises(InputError, match=sentence):
            read_group(given, names)
    (tmp_path / "odd.txt").write_text("face\nbird\n")
    with pytest.raises(InputError, match=r"odd\.txt, line 2: found class 'bird'"):
        read_group(tmp_path / "odd.txt", names)
