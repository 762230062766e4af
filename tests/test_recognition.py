"""What servers send in place of a file: login pages, nothing, the file packed once more; and dead proxies."""

import bz2
import gzip
import hashlib
import lzma
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from featuresharing import InputError
from featuresharing.cli import main
from featuresharing.fetch.downloads import download
from featuresharing.settings import DownloadSettings
from tests.support.archive_server import Site, serving
from tests.support.damaged_archives import archive, member, tar_bytes

CONTENT = np.random.default_rng(0).bytes(300_000)
TAR = tar_bytes([member("a", CONTENT)])
QUICK = DownloadSettings(attempts=3, pause=0.001, timeout=5)
ONCE = DownloadSettings(attempts=1, pause=0.001, timeout=5)


def test_the_record_of_a_damaged_archive_is_not_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = archive(tmp_path / "a.tar.gz", [member("a.bin", CONTENT)], "w:gz").read_bytes()
    with serving(Site({"a.tar.gz": whole[:-100_000]}, lengths=False)) as site:
        output = tmp_path / "in/a.tar.gz"
        urls = ["--urls", f"{site.url}a.tar.gz", "--output", str(output)]
        assert main(["download", *urls]) == 0
        extraction_of = ["extract", "--archive", str(output), "--output-folder", str(tmp_path / "out")]
        assert main(extraction_of) == 2
        assert "a.tar.gz is damaged or no tar archive" in capsys.readouterr().err
        assert [path.name for path in (tmp_path / "in").iterdir()] == ["a.tar.gz"]
        output.write_bytes(whole)  # put there by hand
        assert main(extraction_of) == 0
    assert (tmp_path / "out/a.bin").read_bytes() == CONTENT


RIGHT = {
    "a.tar": TAR,
    "a.tar.gz": gzip.compress(TAR),
    "a.TGZ": gzip.compress(TAR),
    "a.tar.bz2": bz2.compress(TAR),
    "a.tar.xz": lzma.compress(TAR),
    "a.tar.zst": b"\x28\xb5\x2f\xfd" + CONTENT,
    "a.gz": gzip.compress(CONTENT),
    "a.zip": b"PK\3\4" + CONTENT,
    "a.bin": CONTENT,
    "a.html": b"<html>right</html>",
}
WRONG = {
    "page": b"<html>log in</html>",
    "old page": b"\xef\xbb\xbf \r\n<!DOCTYPE html><html>",
    "wide page": "<html>log in</html>".encode("utf-16"),
    "paragraph": b"<p>Who are you?</p>",
    "xml": b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
    "nothing": b"",
    "json": b'{"error": "sign in"}',
    "packed page": gzip.compress(b"<html>log in</html>" * 100),
    "zeros": bytes(20_000),
}


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_no_archive_is_neither_kept_nor_recorded(name: str, tmp_path: Path) -> None:
    output = tmp_path / name
    taken = {"a.bin": ["json", "packed page", "zeros"], "a.gz": ["packed page"], "a.html": [*WRONG][:5] + [*WRONG][6:]}
    with serving(Site({}, headers={"Content-Type": "text/html"})) as site:
        for what in WRONG.keys() - taken.get(name, []):
            site.files[name] = WRONG[what]
            said = rf"{re.escape(name)} (is a web page|is no |is empty).*; accepted is"
            with pytest.raises(InputError, match=said) as error:
                download([f"{site.url}{name}"], output, settings=QUICK)
            assert str(error.value).isprintable()
            assert list(tmp_path.iterdir()) == []
        site.files[name] = RIGHT[name]
        download([f"{site.url}{name}"], output, settings=QUICK)
    assert output.read_bytes() == RIGHT[name]
    assert {path.name for path in tmp_path.iterdir()} == {name, f"{name}.sha256"}


def known(content: bytes) -> list[dict[str, Any]]:
    """Return what may be known of a file: nothing, its size, its SHA-256."""
    return [{}, {"size": len(content)}, {"sha256": hashlib.sha256(content).hexdigest()}]


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "GZIP", "br"])
@pytest.mark.parametrize("name", ["a.tar.gz", "a.TGZ", "a.gz"])
def test_what_is_gzip_itself_stays_so(name: str, encoding: str, tmp_path: Path) -> None:
    content = RIGHT[name]
    with serving(Site({name: content}, headers={"Content-Encoding": encoding})) as site:
        for case, checks in enumerate(known(content)):
            site.cuts, site.sent = [70_000], 0
            download([f"{site.url}{name}"], tmp_path / str(case) / name, settings=QUICK, **checks)
            assert site.sent == 70_000 + len(content) - 65536
            assert (tmp_path / str(case) / name).read_bytes() == content


@pytest.mark.parametrize("name", ["a.tar", "a.tar.bz2", "a.tar.gz", "a.bin"])
def test_what_was_packed_for_the_transfer_is_unpacked(name: str, tmp_path: Path) -> None:
    content = RIGHT[name]
    with serving(Site({name: gzip.compress(content)}, headers={"Content-Encoding": "gzip"})) as site:
        for case, checks in enumerate(known(content)):
            folder = tmp_path / str(case)
            download([f"{site.url}{name}"], folder / name, settings=QUICK, **checks)
            assert (folder / name).read_bytes() == content
            left = {name} if "sha256" in checks else {name, f"{name}.sha256"}
            assert {path.name for path in folder.iterdir()} == left


def test_what_is_said_to_be_packed_and_is_not(tmp_path: Path) -> None:
    with serving(Site({"a.tar": RIGHT["a.tar"]}, headers={"Content-Encoding": "gzip"})) as site:
        download([f"{site.url}a.tar"], tmp_path / "a.tar", settings=QUICK)
        site.files["a.tar"] = b"<html>log in</html>"
        with pytest.raises(InputError, match=r"b\.tar is a web page"):
            download([f"{site.url}a.tar"], tmp_path / "b.tar", settings=QUICK)
    assert (tmp_path / "a.tar").read_bytes() == RIGHT["a.tar"]


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "ALL_PROXY"])
def test_dead_proxies_are_named_without_their_passwords(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv(variable, "http://me:secret@127.0.0.1:9")
    with pytest.raises(InputError) as error:
        download(["http://models.example.org/a.bin"], tmp_path / "a.bin", settings=ONCE)
    said = f"through the proxy http://127.0.0.1:9 that {variable.lower()} names"
    assert said in str(error.value).replace(variable, variable.lower())
    assert "secret" not in str(error.value)
