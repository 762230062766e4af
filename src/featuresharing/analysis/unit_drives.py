"""What images give at the centre of units of a layer, with a forward pass of the network that ends there."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from featuresharing.errors import InputError
from featuresharing.networks.failures import is_out_of_memory, place_of, reason_of
from featuresharing.networks.forward import run_network
from featuresharing.networks.inputs import Inputs

WHOLE = (slice(None), slice(None))
"""All rows and columns."""


class Drive(Protocol):
    """What images give at the centre of units."""

    @property
    def window(self) -> tuple[slice, slice]:
        """The rows and columns of images that all units of the layer together depend on at most."""

    def __call__(self, images: Tensor, units: Tensor) -> Tensor:
        """Return what image b, of which the window is given, gives for unit b of ``units`` [B], on the same device."""


@dataclass(frozen=True, eq=False)
class Subject:
    """A ``module`` of a ``network`` that runs with ``values``: the ``layer`` of that name.

    ``is_linear`` tells that units are its last axis, and not the second. ``others`` are arguments beside the images.
    """

    network: nn.Module
    module: nn.Module
    layer: str
    is_linear: bool
    values: Mapping[str, Tensor]
    others: Mapping[str, Any]

    def outputs(self, images: Tensor) -> Tensor:
        """Return what the layer gives for ``images``, which the network may change; raises InputError if it fails."""
        with _outputs_of(self.module) as outputs:
            return self._run_until(images, outputs)

    def centres(self, output: Tensor, units: Tensor) -> Tensor:
        """Return what image b gives at the centre of the map (or of the row of tokens) of unit b, [B]."""
        if len(output) != len(units):
            raise InputError(
                f"layer '{self.layer}': found an output of {list(output.shape)} for {len(units)} images; "
                "accepted are layers whose first dimension is the image."
            )
        if self.is_linear:
            output = output.movedim(-1, 1)
        while output.ndim > 2:
            output = output.select(2, output.shape[2] // 2)
        return output.gather(1, units[:, None])[:, 0]

    def _run_until(self, images: Tensor, outputs: list[Tensor]) -> Tensor:
        try:
            run_network(self.network, self.values, Inputs(images, fixed=self.others))
        except ReachedError:
            return outputs[0]
        except Exception as error:  # whatever a network's own code does
            if isinstance(error, InputError) or is_out_of_memory(error):
                raise
            reason = f"{place_of(error, self.network)}: {reason_of(error)}"
            raise InputError(
                f"images of {list(images.shape[1:])} do not pass to layer '{self.layer}' ({reason}); "
                "accepted is the shape [C, H, W] that the network takes."
            ) from error
        raise InputError(f"layer '{self.layer}' has no part in a forward pass; accepted is one that has.")


@dataclass(frozen=True, eq=False)
class PlainDrive:
    """The network's own forward pass, for any network."""

    subject: Subject
    window = WHOLE

    def __call__(self, images: Tensor, units: Tensor) -> Tensor:
        """Return what image b gives for unit b of ``units``; raises InputError where the network fails."""
        return self.subject.centres(self.subject.outputs(images.clone()), units)


class ReachedError(Exception):
    """The layer has run: what lies behind it is not needed."""


@contextmanager
def _outputs_of(module: nn.Module) -> Iterator[list[Tensor]]:
    """Collect the module's first output, and end the forward pass there."""
    outputs: list[Tensor] = []

    def stop(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        outputs.append(output)
        raise ReachedError

    hook = module.register_forward_hook(stop)
    try:
        yield outputs
    finally:
        hook.remove()


def gradient_of(driven: Tensor, images: Tensor, layer: str) -> Tensor:
    """Return the gradient to images of what they give in a layer; raises InputError where there is none."""
    accepted = "accepted is one whose forward pass can be differentiated from its images on"
    if not driven.requires_grad:
        raise InputError(
            f"layer '{layer}': no gradient leads from it to the images, as where a forward pass detaches values or "
            f"runs under torch.no_grad(); {accepted}."
        )
    try:
        (gradient,) = torch.autograd.grad(driven.sum(), images, allow_unused=True)
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        raise InputError(f"layer '{layer}': its gradient cannot be taken ({reason_of(error)}); {accepted}.") from error
    if gradient is None:
        raise InputError(f"layer '{layer}': what it gives does not depend on the images; {accepted}.")
    return gradient
