"""FeatureSharing: in a network trained on several tasks, which units does each task rely on, and which are shared?

>>> from featuresharing import load_network, marginalize, weight_of_evidence, contribution, sharing

The names below load what they need when they are first used, so that importing the package does not import torch.

In their examples, ``network`` has two tasks, ``word`` of three classes and ``basic`` of two, and a layer ``hidden`` of
six units; ``images`` are seven of what it takes, ``targets`` their true classes by task. ``pictured`` is a network of
convolutions on RGB images of 8 pixels, ``np`` is numpy, and files that are read were written before.
"""

from importlib import import_module
from typing import Any

from featuresharing.version import PACKAGE

__version__ = PACKAGE

_HOMES = {
    "Conditionals": "featuresharing.analysis.conditionals",
    "Estimation": "featuresharing.estimators.estimation",
    "FeatureSettings": "featuresharing.settings",
    "Head": "featuresharing.networks.heads",
    "InputError": "featuresharing.errors",
    "Marginalization": "featuresharing.analysis.conditionals",
    "Origin": "featuresharing.runs.subjects",
    "Probe": "featuresharing.networks.probes",
    "TABLES": "featuresharing.data.columns",
    "accuracy_table": "featuresharing.analysis.tables",
    "at_true_classes": "featuresharing.analysis.true_classes",
    "attach_heads": "featuresharing.networks.task_scores",
    "attach_probes": "featuresharing.networks.task_scores",
    "contribution": "featuresharing.analysis.evidence",
    "contribution_table": "featuresharing.analysis.tables",
    "cosine": "featuresharing.analysis.overlap",
    "describe_network": "featuresharing.engine.describing",
    "estimate_excess": "featuresharing.analysis.pair_overlap",
    "estimate_over_networks": "featuresharing.analysis.over_networks",
    "estimate_sharing": "featuresharing.analysis.sharing",
    "excess_sharing": "featuresharing.analysis.chance",
    "expected_sharing": "featuresharing.analysis.chance",
    "export_arrays": "featuresharing.analysis.array_export",
    "extreme_images": "featuresharing.analysis.extreme_images",
    "fit_probe": "featuresharing.analysis.probe_fitting",
    "group_targets": "featuresharing.data.class_groups",
    "image_table": "featuresharing.analysis.image_table",
    "information_difference": "featuresharing.analysis.evidence",
    "layer_arrays": "featuresharing.analysis.array_export",
    "layers": "featuresharing.analysis.layer_table",
    "lesion": "featuresharing.analysis.lesions",
    "lesion_accuracy": "featuresharing.analysis.lesions",
    "lesion_curves_to_file": "featuresharing.runs.lesioning",
    "lesion_table": "featuresharing.analysis.tables",
    "load_network": "featuresharing.networks.opening",
    "look_at_outputs": "featuresharing.networks.output_looks",
    "marginalize": "featuresharing.analysis.conditionals",
    "marginalize_layers": "featuresharing.analysis.conditionals",
    "marginalize_to_file": "featuresharing.runs.marginalizing",
    "maximize_units": "featuresharing.analysis.maximization",
    "merge_conditionals": "featuresharing.store",
    "permutation_null": "featuresharing.analysis.chance",
    "picture_units": "featuresharing.runs.picturing",
    "predict": "featuresharing.networks.predicting",
    "prior_draws": "featuresharing.estimators.draws",
    "probability_difference": "featuresharing.analysis.evidence",
    "random_orders": "featuresharing.analysis.lesions",
    "rank_correlation": "featuresharing.analysis.overlap",
    "read_conditionals": "featuresharing.store",
    "read_group": "featuresharing.data.class_groups",
    "read_predictions": "featuresharing.networks.predictions",
    "read_probes": "featuresharing.networks.probes",
    "read_table": "featuresharing.data.table_files",
    "sharing": "featuresharing.analysis.overlap",
    "sharing_table": "featuresharing.analysis.sharing_tables",
    "sharing_tables": "featuresharing.analysis.sharing_tables",
    "slope_trend": "featuresharing.analysis.trends",
    "status_table": "featuresharing.store.status",
    "top_units": "featuresharing.analysis.overlap",
    "unit_card": "featuresharing.analysis.unit_card",
    "weight_of_evidence": "featuresharing.analysis.evidence",
    "write_probes": "featuresharing.networks.probes",
    "write_table": "featuresharing.data.table_files",
}

_MODULES = {"plot": "featuresharing.plot"}

__all__ = ["__version__", *_HOMES, *_MODULES]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name in _MODULES:
        return import_module(_MODULES[name])
    raise AttributeError(f"module 'featuresharing' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
