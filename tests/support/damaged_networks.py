"""Files of networks that may be damaged, opened as commands open them."""

from pathlib import Path

import torch

from featuresharing.errors import InputError
from featuresharing.networks.opening import open_network
from featuresharing.networks.outputs import task_outputs
from tests.support.fuzzing import check_sentence


def read_and_run(path: Path, image_size: int | None = None) -> str:
    """Return whether the file of a network is "refused" or "read"; one that is read is run on one image.

    Raises ValueError for a refusal that is no sentence, and for a network that gives other classes than it says.
    """
    try:
        stored = open_network(path, image_size=image_size)
    except InputError as error:
        check_sentence(error)
        return "refused"
    kind = next((each.dtype for each in stored.network.parameters()), torch.float32)
    with torch.inference_mode():
        outputs = task_outputs(stored.network(torch.zeros(1, *stored.preprocessing.shape, dtype=kind)))
    if [len(scores[0]) for scores in outputs.values()] != list(stored.classes):
        raise ValueError(f"the network gives other classes than {stored.classes}")
    return "read"
