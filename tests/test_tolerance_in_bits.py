"""Draws are left out up to an error of evidence in bits: it holds against all draws, and depends on nothing else."""

from collections.abc import Sequence
from math import log2
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from featuresharing import (
    Conditionals,
    Estimation,
    InputError,
    Marginalization,
    lesion,
    marginalize,
    marginalize_to_file,
    prior_draws,
    read_conditionals,
)
from featuresharing.analysis.conditionals import collect
from featuresharing.estimators.log_odds import certain_mass, log_odds, possible_mass, probability_at
from featuresharing.store.soundness import problems_of_final
from tests.support.naive import marginalize_naively, sample_shares
from tests.support.small_networks import alexnet, different_images, perceptron, pictures

torch.set_num_threads(1)

SETTINGS: dict[str, Any] = {"samples": 40, "scale": 0.6, "seed": 5}

BITS = (0.5, 0.02, 1e-4)


def odds(p: float, classes: int, laplace: str) -> float:
    """Return log2 odds as docs/method.md has them, of one number."""
    n = 1e6
    p = (p * n + 1) / (n * classes) if laplace == "paper" else (p * n + 1) / (n + classes)
    return log2(p / (1 - p))


def sharp(images: int = 6) -> tuple[nn.Sequential, Tensor]:
    """Return a network whose predictions are next to 0 on some images and far from it on others, and images."""
    network = perceptron(inputs=20, seed=4)
    return network, torch.randn(images, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


def errors_in_bits(found: Conditionals, whole: Conditionals, laplace: str) -> NDArray[np.float64]:
    """Return by how much the evidence for each class lacks what all draws give, [units, images, classes]."""
    (some,), (every,) = found, whole
    classes = some.shape[-1]
    wrong = [
        abs(odds(float(p), classes, laplace) - odds(float(q), classes, laplace))
        for p, q in zip(some.ravel(), every.ravel(), strict=True)
    ]
    return np.array(wrong).reshape(some.shape)


def at_targets(network: nn.Module, images: Tensor, targets: NDArray[np.int64] | None, **settings: Any) -> Conditionals:
    """Return conditionals whose evidence at some classes alone is certain."""
    run = Marginalization(network, "0", images, Estimation(**SETTINGS | settings), targets=targets)
    return collect(run.pieces(step=4), run.engine, run.units, Estimation(**SETTINGS | settings).make().gives())


class TestCertificate:
    """Evidence is as certain as is asked for, against all draws."""

    @pytest.mark.parametrize("laplace", ["paper", "standard"])
    @pytest.mark.parametrize("bits", BITS)
    @pytest.mark.parametrize("estimator", ["prior-weighted", "published"])
    def test_evidence_for_every_class_is_within_the_tolerance(self, estimator: str, bits: float, laplace: str) -> None:
        network, images = sharp()
        whole = marginalize(network, "0", images, estimator=estimator, tolerance=0, **SETTINGS)
        found = marginalize(network, "0", images, estimator=estimator, tolerance_bits=bits, laplace=laplace, **SETTINGS)
        wrong = errors_in_bits(found, whole, laplace)
        assert wrong.max() <= bits + 1e-9
        assert wrong.max() > 0  # draws are left out

        lacking = found.skipped_mass_by_image
        assert lacking is not None
        assert (lacking != lacking[:, :1]).any()  # by image
        for some, every in zip(found, whole, strict=True):
            assert (some <= every + 1e-12).all()
            assert (every <= some + lacking[..., None] + 1e-12).all()
            np.testing.assert_allclose(some.sum(axis=-1), 1 - lacking, rtol=0, atol=1e-12)
        assert (lacking <= found.skipped_mass[:, None]).all()
        np.testing.assert_array_equal(found.effective_samples, whole.effective_samples)

    def test_draws_of_most_weight_are_kept_one_by_one_until_it_is_certain(self) -> None:
        network, images = sharp()
        found = marginalize(network, "0", images, tolerance_bits=0.02, **SETTINGS)
        every = marginalize_naively_in_order(network, images)
        lacking = found.skipped_mass_by_image
        assert lacking is not None
        spare: list[bool] = []
        for unit, (shares, sums) in enumerate(every):
            left = 1 - np.cumsum(shares)
            for image in range(len(images)):
                kept = int(np.abs(left - lacking[unit, image]).argmin())
                np.testing.assert_allclose(found.probabilities[0][unit, image], sums[kept][image], rtol=0, atol=1e-12)
                if kept > 1:  # with a draw less, some class may be off by more than is asked for
                    rises = [
                        odds(min(q + left[kept - 1], 1), 3, "paper") - odds(q, 3, "paper")
                        for q in sums[kept - 1][image].tolist()
                    ]
                    spare.append(max(rises) <= 0.02)
        assert len(spare) > 30
        assert np.mean(spare) < 0.1  # but for the few that the sum of the first wave did not tell

    def test_only_the_classes_that_are_asked_for_have_to_be_certain(self) -> None:
        network, images = sharp(8)
        targets = np.array([[0], [1], [2], [-1], [0], [1], [2], [-1]])
        found = at_targets(network, images, targets, tolerance_bits=0.01)
        whole = marginalize(network, "0", images, tolerance=0, **SETTINGS)
        every = at_targets(network, images, None, tolerance_bits=0.01)
        wrong = errors_in_bits(found, whole, "paper")
        for image, (target,) in enumerate(targets):
            if target >= 0:
                assert wrong[:, image, target].max() <= 0.01 + 1e-9
        assert wrong[:, targets[:, 0] >= 0].max() > 0.01  # at other classes
        lacking, other = found.skipped_mass_by_image, every.skipped_mass_by_image
        assert lacking is not None
        assert other is not None
        assert lacking.mean() > 2 * other.mean()
        assert np.array_equal(lacking[:, 3], found.skipped_mass)  # of no task: the first wave does

    def test_layers_of_convolutions_and_several_tasks_too(self) -> None:
        network, images = alexnet(), pictures(3)
        whole = marginalize(network, "0.0.0", images, tolerance=0, samples=20, scale=0.2)
        found = marginalize(network, "0.0.0", images, tolerance_bits=0.003, samples=20, scale=0.2)
        for some, every in zip(found, whole, strict=True):
            classes = some.shape[-1]
            wrong = [
                abs(odds(p, classes, "paper") - odds(q, classes, "paper"))
                for p, q in zip(some.ravel().tolist(), every.ravel().tolist(), strict=True)
            ]
            assert 0 < max(wrong) <= 0.003 + 1e-9


def marginalize_naively_in_order(network: nn.Module, images: Tensor) -> list[tuple[Any, Any]]:
    """Return of every unit the shares of its draws, falling, and the sums [draws, images, classes] over the first."""
    found = []
    layer = network[0]
    for unit in range(len(layer.weight)):
        weights, biases = prior_draws(network, "0", unit, **SETTINGS)
        shares = np.array(sample_shares(layer, unit, (weights, biases), scale=SETTINGS["scale"]))
        order = np.argsort(-shares)
        each = [[(weights[draw : draw + 1], biases[draw : draw + 1])] for draw in order]
        one = [marginalize_naively(network, "0", images, [unit], draws)[0][0] for draws in each]
        found.append((shares[order], np.cumsum(shares[order][:, None, None] * np.array(one), axis=0)))
    return found


class TestNumbersDependOnUnitAndImageAlone:
    """Which images and units are computed together changes nothing."""

    def test_an_image_has_the_same_numbers_by_itself(self) -> None:
        network, images = sharp()
        together = marginalize(network, "0", images, tolerance_bits=0.01, **SETTINGS)
        for image in range(len(images)):
            alone = marginalize(network, "0", images[image : image + 1], tolerance_bits=0.01, **SETTINGS)
            for one, other in zip(numbers_by_image(alone), numbers_by_image(together), strict=True):
                np.testing.assert_allclose(one[:, 0], other[:, image], rtol=0, atol=1e-12)

    @pytest.mark.parametrize("together", [0.0, 0.5, 1.1])
    @pytest.mark.parametrize("batch_size", [2, 6])
    def test_batches_of_images_and_blocks_of_draws_change_rounding_only(
        self, together: float, batch_size: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        network, images = sharp()
        usual = marginalize(network, "0", images, tolerance_bits=0.01, **SETTINGS)
        monkeypatch.setattr("featuresharing.estimators.waves.TOGETHER", together)  # all images, some, none together
        monkeypatch.setattr("featuresharing.engine.memory.MOST_VARIANTS", 7)
        monkeypatch.setattr("featuresharing.estimators.waves.MOST_VARIANTS", 7)
        for engine in ("one-channel", "plain") if (batch_size, together) == (2, 0.5) else ("one-channel",):
            found = marginalize(
                network, "0", images, tolerance_bits=0.01, batch_size=batch_size, engine=engine, **SETTINGS
            )
            for one, other in zip(numbers_by_image(found), numbers_by_image(usual), strict=True):
                np.testing.assert_allclose(one, other, rtol=0, atol=1e-12)

    def test_units_in_any_order_have_the_same_bits(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("featuresharing.engine.one_channel.CPU_OPERATIONS", 1)  # a unit a piece
        network, images = sharp()
        usual = marginalize(network, "0", images, tolerance_bits=0.01, **SETTINGS)
        order = [4, 0, 3]
        found = marginalize(network, "0", images, tolerance_bits=0.01, units=order, **SETTINGS)
        for one, other in zip(numbers_by_image(found), numbers_by_image(usual), strict=True):
            np.testing.assert_array_equal(one, other[order])

    def test_the_tolerance_of_the_mass_says_nothing(self) -> None:
        network, images = sharp()
        one, other = (
            marginalize(network, "0", images, tolerance_bits=0.01, tolerance=tolerance, **SETTINGS)
            for tolerance in (0.0, 0.5)
        )
        np.testing.assert_array_equal(one.probabilities[0], other.probabilities[0])


def numbers_by_image(found: Conditionals) -> Sequence[NDArray[Any]]:
    """Return the arrays [units, images, ...]."""
    assert found.skipped_mass_by_image is not None
    return [*found, found.skipped_mass_by_image]


class TestFiles:
    """Files keep what is left out for each image, resume, and tell settings apart."""

    @pytest.mark.parametrize("storage", ["true-class", "full"])
    def test_a_file_has_the_weight_left_out_of_every_image(self, storage: str, tmp_path: Path) -> None:
        network, images = sharp()
        targets = np.array([[0], [1], [2], [2], [1], [0]])
        path = tmp_path / "layer.h5"
        given: dict[str, Any] = {"tolerance_bits": 0.01, **SETTINGS, "storage": storage}
        found = marginalize_to_file(network, "0", images, targets, path, **given)
        assert problems_of_final(path) == []
        wanted = at_targets(network, images, None if storage == "full" else targets, tolerance_bits=0.01)
        assert found.skipped_mass_by_image is not None
        assert wanted.skipped_mass_by_image is not None
        np.testing.assert_allclose(found.skipped_mass_by_image, wanted.skipped_mass_by_image, rtol=0, atol=1e-15)
        np.testing.assert_array_equal(found.skipped, found.skipped_mass_by_image)
        np.testing.assert_array_equal(found.skipped_mass, wanted.skipped_mass)
        assert (found.attributes["tolerance_bits"], found.attributes["laplace"]) == (0.01, "paper")
        assert found.to_xarray()["skipped_mass_by_image"].dims == ("unit", "image")

    def test_a_stopped_run_goes_on_to_the_same_bits(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("featuresharing.engine.one_channel.CPU_OPERATIONS", 1)
        network, images = sharp()
        targets = np.array([[0], [1], [2], [2], [1], [0]])
        given: dict[str, Any] = {"tolerance_bits": 0.01, **SETTINGS, "batch_size": 4}
        whole = marginalize_to_file(network, "0", images, targets, tmp_path / "whole.h5", **given)
        path = tmp_path / "stopped.h5"
        written = 0

        def stop(*_: Any) -> None:
            nonlocal written
            written += 1
            if written == 4:
                raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr("featuresharing.store.progress_file.ProgressFile.keep_time", stop)
            with pytest.raises(KeyboardInterrupt):
                marginalize_to_file(network, "0", images, targets, path, say=lambda _: None, **given)
        assert not path.exists()
        found = marginalize_to_file(network, "0", images, targets, path, say=lambda _: None, **given)
        np.testing.assert_array_equal(found.conditionals["0"], whole.conditionals["0"])
        np.testing.assert_array_equal(found.skipped, whole.skipped)

    def test_a_file_without_it_is_as_before(self, tmp_path: Path) -> None:
        recorded = Estimation(**SETTINGS).make().recorded()
        assert list(recorded) == ["estimator", "samples", "scale", "tolerance", "seed"]
        assert {"tolerance_bits", "laplace"} <= Estimation(**SETTINGS, tolerance_bits=1).make().recorded().keys()
        network, images = sharp()
        found = marginalize_to_file(network, "0", images, np.zeros((6, 1), int), tmp_path / "a.h5", **SETTINGS)
        assert found.skipped_mass_by_image is None
        assert found.skipped.shape == (6, 1)
        assert "tolerance_bits" not in read_conditionals(tmp_path / "a.h5").attributes


@pytest.mark.parametrize("bits", [0, -1, float("nan"), 20.5, "1", True])
def test_other_tolerances_are_refused_in_one_sentence(bits: Any) -> None:
    with pytest.raises(InputError, match=r"^tolerance_bits: found [^\n]*; accepted is a number [^\n]*\.$"):
        marginalize(perceptron(), "0", different_images(), tolerance_bits=bits)


def test_another_correction_is_refused_in_one_sentence() -> None:
    with pytest.raises(InputError, match=r"^laplace: found 'none'; accepted is paper or standard\.$"):
        Estimation(laplace="none")


def test_estimators_that_leave_no_draws_out_do_not_look_at_it() -> None:
    network, images = perceptron(), different_images()
    one, other = (
        marginalize(network, "0", images, estimator="monte-carlo", samples=5, tolerance_bits=bits)
        for bits in (None, 0.1)
    )
    np.testing.assert_array_equal(one.probabilities[0], other.probabilities[0])
    assert other.skipped_mass_by_image is None
    assert lesion(network, "0", images).skipped_mass_by_image is None


@pytest.mark.parametrize("laplace", ["paper", "standard"])
@pytest.mark.parametrize("classes", [2, 3, 1000])
class TestLogOdds:
    """Masses that leave log odds certain, compared with many points."""

    def test_the_inverse_of_log_odds(self, classes: int, laplace: str) -> None:
        p = np.array([0.0, 1e-9, 1e-3, 0.5, 0.9, 1.0])
        wanted = [odds(float(each), classes, laplace) for each in p]
        np.testing.assert_allclose(log_odds(p, classes, laplace), wanted, rtol=1e-9)
        np.testing.assert_allclose(probability_at(log_odds(p, classes, laplace), classes, laplace), p, atol=1e-9)

    @pytest.mark.parametrize("bits", [3.0, 0.1, 1e-3])
    def test_the_mass_is_the_largest_that_is_certain(self, classes: int, laplace: str, bits: float) -> None:
        for least, most in [(0.0, 1e-5), (0.0, 1.0), (0.2, 0.9), (0.9, 1.0), (0.99999, 1.0)]:
            mass = float(certain_mass(np.array(least), np.array(most), bits=bits, classes=classes, laplace=laplace))

            def widest(m: float, least: float = least, most: float = most) -> float:
                starts = np.linspace(least, most - m, 400)
                return max(odds(min(q + m, 1), classes, laplace) - odds(q, classes, laplace) for q in starts)

            if mass < most - least:
                assert widest(mass) <= bits + 1e-7
                assert widest(min(1.01 * mass, most - least)) > bits - 1e-7
            else:
                assert odds(most, classes, laplace) - odds(least, classes, laplace) <= bits + 1e-7

    @pytest.mark.parametrize("bits", [0.1, 1e-3])
    def test_no_larger_mass_is_certain_anywhere(self, classes: int, laplace: str, bits: float) -> None:
        mass = possible_mass(bits, classes, laplace)
        starts = np.linspace(0, 1 - mass, 2000)
        least = min(odds(q + mass, classes, laplace) - odds(q, classes, laplace) for q in starts)
        assert bits - 1e-9 <= least <= 1.01 * bits
