"""Each job of a machine gets a GPU of its own; claims are tested with processes and made-up GPUs."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import torch

from featuresharing.runs import gpus

CLAIM = """
import sys, time
from pathlib import Path
from featuresharing.runs import gpus
gpus.POLL_SECONDS = 0.01
print(gpus.claim_first(["a", "b"], Path(sys.argv[1]), lambda sentence: print(sentence, flush=True)), flush=True)
time.sleep(60)
"""


def claim(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", CLAIM, str(folder)], stdout=subprocess.PIPE, text=True)


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def test_jobs_at_a_time_get_gpus_of_their_own(tmp_path: Path) -> None:
    first, second = claim(tmp_path), claim(tmp_path)
    third = None
    try:
        assert {line(first), line(second)} == {"0", "1"}
        third = claim(tmp_path)
        assert line(third) == "All 2 GPUs are held by other jobs: waiting for one."
        time.sleep(0.1)
        assert third.poll() is None
        second.kill()  # whatever ends a job frees its GPU
        assert line(third) in ("0", "1")
    finally:
        for process in (first, second, third):
            if process:
                process.kill()
                process.communicate()


class Properties:
    def __init__(self, uuid: str) -> None:
        self.uuid = uuid


def test_a_claim_is_of_the_gpu_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever number CUDA_VISIBLE_DEVICES gives it in a process."""
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    visible = ["x", "y"]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(visible))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: Properties(visible[index]))
    assert gpus.claim_gpu(print) == "cuda:0"
    visible.reverse()
    assert gpus.claim_gpu(print) == "cuda:0"
    visible.append("z")
    assert gpus.claim_gpu(print) == "cuda:2"


def test_slurm_chooses_the_gpus_of_its_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    assert gpus.claim_gpu(print) == "cuda"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_claimed_gpu_computes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    assert torch.ones(1, device=gpus.claim_gpu(print)).sum().item() == 1
