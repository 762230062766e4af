"""Settings of images: the archives of the paper, folders of images, and the stimuli made of drawings."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from featuresharing.settings.block import Block, Problem
from featuresharing.settings.fields import LINE, SEED, needed, setting
from featuresharing.settings.sentences import shown

MOST_BYTES = 2**63 - 1

PATH: dict[str, Any] = {"pattern": LINE, "accepted": "a path without line breaks"}

FONT_SIZES: dict[str, Any] = {"least": 1, "most": 2000, "unit": "pixels", "rising": True}

CHANNELS: dict[str, Any] = {"least": 0, "most": 255, "rising": True}

UNDECODABLE: dict[str, Any] = {"choices": ("stop", "skip")}

BASIC_CLASSES = (
    *("animal-face", "ball", "bird", "boat", "bug", "building", "car", "clock", "dessert", "drink", "flower", "fruit"),
    *("hoofed-animal", "instrument", "reptile", "sea-animal", "shoe", "train", "tree", "vegetable"),
)
"""Basic classes of the drawings; each has five subordinate ones."""


@dataclass(frozen=True)
class DownloadSettings(Block):
    """How stubborn a download is; no keys of the config."""

    attempts: int = setting(5, "tries of each mirror without any progress", least=1, most=1000)
    pause: float = setting(1.0, "before another try, doubled each time", least=0, most=3600, unit="seconds")
    timeout: float = setting(30.0, "without an answer that end a try", above=0, most=3600, unit="seconds")


@dataclass(frozen=True)
class ExtractionSettings(Block):
    """The most that an archive may hold; no keys of the config."""

    most_gb: int = setting(500, "most that an archive may hold", least=1, most=10**6, unit="GB of 10^9 bytes")
    most_files: int = setting(5_000_000, "most files, and folders, that an archive may hold", least=1, most=10**9)

    @property
    def most_bytes(self) -> int:
        """The most that an archive may hold, in bytes."""
        return self.most_gb * 10**9


@dataclass(frozen=True)
class ArchiveFile(Block):
    """One archive on the mirrors."""

    file: str = needed(
        "its name on the mirrors and in `folder`",
        pattern="[A-Za-z0-9][A-Za-z0-9._-]*",
        longest=200,
        accepted="a name of a file without folders",
    )
    size: int | None = setting(
        None,
        "its size; another is refused",
        least=1,
        most=MOST_BYTES,
        accepted="a size in bytes",
        null="any size",
    )
    sha256: str | None = setting(
        None,
        "its SHA-256; another is refused",
        pattern="[0-9a-fA-F]{64}",
        accepted="64 hexadecimal digits in quotes",
        null="that of its first use, which is recorded in `FILE.sha256` beside it and insisted on",
    )


@dataclass(frozen=True)
class ArchiveFiles(Block):
    """The archives of the paper."""

    models: ArchiveFile = setting(ArchiveFile("models.tar.bz2"), "models and class maps")
    images: ArchiveFile = setting(ArchiveFile("mtldataset_test.tar.gz"), "test images and lists")
    full: ArchiveFile = setting(
        ArchiveFile("mtldataset_full.tar.gz"),
        "the full training set, fetched only by name: `snakemake archives/mtldataset_full.tar.gz`",
    )


@dataclass(frozen=True)
class ArchiveSettings(Block):
    """Archives of models and images, with ``source: archives``."""

    folder: str = setting(
        "archives",
        "where archives are downloaded to, and taken from where they are there",
        pattern=r"[^\x00-\x1f\x7f{}]+",
        accepted="a path without line breaks and braces",
    )
    urls: tuple[str, ...] = setting(
        (
            "https://datasets.d2.mpi-inf.mpg.de/multitaskcnns/",
            "https://s3.eu-central-1.amazonaws.com/multitaskcnns/",
        ),
        "mirrors, in the order in which they are tried",
        fewest=1,
        longest_list=100,
        pattern=r"https?://[^\s\x00-\x1f\x7f]+",
        accepted="a list of addresses",
        each="an address that starts with http:// or https://, without blanks",
    )
    files: ArchiveFiles = setting(ArchiveFiles(), "the archives, each with the keys below")

    def problems_on_disk(self) -> Iterator[Problem]:
        """Compare archives that are there with what is said of them: once they are extracted, nothing else does."""
        from featuresharing.files.records import record_of

        for part in ("models", "images", "full"):
            archive: ArchiveFile = getattr(self.files, part)
            path = Path(self.folder) / archive.file
            if not os.path.isfile(path):
                continue
            there: dict[str, Any] = {"size": path.stat().st_size}
            for record in (record_of(path), path.with_name(f"{path.name}.sha256")):
                if os.path.isfile(record) and os.access(record, os.R_OK):
                    digest = re.search(r"\b[0-9a-f]{64}\b", record.read_text(errors="replace").lower())
                    there["sha256"] = digest and digest[0]
            for key, found in there.items():
                said = getattr(archive, key)
                said = said.lower() if isinstance(said, str) else said
                if None not in (said, found) and said != found:
                    accepted = f"that of {path}, which is {found}, or null, or a folder without this file"
                    yield Problem(f"files.{part}.{key}", f": found {said}; accepted is {accepted}")


@dataclass(frozen=True)
class FolderSettings(Block):
    """Folders of images, with ``source: folders``."""

    train: str | None = setting(None, "images to train on, one folder a class", **PATH)
    test: str | None = setting(None, "images to test on, one folder a class", **PATH)
    hierarchy: str | None = setting(None, "table `subordinate,basic` of the basic class of each folder", **PATH)
    words: str | None = setting(None, "list of words, one a line", null="`resources/words.txt`", **PATH)
    font: str | None = setting(None, "TrueType or OpenType font of the words", null="DejaVu Sans Bold", **PATH)
    font_sizes: tuple[int, int] = setting(
        (32, 64), "range of font sizes; a word that does not fit shrinks", **FONT_SIZES
    )
    colours: tuple[int, int] = setting((122, 255), "range of the red, green and blue of words", **CHANNELS)
    outline: int = setting(0, "width of a dark rim around words", least=0, most=20, unit="pixels")
    undecodable: str = setting(
        "stop", "stop at images that cannot be decoded, or leave them out and count them", **UNDECODABLE
    )

    def problems_on_disk(self, experiments_with_basic: list[str]) -> Iterator[Problem]:
        """Say what is not there; experiments with the task basic need a hierarchy."""
        for key in ("train", "test"):
            folder = getattr(self, key)
            if folder is None or not os.path.isdir(folder):
                accepted = "a folder with a folder for each class"
                yield Problem(key, f": found {shown(folder)}; accepted is {accepted}")
        for key in ("hierarchy", "words", "font"):
            path = getattr(self, key)
            if path is not None and not os.path.isfile(path):
                yield Problem(key, f": found {shown(path)}, which is no file; accepted is a file, or null")
        if experiments_with_basic and self.hierarchy is None:
            accepted = f"a table, for the task basic of {experiments_with_basic[0]}"
            yield Problem("hierarchy", f": found null; accepted is {accepted}")


@dataclass(frozen=True)
class ImageSettings(Block):
    """The stimulus set of the drawings; with other sources, ``image_size`` alone counts."""

    basic_classes: tuple[str, ...] = setting(
        (),
        "basic classes of the drawings that are used; each has five subordinate classes; none for all",
        choices=BASIC_CLASSES,
        longest_list=len(BASIC_CLASSES),
        distinct=True,
        accepted="a list of distinct basic classes of the drawings (empty for all)",
    )
    image_size: int = setting(48, "height and width of the images", least=16, most=512, unit="pixels")
    test_designers: int = setting(
        2, "designers of each subordinate class whose drawings are held out for testing", least=1, most=5
    )
    train_renderings: int = setting(48, "images made of each training drawing", least=1, most=10**6)
    test_renderings: int = setting(4, "images made of each test drawing", least=1, most=10**6)
    rotation: float = setting(20, "largest rotation of a drawing, either way", least=0, most=180, unit="degrees")
    scale: tuple[float, float] = setting(
        (0.75, 1.0), "smallest and largest width of a drawing over the image's", above=0, most=2, rising=True
    )
    shift: float = setting(0.1, "largest shift of a drawing over the image's width, either way", least=0, below=1)
    colour: float = setting(
        0.3, "largest relative change of a drawing's brightness, contrast and saturation", least=0, below=1
    )
    flip: bool = setting(True, "mirror half of the drawings")
    word_sizes: tuple[int, int] = setting(
        (13, 15), "range of font sizes; a word that does not fit shrinks", **FONT_SIZES
    )
    word_colours: tuple[int, int] = setting((150, 255), "range of the red, green and blue of words", **CHANNELS)
    word_outline: int = setting(1, "width of the dark rim that keeps words readable", least=0, most=5, unit="pixels")
    seed: int | None = setting(None, "seed of split and renderings", **SEED)
