"""FeatureSharing: in a network trained on several tasks, which units does each task rely on, and which are shared?

>>> from featuresharing import load_network, marginalize, weight_of_evidence, contribution, sharing

The names below load what they need when they are first used, so that importing the package does not import torch.
"""

from importlib import import_module
from typing import Any

# now, not when first used: the function has to win over the module of the same name
from featuresharing.sharing import sharing
from featuresharing.version import PACKAGE

__version__ = PACKAGE

_HOMES = {
    "Conditionals": "featuresharing.marginal.conditionals",
    "Estimation": "featuresharing.marginal.estimation",
    "InputError": "featuresharing.errors",
    "Marginalization": "featuresharing.marginal.conditionals",
    "Maximization": "featuresharing.networks.maximization",
    "contribution": "featuresharing.evidence",
    "estimate_sharing": "featuresharing.sharing",
    "information_difference": "featuresharing.evidence",
    "lesion": "featuresharing.marginal.lesions",
    "lesion_accuracy": "featuresharing.marginal.lesions",
    "load_network": "featuresharing.networks.checkpoints",
    "marginalize": "featuresharing.marginal.conditionals",
    "maximize_units": "featuresharing.networks.maximization",
    "merge_conditionals": "featuresharing.store",
    "predict": "featuresharing.networks.predicting",
    "prior_draws": "featuresharing.marginal.draws",
    "probability_difference": "featuresharing.evidence",
    "random_orders": "featuresharing.marginal.lesions",
    "rank_correlation": "featuresharing.sharing",
    "read_conditionals": "featuresharing.store",
    "weight_of_evidence": "featuresharing.evidence",
}

__all__ = ["__version__", "sharing", *_HOMES]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'featuresharing' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
