"""Texts that people write: encodings, line ends, quotes and blanks, in every list and table that is read."""

import os
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from featuresharing import InputError
from featuresharing.cli import main
from featuresharing.data.class_folders import read_hierarchy
from featuresharing.data.class_maps import read_numbered_list
from featuresharing.data.drawings import Drawing, DrawingSheet, read_drawings
from featuresharing.data.lists import read_classes, read_image_list, write_image_list
from featuresharing.data.stimuli import read_stimuli
from featuresharing.data.table_files import numbered_rows, read_texts
from featuresharing.data.texts import read_lines, read_text
from featuresharing.data.words import read_words
from tests.support.commands import ROOT

MARK = b"\xef\xbb\xbf"

READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "classes": ("task,index,name\nx,0,café\nx,1,dog\n", read_classes),
    "stimuli": ("image,x\na.png,café\nb.png,dog\n", lambda path: read_stimuli(path, ["x"]).to_dict("list")),
    "hierarchy": ("subordinate,basic\ncafé,place\ndog,animal\n", lambda path: read_hierarchy(path, ["café", "dog"])),
    "drawings": ("index,row,column,basic,subordinate,set\n0,0,0,café,owl,noto\n", read_drawings),
    "words": ("café\nmap\n", read_words),
}
MAP = {"t": {7: 0, 5: 1}}
LISTS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "list": ("café.png 0\nb c.png 1\n", lambda path: read_image_list(path, [["a", "b"]], check_files=False).paths),
    "numbered": (
        "café.png 7\nb c.png 5\n",
        lambda path: read_numbered_list(path, Path("x"), {"t": {7: 0, 5: 1}}).paths,
    ),
}


@pytest.mark.parametrize("name", [*READERS, *LISTS])
def test_marks_and_line_ends_change_nothing(tmp_path: Path, name: str) -> None:
    text, read = (READERS | LISTS)[name]
    path = tmp_path / "text"
    path.write_bytes(text.encode())
    wanted = read(path)
    for content in (
        MARK + text.encode(),
        text.replace("\n", "\r\n").encode(),
        MARK + text.replace("\n", "\r").encode(),
        text.rstrip().encode(),
        text.replace("\n", " \t\n\n   \n").encode(),
        text.replace("\n", "\u00a0\n").encode(),
    ):
        path.write_bytes(content)
        assert read(path) == wanted


@pytest.mark.parametrize("name", [*READERS, *LISTS])
@pytest.mark.parametrize(
    ("encoding", "found"),
    [
        ("utf-16", "UTF-16 or"),
        ("utf-16-le", "a NUL byte, as UTF-16 has"),
        ("utf-16-be", "a NUL byte, as"),
        ("utf-32", "UTF-16 or"),
    ],
)
def test_other_encodings_are_refused_with_what_to_do(tmp_path: Path, name: str, encoding: str, found: str) -> None:
    text, read = (READERS | LISTS)[name]
    (tmp_path / "text").write_bytes(text.encode(encoding))
    with pytest.raises(
        InputError, match=rf"text, line 1: found {found}.*; accepted is text saved as UTF-8 \(Excel: 'CSV UTF-8'"
    ):
        read(tmp_path / "text")


@pytest.mark.parametrize("name", READERS)
def test_latin_1_is_refused_with_line_and_byte(tmp_path: Path, name: str) -> None:
    text, read = READERS[name]
    line = 1 + text[: text.index("é")].count("\n")
    for mark, ends in ((b"", b"\n"), (MARK, b"\r\n"), (MARK, b"\r")):
        (tmp_path / "text").write_bytes(mark + text.encode("latin-1").replace(b"\n", ends))
        with pytest.raises(InputError, match=rf"text, line {line}: found the byte 0xE9, which is not UTF-8"):
            read(tmp_path / "text")


@pytest.mark.parametrize("name", [*READERS, *LISTS])
@pytest.mark.parametrize(
    ("sign", "found"),
    [
        ("\0", "a NUL byte"),
        ("\x1a", r"the .* U\+001A"),
        ("\x85", r"the .* U\+0085"),
        ("\ufeff", "a byte order mark, as"),
    ],
)
def test_signs_that_are_no_text_are_named_by_line(tmp_path: Path, name: str, sign: str, found: str) -> None:
    text, read = (READERS | LISTS)[name]
    (tmp_path / "text").write_bytes(text.encode() + f"{sign}more\n".encode())
    with pytest.raises(InputError, match=rf"text, line {1 + text.count(chr(10))}: found {found}"):
        read(tmp_path / "text")


def test_files_that_are_not_there_or_no_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"note .*nowhere does not exist; accepted is one that does\."):
        read_text(tmp_path / "nowhere", "note")
    with pytest.raises(InputError, match=r"cannot be read: it is no regular file"):
        read_text(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="it is no regular file"):
        read_text(tmp_path / "pipe")


def test_lines_end_where_editors_end_them(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes("one\u2028still one\r\ntwo\r\rfour".encode())
    assert list(read_lines(tmp_path / "text", "text")) == [(1, "one\u2028still one"), (2, "two"), (4, "four")]


def test_rows_have_every_column_of_the_head(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text('a, b ,c\n1, "x, y",3\n\n,,\n 4,"say ""hi""",6\n')
    rows = [{"a": "1", "b": "x, y", "c": "3"}, {"a": "4", "b": 'say "hi"', "c": "6"}]
    assert numbered_rows(table, ("a", "c")) == list(zip([2, 5], rows, strict=True))
    frame = read_texts(table, ("a", "c"))
    assert (frame.index.tolist(), frame.to_dict("records")) == ([2, 5], rows)
    for text, found in (
        ("a;b\n1;2\n", "column 'a' is missing; accepted is a table with a, b, separated by commas; found is 'a;b'"),
        ("", "column 'a' is missing; .* found is nothing"),
        ("a,b,a\n1,2,3\n", "column 'a' stands there twice"),
        ("a,b\n1,2\n3\n", "line 3: found 1 values; accepted are 2"),
        ("a,b\n1,2,3\n", "line 2: found 3 values; accepted are 2"),
        ('a,b\n1,"2\n3",4\n', "line 3: found a line end in a value"),
        ('a,b\n1,"2\n', "line 2: found no row of CSV"),
        ('a,b\n1,"2"x\n', "line 2: found no row of CSV"),
        (f"a,b\n1,{'x' * 200_000}\n", r"line 2: found no row of CSV \(field larger"),
    ):
        table.write_text(text)
        with pytest.raises(InputError, match=rf"table .*table\.csv.*{found}"):
            read_texts(table, ("a", "b"))


def test_lists_take_names_in_quotes_with_blanks_and_of_any_bytes(tmp_path: Path) -> None:
    names = ["a b.png", ' "q".png', '"quoted"', " blanks ", "caf\udce9.png", "a,b 0.png", "\u3000", "one\u2028.png"]
    for name in names:
        (tmp_path / name).write_bytes(b"")
    paths, targets = [tmp_path / name for name in names], np.arange(len(names))[:, None] % 2
    write_image_list(tmp_path / "list.txt", paths, targets)
    found = read_image_list(tmp_path / "list.txt", [["a", "b"]])
    assert list(found.paths) == paths
    assert np.array_equal(found.targets, targets)
    (tmp_path / "theirs.txt").write_bytes(b'"a b.png" 0\na b.png\t1\n  a b.png \t 0 \ncaf\xe9.png 1\n')
    found = read_image_list(tmp_path / "theirs.txt", [["a", "b"]])
    assert [path.name for path in found.paths] == ["a b.png"] * 3 + ["caf\udce9.png"]
    assert found.targets.ravel().tolist() == [0, 1, 0, 1]
    for name in ("new\nline", "tab\t", "\ufeffmark"):
        with pytest.raises(InputError, match="holds a control character; accepted are names that fit into a line"):
            write_image_list(tmp_path / "list.txt", [tmp_path / name], targets[:1])


@pytest.mark.parametrize("labels", ["0" * 5000, "99999999999999999999", "--5", "٣", "1_0", "0x1"])
def test_odd_numbers_in_lists_are_refused(tmp_path: Path, labels: str) -> None:
    (tmp_path / "list.txt").write_text(f"a.png {labels}\n")
    for read in (LISTS["list"][1], LISTS["numbered"][1]):
        with pytest.raises(InputError, match=r"list\.txt, line 1: (found 'a\.png|class index)"):
            read(tmp_path / "list.txt")
    (tmp_path / "list.txt").write_text(f"{'x' * 5000}.png 0\n")
    with pytest.raises(InputError, match="does not exist"):
        read_image_list(tmp_path / "list.txt", [["a", "b"]])


def test_tables_of_classes_stimuli_and_drawings_have_no_blanks(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    for text, found, read in (
        ("task,index,name\nx,0,\n", "line 2: found 'x,0,'", read_classes),
        ("task,index,name\nx,0,a\nx,1,a\n", "line 3: found 'x,1,a'; .* each name once", read_classes),
        ("image,x\na.png,\n", "line 2: column 'x' is blank", lambda path: read_stimuli(path, ["x"])),
        ("image,x\n,a\n", "line 2: column 'image' is blank", lambda path: read_stimuli(path, ["x"])),
        ("picture,x\na,a\n", "column 'image' is missing", lambda path: read_stimuli(path, ["x"])),
        ("index,row,column,basic,subordinate,set\n0,0,0,,owl,a\n", "line 2: column 'basic' is blank", read_drawings),
        ("index,row,column,basic,subordinate,set\n0,²,0,b,owl,a\n", "line 2, column 'row': found '²'", read_drawings),
        ("index,row,column,basic,subordinate,set\n", "found no row", read_drawings),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=rf"table\.csv.*{found}"):
            read(path)


def test_hierarchies_name_one_basic_class_of_each(tmp_path: Path) -> None:
    path = tmp_path / "hierarchy.csv"
    path.write_text("note,subordinate, basic\n,cat, animal\n,dog,animal\n,cat,animal\n,owl,bird\n")
    found = read_hierarchy(path, ["dog", "cat"])
    assert found == {"cat": "animal", "dog": "animal", "owl": "bird"}
    for rows, said in (
        ("cat,animal\ndog\n", "line 3: found 1 values; accepted are 2"),
        ("cat,animal\ndog,\n", "line 3: column 'basic' is blank"),
        ("cat,animal\n ,animal\n", "line 3: column 'subordinate' is blank"),
        ("cat,animal\ndog,animal\ncat,toy\n", "line 4: class 'cat' is 'toy' here and 'animal' above"),
        ("cat,animal\n", "class 'dog' is missing"),
    ):
        path.write_text(f"subordinate,basic\n{rows}")
        with pytest.raises(InputError, match=rf"hierarchy\.csv.*{said}"):
            read_hierarchy(path, ["cat", "dog"])


def test_cells_outside_the_sheet_are_refused() -> None:
    sheet = DrawingSheet(ROOT / "resources/drawings/drawings.png")
    with pytest.raises(InputError, match="has no cell in row 0, column 999; accepted are "):
        sheet[Drawing(0, 0, 999, "a", "b", "c")]


def test_names_that_are_not_utf_8_pass_from_list_to_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from featuresharing.networks.predictions import Predictions, write_predictions

    for name in ("caf\udce9.png", "b.png"):
        Image.new("RGB", (8, 8)).save(tmp_path / "t.png")
        (tmp_path / "t.png").rename(tmp_path / name)
    (tmp_path / "list.txt").write_bytes(b"caf\xe9.png 0\nb.png 1\n")
    (tmp_path / "classes.csv").write_text("task,index,name\nt,0,a\nt,1,b\n")
    write_predictions(tmp_path / "p.h5", Predictions({"t": np.eye(2, dtype="f4")}, {"t": np.array([0, 1])}, 0))
    options = {"list": "list.txt", "classes": "classes.csv", "predictions": "p.h5", "output": "kept.txt"}
    given = [word for name, value in options.items() for word in (f"--{name}", str(tmp_path / value))]
    assert main(["select-images", *given]) == 0
    assert (tmp_path / "kept.txt").read_bytes() == b"caf\xe9.png 0\nb.png 1\n"
    assert (tmp_path / "kept.csv").read_text() == "index,image,t\n0,caf\\udce9.png,a\n1,b.png,b\n"
    said = capsys.readouterr()
    assert "2 of 2 images are listed in" in said.out
    assert "names of 1 images are not UTF-8: " in said.err


def test_tables_are_utf_8_whatever_the_locale(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from featuresharing.data.lists import write_classes; "
        "write_classes(Path(sys.argv[1]), {'t': ['caf\\u00e9']})"
    )
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    subprocess.run([sys.executable, "-c", code, tmp_path / "t.csv"], check=True, env=environment)
    assert (tmp_path / "t.csv").read_bytes() == "task,index,name\nt,0,café\n".encode()
    assert read_classes(tmp_path / "t.csv") == {"t": ["café"]}


@pytest.mark.slow
def test_whatever_is_read_is_read_or_refused(tmp_path: Path) -> None:
    fuzz = runpy.run_path(str(ROOT / "benchmarks/fuzz_inputs.py"))["fuzz"]
    counts, tracebacks, _ = fuzz(60, 5, tmp_path)
    assert tracebacks == []
    assert counts["read"] >= 5
    assert counts["refused"] >= 20
