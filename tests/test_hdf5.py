"""HDF5 files of ours: nobody believes, waits for or crashes on files that are damaged, or that others made."""

import importlib.util
import os
import shutil
import signal
import struct
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import h5py
import numpy as np
import pytest

from featuresharing import InputError, merge_conditionals, read_conditionals
from featuresharing.cli import main
from featuresharing.files.records import entry_of
from featuresharing.hdf5 import DamagedError, GoneError, opened, seals, trials
from featuresharing.networks.predictions import Predictions, read_predictions, write_predictions
from featuresharing.store import Layout, TaskData
from featuresharing.store.soundness import attributes_of, is_conditionals, problems_of_final, problems_of_progress
from featuresharing.store.status import layer_statuses
from tests.support.commands import ROOT


def load_fuzz() -> ModuleType:
    place = ROOT / "benchmarks/fuzz_store.py"
    spec = importlib.util.spec_from_file_location("fuzz_store", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


fuzz = load_fuzz()


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return dict(fuzz.write_sound(tmp_path_factory.mktemp("sound")))


@pytest.fixture
def processes() -> Iterator[None]:
    """End the other process afterwards."""
    yield
    trials.close()


@pytest.mark.slow
def test_damaged_files_are_refused_or_read_as_they_were(tmp_path: Path) -> None:
    outcomes = [*fuzz.run_cases(tmp_path, range(80), 1)]
    assert [outcome for outcome in outcomes if outcome[1] in ("changed", "traceback")] == []
    counts = [sum(outcome[1] == name for outcome in outcomes) for name in ("refused", "same", "unprotected")]
    assert sum(counts) == 80
    assert counts[0] > 50


@pytest.mark.parametrize("name", sorted(fuzz.hand_made()))
def test_well_formed_files_of_wrong_contents_are_refused(tmp_path: Path, sound: dict[str, Path], name: str) -> None:
    path = tmp_path / "conv5.h5"
    fuzz.write_old(sound["true-class"], path, fuzz.hand_made()[name])
    problems = problems_of_final(path)
    assert problems
    assert all(str(path) in problem and "\n" not in problem for problem in problems)
    if name in ("no scales", "layer_units"):  # the numbers are right, and those of one of many blocks
        return
    with pytest.raises(InputError, match=r"conv5\.h5 is") as refused:
        read_conditionals(path)
    for dataset in ("conditional_word", "prediction_basic", "unit", "image", "target_word", "skipped_mass"):
        if dataset in name.replace("layer_units", ""):
            assert dataset in str(refused.value)
    with pytest.raises(InputError, match=r"conv5\.h5 is"):
        merge_conditionals([path], tmp_path / "merged.h5")
    assert not (tmp_path / "merged.h5").exists()


@pytest.mark.parametrize("name", ["true-class", "full"])
def test_files_of_format_2_read_as_before(sound: dict[str, Path], name: str) -> None:
    old, new = (fuzz.numbers_of(sound[f"{age}{name}"]) for age in ("old ", ""))
    for key in {*new} - {"attributes"}:
        assert fuzz._equal(old[key], new[key])
    assert {**new["attributes"], "format_version": 2} == old["attributes"]
    assert problems_of_final(sound[f"old {name}"]) == []
    found = read_predictions(sound["old predictions"])
    assert np.array_equal(found.probabilities["word"], read_predictions(sound["predictions"]).probabilities["word"])


def test_files_of_format_1_read_but_are_not_merged(tmp_path: Path, sound: dict[str, Path]) -> None:
    def change(file: h5py.File) -> None:
        file.attrs["format_version"] = 1
        for name in ("fingerprint", "settings", "sha256", "layer_units"):
            del file.attrs[name]

    path = tmp_path / "conv5.h5"
    fuzz.write_old(sound["true-class"], path, change)
    assert np.array_equal(fuzz.numbers_of(path)["qword"], fuzz.numbers_of(sound["true-class"])["qword"])
    assert problems_of_final(path) == []
    (found,) = layer_statuses(tmp_path)
    assert (found.done, found.units, found.layer) == (5, 5, "conv5")
    with pytest.raises(InputError, match=r"conv5\.h5 is of format 1, without a fingerprint; accepted are formats 2 to"):
        merge_conditionals([path], tmp_path / "merged.h5")


def spoil_heap(path: Path) -> None:
    """Let the heap of a file's texts begin with free space of no size, which HDF5 passes over for ever."""
    content = bytearray(path.read_bytes())
    start = content.index(b"GCOL") + 16
    content[start : start + 16] = struct.pack("<HHIQ", 0, 0, 0, 0)
    path.write_bytes(content)


@pytest.mark.usefixtures("processes")
def test_a_file_that_hdf5_does_not_end_to_read_is_refused(
    tmp_path: Path, sound: dict[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(trials, "SECONDS", 0.5)
    path = Path(shutil.copy(sound["old true-class"], tmp_path / "conv5.h5"))
    spoil_heap(path)
    sentence = f"{path} is no complete file of conditionals (HDF5 did not end reading it in 0.5 s)"
    sentence += "; if a run made it, delete it and run again."
    for _ in range(2):  # the second time it is known
        with pytest.raises(InputError) as refused:
            read_conditionals(path)
        assert str(refused.value) == sentence
    assert problems_of_final(path) == [sentence]
    with pytest.raises(DamagedError, match="no complete file of conditionals or predictions"):
        is_conditionals(path)
    assert attributes_of(path) == {}
    unread: list[str] = []
    assert layer_statuses(tmp_path, say=unread.append) == []
    assert unread == [sentence]
    for command in ("status", "verify"):
        assert main([command, str(tmp_path)]) == (2 if command == "verify" else 0)
        assert f"{path} is no complete file of conditionals" in (said := capsys.readouterr().out)
        assert "(HDF5 did not end reading it in 0.5 s); if a run made it, delete it and run again." in said
    monkeypatch.setattr(trials, "SECONDS", 60)
    assert problems_of_final(sound["old full"]) == []  # another process reads the next one


@pytest.mark.usefixtures("processes")
def test_a_file_on_which_the_other_process_dies_is_refused(
    tmp_path: Path, sound: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(shutil.copy(sound["old true-class"], tmp_path / "conv5.h5"))
    reader = trials._Reader.get()
    os.kill(reader._process.pid, signal.SIGKILL)
    reader._process.wait()
    assert problems_of_final(path) == []  # it died before it was asked
    os.kill(trials._Reader.get()._process.pid, signal.SIGSTOP)
    path.write_bytes(path.read_bytes() + b" ")
    real = trials._Reader.ask

    def ask(self: trials._Reader, *arguments: object) -> trials.Trial:
        os.kill(self._process.pid, signal.SIGKILL)
        return real(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(trials._Reader, "ask", ask)
    crashed = "is no complete file of conditionals (HDF5 crashed while reading it)"
    assert problems_of_final(path) == [f"{path} {crashed}; if a run made it, delete it and run again."]


def test_a_seal_shows_every_flipped_byte(tmp_path: Path, sound: dict[str, Path]) -> None:
    content = bytearray(sound["full"].read_bytes())
    path = tmp_path / "conv5.h5"
    for place in range(0, len(content), 97):
        content[place] ^= 1 << place % 8
        path.write_bytes(content)
        assert seals.intact_entry(path) is None
        content[place] ^= 1 << place % 8
    path.write_bytes(content)
    assert seals.intact_entry(path) == entry_of(path)
    for other in (content[:-1], content + b"\n", content[seals.LENGTH :], b""):
        path.write_bytes(other)
        assert seals.intact_entry(path) is None


@pytest.mark.parametrize("name", ["true-class", "full", "errors", "predictions", "progress"])
def test_no_text_lies_in_a_heap_without_checksums(sound: dict[str, Path], name: str) -> None:
    with h5py.File(sound[name], locking=False) as file:
        assert file.attrs.keys() > {"format_version"}
        for attribute in file.attrs:
            kind = file.attrs.get_id(attribute).get_type()
            assert not isinstance(kind, h5py.h5t.TypeVlenID)
            assert not (isinstance(kind, h5py.h5t.TypeStringID) and kind.is_variable_str())
    assert sound[name].read_bytes()[8] == 2  # descriptions with checksums


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("conditional_word", 0.25, "conditional_word was changed since it was written"),
        ("unit", 4, "unit was changed since it was written"),
        ("", np.bytes_("gpu"), "its (description|seal) was changed since it was written"),
        ("", "gpu", "its (description|seal) was changed since it was written"),
    ],
)
def test_what_was_changed_is_named(
    tmp_path: Path, sound: dict[str, Path], name: str, value: object, words: str
) -> None:
    path = Path(shutil.copy(sound["errors"], tmp_path / "conv5.h5"))
    with h5py.File(path, "r+") as file:
        if name:
            file[name][0] = value
        else:
            file.attrs["device"] = value
    with pytest.raises(
        DamagedError, match=rf"conv5\.h5 is no complete file of conditionals \({words}\); if .* delete it"
    ):
        read_conditionals(path)


def test_files_that_are_gone_or_no_files_are_no_damage(tmp_path: Path) -> None:
    gone = tmp_path / "gone.h5"
    assert problems_of_final(gone) == problems_of_progress(gone) == []
    with pytest.raises(GoneError, match=r"gone\.h5 is no complete file of conditionals \(there is no such file\)\.$"):
        read_conditionals(gone)
    (tmp_path / "folder.h5").mkdir()
    os.mkfifo(tmp_path / "pipe.h5")
    for name in ("folder.h5", "pipe.h5"):
        with pytest.raises(DamagedError, match=rf"{name} is .* \(it is no regular file\)"):
            read_conditionals(tmp_path / name)
    (tmp_path / "dangling.h5").symlink_to(gone)
    said: list[str] = []
    assert layer_statuses(tmp_path, say=said.append) == []
    assert len(said) == 2


def test_a_file_that_vanishes_while_it_is_read_is_gone(tmp_path: Path, sound: dict[str, Path]) -> None:
    path = Path(shutil.copy(sound["true-class"], tmp_path / "conv5.h5"))

    def lose() -> None:
        with opened(path, "conditionals") as source:
            path.unlink()
            source.dataset("of which there is none")

    with pytest.raises(GoneError):
        lose()


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.1, 0.9])
def test_predictions_that_are_no_probabilities_are_not_written(tmp_path: Path, value: float) -> None:
    wrong = np.array([[0.5, 0.5], [0.5, value]], np.float32)
    targets = np.array([0, 1])
    with pytest.raises(InputError, match=r"7\.h5: predictions of task 'word' are .*; accepted is a network whose"):
        write_predictions(tmp_path / "7.h5", Predictions({"word": wrong}, {"word": targets}, 7))
    assert [*tmp_path.iterdir()] == []
    if not 0 <= value <= 1:
        with pytest.raises(InputError, match=r"prediction_word has numbers .*; accepted is a network whose"):
            Layout([TaskData("word", 2, targets, wrong)])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda file: file["target_word"].write_direct(np.full(6, 3)), "target_word has classes outside 0 to 2"),
        (lambda file: file["probability_word"].write_direct(np.full((6, 3), np.nan, "f4")), "are not finite"),
        (lambda file: file["probability_word"].write_direct(np.full((6, 3), 0.5, "f4")), "no probabilities that sum"),
        (lambda file: file.create_dataset("image", data=np.array([0, 1, 2, 2, 3, 4])), "image has no rising positions"),
        (lambda file: file.create_dataset("image", data=np.arange(5)), "image has no rising positions"),
        (lambda file: file.create_dataset("more", data=np.arange(5)), "more is no dataset of such a file"),
        (lambda file: file.__delitem__("target_basic"), "target_basic is missing"),
        (lambda file: file.attrs.__delitem__("step"), "attribute 'step' is no whole number"),
        (lambda file: file.attrs.__setitem__("tasks", []), "attribute 'tasks' is empty"),
        (lambda file: file.attrs.__setitem__("format_version", 3), "its seal was changed"),
    ],
)
def test_predictions_of_wrong_contents_are_refused(
    tmp_path: Path, sound: dict[str, Path], change: object, words: str
) -> None:
    fuzz.write_old(sound["predictions"], tmp_path / "predictions.h5", change)
    with pytest.raises(InputError, match=rf"predictions\.h5 is no complete file of predictions \(.*{words}"):
        read_predictions(tmp_path / "predictions.h5")
