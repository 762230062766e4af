"""The layers of a network as a table: what can be analysed, and how long a unit takes."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray
from torch import Tensor, nn

from featuresharing.arguments import is_whole
from featuresharing.engine.describing import describe_network
from featuresharing.estimators.durations import layer_cost, marginalize_seconds
from featuresharing.estimators.estimation import Estimation
from featuresharing.networks.descriptions import LayerDescription
from featuresharing.networks.inputs import as_images
from featuresharing.settings import Config, MarginalizationSettings

if TYPE_CHECKING:
    from pandas import DataFrame


def layers(
    network: nn.Module,
    images: NDArray[Any] | Tensor | tuple[int, ...] | int,
    *,
    inputs: Mapping[str, Any] | None = None,
    estimator: str = MarginalizationSettings.estimator,
    samples: int = MarginalizationSettings.samples,
    engine: str = MarginalizationSettings.engine,
) -> "DataFrame":
    """Return the layers of a network in the order in which they run, a row a layer; nothing is computed but sizes.

    ``images`` are those to be analysed, or the shape of one, such as (3, 224, 224); of square RGB images the pixels of
    a side do. Columns are ``path`` (what :func:`featuresharing.marginalize` takes as its layer), ``kind``, ``units``,
    ``parameters`` of a unit, ``special`` (what a user should know of its weight, else blank), ``refused`` (why its
    units cannot be computed, else blank), and ``seconds``: how long the ``estimator`` with so many ``samples`` is
    predicted to take for a unit on the images, of a shape on one of them, on one core of a server (docs/scaling.md).

    ``inputs`` are other arguments of the forward pass by name, and ``engine`` is that of the marginalization, as there.
    Raises InputError for a network that does not take such images, or that the engine cannot compute.

    >>> table = layers(network, images)
    >>> table[["path", "kind", "units", "parameters"]].values.tolist()
    [['hidden', 'Linear', 6, 5], ['word', 'Linear', 3, 7], ['basic', 'Linear', 2, 7]]
    """
    from pandas import DataFrame

    estimation = Estimation(estimator, samples, seed=Config.seed).make()
    told = is_whole(images) or isinstance(images, tuple)
    given = None if told else as_images(images)
    shape: Any = images if given is None else tuple(given.shape[1:])
    whole = given is not None and not given.is_floating_point()
    found = describe_network(network, shape, whole=whole, inputs=inputs, engine=engine)
    count = 1 if given is None else len(given)

    def seconds(layer: LayerDescription) -> float:
        cost = layer_cost(found, layer.path)
        draws, weighed = estimation.kept_draws(cost.size), estimation.weighed_draws()
        return marginalize_seconds(cost, 1, count, draws, weighed=weighed)

    rows = [
        (each.path, each.kind, each.units, each.size, each.special or "", each.refused or "", seconds(each))
        for each in found.layers
    ]
    return DataFrame(rows, columns=["path", "kind", "units", "parameters", "special", "refused", "seconds"])
