"""Probes of the right sizes without what they would learn, so that a network is described before they are trained."""

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import numpy as np
from torch import nn

from featuresharing.data.preprocessing import AnyPreprocessing
from featuresharing.errors import InputError
from featuresharing.networks.descriptions import SUPPOSED_CLASSES
from featuresharing.networks.failures import reason_of
from featuresharing.networks.probe_reading import Reading
from featuresharing.networks.probes import INPUT, OUTPUT, Probe
from featuresharing.networks.trial import trial_pass
from featuresharing.settings.analysis_settings import MEAN


def sketch_probes(
    network: nn.Module, layers: Mapping[str, str | None], preprocessing: AnyPreprocessing
) -> dict[str, Probe]:
    """Return a probe of zeros for each task of ``layers``, which name the modules that it reads.

    None stands for what the last linear layer takes. The network may be without numbers. Raises InputError for modules
    that are not there, for a network without a linear layer, and for one that does not take such images.
    """
    last: list[str] = []
    with ExitStack() as hooks:
        readings = {}
        for task, layer in layers.items():
            if layer is not None:
                readings[task] = Reading(layer, OUTPUT, MEAN)
                hooks.callback(readings[task].attach(network).remove)
        linear = [path for path, module in network.named_modules() if isinstance(module, nn.Linear)]
        penultimate = {path: Reading(path, INPUT, MEAN) for path in linear} if None in layers.values() else {}
        for path, reading in penultimate.items():
            hooks.callback(reading.attach(network).remove)
            hooks.callback(network.get_submodule(path).register_forward_pre_hook(_noting(last, path)).remove)
        try:
            trial_pass(network, preprocessing.shape, whole=preprocessing.whole)
        except (RuntimeError, ValueError, TypeError, IndexError, AttributeError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(
                f"the network does not take images of {list(preprocessing.shape)} ({reason_of(error)}); accepted is "
                "one that does."
            ) from None
    if None in layers.values() and not last:
        raise InputError("layer of a probe: found no linear layer in a pass; accepted is the module path of a layer.")
    readings |= {task: penultimate[last[-1]] for task, layer in layers.items() if layer is None}
    sizes = {reading: reading.take().shape[1] for reading in set(readings.values())}
    return {
        task: Probe(
            reading.layer,
            np.zeros((SUPPOSED_CLASSES, sizes[reading])),
            np.zeros(SUPPOSED_CLASSES),
            reading.side,
            reading.pooling,
        )
        for task, reading in readings.items()
    }


def _noting(last: list[str], path: str) -> Any:
    def note(*_: Any) -> None:
        last.append(path)

    return note
