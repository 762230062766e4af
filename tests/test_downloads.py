"""Downloads over real sockets that break and servers that lie; archives that are damaged or hostile."""

import errno
import gzip
import hashlib
import json
import os
import re
import shutil
import tarfile
import time
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path

import numpy as np
import pytest

from featuresharing import InputError
from featuresharing.errors import DiskFullError
from featuresharing.fetch import extraction
from featuresharing.fetch.checksums import OURS, check_archive, forget_record
from featuresharing.fetch.downloads import download
from featuresharing.fetch.extraction import extract
from featuresharing.settings import DownloadSettings
from tests.support.archive_server import Site, serving
from tests.support.damaged_archives import Members, archive, member

CONTENT = np.random.default_rng(0).bytes(300_000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()
QUICK = DownloadSettings(attempts=3, pause=0.001, timeout=5)
ONCE = DownloadSettings(attempts=1, pause=0.001, timeout=5)


def get(site: Site, output: Path, *, more: tuple[str, ...] = (), **checks: object) -> str:
    return download([f"{site.url}a.bin", *more], output, settings=QUICK, **checks)  # type: ignore[arg-type]


def test_a_file_is_downloaded_and_its_checksum_recorded(tmp_path: Path) -> None:
    with serving(Site({"a.bin": CONTENT})) as site:
        assert get(site, tmp_path / "in/a.bin", size=len(CONTENT)) == DIGEST
        assert get(site, tmp_path / "in/a.bin") == DIGEST
        assert len(site.asked) == 1
    assert {path.name for path in (tmp_path / "in").iterdir()} == {"a.bin", "a.bin.sha256"}
    assert (tmp_path / "in/a.bin").read_bytes() == CONTENT
    assert (tmp_path / "in/a.bin.sha256").read_text().splitlines() == [f"{DIGEST}  a.bin", OURS]


def test_broken_connections_are_continued_where_they_broke(tmp_path: Path) -> None:
    with serving(Site({"a.bin": CONTENT}, cuts=[2 * 65536, 65536])) as site:
        get(site, tmp_path / "a.bin")
        assert [wanted for _, wanted in site.asked] == [None, "bytes=131072-", "bytes=196608-"]
        assert site.sent == len(CONTENT)
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_a_killed_download_is_continued_by_the_next(tmp_path: Path) -> None:
    with serving(Site({"a.bin": CONTENT}, cuts=[70_000, 0, 0])) as site:
        with pytest.raises(InputError, match=r"a\.bin cannot be downloaded \(.*put a\.bin into .* yourself"):
            download([f"{site.url}a.bin"], tmp_path / "a.bin", settings=ONCE)
        assert not (tmp_path / "a.bin").exists()
        site.cuts.clear()
        get(site, tmp_path / "a.bin")
        assert site.asked[-1] == ("/a.bin", "bytes=65536-")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


@pytest.mark.parametrize("change", ["content", "no ranges", "no validators"])
def test_what_cannot_be_continued_starts_anew(change: str, tmp_path: Path) -> None:
    site = Site({"a.bin": CONTENT}, cuts=[100_000], ranges=change != "no ranges", validators=change != "no validators")
    with serving(site):
        if change == "content":
            other = CONTENT[::-1]
            site.cuts = [100_000, 0]
            with pytest.raises(InputError):
                download([f"{site.url}a.bin"], tmp_path / "a.bin", settings=ONCE)
            site.files["a.bin"], site.version, site.cuts = other, '"two"', []
        else:
            other = CONTENT
        get(site, tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == other


def test_busy_servers_are_asked_again_and_mirrors_are_taken(tmp_path: Path) -> None:
    with serving(Site({"a.bin": CONTENT}, refusals=[503, 429])) as site:
        get(site, tmp_path / "a.bin")
        assert len(site.asked) == 3
        address = site.url
    with serving(Site({"other.bin": CONTENT})) as site:
        mirrors = [f"{address}a.bin", f"{site.url}missing.bin", f"{site.url}other.bin"]
        download(mirrors, tmp_path / "b.bin", settings=QUICK)
    assert (tmp_path / "b.bin").read_bytes() == CONTENT


def test_wrong_files_are_refused_and_removed(tmp_path: Path) -> None:
    with serving(Site({"a.bin": CONTENT})) as site:
        for checks, said in (
            ({"sha256": "0" * 64}, f"a.bin has SHA-256 {DIGEST}; accepted is {'0' * 64}, by the config: delete"),
            ({"size": 7}, "a.bin: its file has 300000 bytes; accepted are 7)"),
        ):
            with pytest.raises(InputError, match=re.escape(said)):
                get(site, tmp_path / "a.bin", **checks)
            assert list(tmp_path.iterdir()) == []
        get(site, tmp_path / "a.bin")
        (tmp_path / "a.bin").write_bytes(b"another")
        said = (
            rf"accepted is {DIGEST}, by .*a\.bin\.sha256: delete the file to download it again, or .*a\.bin\.sha256 if"
        )
        with pytest.raises(InputError, match=said):
            get(site, tmp_path / "a.bin")


def test_a_record_goes_with_its_file(tmp_path: Path) -> None:
    path, record = tmp_path / "a.bin", tmp_path / "a.bin.sha256"
    with serving(Site({"a.bin": CONTENT})) as site:
        get(site, path)
        path.unlink()
        site.files["a.bin"] = OTHER
        assert get(site, path) == hashlib.sha256(OTHER).hexdigest()
        assert record.read_text().splitlines()[0] == f"{hashlib.sha256(OTHER).hexdigest()}  a.bin"
        # what somebody wrote is insisted on
        path.unlink()
        record.write_text(f"{DIGEST}  a.bin\n")
        with pytest.raises(InputError, match=rf"accepted is {DIGEST}, by .*a\.bin\.sha256"):
            get(site, path)
        assert record.read_text() == f"{DIGEST}  a.bin\n"
    forget_record(path)
    assert record.exists()


def test_without_a_network_the_sentence_says_what_to_put_where(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        download(["http://127.0.0.1:9/a.bin", "ftp://x/a.bin"], tmp_path / "a.bin", settings=QUICK)
    text = str(error.value)
    assert "http://127.0.0.1:9/a.bin: " in text
    assert f"without a network, put a.bin into {tmp_path} yourself and type the same command again." in text
    with pytest.raises(InputError, match=r"a\.bin does not exist; accepted is a file of this name"):
        check_archive(tmp_path / "a.bin")


def leave_part(site: Site, output: Path) -> Path:
    """Let a download break after 65536 bytes; return what it leaves."""
    site.cuts = [70_000, 0]
    with pytest.raises(InputError, match="cannot be downloaded"):
        download([f"{site.url}a.bin"], output, settings=ONCE)
    site.cuts.clear()
    part = output.with_name(f".{output.name}.download")
    assert part.stat().st_size == 65536
    return part


OTHER = CONTENT[::-1]


@pytest.mark.parametrize(
    ("content", "changes"),
    [
        (OTHER, {"version": '"two"'}),
        (OTHER, {"version": "Thu, 02 Jan 2025 00:00:00 GMT", "validator": "Last-Modified"}),
        (OTHER, {"part_validators": False}),
        (OTHER + b"more", {}),
        (OTHER[:100_000], {}),
        (OTHER[:65536], {"version": '"two"'}),
        (CONTENT, {"shift": 1}),
        (CONTENT, {"content_range": "bytes */*"}),
        (CONTENT, {"content_range": "parts"}),
    ],
)
def test_the_rest_of_another_version_is_never_taken(content: bytes, changes: dict[str, object], tmp_path: Path) -> None:
    site = Site({"a.bin": CONTENT}, if_range=False)
    if "validator" in changes:
        site.version, site.validator = "Wed, 01 Jan 2025 00:00:00 GMT", "Last-Modified"
    with serving(site):
        leave_part(site, tmp_path / "a.bin")
        for key, value in changes.items():
            setattr(site, key, value)
        site.files["a.bin"] = content
        get(site, tmp_path / "a.bin")
        assert [wanted for _, wanted in site.asked[-2:]] == ["bytes=65536-", None]
    assert (tmp_path / "a.bin").read_bytes() == content


def test_the_last_change_is_a_validator_too(tmp_path: Path) -> None:
    dated = Site({"a.bin": CONTENT}, version="Wed, 01 Jan 2025 00:00:00 GMT", validator="Last-Modified")
    with serving(dated) as site:
        leave_part(site, tmp_path / "a.bin")
        get(site, tmp_path / "a.bin")
        assert site.sent == 70_000 + len(CONTENT) - 65536
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


@pytest.mark.parametrize("size", ["{size}", "*"])
def test_parts_that_are_shorter_than_asked_are_followed_by_others(size: str, tmp_path: Path) -> None:
    said = f"bytes {{start}}-{{end}}/{size}"
    with serving(Site({"a.bin": CONTENT}, cuts=[70_000], most=100_000, content_range=said)) as site:
        get(site, tmp_path / "a.bin")
        assert [wanted for _, wanted in site.asked[1:]] == ["bytes=65536-", "bytes=165536-", "bytes=265536-"]
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_a_server_of_wrong_parts_that_breaks_is_given_up(tmp_path: Path) -> None:
    with serving(Site({"a.bin": CONTENT}, cuts=[70_000] * 50, content_range="parts")) as site:
        with pytest.raises(InputError, match="IncompleteRead"):
            get(site, tmp_path / "a.bin")
        assert [wanted for _, wanted in site.asked] == [None, "bytes=65536-", None, None, None]


def test_what_is_whole_already_is_taken_without_asking(tmp_path: Path) -> None:
    part = tmp_path / ".a.bin.download"
    for checks in ({"size": len(CONTENT)}, {"size": len(CONTENT), "sha256": DIGEST.upper()}):
        part.write_bytes(CONTENT)
        with serving(Site({})) as site:
            assert get(site, tmp_path / "a.bin", **checks) == DIGEST
            assert not site.asked
        assert not part.exists()
        (tmp_path / "a.bin").unlink()
    part.write_bytes(OTHER)
    with serving(Site({"a.bin": CONTENT})) as site:
        get(site, tmp_path / "a.bin", size=len(CONTENT), sha256=DIGEST)
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


@pytest.mark.parametrize("known", [True, False])
def test_a_server_that_has_no_more_bytes_says_that_all_are_there(known: bool, tmp_path: Path) -> None:
    with serving(Site({"a.bin": CONTENT})) as site:
        note = {"url": f"{site.url}a.bin", "version": site.version} | ({"size": len(CONTENT)} if known else {})
        (tmp_path / ".a.bin.download").write_bytes(CONTENT)
        (tmp_path / ".a.bin.download.json").write_text(json.dumps(note))
        assert get(site, tmp_path / "a.bin") == DIGEST
        assert (site.sent, len(site.asked)) == (0, 0 if known else 1)
    assert {path.name for path in tmp_path.iterdir()} == {"a.bin", "a.bin.sha256"}


@pytest.mark.parametrize(
    ("said", "least", "most"),
    [
        ("7", 7, 7),
        ("86400", 60, 60),
        ("9" * 5000, 0, 0.01),
        ("{in 20 s}", 18, 20),
        ("{in 1 h}", 60, 60),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 0.01),
        ("Wed, 21 Oct 99999 07:28:00 GMT", 0, 0.01),
        ("-5", 0, 0.01),
        ("soon", 0, 0.01),
        ("", 0, 0.01),
    ],
)
def test_servers_say_how_long_to_wait(
    said: str, least: float, most: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr("featuresharing.fetch.downloads.time.sleep", waits.append)
    for text, seconds in (("{in 20 s}", 20), ("{in 1 h}", 3600)):
        said = said.replace(text, formatdate(time.time() + seconds, usegmt=True))
    with serving(Site({"a.bin": CONTENT}, refusals=[429, 503, 503], retry_after=said)) as site:
        with pytest.raises(InputError, match="status 503"):
            get(site, tmp_path / "a.bin")
        assert len(site.asked) == 3
    assert len(waits) == 2
    assert all(least <= wait <= most for wait in waits)


def test_records_of_checksums_are_read_as_sha256sum_does(tmp_path: Path) -> None:
    record = tmp_path / "a.bin.sha256"
    with serving(Site({"a.bin": CONTENT})) as site:
        for text in (f"{DIGEST.upper()} *a.bin\n", DIGEST):
            record.write_text(text)
            assert get(site, tmp_path / "a.bin") == DIGEST
            (tmp_path / "a.bin").unlink()
        asked = len(site.asked)
        for content in (b"", b"\n", b"no digest", DIGEST[:-1].encode(), f"{DIGEST}0 a".encode(), b"\xff\0"):
            record.write_bytes(content)
            said = r"a\.bin\.sha256 begins with '.*'; accepted are the 64 hexadecimal digits of a SHA-256: mend it, or"
            with pytest.raises(InputError, match=said):
                get(site, tmp_path / "a.bin")
        assert len(site.asked) == asked
        (tmp_path / "a.bin").write_bytes(CONTENT)
        with pytest.raises(InputError, match=said):
            check_archive(tmp_path / "a.bin")
        for name, accepted in (("a.bin", True), ("./in/a.bin", True), ("*a.bin", True), ("b.bin", False)):
            record.write_text(f"# sums\r\n{'0' * 64}  other.bin\r\n{DIGEST}  {name}\r\n", encoding="utf-8-sig")
            if accepted:
                assert check_archive(tmp_path / "a.bin") == DIGEST
                continue
            with pytest.raises(InputError, match=r"a\.bin\.sha256 names no SHA-256 of a\.bin; accepted is one"):
                check_archive(tmp_path / "a.bin")
        record.unlink()
        record.mkdir()
        with pytest.raises(
            InputError, match=r"a\.bin\.sha256 cannot be read \(Is a directory\); accepted is a file of"
        ):
            check_archive(tmp_path / "a.bin")


def test_files_of_another_size_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(CONTENT)
    with pytest.raises(InputError, match=r"a\.bin has 300000 bytes; accepted are 7: delete the file"):
        check_archive(path, size=7)


@pytest.mark.parametrize("lengths", [True, False])
def test_a_login_page_does_not_replace_what_is_there(lengths: bool, tmp_path: Path) -> None:
    with serving(Site({"a.bin": CONTENT})) as site:
        part = leave_part(site, tmp_path / "a.bin")
        site.files["a.bin"], site.version, site.lengths = b"<p>Who are you?</p>", '"login"', lengths
        with pytest.raises(InputError, match=r"a\.bin: its file has 19 bytes; accepted are 300000\)"):
            get(site, tmp_path / "a.bin", size=len(CONTENT))
        assert {path.name for path in tmp_path.iterdir()} == {part.name, f"{part.name}.json"}
        assert part.read_bytes() == CONTENT[:65536]
        site.files["a.bin"], site.version = CONTENT, '"one"'
        get(site, tmp_path / "a.bin", size=len(CONTENT))
        assert site.asked[-1] == ("/a.bin", "bytes=65536-")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


@pytest.mark.parametrize("lengths", [True, False])
def test_the_mirror_of_a_login_page_is_taken(lengths: bool, tmp_path: Path) -> None:
    with serving(Site({"a.bin": CONTENT, "b.bin": CONTENT})) as site:
        leave_part(site, tmp_path / "a.bin")
        site.files["a.bin"], site.version, site.lengths = b"<p>Who are you?</p>", '"login"', lengths
        get(site, tmp_path / "a.bin", more=(f"{site.url}b.bin",), size=len(CONTENT))
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert {path.name for path in tmp_path.iterdir()} == {"a.bin", "a.bin.sha256"}


def test_folders_that_cannot_be_written_to(tmp_path: Path) -> None:
    made = archive(tmp_path / "a.tar", GOOD)
    (tmp_path / "file").write_text("kept")
    with serving(Site({"a.bin": CONTENT})) as site:
        with pytest.raises(
            InputError, match=r"file/in cannot be written to \(Not a directory\); accepted is a writable"
        ):
            get(site, tmp_path / "file/in/a.bin")
        assert not site.asked
    for folder in ("file/in", "file/in/out", "file"):
        with pytest.raises(
            InputError, match=rf"{folder} cannot be written to \(Not a directory\); accepted is a writable folder"
        ):
            extract(made, tmp_path / folder)
    assert (tmp_path / "file").read_text() == "kept"
    assert {path.name for path in tmp_path.iterdir()} == {"a.tar", "file"}


GOOD: Members = [
    member("images", type=tarfile.DIRTYPE),
    member("images/a.txt", b"first", mode=0o4777),
    member("deep/er/b.txt", b"second"),
    member("images/link.txt", type=tarfile.SYMTYPE, linkname="../deep/er/b.txt"),
    member("hard.txt", type=tarfile.LNKTYPE, linkname="images/a.txt"),
]


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_archives_are_extracted_whole(mode: str, tmp_path: Path) -> None:
    made = archive(tmp_path / "a.tar", GOOD, mode)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/old.txt").touch()
    assert extract(made, tmp_path / "out") == 4
    found = {str(path.relative_to(tmp_path / "out")): path for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert {name: path.read_bytes() for name, path in found.items()} == {
        "images/a.txt": b"first",
        "deep/er/b.txt": b"second",
        "images/link.txt": b"second",
        "hard.txt": b"first",
    }
    assert not any(path.is_symlink() or path.stat().st_mode & 0o7111 for path in found.values())
    assert {path.name for path in tmp_path.iterdir()} == {"a.tar", "out", ".out.sha256"}


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ([member("../evil.txt", b"x")], "member '../evil.txt' leads out of the folder"),
        ([member("a/../../evil.txt", b"x")], "leads out of the folder"),
        ([member("/evil.txt", b"x")], "leads out of the folder"),
        ([member("..\\evil.txt", b"x")], "leads out of the folder"),
        (
            [member("link", type=tarfile.SYMTYPE, linkname="/etc/passwd")],
            "is a link to '/etc/passwd', which is no",
        ),
        ([member("link", type=tarfile.SYMTYPE, linkname="../../x")], "is a link to '../../x'"),
        ([member("d", type=tarfile.SYMTYPE, linkname="/tmp"), member("d/evil.txt", b"x")], "is a link to '/tmp'"),
        ([member("hard", type=tarfile.LNKTYPE, linkname="../x")], "is a link to '../x'"),
        ([member("pipe", type=tarfile.FIFOTYPE)], "member 'pipe' is a device, a pipe or the like"),
        ([member("disk", type=tarfile.BLKTYPE)], "is a device"),
        ([member("a", b"x"), member("a/b", b"x")], "member 'a/b' stands there twice, or below a file"),
        ([member("a", b"x"), member("a", b"y")], "stands there twice"),
        ([member("big", b"x" * 2000)], "holds too much; accepted are at most 1000 bytes in 3 files"),
        ([member(name, b"") for name in "abcd"], "holds too much"),
    ],
)
def test_hostile_members_are_refused(members: Members, said: str, tmp_path: Path) -> None:
    made = archive(tmp_path / "a.tar", [member("fine.txt", b"y"), *members] if len(members) < 3 else members)
    with pytest.raises(InputError, match=re.escape(said)):
        extract(made, tmp_path / "in/out", most_bytes=1000, most_files=3)
    assert list((tmp_path / "in").iterdir()) == []
    assert {path.name for path in tmp_path.iterdir()} == {"a.tar", "in"}


def test_a_bomb_is_stopped_by_what_it_declares(tmp_path: Path) -> None:
    path = tmp_path / "bomb.tar.gz"
    with gzip.open(path, "wb") as file:
        file.write(member("zeros", size=10**13)[0].tobuf())
        file.write(bytes(10**6))
    with pytest.raises(InputError, match="holds too much"):
        extract(path, tmp_path / "out")


def cut_by(share: float) -> Callable[[bytes], bytes]:
    return lambda content: content[: int(share * len(content))]


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_damaged_archives_are_refused(mode: str, tmp_path: Path) -> None:
    whole = archive(
        tmp_path / "a.tar", [member(f"{i}.bin", CONTENT[i : i + 20_000]) for i in range(3)], mode
    ).read_bytes()
    rng = np.random.default_rng(0)
    path = tmp_path / "damaged.tar"
    for share in (0, 0.01, 0.3, 0.6, 0.87):
        path.write_bytes(cut_by(share)(whole))
        with pytest.raises(
            InputError, match=r"damaged\.tar is damaged or no tar archive \(.*\); accepted is a whole one"
        ):
            extract(path, tmp_path / "out")
        assert not (tmp_path / "out").exists()
    for _ in range(30):
        damaged = bytearray(whole)
        for place in rng.integers(len(whole), size=3):
            damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            extract(path, tmp_path / "inside/out")
        except InputError:
            assert not (tmp_path / "inside/out").exists()
        shutil.rmtree(tmp_path / "inside")
        assert {each.name for each in tmp_path.iterdir()} == {"a.tar", "damaged.tar"}


END = bytes(2 * tarfile.BLOCKSIZE)


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
def test_checksums_are_compared_to_the_end(mode: str, tmp_path: Path) -> None:
    whole = archive(tmp_path / "a.tar", [member("a.bin", CONTENT)], mode).read_bytes()
    path = tmp_path / "damaged.tar"
    checksum = {"w:gz": -6, "w:bz2": -3, "w:xz": -20}[mode]
    flipped = bytearray(whole)
    flipped[checksum] ^= 1
    for content in (bytes(flipped), whole[:-1], whole[:-7]):
        path.write_bytes(content)
        with pytest.raises(
            InputError, match=r"damaged\.tar is damaged or no tar archive \(.*\); accepted is a whole one"
        ):
            extract(path, tmp_path / "out")
        assert not (tmp_path / "out").exists()


def test_what_follows_the_end_is_limited(tmp_path: Path) -> None:
    content = archive(tmp_path / "a.tar", [member("a.txt", b"x")]).read_bytes()
    path = tmp_path / "a.tar.gz"
    path.write_bytes(gzip.compress(content + bytes(10**6)))
    assert extract(path, tmp_path / "out", most_bytes=1000) == 1
    path.write_bytes(gzip.compress(content + bytes(2 * 10**6)))
    with pytest.raises(InputError, match="it holds too much; accepted are at most 1000 bytes in"):
        extract(path, tmp_path / "out", most_bytes=1000)
    assert extract(path, tmp_path / "out") == 1


@pytest.mark.parametrize("size", [10**13, 2**20 + 1, -512])
@pytest.mark.parametrize(
    "kind",
    [
        tarfile.XHDTYPE,
        tarfile.XGLTYPE,
        tarfile.SOLARIS_XHDTYPE,
        tarfile.GNUTYPE_LONGNAME,
        tarfile.GNUTYPE_LONGLINK,
    ],
)
def test_huge_headers_are_refused(kind: bytes, size: int, tmp_path: Path) -> None:
    header = member("head", type=kind, size=size)[0].tobuf(tarfile.GNU_FORMAT)
    path = tmp_path / "a.tar"
    said = rf"a\.tar: header 'head' declares {size} bytes; accepted are 0 to \d+\."
    for before in (b"", member("fine.txt")[0].tobuf()):
        for pack in (bytes, gzip.compress):
            path.write_bytes(pack(before + header + bytes(1024)))
            with pytest.raises(InputError, match=said):
                extract(path, tmp_path / "out")
            assert not (tmp_path / "out").exists()


def test_files_of_negative_size_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(member("a.txt", size=-1024)[0].tobuf(tarfile.GNU_FORMAT) + END)
    with pytest.raises(InputError, match=r"header 'a\.txt' declares -1024 bytes"):
        extract(path, tmp_path / "out")


def test_many_headers_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    name = member("long", type=tarfile.GNUTYPE_LONGNAME, size=512)[0].tobuf() + b"a" * 512
    path.write_bytes(name * 2000 + member("a.txt")[0].tobuf() + END)
    with pytest.raises(InputError, match="is damaged or no tar archive"):
        extract(path, tmp_path / "out")
    parts = [
        tarfile.TarInfo.create_pax_global_header({f"comment{index}": "x" * 600_000}) + member(f"{index}")[0].tobuf()
        for index in range(2)
    ]
    path.write_bytes(parts[0] + END)
    assert extract(path, tmp_path / "out") == 1
    path.write_bytes(b"".join(parts) + END)
    with pytest.raises(InputError, match=r"PaxHeader' declares \d+ bytes; accepted are 0 to 4\d{5}\."):
        extract(path, tmp_path / "out")


def sparse(**fields: str) -> bytes:
    info = tarfile.TarInfo("holes.bin")
    info.size = 1024
    info.pax_headers = {f"GNU.sparse.{key}": value for key, value in fields.items()}
    return info.tobuf(tarfile.PAX_FORMAT) + b"1\n0\n512\n".ljust(512, b"\0") + bytes(512)


def old_sparse() -> bytes:
    header = bytearray(member("holes.bin", type=tarfile.GNUTYPE_SPARSE)[0].tobuf(tarfile.GNU_FORMAT))
    header[482] = 1  # more of its map follows, without an end
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


@pytest.mark.parametrize(
    "content",
    [
        old_sparse(),
        sparse(size="2048", numblocks="1"),
        sparse(map="0,512", size="2048"),
        sparse(major="1", minor="0", realsize="2048"),
    ],
)
def test_sparse_files_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    for before in (b"", member("fine.txt")[0].tobuf()):
        path.write_bytes(before + content + END)
        with pytest.raises(InputError, match=r"a\.tar: member 'holes\.bin' is sparse; accepted are files and folders"):
            extract(path, tmp_path / "out")
        assert not (tmp_path / "out").exists()


def test_depth_and_number_of_folders_are_limited(tmp_path: Path) -> None:
    deep = archive(tmp_path / "a.tar", [member("d/" * 63 + "a.txt", b"x")])
    assert extract(deep, tmp_path / "out") == 1
    with pytest.raises(
        InputError, match=r"it holds too much; accepted are at most \d+ bytes in 62 files and as many fol"
    ):
        extract(deep, tmp_path / "out", most_files=62)
    deeper = archive(tmp_path / "b.tar", [member("d/" * 64 + "a.txt", b"x")])
    with pytest.raises(InputError, match=r"member 'd/.*' has a path of more than 64 names; accepted are files and"):
        extract(deeper, tmp_path / "other")
    twice = archive(tmp_path / "c.tar", [member("d", type=tarfile.DIRTYPE)] * 4)
    with pytest.raises(InputError, match="it holds too much"):
        extract(twice, tmp_path / "other", most_files=3)


def test_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(extraction, "sync", full)
    with pytest.raises(DiskFullError, match=r"a\.tar cannot be extracted: no space is left on the disk"):
        extract(archive(tmp_path / "a.tar", GOOD), tmp_path / "out")
    assert not (tmp_path / "out").exists()
