"""Class maps and lists of classes that do not fit, and images made ready as in the paper."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.transform import resize as skimage_resize

from featuresharing import InputError
from featuresharing.data.class_maps import class_names, read_class_map, read_numbered_list
from featuresharing.data.preprocessing import imagenet_preprocessing
from featuresharing.data.transforming import preprocess, resize
from tests.support.paper_archives import FIXTURES


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

    damaged.write_bytes(content.replace(np.float64(109).tobytes(), np.float64(101).tobytes()))
    with pytest.raises(InputError, match="task 'b' has a class number twice; accepted is each once"):
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
