"""What layers give the operators that multiply: seen, or replaced, where Python calls them in a pass.

A layer's weight is what its operator takes, however it comes about: standardised in the layer's own pass, transposed,
or with a bias that another module puts together. A call belongs to a layer if it takes the layer's own weight, or comes
out of the layer's own pass.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from featuresharing.networks.layer_kinds import OWN_IN_PROJECTION, OWN_NAMES, Place, turned
from featuresharing.networks.wrappers import with_attribute

WEIGHT, BIAS = ":weight", ":bias"
"""What the names of weights and biases that are put into products end with, behind the layer's path."""


@dataclass(frozen=True, eq=False)
class Taken:
    """What a product took: ``weight`` [units, ...] and ``bias`` [units] (None: none).

    They are the layer's ``own``, or computed.
    """

    weight: Tensor
    bias: Tensor | None
    own: bool = False


Handle = Callable[[str, Taken], Taken]
"""What to do with what the product of the layer's module at a path takes: it returns what it shall take."""


@dataclass(frozen=True)
class _Product:
    """A function that multiplies: the ``names`` of its arguments in their order, and how its weight is laid out."""

    names: tuple[str, ...]
    layout: str = "rows"
    own: tuple[str, str] = OWN_NAMES

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        return dict(zip(self.names, args, strict=False)) | dict(kwargs)


_LINEAR = _Product(("input", "weight", "bias"))
_CONVOLUTION = _Product(("input", "weight", "bias", "stride", "padding", "dilation", "groups"))
_TRANSPOSED = _Product(
    ("input", "weight", "bias", "stride", "padding", "output_padding", "groups", "dilation"), "transposed"
)
_ADDITION = _Product(("bias", "input", "weight"), "matrix")
_ATTENTION = _Product(
    ("query", "key", "value", "embed_dim", "num_heads", "in_proj_weight", "in_proj_bias"), "rows", OWN_IN_PROJECTION
)
_PRODUCTS: dict[Any, _Product] = {
    F.linear: _LINEAR,
    **dict.fromkeys((F.conv1d, F.conv2d, F.conv3d), _CONVOLUTION),
    **dict.fromkeys((F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d), _TRANSPOSED),
    torch.addmm: _ADDITION,
    F.multi_head_attention_forward: _ATTENTION,
}


@dataclass(eq=False)
class _Layers:
    """The layers of a network while it runs: ``running`` are the paths of those whose pass is under way."""

    modules: Mapping[str, nn.Module]
    running: list[str] = field(default_factory=list)
    _owners: dict[int, str | None] | None = None

    def owner_of(self, weight: Any) -> str | None:
        """Return the path of the layer that a product with ``weight`` belongs to."""
        if self._owners is None:  # the pass has begun: parameters are those that it runs with
            inner = [p for module in self.modules.values() for child in module.children() for p in child.parameters()]
            self._owners = dict.fromkeys(map(id, inner))
            for path, module in self.modules.items():
                weights = [module._parameters.get(name) for name in (OWN_NAMES[0], OWN_IN_PROJECTION[0])]
                self._owners |= {id(weight): path for weight in weights if weight is not None}
        return self._owners.get(id(weight), self.running[-1] if self.running else None)

    def begin(self, path: str, *_: Any) -> None:
        self.running.append(path)

    def end(self, *_: Any) -> None:
        self.running.pop()


class _Products(TorchFunctionMode):
    def __init__(self, layers: _Layers, handle: Handle) -> None:
        super().__init__()
        self._layers, self._handle = layers, handle

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        product = _PRODUCTS.get(func)
        if product is None:
            return func(*args, **kwargs)
        given = product.bind(args, kwargs)
        named, groups = product.own, given.get("groups", 1)
        weight = given.get(named[0])
        path = self._layers.owner_of(weight)
        if path is None or not isinstance(weight, Tensor):
            return func(*args, **kwargs)
        taken = Taken(turned(weight, product.layout, groups), given.get(named[1]))
        wanted = self._handle(path, taken)
        if wanted is taken:
            return func(*args, **kwargs)
        given |= dict(zip(named, (turned(wanted.weight, product.layout, groups), wanted.bias), strict=True))
        if product is _ATTENTION:  # with tokens one after the other in memory, its first product is a plain one
            whole = {id(given[name]): given[name].contiguous() for name in product.names[:3]}
            given |= {name: whole[id(given[name])] for name in product.names[:3]}
        first = [given.pop(name) for name in product.names if name in given]
        return func(*first, *args[len(product.names) :], **given)


@contextmanager
def handling(modules: Mapping[str, nn.Module], handle: Handle) -> Iterator[None]:
    """For a block, let ``handle`` see what the products of layers take, given their ``modules`` by path."""
    layers = _Layers(modules)
    hooks = []
    try:
        for path, module in modules.items():
            hooks.append(module.register_forward_pre_hook(partial(layers.begin, path), prepend=True))
            hooks.append(module.register_forward_hook(layers.end, always_call=True))
        with _Products(layers, handle):
            yield
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def putting(places: Mapping[str, Place], values: Mapping[str, Tensor]) -> Iterator[None]:
    """For a block, let products of the layers ``places`` take the weights and biases that ``values`` has for them.

    Adapters are passed by: their share is in the weight.
    """
    modules = {place.owner: place.module for place in places.values()}
    by_owner = {place.owner: path for path, place in places.items()}
    adapted = [(place.adapted, place.module) for place in places.values() if place.adapted is not None]

    def put(owner: str, taken: Taken) -> Taken:
        path = by_owner[owner]
        return Taken(values.get(path + WEIGHT, taken.weight), values.get(path + BIAS, taken.bias))

    with ExitStack() as changes:
        for module, base in adapted:
            changes.enter_context(with_attribute(module, "forward", partial(_pass_by, base)))
        changes.enter_context(handling(modules, put))
        yield


def _pass_by(base: nn.Module, inputs: Tensor, *_: Any, **__: Any) -> Tensor:
    result: Tensor = base(inputs)
    return result
