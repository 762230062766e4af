"""Data sets with one folder a class: words over their images, and batches of their files."""

import io
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch._utils import ExceptionWrapper

from featuresharing import InputError
from featuresharing.cli import main
from featuresharing.cli.options import say
from featuresharing.data.class_folders import list_class_folders, read_hierarchy
from featuresharing.data.images import read_image
from featuresharing.data.lists import read_classes, read_image_list
from featuresharing.data.overlay import OverlaySettings, overlay_folder
from featuresharing.data.preprocessing import imagenet_preprocessing
from featuresharing.data.transforming import preprocess
from featuresharing.data.words import WordStyle
from featuresharing.files.locks import holding
from featuresharing.files.records import refuse_changed
from featuresharing.networks.alexnet.batches import Augmentation, FileBatches, Order, Share, augment
from tests.support.commands import FONT
from tests.support.files import contents

SIZE = 20


def settings(**changes: Any) -> OverlaySettings:
    given: dict[str, Any] = {"words": ("sun", "map"), "style": WordStyle(FONT, (9, 12), (122, 255)), "seed": 0}
    return OverlaySettings(**given | changes)


def image(seed: int, size: tuple[int, int] = (40, 30)) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 90, (*reversed(size), 3), dtype=np.uint8))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, name in enumerate(("n01", "n02")):
        (tmp_path / "data" / name / "deeper").mkdir(parents=True)
        for index, kind in enumerate(("JPEG", "png", "bmp")):
            image(3 * number + index).save(tmp_path / f"data/{name}/a b{index}.{kind}")
        image(9 + number).save(tmp_path / f"data/{name}/deeper/c.jpg")
        (tmp_path / f"data/{name}/.hidden").write_text("no image")
    return tmp_path / "data"


def test_every_image_gets_a_word_and_keeps_its_class(folder: Path, tmp_path: Path) -> None:
    frame, skipped = overlay_folder(folder, tmp_path / "words", settings(), hierarchy={"n01": "x", "n02": "y"})
    rows = frame.to_dict("records")
    assert skipped == []
    names = [
        f"{name}/{file}"
        for name in ("n01", "n02")
        for file in ("a b0.JPEG", "a b1.png", "a b2.bmp.png", "deeper/c.jpg")
    ]
    assert [row["image"] for row in rows] == [f"words/{name}" for name in names]
    assert [(row["subordinate"], row["basic"]) for row in rows] == [("n01", "x")] * 4 + [("n02", "y")] * 4
    assert {row["word"] for row in rows} == {"sun", "map"}
    assert sorted(contents(tmp_path / "words")) == sorted(names)
    for name in ("n01/a b1.png", "n02/a b1.png"):
        before, after = read_image(folder / name), read_image(tmp_path / "words" / name)
        assert before.shape == after.shape
        changed = (before != after).any(axis=2)
        assert 0.02 < changed.mean() < 0.6
        assert after[changed].max() >= 122


def test_an_image_depends_on_its_path_and_the_seed_alone(folder: Path, tmp_path: Path) -> None:
    overlay_folder(folder, tmp_path / "alone", settings())
    overlay_folder(folder, tmp_path / "two", settings(), jobs=2)
    assert contents(tmp_path / "two") == contents(tmp_path / "alone")
    overlay_folder(folder, tmp_path / "other", settings(seed=1))
    assert contents(tmp_path / "other") != contents(tmp_path / "alone")
    (folder / "n01/a b0.JPEG").unlink()
    overlay_folder(folder, tmp_path / "fewer", settings())
    assert contents(tmp_path / "fewer").items() < contents(tmp_path / "alone").items()


def test_what_was_drawn_is_kept_and_what_was_cut_off_drawn_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overlay_folder(folder, tmp_path / "whole", settings())
    wanted = contents(tmp_path / "whole")
    read: list[Path] = []

    def reading(path: Path) -> NDArray[np.uint8]:
        if len(read) == 5 and path.is_relative_to(folder):
            raise KeyboardInterrupt
        read.extend([path] if path.is_relative_to(folder) else [])
        return read_image(path)

    monkeypatch.setattr("featuresharing.data.overlay.read_image", reading)
    with pytest.raises(KeyboardInterrupt):
        overlay_folder(folder, tmp_path / "cut", settings())
    assert not (tmp_path / "cut").exists()
    (part,) = tmp_path.glob(".cut.*.part")
    short = part / "n01/deeper/c.jpg"
    short.write_bytes(short.read_bytes()[:-100])
    read.clear()
    monkeypatch.setattr("featuresharing.data.overlay.read_image", lambda path: read.append(path) or read_image(path))
    overlay_folder(folder, tmp_path / "cut", settings())
    again = [path.relative_to(folder).as_posix() for path in read if path.is_relative_to(folder)]
    assert again == ["n01/deeper/c.jpg", "n02/a b1.png", "n02/a b2.bmp", "n02/deeper/c.jpg"]
    assert contents(tmp_path / "cut") == wanted


def command(folder: Path, tmp_path: Path, **options: str) -> list[str]:
    (tmp_path / "words.txt").write_text("sun\nmap\n")
    given = {"folder": str(folder), "words": str(tmp_path / "words.txt"), "font": str(FONT)}
    given |= {"output-folder": str(tmp_path / "out")} | options
    return ["overlay-words", *(word for name, value in given.items() for word in (f"--{name}", *value.split("|")))]


def test_images_that_cannot_be_decoded_stop_or_are_skipped_with_a_count(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = folder / "n02/a b0.JPEG"
    broken.write_bytes(broken.read_bytes()[:200])
    assert main(command(folder, tmp_path)) == 2
    assert "n02/a b0.JPEG cannot be decoded" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "out.csv").exists()
    assert main(command(folder, tmp_path, undecodable="skip")) == 0
    said = capsys.readouterr().out
    assert "skipped: image" in said
    assert "7 images are in" in said
    assert "1 cannot be decoded and were skipped." in said
    assert (tmp_path / "out.csv").read_text().count("\n") == 8
    assert "out/n02/a b0.JPEG" not in (tmp_path / "out.csv").read_text()


def test_wrong_folders_and_tables_are_refused(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "table.csv").write_text("subordinate,basic\nn01,x\n")
    with pytest.raises(InputError, match="class 'n02' is missing"):
        read_hierarchy(tmp_path / "table.csv", ["n01", "n02"])
    (tmp_path / "table.csv").write_text("fine,coarse\nn01,x\n")
    with pytest.raises(InputError, match="column 'subordinate' is missing"):
        read_hierarchy(tmp_path / "table.csv", ["n01"])
    (folder / "n03").mkdir()
    with pytest.raises(InputError, match="n03 has no images"):
        list_class_folders(folder)
    with pytest.raises(InputError, match="has 1 folders; accepted are two or more"):
        list_class_folders(folder / "n01")
    with pytest.raises(InputError, match="cannot be read"):
        list_class_folders(tmp_path / "missing")
    assert main(command(folder, tmp_path, **{"font-sizes": "12|9"})) == 2
    assert "--font-sizes: found [12, 9]; accepted are a smaller number and a larger one." in capsys.readouterr().err


@pytest.mark.parametrize(
    "name", ["@eaDir", "#recycle", "__MACOSX", ".thumbnails", ".ipynb_checkpoints", "$RECYCLE.BIN", "lost+found"]
)
def test_what_systems_leave_in_folders_is_left_out(folder: Path, name: str) -> None:
    wanted = list_class_folders(folder)
    for place in (folder, folder / "n01", folder / "n02/deeper"):
        (place / name / "below").mkdir(parents=True)
        image(0).save(place / name / "0.png")
        image(0).save(place / name / "below/0.png")
        for file in ("Thumbs.db", "desktop.ini", ".DS_Store", "._c.jpg"):
            (place / file).write_bytes(b"")
    assert list_class_folders(folder) == wanted
    (folder / "n03" / name).mkdir(parents=True)
    image(0).save(folder / "n03" / name / "0.png")
    with pytest.raises(InputError, match="n03 has no images"):
        list_class_folders(folder)


def test_two_images_never_become_one_file(folder: Path, tmp_path: Path) -> None:
    image(20).save(folder / "n01/a b2.bmp.png")
    with pytest.raises(InputError, match=r"n01/a b2\.bmp would be written as n01/a b2\.bmp\.png, which is there"):
        overlay_folder(folder, tmp_path / "words", settings())
    assert not list(tmp_path.glob("*words*"))
    (folder / "n01/a b2.bmp.png").unlink()
    (folder / "n01/a b2.bmp.png").mkdir()
    image(20).save(folder / "n01/a b2.bmp.png/0.png")
    with pytest.raises(InputError, match=r"a b2\.bmp would be written as"):
        overlay_folder(folder, tmp_path / "words", settings())


def test_names_that_differ_in_case_alone_are_two_images(folder: Path, tmp_path: Path) -> None:
    image(20).save(folder / "n01/A B1.png")
    if len(list((folder / "n01").glob("[aA] [bB]1.png"))) == 1:
        pytest.skip("this file system does not tell them apart")
    frame, _ = overlay_folder(folder, tmp_path / "words", settings())
    names = {*frame["image"]}
    assert {"words/n01/a b1.png", "words/n01/A B1.png"} <= names
    assert len(contents(tmp_path / "words")) == len(frame) == len(names)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("caf\udce9.jpg", r"the name 'caf\\xe9\.jpg' is not UTF-8; accepted are names in UTF-8"),
        ("new\nline.jpg", r"the name 'new\\nline\.jpg' holds a line end or another control character"),
        ("\x1b[2J.jpg", r"the name '\\x1b\[2J\.jpg' holds"),
        ("\ufeffa.jpg", r"the name '\\ufeffa\.jpg' holds"),
    ],
)
def test_names_that_no_list_can_hold_are_refused(folder: Path, tmp_path: Path, name: str, found: str) -> None:
    for place in (folder / "n01", folder):
        path = place / name
        if place == folder:
            path.mkdir()
        image(0).save(path / "0.png" if place == folder else path, "PNG")
        with pytest.raises(InputError, match=found) as error:
            list_class_folders(folder)
        str(error.value).encode()
        if place != folder:
            path.unlink()
    with pytest.raises(InputError, match=found):
        overlay_folder(folder / "n01", tmp_path / name, settings())


def test_classes_have_no_blanks_around_their_names(folder: Path) -> None:
    (folder / "n02").rename(folder / " n02")
    with pytest.raises(InputError, match="class ' n02' begins or ends with a blank"):
        list_class_folders(folder)


def test_names_with_commas_quotes_and_blanks_go_through_tables_and_lists(folder: Path, tmp_path: Path) -> None:
    odd = ['a, "b".jpg', " lead.png", 'x"', "ŝ ", "one\u2028two.png", "-1 0,0"]
    for name in odd:
        image(1).save(folder / "n01" / name, "PNG")
    assert main(command(folder, tmp_path)) == 0
    tasks = ["--tasks", "subordinate", "word"]
    stimuli = str(tmp_path / "out.csv")
    assert main(["list-images", "--stimuli", stimuli, *tasks, "--output-folder", str(tmp_path / "lists")]) == 0
    classes = read_classes(tmp_path / "lists/classes.csv")
    found = read_image_list(tmp_path / "lists/out.txt", list(classes.values()))
    assert {path.resolve() for path in found.paths} == {
        path for path in (tmp_path / "out").rglob("*") if path.is_file()
    }
    assert len(found.paths) == len(odd) + 8


def test_links_are_followed_unless_they_lead_back_or_nowhere(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    image(0).save(elsewhere / "z.png")
    (folder / "n01/linked").symlink_to(elsewhere)
    (folder / "n03").symlink_to(elsewhere)
    (folder / "n02/z.png").symlink_to(elsewhere / "z.png")
    found = list_class_folders(folder)
    assert found["n03"] == ["n03/z.png"]
    assert "n01/linked/z.png" in found["n01"]
    assert "n02/z.png" in found["n02"]
    for link, target, said in (
        ("n01/back", folder, "n01/back is a link to a folder that it is in"),
        ("n01/here", ".", "n01/here is a link to a folder that it is in"),
        ("all", ".", "all is a link to a folder that it is in"),
        ("n01/gone.png", "nowhere", r"n01/gone\.png is no file, or a link that leads nowhere"),
        ("n01/self", "self", "n01/self is no file, or a link that leads nowhere"),
    ):
        (folder / link).symlink_to(target)
        with pytest.raises(InputError, match=said):
            list_class_folders(folder)
        (folder / link).unlink()
    os.mkfifo(folder / "n01/pipe")
    with pytest.raises(InputError, match="n01/pipe is no file"):
        list_class_folders(folder)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_named(folder: Path, tmp_path: Path) -> None:
    (folder / "n01/a b1.png").chmod(0)
    with pytest.raises(InputError, match=r"a b1\.png cannot be decoded \(Permission denied\)"):
        overlay_folder(folder, tmp_path / "words", settings())
    (folder / "n02/deeper").chmod(0)
    with pytest.raises(InputError, match=r"folder .*n02/deeper cannot be read \(Permission denied\)"):
        list_class_folders(folder)
    (folder / "n02/deeper").chmod(0o755)


def test_images_of_any_name_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(written, "utf-8", errors="strict"))
    say("image caf\udce9.png cannot be decoded")
    assert written.getvalue() == b"image caf\\udce9.png cannot be decoded\n"


def file_batches(folder: Path, **options: Any) -> FileBatches:
    paths = sorted(path for path in folder.rglob("*.*") if path.is_file() and not path.name.startswith("."))
    targets = np.arange(2 * len(paths), dtype=np.int64).reshape(-1, 2)
    augmentation = options.pop("augmentation", Augmentation((0.3, 1.0), flip=True))
    look = imagenet_preprocessing(SIZE)
    return FileBatches(paths, targets, Order(len(paths), 6, seed=2), look, augmentation, **options)


def test_batches_do_not_depend_on_workers_processes_or_where_they_begin(folder: Path) -> None:
    whole = file_batches(folder)
    steps = [whole.batch(step) for step in range(4)]
    assert [tuple(images.shape) for images, _ in steps] == [(6, 3, SIZE, SIZE)] * 4
    seen = torch.cat([targets for _, targets in steps])[:, 0] // 2
    assert sorted(seen[:8].tolist()) == sorted(seen[8:16].tolist()) == list(range(8))
    assert not torch.equal(seen[:8], seen[8:16])
    late, read_ahead = file_batches(folder), file_batches(folder, workers=1)
    for step in (2, 3):
        for other in (late, read_ahead):
            assert all(torch.equal(a, b) for a, b in zip(other.batch(step), steps[step], strict=True))
    shares = [file_batches(folder, share=Share(rank, 2)) for rank in range(2)]
    for step, (images, targets) in enumerate(steps):
        for rank, share in enumerate(shares):
            found, true = share.batch(step)
            assert torch.equal(found, images[rank::2])
            assert torch.equal(true, targets[rank::2])


def test_an_image_that_is_not_varied_is_only_scaled(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    image(0, (SIZE, SIZE)).save(path)
    pixels = read_image(path)
    assert np.array_equal(augment(pixels, SIZE, Augmentation(), 0, 5), pixels)
    batch, _ = FileBatches(
        [path, path], np.zeros((2, 1), np.int64), Order(2, 2, 0), imagenet_preprocessing(SIZE), Augmentation()
    ).batch(0)
    np.testing.assert_array_equal(batch[0].numpy(), preprocess(path, pixels, imagenet_preprocessing(SIZE)))


def test_crops_lie_in_the_image_and_half_are_mirrored() -> None:
    across = np.linspace(0, 250, 60).astype(np.uint8)
    pixels = np.broadcast_to(across[None, :, None], (50, 60, 3)).copy()
    rising, widths = [], []
    for position in range(300):
        row = augment(pixels, SIZE, Augmentation((0.2, 0.6), flip=True), 0, position)[SIZE // 2, :, 0].astype(int)
        rising.append(row[-1] > row[0])
        widths.append(abs(row[-1] - row[0]) / 250 * SIZE / (SIZE - 1))
    assert 0.4 < np.mean(rising) < 0.6
    # of the width: the root of the area, times that of the aspect in relation to the image's
    assert min(widths) > np.sqrt(0.2 * 3 / 4 / (60 / 50)) - 0.06
    assert max(widths) < np.sqrt(0.6 * 4 / 3 / (60 / 50)) + 0.06
    assert max(widths) - min(widths) > 0.25


def test_images_that_are_there_are_said_and_damaged_ones_drawn_again(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(folder, tmp_path)) == 0
    wanted, table = contents(tmp_path / "out"), (tmp_path / "out.csv").read_bytes()
    refuse_changed(tmp_path / "out/n01/a b1.png")
    capsys.readouterr()
    assert main(command(folder, tmp_path)) == 0
    assert "out is there already." in capsys.readouterr().out
    spoilt = tmp_path / "out/n02/deeper/c.jpg"
    content = bytearray(spoilt.read_bytes())
    content[len(content) // 2] ^= 1  # still a picture, of other pixels
    spoilt.write_bytes(content)
    (tmp_path / "out.csv").unlink()
    with pytest.raises(InputError, match=r"c\.jpg is not what was written"):
        refuse_changed(spoilt)
    assert main(command(folder, tmp_path)) == 0
    assert "Drawn again, since they or their originals were changed: 1 of 8 in" in capsys.readouterr().out
    assert contents(tmp_path / "out") == wanted
    assert (tmp_path / "out.csv").read_bytes() == table
    assert {path.name for path in tmp_path.iterdir() if path.name.startswith(".")} == {".out.sha256", ".out.csv.sha256"}


def test_new_images_of_the_folder_are_drawn_too(folder: Path, tmp_path: Path) -> None:
    assert main(command(folder, tmp_path)) == 0
    image(9).save(folder / "n01/new.png")
    assert main(command(folder, tmp_path)) == 0
    assert (tmp_path / "out/n01/new.png").exists()
    assert (tmp_path / "out.csv").read_text().count("\n") == 10
    refuse_changed(tmp_path / "out/n01/new.png")


def test_images_that_were_changed_are_drawn_again(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(folder, tmp_path)) == 0
    before = contents(tmp_path / "out")
    changed = folder / "n01/a b1.png"
    image(77).save(changed)
    os.utime(changed, ns=(0, (tmp_path / "out/n01/a b1.png").stat().st_mtime_ns + 1))
    capsys.readouterr()
    assert main(command(folder, tmp_path)) == 0
    said = capsys.readouterr().out
    assert "Drawn again, since they or their originals were changed: 1 of 8 in" in said
    assert f"wrote {tmp_path / 'out'} (" in said
    after = contents(tmp_path / "out")
    assert [name for name in before if after[name] != before[name]] == ["n01/a b1.png"]
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    assert main([*command(folder, tmp_path)[:-1], str(fresh / "out")]) == 0
    assert contents(fresh / "out") == after


def test_images_of_another_folder_are_not_taken_for_those_of_this(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(folder, tmp_path)) == 0
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    arguments = [str(other) if word == str(folder) else word for word in command(folder, tmp_path)]
    assert main(arguments) == 2
    assert "already; accepted is a new folder, or an empty one." in capsys.readouterr().err


def test_other_settings_do_not_touch_what_is_there(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(folder, tmp_path)) == 0
    wanted = contents(tmp_path / "out")
    assert main(command(folder, tmp_path, seed="1")) == 2
    assert "already; accepted is a new folder, or an empty one." in capsys.readouterr().err
    assert contents(tmp_path / "out") == wanted


def test_one_process_draws_at_a_time(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with holding(tmp_path / "out"):
        assert main(command(folder, tmp_path, wait="0.001")) == 2
    said = capsys.readouterr()
    assert ": waiting." in said.out
    assert "out is being computed by process" in said.err
    assert main(command(folder, tmp_path, **{"output-folder": "/"})) == 2
    assert "found '/'; accepted is the name of a folder" in capsys.readouterr().err


def test_a_folder_that_snakemake_emptied_is_not_called_damaged(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(folder, tmp_path)) == 0
    wanted = contents(tmp_path / "out")
    shutil.rmtree(tmp_path / "out")
    (tmp_path / "out").mkdir()
    assert main(command(folder, tmp_path)) == 0
    assert "damaged" not in capsys.readouterr().out
    assert contents(tmp_path / "out") == wanted


def test_an_image_that_a_worker_cannot_read_is_named_in_one_sentence(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What torch makes of the error of a worker: its traceback in the place of the sentence."""
    broken = folder / "n01/a b1.png"
    broken.write_bytes(b"no image")
    batches = file_batches(folder)
    with pytest.raises(InputError, match=r"^image .*a b1\.png cannot be decoded: [^\n]*\.$"):
        list(map(batches.batch, range(2)))
    read = FileBatches.batch.__globals__["read_image"]

    def read_in_worker(path: Path) -> NDArray[np.uint8]:
        try:
            return read(path)
        except InputError:
            ExceptionWrapper(sys.exc_info(), "in DataLoader worker process 0").reraise()
            raise

    monkeypatch.setattr("featuresharing.networks.alexnet.batches.read_image", read_in_worker)
    with pytest.raises(InputError, match=r"^image .*a b1\.png cannot be decoded: [^\n]*\.$"):
        list(map(file_batches(folder).batch, range(2)))
