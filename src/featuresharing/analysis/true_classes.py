"""True classes as people give them: an array, or an array a task."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from featuresharing.errors import InputError


def name_tasks(targets: Any, tasks: Sequence[str]) -> tuple[tuple[str, ...], Any]:
    """Return names of tasks in the order of a network's outputs, and true classes as [images, tasks], unchecked.

    ``targets`` is a dict with an array [images] for each of ``tasks``, the names of the outputs; where these are mere
    numbers, names of one's own may stand in their order. Or it is a list of arrays [images], one an output, or an array
    [images, outputs]. Raises InputError for other tasks, and arrays of different lengths.
    """
    if isinstance(targets, Mapping):
        names = tuple(str(name) for name in targets)
        by_name = {str(name): values for name, values in targets.items()}
        if set(names) == set(tasks):
            names = tuple(tasks)
        elif len(names) != len(tasks) or list(tasks) != [str(number) for number in range(len(tasks))]:
            found, accepted = ", ".join(names) or "none", ", ".join(tasks)
            raise InputError(f"targets: found the tasks {found}; accepted are those of the outputs: {accepted}.")
        return names, _together([by_name[name] for name in names])
    if isinstance(targets, list | tuple):
        if len(targets) != len(tasks):
            raise InputError(f"targets: found {len(targets)} arrays; accepted is one for each of {len(tasks)} outputs.")
        return tuple(tasks), _together(targets)
    return tuple(tasks), targets


def _together(columns: Sequence[Any]) -> NDArray[Any]:
    arrays = [values.cpu().numpy() if isinstance(values, Tensor) else np.asarray(values) for values in columns]
    shapes = sorted({str(list(array.shape)) for array in arrays})
    if len(shapes) > 1 or arrays[0].ndim != 1:
        found = " and ".join(shapes)
        raise InputError(f"targets: found arrays {found}; accepted are arrays [images] of one length, one a task.")
    return np.stack(arrays, axis=1)


def check_targets(targets: Any, tasks: Sequence[str], classes: Sequence[int], images: int) -> NDArray[np.int64]:
    """Return true classes int64 [images, tasks]; ``classes`` are how many each task has.

    Raises InputError for other shapes, for what is no integer, and for a class that its task does not have.
    """
    wanted = [images, len(tasks)]
    try:
        truth = targets.cpu().numpy() if isinstance(targets, Tensor) else np.asarray(targets)
    except ValueError:
        accepted = f"accepted are true classes [images, tasks]: {wanted}"
        raise InputError(f"targets: found rows of different lengths; {accepted}.") from None
    if list(truth.shape) != wanted:
        raise InputError(f"targets: found {list(truth.shape)}; accepted are true classes [images, tasks]: {wanted}.")
    if truth.dtype.kind not in "iu":
        raise InputError(f"targets: found {truth.dtype}; accepted are the numbers of true classes, as integers.")
    for column, (task, count) in enumerate(zip(tasks, classes, strict=True)):
        wrong = np.flatnonzero((truth[:, column] < 0) | (truth[:, column] >= count))
        if len(wrong):
            found = f"{truth[wrong[0], column]} for image {wrong[0]}"
            raise InputError(f"targets of task '{task}': found {found}; accepted are 0 to {count - 1}.")
    return truth.astype(np.int64)
