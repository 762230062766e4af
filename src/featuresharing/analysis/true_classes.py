"""True classes as people give them: an array, or an array a task."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from featuresharing.arguments import is_whole
from featuresharing.data.lists import MISSING
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
    arrays = [_array(values) for values in columns]
    shapes = sorted({str(list(array.shape)) for array in arrays})
    if len(shapes) > 1 or arrays[0].ndim != 1:
        found = " and ".join(shapes)
        raise InputError(f"targets: found arrays {found}; accepted are arrays [images] of one length, one a task.")
    return np.stack(arrays, axis=1)


def _array(values: Any) -> NDArray[Any]:
    """Return true classes as an array; what is masked, or None, becomes MISSING."""
    if isinstance(values, Tensor):
        return values.cpu().numpy()
    if type(values) is not np.ndarray and isinstance(values, np.ma.MaskedArray):  # imported when it is named
        return np.where(np.ma.getmaskarray(values), MISSING, values.data)
    array = np.asarray(values)
    if array.dtype == object and all(value is None or is_whole(value) for value in array.flat):
        array = np.array([MISSING if value is None else value for value in array.flat], np.int64).reshape(array.shape)
    return array


def check_targets(
    targets: Any, tasks: Sequence[str], classes: Sequence[int], images: int, *, all_of: bool = True
) -> NDArray[np.int64]:
    """Return true classes int64 [images, tasks]; ``classes`` are how many each task has.

    An image that is not of a task has MISSING (-1) there, None, or a mask in a masked array. Raises InputError for
    other shapes, for what is no integer, for a class that its task does not have, and for tasks without images; with
    ``all_of``, for images without tasks.
    """
    wanted = [images, len(tasks)]
    try:
        truth = _array(targets)
    except ValueError:
        accepted = f"accepted are true classes [images, tasks]: {wanted}"
        raise InputError(f"targets: found rows of different lengths; {accepted}.") from None
    if list(truth.shape) != wanted:
        raise InputError(f"targets: found {list(truth.shape)}; accepted are true classes [images, tasks]: {wanted}.")
    if truth.dtype.kind not in "iu":
        raise InputError(f"targets: found {truth.dtype}; accepted are the numbers of true classes, as integers.")
    truth = truth.astype(np.int64)
    for column, (task, count) in enumerate(zip(tasks, classes, strict=True)):
        wrong = np.flatnonzero((truth[:, column] < MISSING) | (truth[:, column] >= count))
        if len(wrong):
            found = f"{truth[wrong[0], column]} for image {wrong[0]}"
            raise InputError(f"targets of task '{task}': found {found}; accepted are 0 to {count - 1}, or -1 for none.")
    _check_present(truth != MISSING, tasks, all_of)
    return truth


def _check_present(present: NDArray[np.bool_], tasks: Sequence[str], all_of: bool) -> None:
    """Raise InputError for a task without images, or an image without tasks; ``present`` is [images, tasks]."""
    if empty := next((task for task, of in zip(tasks, present.T, strict=True) if not of.any()), None):
        raise InputError(f"targets of task '{empty}': found no image with a class; accepted is one at least.")
    if all_of and len(without := np.flatnonzero(~present.any(axis=1))):
        raise InputError(f"targets: found no class in any task for image {without[0]}; accepted is one at least.")


def at_true_classes(values: NDArray[Any], targets: NDArray[np.integer[Any]]) -> NDArray[Any]:
    """Return of ``values`` [..., N, K], such as evidence, those at the true classes ``targets`` [N]: [..., N].

    Images that are not of the task (-1) get NaN, which :func:`.evidence.contribution` and
    :func:`.sharing.estimate_sharing` leave out. Raises InputError for other shapes and for classes that are not there.

    >>> at_true_classes(np.array([[0.25, 0.75], [0.5, 0.5]]), np.array([1, -1])).tolist()
    [0.75, nan]
    """
    values, truth = np.asarray(values), _array(targets)
    if truth.ndim != 1 or truth.dtype.kind not in "iu" or values.ndim < 2 or values.shape[-2] != len(truth):
        found = f"{truth.dtype} {list(truth.shape)} for values {list(values.shape)}"
        raise InputError(f"targets: found {found}; accepted are integers [images] for values [..., images, classes].")
    if ((truth < MISSING) | (truth >= values.shape[-1])).any():
        raise InputError(f"targets: found another class; accepted are 0 to {values.shape[-1] - 1}, or -1 for none.")
    chosen = values[..., np.arange(len(truth)), truth]
    if (truth == MISSING).any():
        chosen = chosen.astype(np.result_type(chosen, np.float32), copy=False)
        chosen[..., truth == MISSING] = np.nan
    return chosen
