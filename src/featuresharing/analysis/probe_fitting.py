"""Probes fitted by logistic regression: the L2 penalty by cross-validation, everything keyed by a seed.

Minimised is the mean cross entropy plus strength / 2 times the sum of squared weights, of features with mean 0 and
deviation 1 on the images that train; both then go into the weights.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from featuresharing.analysis.true_classes import check_targets
from featuresharing.arguments import check_whole, is_number
from featuresharing.data.lists import MISSING
from featuresharing.errors import InputError
from featuresharing.networks.layer_features import last_linear_layer, layer_features
from featuresharing.networks.probes import INPUT, OUTPUT, Probe, ProbeQuality
from featuresharing.settings import Config, ProbeSettings, check

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Strengths of the L2 penalty to choose from."""

CONSTANT = 1e-6
"""A feature that varies by less than this share of its size is taken to be constant."""

Features = NDArray[np.float64]
Classes = NDArray[np.int64]


def fit_probe(
    network: nn.Module,
    layer: str | None,
    images: NDArray[Any] | Tensor,
    targets: Any,
    *,
    classes: int | None = None,
    pooling: str = ProbeSettings.pooling,
    inputs: Mapping[str, Any] | None = None,
    seed: int = Config.seed,
    folds: int = ProbeSettings.folds,
    strengths: Sequence[float] = STRENGTHS,
    device: str = "cpu",
) -> Probe:
    """Train a linear classifier on features of a network that stays as it is, for classes that it need not know.

    Features are what ``layer``, a module path, gives; None stands for what the last linear layer takes. ``pooling`` is
    ``mean`` (over positions or tokens) or ``flatten``, other ``inputs`` are as in :func:`featuresharing.marginalize`.
    ``targets`` int [N] are true classes (-1: not in the training), of ``classes`` (None: the highest and one). The
    strength of the L2 penalty is that of ``strengths`` with the lowest cross entropy over ``folds`` stratified parts of
    the images, the strongest of several. Equal features give equal probes, up to 1e-6.
    :func:`featuresharing.attach_probes` makes it a task of the network. Raises InputError for what cannot be analysed,
    and for a class of fewer than two images.

    >>> probe = fit_probe(network, "hidden", images, np.array([0, 1, 0, 1, 0, 1, 1]))
    >>> probe.weight.shape, probe.quality.trained
    ((2, 6), 7)
    """
    path, side = (last_linear_layer(network, images, inputs), INPUT) if layer is None else (layer, OUTPUT)
    features = layer_features(network, path, images, side=side, pooling=pooling, inputs=inputs, device=device)
    given = np.asarray(targets.cpu() if isinstance(targets, Tensor) else targets)
    count = classes or (int(given.max()) + 1 if given.size and given.dtype.kind in "iu" else 2)
    truth = check_targets(
        given[:, None] if given.ndim == 1 else given, ("probe",), (count,), len(features), all_of=False
    )
    probe = fit_features(features, truth[:, 0], count, seed=seed, folds=folds, strengths=strengths)
    return replace(probe, layer=path, side=side, pooling=pooling)


def fit_features(
    features: Features,
    targets: Classes,
    classes: int,
    *,
    seed: int = Config.seed,
    folds: int = ProbeSettings.folds,
    strengths: Sequence[float] = STRENGTHS,
) -> Probe:
    """Return a probe, of no layer yet, fitted to features [N, F] and true classes [N], MISSING ones left out.

    Raises InputError for classes of fewer than two images, fewer than two classes, folds or strengths that are none.
    """
    from sklearn.model_selection import StratifiedKFold

    check(Config, "seed", seed)
    check_whole("folds", folds, 2)
    if not strengths or not all(is_number(each) and 0 < each < np.inf for each in strengths):
        raise InputError(f"strengths: found {list(strengths)}; accepted are numbers above 0.")
    features, targets = features[targets != MISSING], targets[targets != MISSING]
    counts = np.bincount(targets, minlength=classes)
    if classes < 2 or counts.min() < 2:
        found = f"{counts.min()} images of class {counts.argmin()}" if classes > 1 else "one class"
        raise InputError(
            f"probe: found {found} to train with; accepted are two classes or more, of two images or more."
        )
    split = StratifiedKFold(min(folds, int(counts.min())), shuffle=True, random_state=seed % 2**32)
    parts = list(split.split(features, targets))
    tried = {float(each): _cross_validate(features, targets, parts, float(each)) for each in strengths}
    best = min(tried, key=lambda each: (tried[each][0], -each))
    weight, bias = _fit(features, targets, best)
    return Probe("", weight, bias, quality=ProbeQuality(best, tried[best][1], len(targets)))


def _cross_validate(
    features: Features, targets: Classes, parts: Sequence[tuple[Any, Any]], strength: float
) -> tuple[float, float]:
    """Return mean cross entropy and share of right images, of those that each of ``parts`` leaves out of training."""
    loss = right = 0.0
    for training, rest in parts:
        weight, bias = _fit(features[training], targets[training], strength)
        scores = features[rest] @ weight.T + bias
        true = scores[np.arange(len(rest)), targets[rest]]
        loss += float((np.logaddexp.reduce(scores, axis=1) - true).sum())
        right += float((scores.argmax(axis=1) == targets[rest]).sum())
    return loss / len(targets), right / len(targets)


def evaluate_probe(probe: Probe, features: Features, targets: Classes, trained: Classes) -> Probe:
    """Return a probe that knows how well it does on features [N, F] of images that did not train it.

    ``trained`` are the classes of those that did: chance is what the most frequent one of them gets.
    """
    assert probe.quality
    features, targets = features[targets != MISSING], targets[targets != MISSING]
    if not len(targets):
        return probe
    found = (features @ probe.weight.T + probe.bias).argmax(axis=1)
    right = float((found == targets).mean())
    usual = np.bincount(trained[trained != MISSING]).argmax()
    chance = float((targets == usual).mean())
    return replace(probe, quality=replace(probe.quality, tested=len(targets), held_out=right, chance=chance))


def _fit(features: Features, targets: Classes, strength: float) -> tuple[Features, Features]:
    """Return weight [classes, F] and bias [classes] of features as they are."""
    from sklearn.linear_model import LogisticRegression

    mean, deviation = features.mean(axis=0), features.std(axis=0)
    constant = deviation <= CONSTANT * np.abs(features).max(axis=0)
    scale = np.where(constant, 0, 1 / np.where(constant, 1, deviation))
    model = LogisticRegression(C=1 / (strength * len(features)), tol=1e-8, max_iter=100_000)
    model.fit((features - mean) * scale, targets)
    weight, bias = model.coef_ * scale, model.intercept_
    if len(weight) == 1:  # of two classes, the score of the second against 0
        weight, bias = np.concatenate([np.zeros_like(weight), weight]), np.concatenate([np.zeros(1), bias])
    return weight, bias - weight @ mean
