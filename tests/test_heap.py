"""Commands that compute keep the memory that they free, and leave it as it is where somebody tunes it."""

import os
import subprocess
import sys
from unittest.mock import Mock

import pytest

from featuresharing.runs.heap import keep_freed_memory

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="glibc's malloc is Linux's")

FREED_AND_TAKEN = """
import resource
import torch
from featuresharing.cli.options import tune_process

tune_process(1)
torch.ones(2**21)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    torch.ones(2**21)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
PAGES = 50 * 2**23 // 2**12


def test_memory_that_is_freed_is_taken_again_without_faults() -> None:
    command = [sys.executable, "-c", FREED_AND_TAKEN]
    faults = int(subprocess.run(command, env={}, capture_output=True, text=True, check=True).stdout)
    assert faults < PAGES / 10


@pytest.mark.parametrize(
    ("name", "calls"), [("MALLOC_ARENA_MAX", 0), ("GLIBC_TUNABLES", 0), ("LANG", 2)], ids=["older", "newer", "neither"]
)
def test_an_environment_that_tunes_memory_is_heeded(name: str, calls: int, monkeypatch: pytest.MonkeyPatch) -> None:
    library = Mock()
    monkeypatch.setattr("ctypes.CDLL", lambda _: library)
    for variable in [each for each in os.environ if each.startswith(("MALLOC_", "GLIBC_"))]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv(name, "1")
    keep_freed_memory()
    assert library.mallopt.call_count == calls
