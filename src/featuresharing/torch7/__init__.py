"""The format of Torch7 files: values of Lua, tensors and objects, read without running anything."""

from featuresharing.torch7.parser import is_torch7, read_torch7
from featuresharing.torch7.values import Table, TorchObject

__all__ = ["Table", "TorchObject", "is_torch7", "read_torch7"]
