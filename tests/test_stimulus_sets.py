"""Images of one's own: tables, lists, folders and arrays become lists that every command reads."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from featuresharing import InputError
from featuresharing.cli import main
from featuresharing.data.array_files import array_header, array_place, digest_of_images, place_path, read_place
from featuresharing.data.images import read_image, read_inputs
from featuresharing.data.known_preprocessing import known_preprocessing
from featuresharing.data.lists import MISSING, ImageList, read_classes, read_image_list, write_image_list
from featuresharing.data.preprocessing import NoPreprocessing, Preprocessing, stimulus_preprocessing
from featuresharing.data.stimulus_sets import first_image, read_stimulus_set
from featuresharing.files.atomic import file_digest
from featuresharing.networks.checkpoints import Checkpoint, save_checkpoint
from tests.support.small_networks import SMALL_SHAPE, small_alexnet

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 6, 8, 3), dtype=np.uint8)
LOOK = Preprocessing((6, 8), (0.0,) * 3, (1.0,) * 3, resize=False)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for index, pixels in enumerate(PIXELS):
        (tmp_path / "set/cut, outs").mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / f"set/cut, outs/{index}.png")
    return tmp_path / "set"


def imported(folder: Path, images: Path, *options: str) -> tuple[dict[str, list[str]], ImageList]:
    """Return what the command wrote, as the other commands read it."""
    given = ["import-stimuli", "--images", str(images), "--output-folder", str(folder / "lists/mine"), *options]
    assert main(given) == 0
    classes = read_classes(folder / "lists/mine/classes.csv")
    return classes, read_image_list(folder / "lists/mine/test.txt", list(classes.values()))


def refused(capsys: pytest.CaptureFixture[str], images: Path, *options: str) -> str:
    given = ["import-stimuli", "--images", str(images), "--output-folder", str(images.parent / "no"), *options]
    assert main(given) == 2
    return capsys.readouterr().err


@pytest.mark.parametrize("separator", [",", "\t"])
def test_a_table_has_a_column_a_task(pictures: Path, tmp_path: Path, separator: str) -> None:
    rows = [
        ("object", "path", "words"),
        ("owl", '"cut, outs/0.png"', "2"),
        ("", '"cut, outs/1.png"', "0"),
        ("cat", '"cut, outs/3.png"', ""),
        ("", '"cut, outs/2.png"', ""),
    ]
    table = pictures / ("a.csv" if separator == "," else "a.tsv")
    table.write_text("".join(f"{separator.join(row)}\n" for row in rows))
    options = ["--tasks", "object", "word", "--labels", "word=words", "--outputs", "object=2", "word=4"]
    classes, images = imported(tmp_path, table, *options)
    assert classes == {"object": ["cat", "owl"], "word": ["0", "1", "2", "3"]}
    assert images.targets.tolist() == [[1, 2], [MISSING, 0], [0, MISSING]]
    assert [path.name for path in images.paths] == ["0.png", "1.png", "3.png"]
    assert np.array_equal(read_inputs(images.paths, LOOK), PIXELS[[0, 1, 3]].transpose(0, 3, 1, 2))


def test_labels_are_names_in_the_order_of_outputs_or_numbers(pictures: Path, tmp_path: Path) -> None:
    (pictures / "a.csv").write_text('image,a\n"cut, outs/0.png",owl\n"cut, outs/1.png",cat\n')
    (pictures / "b.csv").write_text('image,a\n"cut, outs/0.png",2\n"cut, outs/1.png",0\n')
    (pictures / "names.txt").write_text("owl\nbat\ncat\n")
    for names in (f"a={pictures / 'names.txt'}", 'a=["owl", "bat", "cat"]'):
        classes, images = imported(tmp_path, pictures / "a.csv", "--tasks", "a", "--names", names)
        assert classes == {"a": ["owl", "bat", "cat"]}
        assert images.targets.tolist() == [[0], [2]]
        classes, images = imported(tmp_path, pictures / "b.csv", "--tasks", "a", "--names", names)
        assert classes == {"a": ["owl", "bat", "cat"]}
        assert images.targets.tolist() == [[2], [0]]
    # digits may be names, as where outputs are not in their order
    classes, images = imported(tmp_path, pictures / "b.csv", "--tasks", "a", "--names", 'a=["2", "1", "0"]')
    assert images.targets.tolist() == [[0], [2]]
    classes, images = imported(tmp_path, pictures / "a.csv", "--tasks", "a")  # as for a probe
    assert classes == {"a": ["cat", "owl"]}
    assert imported(tmp_path, pictures / "b.csv", "--tasks", "a")[0] == {"a": ["0", "1", "2"]}


def test_groups_leave_out_images_of_other_classes(pictures: Path, tmp_path: Path) -> None:
    rows = [f'"cut, outs/{index}.png",{label}\n' for index, label in enumerate(["owl", "car", "bat", "bus", "owl"])]
    (pictures / "a.csv").write_text("image,class\n" + "".join(rows))
    (pictures / "beasts.txt").write_text("owl\nbat\n")
    options = ["--tasks", "beasts", "cars", "--labels", "beasts=class", "cars=class", "--outputs", "beasts=4"]
    groups = ["--groups", f"beasts={pictures / 'beasts.txt'}", 'cars=["car"]']
    classes, images = imported(tmp_path, pictures / "a.csv", *options, "cars=4", *groups)
    assert classes["beasts"] == classes["cars"] == ["bat", "bus", "car", "owl"]
    assert [path.name for path in images.paths] == ["0.png", "1.png", "2.png", "4.png"]
    assert images.targets.tolist() == [[3, MISSING], [MISSING, 2], [0, MISSING], [3, MISSING]]


def test_lists_and_folders_of_classes(pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (pictures / "a.txt").write_text("cut, outs/0.png 1,-\ncut, outs/4.png 0,2\n")
    classes, images = imported(tmp_path, pictures / "a.txt", "--tasks", "a", "b")
    assert images.targets.tolist() == [[1, MISSING], [0, 2]]
    assert classes == {"a": ["0", "1"], "b": ["0", "1", "2"]}
    for index, name in enumerate(("zebra", "ant")):
        (tmp_path / "folders" / name).mkdir(parents=True)
        Image.fromarray(PIXELS[index]).save(tmp_path / f"folders/{name}/x.png")
    capsys.readouterr()
    classes, images = imported(tmp_path, tmp_path / "folders", "--tasks", "a", "--outputs", "a=2")
    assert classes == {"a": ["ant", "zebra"]}
    assert [path.parent.name for path in images.paths] == ["ant", "zebra"]
    assert images.targets.tolist() == [[0], [1]]
    assert "task 'a': its 2 outputs are taken for the classes in sorted order, ant, zebra.\n" in capsys.readouterr().out


def test_what_is_wrong_with_tables_is_said(pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = pictures / "a.csv"

    def said(text: str, *options: str) -> str:
        table.write_text(text)
        return refused(capsys, table, "--tasks", "a", *options)

    path = '"cut, outs/0.png"'
    assert "column 'a' is missing; accepted is a table with a, separated by commas" in said(f"image,b\n{path},1\n")
    assert "found no image; accepted is at least one row" in said("image,a\n")
    table.write_text("image;a\nb.png;1\n")
    with pytest.raises(InputError, match="found columns 'image;a'; accepted are commas between them"):
        read_stimulus_set(table, {})  # as a check reads it first
    assert f"line 2: image {pictures / 'nowhere.png'} does not exist" in said("image,a\nnowhere.png,1\n")
    assert "line 2: the path of an image is blank" in said("image,a\n,1\n")
    assert "found class 4; accepted are 0 to 3, counted from 0" in said(f"image,a\n{path},4\n", "--outputs", "a=4")
    names = said(f"image,a\n{path},cat\n{path},owl\n", "--outputs", "a=4")
    assert "task 'a', found 2 names of classes; accepted are as many as outputs, 4, or the key names" in names
    assert "found class 'cot'; accepted are its names" in said(f"image,a\n{path},cot\n", "--names", 'a=["cat", "owl"]')
    assert "found 2 names of classes; accepted are 3, as outputs" in said(
        f"image,a\n{path},cat\n", "--names", 'a=["cat", "owl"]', "--outputs", "a=3"
    )
    assert "found class -1; accepted are numbers from 0, and a blank" in said(f"image,a\n{path},3\n{path},-1\n")
    assert "no image has a class; accepted is at least one" in said(f"image,a\n{path},\n")
    assert "no image is of any task" in said(f"image,a\n{path},0\n", "--groups", 'a=["1"]', "--outputs", "a=2")
    assert "--outputs: found '0'; accepted is TASK=NUMBER" in said("image,a\n", "--outputs", "a=0")
    assert "--names: found 'b=x'; accepted is TASK=VALUE with one of the tasks a" in said("image,a\n", "--names", "b=x")
    assert "found '[1'; accepted is a list as JSON has it" in said("image,a\n", "--names", "a=[1")
    assert "found 'cat' twice; accepted are distinct names" in said("image,a\n", "--names", 'a=["cat", "cat"]')
    (pictures / "a.doc").write_text("")
    assert "accepted is a folder with a folder for each class, a table" in refused(
        capsys, pictures / "a.doc", "--tasks", "a"
    )


def write_arrays(file: Path, **arrays: Any) -> Path:
    if file.suffix == ".npz":
        (np.savez if file.stem == "plain" else np.savez_compressed)(file, **arrays)
        return file
    with h5py.File(file, "w") as opened:
        for name, values in arrays.items():
            texts = np.asarray(values).dtype.kind == "U"
            opened.create_dataset(name, data=list(map(str, values)) if texts else values)
    return file


@pytest.mark.parametrize("name", ["a.npz", "plain.npz", "a.h5"])
@pytest.mark.parametrize("layout", ["bytes", "grey", "floating", "first"])
def test_images_of_arrays_are_those_of_files(tmp_path: Path, name: str, layout: str) -> None:
    stored: NDArray[Any] = PIXELS
    if layout == "grey":
        stored = PIXELS[..., 0]
    if layout == "floating":
        stored = (PIXELS / 255).astype(np.float32)
    if layout == "first":
        stored = np.asfortranarray(PIXELS.transpose(0, 3, 1, 2))
    file = write_arrays(
        tmp_path / name,
        images=stored,
        object=np.array(["owl", "cat", "", "owl", "cat"]),
        word=[[2.0, 0, np.nan, 1, -1]],
    )
    options = ["--tasks", "object", "word", "--outputs", "object=2", "word=3"]
    classes, images = imported(tmp_path, file, *options)
    assert classes == {"object": ["cat", "owl"], "word": ["0", "1", "2"]}
    assert images.targets.tolist() == [[1, 2], [0, 0], [1, 1], [0, MISSING]]
    wanted = PIXELS[[0, 1, 3, 4]].transpose(0, 3, 1, 2).astype(np.float32)
    if layout == "grey":
        wanted = np.repeat(wanted[:, :1], 3, axis=1)
    np.testing.assert_allclose(read_inputs(images.paths, LOOK), wanted, rtol=0, atol=2e-5)
    assert np.array_equal(read_image(images.paths[2]), wanted[2].transpose(1, 2, 0))
    again = tmp_path / "elsewhere/again.txt"
    write_image_list(again, images.paths, images.targets)
    assert np.array_equal(
        read_inputs(read_image_list(again, list(classes.values())).paths, LOOK), read_inputs(images.paths, LOOK)
    )


def test_arrays_deep_in_a_file(tmp_path: Path) -> None:
    file = write_arrays(
        tmp_path / "a.h5", **{"stim/images": np.repeat(PIXELS, 30, axis=0), "labels/object": [0, 1] * 75}
    )
    options = ["--array", "/stim/images", "--tasks", "object", "--labels", "object=/labels/object"]
    _, images = imported(tmp_path, file, *options)
    assert len(images.paths) == 150
    assert array_place(images.paths[149]) is not None
    found = read_inputs([images.paths[each] for each in (149, 0, 64, 63)], LOOK)
    assert np.array_equal(found, PIXELS[[4, 0, 2, 2]].transpose(0, 3, 1, 2))
    assert first_image(file, array="stim/images") == place_path(file, "stim/images", 0)


def test_the_digest_of_an_image_depends_on_its_values_alone(tmp_path: Path) -> None:
    file = write_arrays(tmp_path / "a.npz", images=PIXELS)
    places = [place_path(file, "images", index) for index in range(3)]
    before = [digest_of_images(place) for place in places]
    assert len(set(before)) == 3
    other = PIXELS.copy()
    other[1, 0, 0, 0] ^= 1
    write_arrays(file, images=other, more=np.zeros(3))
    after = [digest_of_images(place) for place in places]
    assert [one == two for one, two in zip(before, after, strict=True)] == [True, False, True]
    assert digest_of_images(*places) != digest_of_images(*places[::-1])
    Image.fromarray(PIXELS[0]).save(tmp_path / "a.png")
    assert digest_of_images(tmp_path / "a.png", file) == file_digest(tmp_path / "a.png", file)
    assert digest_of_images(tmp_path / "a.png", places[0]) != digest_of_images(tmp_path / "a.png", places[2])


@pytest.mark.parametrize("name", ["a.npz", "a.h5"])
def test_arrays_of_any_shape_are_taken_as_they_are(tmp_path: Path, name: str) -> None:
    tokens, pixels = np.arange(12, dtype=np.uint16).reshape(4, 3), PIXELS[:4]
    volumes = np.random.default_rng(1).normal(size=(4, 6, 5, 7))
    file = write_arrays(tmp_path / name, tokens=tokens, volumes=volumes, pixels=pixels)
    given: dict[str, tuple[NDArray[Any], bool]] = {
        "tokens": (tokens, True),
        "volumes": (volumes, False),
        "pixels": (pixels, False),
    }
    for array, (values, whole) in given.items():
        paths = [place_path(file, array, index) for index in range(4)]
        look = known_preprocessing("none", network=lambda: None, first=paths[0])
        assert look == NoPreprocessing(values.shape[1:], whole)
        found = read_inputs(paths, look)
        assert found.dtype == (np.int64 if whole else np.float32)
        np.testing.assert_allclose(found, values, rtol=1e-6)
    with pytest.raises(InputError, match=r"found uint16 \[3\]; accepted are \[H, W\], \[H, W, 3\] and \[3, H, W\]"):
        read_inputs([place_path(file, "tokens", 0)], stimulus_preprocessing(8))
    with pytest.raises(InputError, match=r"found float32 \[6, 5, 7\] for image .*; accepted is float32 \[2, 2\]"):
        read_inputs([place_path(file, "volumes", 0)], NoPreprocessing((2, 2)))
    negative = write_arrays(tmp_path / f"b{name}", images=PIXELS[..., 0] / 255 - 0.5)
    with pytest.raises(InputError, match=r"found float64 \[6, 8\] from -0.*; accepted are .* from 0 to 1; prepro"):
        read_inputs([place_path(negative, "images", 0)], LOOK)


def test_a_users_function_gets_arrays_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mynet.py").write_text("def halve(values):\n    return values[:3] / 2\n")
    file = write_arrays(tmp_path / "a.npz", images=np.arange(20).reshape(4, 5))
    paths = [place_path(file, "images", index) for index in range(4)]
    look = known_preprocessing("mynet.py:halve", network=lambda: None, first=paths[0])
    assert np.array_equal(read_inputs(paths, look), np.arange(20).reshape(4, 5)[:, :3] / 2)


class Payload:
    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self) -> tuple[Any, ...]:
        return (self.made.touch, ())


@pytest.mark.parametrize("resize", ["false", "true"])
def test_a_network_is_trained_on_arrays_as_on_files(tmp_path: Path, resize: str) -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)
    write_arrays(tmp_path / "a.npz", images=pixels, a=[0, 1, 0, 1])
    for index in range(4):
        Image.fromarray(pixels[index]).save(tmp_path / f"{index}.png")
    (tmp_path / "a.csv").write_text("image,a\n" + "".join(f"{index}.png,{index % 2}\n" for index in range(4)))
    trained = []
    for name in ("a.npz", "a.csv"):
        folder = tmp_path / name.replace(".", "")
        imported(folder, tmp_path / name, "--tasks", "a")
        given = ["--list", folder / "lists/mine/test.txt", "--classes", folder / "lists/mine/classes.csv"]
        sizes = ["--image-size", 16, "--channels", 4, 4, 4, 4, 4, "--kernels", 3, 3, 3, 3, 3, "--hidden", 4, 4]
        how = ["--checkpoints", 0, 2, "--batch-size", 2, "--device", "cpu", "--resize", resize, "--shift", 0]
        output = folder / "networks"
        assert main([*map(str, ["train", *given, *sizes, "--stride", 1, *how, "--output-folder", output])]) == 0
        trained.append((output / "2.pt").read_bytes())
    assert trained[0] == trained[1]


def test_hostile_and_wrong_arrays_are_refused(tmp_path: Path) -> None:
    def said(file: Path, array: str = "images") -> str:
        with pytest.raises(InputError) as error:
            read_place(place_path(file, array, 0))
        assert "\n" not in str(error.value)
        return str(error.value)

    objects = np.array([Payload(tmp_path / "made")] * 2, dtype=object)
    np.savez(tmp_path / "objects.npz", images=objects, labels=objects)
    assert "found object of [2]; accepted are numbers" in said(tmp_path / "objects.npz")
    with pytest.raises(InputError, match=r"Object arrays cannot be loaded"):
        read_stimulus_set(write_arrays(tmp_path / "o.npz", images=PIXELS, a=objects), {"a": "a"})

    assert not (tmp_path / "made").exists()
    assert "there is no array 'images'; accepted are x, y" in said(write_arrays(tmp_path / "b.npz", x=[1], y=[2]))
    assert "found int64 of [3]; accepted are numbers [images, ...]" in said(
        write_arrays(tmp_path / "c.h5", images=[1] * 3)
    )
    for name in ("d.npz", "d.h5"):
        (tmp_path / name).write_bytes(b"PK\x03\x04 no arrays")
        assert f"file of arrays {tmp_path / name} cannot be read (" in said(tmp_path / name)
    assert "does not exist; accepted is one that does" in said(tmp_path / "nowhere.npz")
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "|u1", "fortran_order": False, "shape": (2**33, 3, 2)})
    with zipfile.ZipFile(tmp_path / "huge.npz", "w") as archive:
        archive.writestr("images.npy", head.getvalue())
    assert f"file of arrays {tmp_path / 'huge.npz'} cannot be read (" in said(tmp_path / "huge.npz")
    with zipfile.ZipFile(tmp_path / "packed.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images.npy", head.getvalue())
    assert "array 'images' of 48 GiB, compressed; accepted are at most 1 GiB" in said(tmp_path / "packed.npz")
    file = write_arrays(tmp_path / "few.npz", images=PIXELS, a=[1, 2])
    with pytest.raises(InputError, match=r"array 'a' has 2 classes; accepted are 5, one for each image of 'images'"):
        read_stimulus_set(file, {"a": "a"})
    with pytest.raises(InputError, match=r"array 'images', found uint8 of \[5, 6, 8, 3\]; accepted is one class an im"):
        read_stimulus_set(file, {"a": "images"})
    for wrong in ([0.5] * 5, [-2] * 5):
        with pytest.raises(InputError, match=r"array 'a', found .* for image 0; accepted are numbers of classes"):
            read_stimulus_set(write_arrays(file, images=PIXELS, a=wrong), {"a": "a"})
    with pytest.raises(InputError, match=r"::images::5: there is no such position; accepted are 0 to 4"):
        read_place(place_path(file, "images", 5))
    assert array_header(file, "images")[0] == (5, 6, 8, 3)
    assert json.loads(json.dumps(str(place_path(file, "/a/b", 3)))).endswith("few.npz::a/b::3")


def test_commands_compute_the_same_with_arrays_as_with_files(tmp_path: Path) -> None:
    torch.manual_seed(0)
    save_checkpoint(tmp_path / "4.pt", Checkpoint(small_alexnet().eval(), SMALL_SHAPE, ("a", "b"), 4))
    pixels = np.random.default_rng(2).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    write_arrays(tmp_path / "a.h5", images=pixels, a=[0, 1, 2], b=[3, -1, 0])
    for index in range(3):
        Image.fromarray(pixels[index]).save(tmp_path / f"{index}.png")
    (tmp_path / "a.csv").write_text("image,a,b\n0.png,0,3\n1.png,1,\n2.png,2,0\n")
    found = []
    for name in ("a.h5", "a.csv"):
        output = tmp_path / name.replace(".", "")
        imported(output, tmp_path / name, "--tasks", "a", "b", "--outputs", "a=3", "b=4")
        lists = ["--list", output / "lists/mine/test.txt", "--classes", output / "lists/mine/classes.csv"]
        given = [*lists, "--checkpoint", tmp_path / "4.pt", "--device", "cpu"]
        layer = ["--layer", "0.0.3", "--samples", 5, "--experiment", "x"]
        for command in (["predict", *given], ["marginalize", *given, *layer]):
            assert main([*map(str, command), "--output", str(output / f"{command[0]}.h5")]) == 0
        with h5py.File(output / "predict.h5") as predicted, h5py.File(output / "marginalize.h5") as marginal:
            values = {f"{file.filename[-9:]}{key}": file[key][()] for file in (predicted, marginal) for key in file
                      if isinstance(file[key], h5py.Dataset)}  # fmt: skip
        found.append(values)
    assert len(found[0]) > 5
    for key, values in found[0].items():
        np.testing.assert_array_equal(values, found[1][key])
