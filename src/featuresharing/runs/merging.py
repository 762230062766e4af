"""Blocks of units that were computed apart, put together to the file of their layer, without torch."""

from collections.abc import Sequence
from pathlib import Path

from featuresharing.files.identity import key_of_units
from featuresharing.files.records import forget
from featuresharing.files.second_names import keep_second_name
from featuresharing.store import merge_conditionals, remove_progress
from featuresharing.store.layer_files import read_fingerprint
from featuresharing.store.relatives import files_with_units


def merge_blocks(blocks: Sequence[Path], output: Path) -> None:
    """Put files of some units each together to that of the layer, and remove what is left of their progress.

    That is looked for beside the output and in the folders of the blocks, whose records go: so will they. Raises
    InputError as :func:`featuresharing.merge_conditionals` does.
    """
    merge_conditionals(blocks, output)
    if merged := read_fingerprint(output):
        remove_progress(files_with_units([output, *{block.parent for block in blocks}]), *merged)
        keep_second_name(output, key_of_units(*merged))
    for block in blocks:
        forget(block)
