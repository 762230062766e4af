"""Data: image lists, tables of classes, drawings, words, stimuli and image files."""

import shutil
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from featuresharing import InputError
from featuresharing.cli import main
from featuresharing.data.drawings import Drawing, DrawingSheet, choose_classes, read_drawings, split_drawings
from featuresharing.data.images import load_images
from featuresharing.data.lists import ImageList, read_classes, read_image_list, write_classes, write_image_list
from featuresharing.data.preprocessing import stimulus_preprocessing
from featuresharing.data.rendering import Variation, render_stimulus
from featuresharing.data.stimuli import StimulusSettings, read_stimuli, render_stimuli
from featuresharing.data.transforming import preprocess
from featuresharing.data.words import WordStyle, overlay_word, read_words
from featuresharing.files.locks import holding
from featuresharing.randomness import keyed_generator
from tests.support.commands import RESOURCES
from tests.support.files import contents

FONT = RESOURCES / "fonts/DejaVuSans-Bold.ttf"
CLASSES = [["cat", "dog", "owl"], ["sun", "map"]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the images a.png and "two words/b c.png"."""
    (tmp_path / "two words").mkdir()
    for name in ("a.png", "two words/b c.png"):
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    return tmp_path


@pytest.fixture(scope="module")
def drawings() -> list[Drawing]:
    return read_drawings(RESOURCES / "drawings/drawings.csv")


def test_a_list_comes_back_as_it_was_written(folder: Path) -> None:
    paths, targets = [folder / "two words/b c.png", folder / "a.png"], np.array([[2, 0], [0, 1]])
    output = folder / "lists" / "new" / "test.txt"
    write_image_list(output, paths, targets)
    assert output.read_text() == "../../two words/b c.png 2,0\n../../a.png 0,1\n"
    found = read_image_list(output, CLASSES)
    assert [path.resolve() for path in found.paths] == paths
    assert found.targets.dtype == np.int64
    assert np.array_equal(found.targets, targets)


def test_a_list_may_be_written_by_hand(folder: Path) -> None:
    (folder / "list.txt").write_text(f"\n  a.png   1,1  \r\n\n{folder}/two words/b c.png 0,0")
    found = read_image_list(folder / "list.txt", CLASSES)
    assert found.paths == (folder / "a.png", folder / "two words/b c.png")
    assert found.targets.tolist() == [[1, 1], [0, 0]]


def test_a_part_of_a_list_is_in_the_order_asked_for() -> None:
    images = ImageList((Path("a"), Path("b"), Path("c")), np.array([[0], [1], [2]]))
    part = images.select([2, 0])
    assert part.paths == (Path("c"), Path("a"))
    assert part.targets.tolist() == [[2], [0]]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (b"a.png", r"found 'a.png'; accepted is 'path a,b'"),
        (b"1,1", r"found '1,1'; accepted is 'path a,b'"),
        (b"a.png 1", r"found 'a.png 1'; accepted is 'path a,b'"),
        (b"a.png 1,1,1", r"accepted is 'path a,b'"),
        (b"a.png 1, 1", r"accepted is 'path a,b'"),
        (b"a.png -1,1", r"accepted is 'path a,b'"),
        (b"a.png 1.0,1", r"accepted is 'path a,b'"),
        (b"a.png +1,1", r"accepted is 'path a,b'"),
        (b"a.png one,1", r"accepted is 'path a,b'"),
        ("a.png ٣,1".encode(), r"accepted is 'path a,b'"),
        (b"a.png ,", r"accepted is 'path a,b'"),
        (b"a.png 3,1", r"class index 3 of task 0 is out of range; accepted are 0 to 2"),
        (b"a.png 2,2", r"class index 2 of task 1 is out of range; accepted are 0 to 1"),
        (b"b.png 1,1", r"image .*b\.png does not exist"),
        (b"two words 1,1", r"image .*two words does not exist"),
        (b"\xff.png 1,1", ""),
    ],
)
def test_a_wrong_line_is_named_by_file_and_number(folder: Path, line: bytes, found: str) -> None:
    (folder / "list.txt").write_bytes(b"a.png 0,0\n\n" + line + b"\na.png 0,0\n")
    with pytest.raises(InputError, match=rf"list\.txt, line 3: .*{found}") as error:
        read_image_list(folder / "list.txt", CLASSES)
    assert "\n" not in str(error.value)


def test_a_list_without_images_or_without_their_files(folder: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.txt does not exist"):
        read_image_list(folder / "nowhere.txt", CLASSES)
    (folder / "list.txt").write_text("\n \n")
    with pytest.raises(InputError, match=r"list\.txt: found no image; accepted are lines of the form 'path a,b'"):
        read_image_list(folder / "list.txt", CLASSES)
    (folder / "list.txt").write_text("later.png 0,0\n")
    assert read_image_list(folder / "list.txt", CLASSES, check_files=False).paths == (folder / "later.png",)


def test_classes_come_back_in_their_order(tmp_path: Path) -> None:
    classes = {"word": ["sun", "map, or chart", 'a "b"'], "basic": ["zebra", "ant"]}
    write_classes(tmp_path / "classes.csv", classes)
    assert (tmp_path / "classes.csv").read_text().startswith("task,index,name\nword,0,sun\n")
    found = read_classes(tmp_path / "classes.csv")
    assert list(found.items()) == list(classes.items())


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("word,0,sun\n", "column 'task' is missing; accepted is a table with task, index, name"),
        ("task,index,name\nword,0,sun\nword,2,map\n", "line 3: found 'word,2,map'"),
        ("task,index,name\nword,0\n", "line 2: found 2 values; accepted are 3"),
        ("task,index,name\nword,0,sun\nbasic,1,map\n", "line 3: found 'basic,1,map'; .* counted from 0"),
        ("task,index,name\n", "found no class; accepted is at least one"),
        ("", "column 'task' is missing"),
    ],
)
def test_a_wrong_table_of_classes_is_named_by_file_and_line(tmp_path: Path, text: str, found: str) -> None:
    (tmp_path / "classes.csv").write_text(text)
    with pytest.raises(InputError, match=rf"classes\.csv.*{found}"):
        read_classes(tmp_path / "classes.csv")
    with pytest.raises(InputError, match=r"nowhere\.csv does not exist"):
        read_classes(tmp_path / "nowhere.csv")


def test_the_sheet_has_every_drawing_of_its_table(drawings: list[Drawing]) -> None:
    sheet = DrawingSheet(RESOURCES / "drawings/drawings.png")
    assert [drawing.index for drawing in drawings] == list(range(len(drawings)))
    assert len({(drawing.row, drawing.column) for drawing in drawings}) == len(drawings)
    for drawing in drawings:
        cell = sheet[drawing]
        assert (cell.size, cell.mode) == ((64, 64), "RGBA")
        assert np.asarray(cell)[..., 3].any(), f"{drawing} is blank"
    basics = {drawing.subordinate: drawing.basic for drawing in drawings}
    assert all(basics[drawing.subordinate] == drawing.basic for drawing in drawings)


def test_a_table_of_drawings_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    table = tmp_path / "drawings.csv"
    with pytest.raises(InputError, match=r"drawings\.csv"):
        read_drawings(table)
    table.write_text("index,row,column,basic,set\n")
    with pytest.raises(InputError, match=r"drawings\.csv: column 'subordinate' is missing; accepted is .* index, row"):
        read_drawings(table)
    table.write_text("index,row,column,basic,subordinate,set\n0,0,0,bird,owl,noto\n1,x,0,bird,owl,noto1\n")
    with pytest.raises(InputError, match=r"drawings\.csv, line 3"):
        read_drawings(table)


def test_classes_of_drawings_are_chosen_by_name(drawings: list[Drawing]) -> None:
    assert choose_classes(drawings, []) == drawings
    assert {drawing.basic for drawing in choose_classes(drawings, ["car", "bird"])} == {"car", "bird"}
    with pytest.raises(InputError, match="basic class 'cra' has no drawings; accepted are animal-face, ball, "):
        choose_classes(drawings, ["car", "cra"])


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_split_keeps_outlines_on_one_side(drawings: list[Drawing], seed: int) -> None:
    train, test = split_drawings(drawings, test_outlines=2, seed=seed)
    assert sorted(d.index for d in train + test) == [d.index for d in drawings]
    sides: dict[tuple[str, str], set[str]] = defaultdict(set)
    held_out: dict[str, set[str]] = defaultdict(set)
    for side, part in (("train", train), ("test", test)):
        for drawing in part:
            designer = "fluent" if drawing.set in ("fluent3d", "fluentflat") else drawing.set
            sides[drawing.subordinate, designer].add(side)
            if side == "test":
                held_out[drawing.subordinate].add(designer)
    assert all(len(side) == 1 for side in sides.values())
    assert {name: len(designers) for name, designers in held_out.items()} == {d.subordinate: 2 for d in drawings}
    assert {d.subordinate for d in train} == {d.subordinate for d in drawings}


def test_a_split_depends_on_seed_and_class_alone(drawings: list[Drawing]) -> None:
    _, test = split_drawings(drawings, test_outlines=2, seed=0)
    some = choose_classes(drawings, ["car", "bird"])
    _, part = split_drawings(some[::-1], test_outlines=2, seed=0)
    assert {d.index for d in part} == {d.index for d in test if d.basic in ("car", "bird")}
    assert split_drawings(drawings, test_outlines=2, seed=1)[1] != test
    renamed = [Drawing(d.index, d.row, d.column, d.basic, f"{d.subordinate}2", d.set) for d in drawings]
    assert {d.index for d in split_drawings(renamed, test_outlines=2, seed=0)[1]} != {d.index for d in test}


def test_a_split_needs_drawings_on_both_sides() -> None:
    owls = [Drawing(i, 0, i, "bird", "owl", name) for i, name in enumerate(("noto", "fluent3d", "fluentflat"))]
    train, test = split_drawings(owls, test_outlines=1, seed=0)
    assert {len(train), len(test)} == {1, 2}
    with pytest.raises(InputError, match="'owl' has 2 designers, 2 were to be held out; accepted are 1 to 1"):
        split_drawings(owls, test_outlines=2, seed=0)


def ink(image: Image.Image) -> NDArray[np.uint8]:
    """Return the pixels that are not black, cut to the smallest rectangle."""
    return np.asarray(image.crop(image.getbbox()))


def write_word(word: str, width: int, height: int, sizes: tuple[int, int], seed: int = 0) -> Image.Image:
    blank = Image.new("RGB", (width, height))
    style = WordStyle(FONT, sizes, (255, 255), outline=1)
    drawn = overlay_word(blank, word, style, np.random.default_rng(seed))
    assert blank.getbbox() is None
    assert drawn.size == (width, height)
    return drawn


def test_words_stay_inside_the_image() -> None:
    whole = ink(write_word("jig", 200, 200, (12, 12)))
    height, width = whole.shape[:2]
    corners = set()
    for seed in range(30):
        drawn = write_word("jig", width + 2, height + 2, (12, 12), seed)
        assert np.array_equal(ink(drawn), whole)
        corners.add(drawn.getbbox())
    assert len(corners) > 4


def test_words_shrink_until_they_fit() -> None:
    drawn = ink(write_word("key", 40, 60, (60, 60)))
    (size,) = (s for s in range(1, 61) if np.array_equal(ink(write_word("key", 300, 300, (s, s))), drawn))
    # ink may end a pixel before its box does
    assert ink(write_word("key", 300, 300, (size + 1, size + 1))).shape[1] > 40 - 2
    with pytest.raises(InputError, match="word 'key' does not fit into an image of 1 x 9 pixels"):
        write_word("key", 1, 9, (5, 5))


def test_words_vary_within_their_style() -> None:
    style = WordStyle(FONT, (8, 20), (150, 255))
    images = [overlay_word(Image.new("RGB", (80, 80)), "oil", style, np.random.default_rng(s)) for s in range(20)]
    assert len({ink(image).shape for image in images}) > 5
    colours = np.array([np.asarray(image).reshape(-1, 3).max(axis=0) for image in images])
    assert colours.min() >= 150
    assert len(np.unique(colours, axis=0)) == 20


def test_words_come_one_a_line(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text(" sun\n\nmap \n")
    assert read_words(path) == ["sun", "map"]
    path.write_text("sun\nmap\nsun\n")
    with pytest.raises(InputError, match=r"words\.txt, line 3: word 'sun' stands there twice; accepted are distinct"):
        read_words(path)
    path.write_text("sun\n")
    with pytest.raises(InputError, match=r"words\.txt: found 1 words; accepted are at least two"):
        read_words(path)
    with pytest.raises(InputError, match=r"nowhere\.txt"):
        read_words(tmp_path / "nowhere.txt")
    with pytest.raises(InputError, match=r"words\.txt is no font that can be read; accepted are TrueType"):
        overlay_word(Image.new("RGB", (9, 9)), "sun", WordStyle(path, (5, 5), (0, 9)), np.random.default_rng(0))


def test_stimuli_depend_on_seed_drawing_and_number_alone(tmp_path: Path, drawings: list[Drawing]) -> None:
    style = WordStyle(FONT, (6, 8), (150, 255), 1)
    variation = Variation(rotation=20, scale=(0.7, 1), shift=0.1, colour=0.3, flip=True)
    settings = StimulusSettings(16, ("sun", "map", "ice"), style, variation, seed=0)
    sheet = RESOURCES / "drawings/drawings.png"
    chosen = [drawings[index] for index in (0, 100, 300)]
    frame = render_stimuli(sheet, chosen, tmp_path / "one", renderings=2, settings=settings, table=tmp_path / "one.csv")
    rows = frame.to_dict("records")
    assert len(rows) == 6
    assert rows[0]["image"] == f"one/penguin_000_00_{rows[0]['word']}.png"
    assert [(row["drawing"], row["basic"], row["set"]) for row in rows[::2]] == [
        (drawing.index, drawing.basic, drawing.set) for drawing in chosen
    ]
    one = {path.name: path.read_bytes() for path in (tmp_path / "one").iterdir()}
    assert len(set(one.values())) == 6
    assert load_images([tmp_path / row["image"] for row in rows], size=16).shape == (6, 3, 16, 16)

    two_jobs = render_stimuli(sheet, chosen, tmp_path / "two", renderings=2, settings=settings, jobs=2)
    assert {path.name: path.read_bytes() for path in (tmp_path / "two").iterdir()} == one
    assert two_jobs.drop(columns="image").equals(frame.drop(columns="image"))
    render_stimuli(sheet, chosen[2:], tmp_path / "few", renderings=1, settings=settings)
    (few,) = (tmp_path / "few").iterdir()
    assert few.read_bytes() == one[few.name]

    slash = StimulusSettings(16, ("sun", "and/or"), style, variation, seed=0)
    with pytest.raises(InputError, match="'and/or' holds a slash; accepted are words and classes that fit into names"):
        render_stimuli(sheet, chosen, tmp_path / "few", renderings=1, settings=slash)

    assert read_stimuli(tmp_path / "one.csv", ["basic", "word"]).equals(frame.astype({"drawing": str}))
    with pytest.raises(InputError, match=r"one\.csv: task 'colour' has no column; accepted are subordinate, basic, w"):
        read_stimuli(tmp_path / "one.csv", ["colour"])
    with pytest.raises(InputError, match=r"nowhere\.csv does not exist"):
        read_stimuli(tmp_path / "nowhere.csv", ["basic"])


def test_images_load_as_the_pixels_of_their_files(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, size=(5, 5, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "rgb.png")
    Image.fromarray(pixels[..., 0]).save(tmp_path / "grey.png")
    found = load_images([tmp_path / "rgb.png", tmp_path / "grey.png"], size=5)
    assert (found.shape, found.dtype) == ((2, 3, 5, 5), np.uint8)
    assert np.array_equal(found[0], pixels.transpose(2, 0, 1))
    assert np.array_equal(found[1], np.stack([pixels[..., 0]] * 3))
    black = preprocess(tmp_path, np.array([[[0, 255, 0]]], np.uint8), stimulus_preprocessing(1))
    assert black.dtype == np.float32
    assert black.ravel().tolist() == [-127.5 / 64, 127.5 / 64, -127.5 / 64]


def test_images_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, size=(20, 30, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:400])
    (tmp_path / "text.png").write_text("no image")
    for name, found in (
        ("nowhere", "does not exist"),
        ("cut", "cannot be decoded"),
        ("text", "cannot be decoded"),
        ("whole", "has 30 x 20 pixels; accepted are 20 x 20"),
    ):
        with pytest.raises(InputError, match=rf"image .*{name}\.png {found}"):
            load_images([tmp_path / f"{name}.png"], size=20)
    with pytest.raises(InputError, match=rf"image {tmp_path} cannot be decoded"):
        load_images([tmp_path], size=20)


def test_generators_belong_to_their_keys() -> None:
    def first(*key: str | int, seed: int = 0) -> float:
        return float(keyed_generator(seed, *key).random())

    assert first("split", 1) == first("split", 1) == 0.4421108930367672
    others = [first("split", "1"), first("split1"), first("split", 2), first("split", 1, 0), first(1, "split")]
    assert len({*others, first("split", 1), first("split", 1, seed=1)}) == 7


def rendering(tmp_path: Path, *more: str) -> list[str]:
    options = ["--basic-classes", "boat", "--image-size", "16", "--train-renderings", "1", "--test-renderings", "1"]
    return [
        "render-images",
        "--resources",
        str(RESOURCES),
        *options,
        "--output-folder",
        str(tmp_path / "images"),
        *more,
    ]


def test_stimuli_get_their_names_when_all_are_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(rendering(tmp_path)) == 0
    wanted = contents(tmp_path / "images")
    assert main(rendering(tmp_path)) == 0
    assert "images/train is there already.\n" in capsys.readouterr().out
    shutil.rmtree(tmp_path / "images")
    drawn = 0

    def killed(*values: Any, **named: Any) -> Image.Image:
        nonlocal drawn
        drawn += 1
        if drawn > 12:
            raise KeyboardInterrupt
        return render_stimulus(*values, **named)

    with monkeypatch.context() as patched:
        patched.setattr("featuresharing.data.stimuli.render_stimulus", killed)
        assert main(rendering(tmp_path)) == 130
    assert [path.name for path in (tmp_path / "images").iterdir() if not path.name.startswith(".")] == []
    (part,) = (tmp_path / "images").glob(".train.*.part")
    spoilt = min(part.glob("*.png"))
    spoilt.write_bytes(spoilt.read_bytes()[:-9])
    assert main(rendering(tmp_path)) == 0
    assert "Rendered again, since they were damaged: 1 of" in capsys.readouterr().out
    assert contents(tmp_path / "images") == wanted
    assert main(rendering(tmp_path, "--seed", "1")) == 0
    assert {path.name for path in (tmp_path / "images").glob("*")} == {
        *("train", "test", "train.csv", "test.csv"),
        *(".train.sha256", ".test.sha256", ".train.csv.sha256", ".test.csv.sha256"),
    }


def test_stimuli_do_not_replace_what_is_not_ours(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "images/train").mkdir(parents=True)
    (tmp_path / "images/train/thesis.tex").write_text("years of work")
    assert main(rendering(tmp_path)) == 2
    assert "train holds thesis.tex already" in capsys.readouterr().err
    with holding(tmp_path / "images/train"):
        assert main(rendering(tmp_path)) == 2
    assert "train is being computed by process" in capsys.readouterr().err
