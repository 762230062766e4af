"""The store: conditionals of a layer's units in files that survive a kill at any instant (docs/format.md).

While units are computed, they go to a progress file beside the output (:mod:`.progress_file`) under a lock;
:mod:`.unit_store` resumes it, takes over units from files that are cut in other ways (:mod:`.relatives`), and turns it
into the final file (:mod:`.final`) when all are there, which :mod:`.layer_files` reads. :mod:`.layout` says which
numbers are kept, :mod:`.status` how far files got, :mod:`.soundness` what is wrong with them.
"""

from featuresharing.store.final import merge_conditionals
from featuresharing.store.layer_files import LayerConditionals, read_conditionals
from featuresharing.store.layout import STORAGE, Layout, TaskData
from featuresharing.store.relatives import remove_progress
from featuresharing.store.unit_store import UnitStore

__all__ = [
    "STORAGE",
    "LayerConditionals",
    "Layout",
    "TaskData",
    "UnitStore",
    "merge_conditionals",
    "read_conditionals",
    "remove_progress",
]
