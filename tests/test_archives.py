"""Downloads over real sockets that break, archives that are hostile, and class maps that do not fit."""

import gzip
import hashlib
import io
import re
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from archive_server import Site, serving
from numpy.typing import NDArray
from skimage.transform import resize as skimage_resize

from featuresharing import InputError
from featuresharing.data.class_maps import class_names, read_class_map, read_numbered_list
from featuresharing.data.downloads import DownloadSettings, check_archive, download
from featuresharing.data.extraction import extract
from featuresharing.data.images import imagenet_preprocessing, preprocess, resize

FIXTURES = Path(__file__).parent / "fixtures/torch7"
CONTENT = np.random.default_rng(0).bytes(300_000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()
QUICK = DownloadSettings(attempts=3, pause=0.001, timeout=5)


def get(site: Site, output: Path, *, more: tuple[str, ...] = (), **checks: object) -> str:
    return download([f"{site.url}a.bin", *more], output, settings=QUICK, **checks)  # type: ignore[arg-type]


def test_a_file_is_downloaded_and_its_checksum_recorded(tmp_path: Path) -> None:
    with serving(Site({"a.bin": CONTENT})) as site:
        assert get(site, tmp_path / "in/a.bin", size=len(CONTENT)) == DIGEST
        assert get(site, tmp_path / "in/a.bin") == DIGEST
        assert len(site.asked) == 1
    assert {path.name for path in (tmp_path / "in").iterdir()} == {"a.bin", "a.bin.sha256"}
    assert (tmp_path / "in/a.bin").read_bytes() == CONTENT
    assert (tmp_path / "in/a.bin.sha256").read_text() == f"{DIGEST}  a.bin\n"


def test_broken_connections_are_continued_where_they_broke(tmp_path: Path) -> None:
    with serving(Site({"a.bin": CONTENT}, cuts=[2 * 65536, 65536])) as site:
        get(site, tmp_path / "a.bin")
        assert [wanted for _, wanted in site.asked] == [None, "bytes=131072-", "bytes=196608-"]
        assert site.sent == len(CONTENT)
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_a_killed_download_is_continued_by_the_next(tmp_path: Path) -> None:
    once = DownloadSettings(attempts=1, pause=0.001, timeout=5)
    with serving(Site({"a.bin": CONTENT}, cuts=[70_000, 0, 0])) as site:
        with pytest.raises(InputError, match=r"a\.bin cannot be downloaded \(.*put a\.bin into .* yourself"):
            download([f"{site.url}a.bin"], tmp_path / "a.bin", settings=once)
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
            once = DownloadSettings(attempts=1, pause=0.001, timeout=5)
            site.cuts = [100_000, 0]
            with pytest.raises(InputError):
                download([f"{site.url}a.bin"], tmp_path / "a.bin", settings=once)
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
            ({"size": 7}, "a.bin has 300000 bytes; accepted are 7: delete the file"),
        ):
            with pytest.raises(InputError, match=re.escape(said)):
                get(site, tmp_path / "a.bin", **checks)
            assert list(tmp_path.iterdir()) == []
        get(site, tmp_path / "a.bin")
        (tmp_path / "a.bin").unlink()
        site.files["a.bin"] = b"another"
        with pytest.raises(InputError, match=rf"accepted is {DIGEST}, by .*a\.bin\.sha256: delete"):
            get(site, tmp_path / "a.bin")


def test_without_a_network_the_sentence_says_what_to_put_where(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        download(["http://127.0.0.1:9/a.bin", "ftp://x/a.bin"], tmp_path / "a.bin", settings=QUICK)
    text = str(error.value)
    assert "http://127.0.0.1:9/a.bin: " in text
    assert f"without a network, put a.bin into {tmp_path} yourself and type the same command again." in text
    with pytest.raises(InputError, match=r"a\.bin does not exist; accepted is a file of this name"):
        check_archive(tmp_path / "a.bin")


Members = list[tuple[tarfile.TarInfo, bytes]]


def member(name: str, content: bytes = b"", **changes: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in changes.items():
        setattr(info, key, value)
    return info, content


def archive(path: Path, members: Members, mode: str = "w") -> Path:
    with tarfile.open(path, mode) as file:  # type: ignore[call-overload]
        for info, content in members:
            file.addfile(info, io.BytesIO(content))
    return path


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
    assert {path.name for path in tmp_path.iterdir()} == {"a.tar", "out"}


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ([member("../evil.txt", b"x")], "member '../evil.txt' leads out of the folder"),
        ([member("a/../../evil.txt", b"x")], "leads out of the folder"),
        ([member("/evil.txt", b"x")], "leads out of the folder"),
        ([member("..\\evil.txt", b"x")], "leads out of the folder"),
        ([member("link", type=tarfile.SYMTYPE, linkname="/etc/passwd")], "is a link to /etc/passwd, which is no file"),
        ([member("link", type=tarfile.SYMTYPE, linkname="../../x")], "is a link to ../../x"),
        ([member("d", type=tarfile.SYMTYPE, linkname="/tmp"), member("d/evil.txt", b"x")], "is a link to /tmp"),
        ([member("hard", type=tarfile.LNKTYPE, linkname="../x")], "is a link to ../x"),
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


def test_class_maps_say_which_output_is_which_class() -> None:
    maps = read_class_map(FIXTURES / "meta.t7", ["Object", "Text"])
    expected = [line.split() for line in (FIXTURES / "meta_expected.txt").read_text().splitlines()]
    assert {
        (str(["Object", "Text"].index(task) + 1), str(key), str(output + 1))
        for task in maps
        for key, output in maps[task].items()
    } == set(map(tuple, expected))
    names = class_names(maps)
    assert names["Object"] == ["0", "3", "1", "4", "2"]
    assert names["Text"] == ["109", "101", "105", "103", "107", "104", "108", "102", "106"]


def test_class_maps_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"meta\.t7 maps the classes of 2 tasks; accepted are 3: a, b, c"):
        read_class_map(FIXTURES / "meta.t7", ["a", "b", "c"])
    with pytest.raises(InputError, match=r"primitives\.t7 holds no class map; accepted is a table with classToIdx"):
        read_class_map(FIXTURES / "primitives.t7", ["a", "b"])
    damaged = tmp_path / "meta.t7"
    content = (FIXTURES / "meta.t7").read_bytes()
    damaged.write_bytes(
        content.replace(
            np.float64(109).tobytes() + b"\1\0\0\0" + np.float64(1).tobytes(),
            np.float64(109).tobytes() + b"\1\0\0\0" + np.float64(77).tobytes(),
        )
    )
    with pytest.raises(InputError, match="outputs of task 'b' are not 1 to 9; accepted is each once"):
        read_class_map(damaged, ["a", "b"])


def test_numbered_lists(tmp_path: Path) -> None:
    maps = {"Object": {0: 0, 7: 1}, "Text": {101: 1, 105: 0}}
    path = tmp_path / "test.txt"
    path.write_text("dir/a picture.JPEG 7,101\n\n b.png 0,105\n")
    found = read_numbered_list(path, tmp_path / "images", maps)
    assert found.paths == (tmp_path / "images/dir/a picture.JPEG", tmp_path / "images/b.png")
    assert found.targets.tolist() == [[1, 1], [0, 0]]
    for line, said in (
        (
            "a.png 8,101",
            r"line 1: class 8 of task 'Object' is not in the class map; accepted are its 2 classes, from 0 t",
        ),
        ("a.png 7", "line 1: found 'a.png 7'; accepted is 'path a,b', one class number a task"),
        ("a.png 7,x", "found 'a.png 7,x'"),
        ("7,101", "found '7,101'"),
        ("../a.png 7,101", r"image '\.\./a\.png' leads out of"),
        ("", "found no image"),
    ):
        path.write_text(f"{line}\n")
        with pytest.raises(InputError, match=said):
            read_numbered_list(path, tmp_path / "images", maps)


def picture(height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(height).integers(0, 256, size=(height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(("height", "width"), [(500, 333), (256, 300), (225, 224), (224, 224)])
def test_shrinking_equals_scikit_image(height: int, width: int) -> None:
    pixels = picture(height, width)
    theirs = skimage_resize(pixels / 255, (224, 224), order=1, mode="constant", anti_aliasing=False)
    np.testing.assert_allclose(resize(pixels.astype(np.float32), 224) / 255, theirs, rtol=0, atol=2e-6)


def test_enlarging_differs_from_scikit_image_at_the_border_only() -> None:
    pixels = picture(100, 80)
    edges, black = (
        skimage_resize(pixels / 255, (224, 224), order=1, mode=mode, anti_aliasing=False)
        for mode in ("edge", "constant")
    )
    ours = resize(pixels.astype(np.float32), 224) / 255
    np.testing.assert_allclose(ours, edges, rtol=0, atol=2e-6)
    np.testing.assert_allclose(ours[2:-2, 2:-2], black[2:-2, 2:-2], rtol=0, atol=2e-6)
    # the outermost output pixel of an enlarged image lies up to half an input pixel outside: at most half of it is lost
    assert 0 < np.max(ours - black) <= 0.75


def test_preprocessing_is_the_papers() -> None:
    pixels = picture(300, 400)
    theirs = skimage_resize(pixels / 255, (224, 224), order=1, mode="constant", anti_aliasing=False)
    wanted = ((theirs - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]).transpose(2, 0, 1)
    found = preprocess(Path("x"), pixels, imagenet_preprocessing(224))
    assert (found.shape, found.dtype) == ((3, 224, 224), np.float32)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)
