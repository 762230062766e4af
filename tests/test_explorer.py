"""The page to explore as text: what is packed into it, and what is refused."""

import base64
import io
import json
import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from featuresharing.data.columns import TABLES
from featuresharing.errors import InputError
from featuresharing.explorer import explorer_page
from featuresharing.explorer.codec import pack, unpack
from featuresharing.explorer.plots import document_json, plots
from featuresharing.explorer.sprites import sprite
from tests.support.commands import run
from tests.support.explorer_frames import EXPERIMENTS, IMAGES, LAYERS, amounts, made_pictures, made_tables


def held(page: str) -> dict[str, Any]:
    """Return what a page knows."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    return dict(json.loads(found[1]))


@given(st.lists(st.floats(1e-7, 1e3) | st.sampled_from([0.0, math.nan, math.inf]), min_size=1, max_size=50))
def test_numbers_come_back_within_half_a_step(values: list[float]) -> None:
    numbers = np.array(values)
    back = unpack(pack(numbers))
    finite = np.isfinite(numbers)
    top = numbers[finite].max(initial=0)
    kept = finite & (numbers > top * math.exp(-65532 * math.log(1.0003)))
    np.testing.assert_allclose(back[kept], numbers[kept], rtol=1.51e-4)
    np.testing.assert_array_equal(back[~finite], numbers[~finite])
    assert (back[finite & (numbers == 0)] == 0).all()
    if top:
        assert back[finite].max() == top


def test_numbers_with_signs_and_of_any_shape_come_back() -> None:
    numbers = np.array([[-1.5, 0, 2.5], [math.nan, -math.inf, 1e-9]])
    packed = pack(numbers)
    assert (packed["signed"], packed["shape"], packed["top"]) == (True, [2, 3], 2.5)
    np.testing.assert_allclose(unpack(packed), [[-1.5, 0, 2.5], [math.nan, -math.inf, 0]], rtol=1.51e-4)


def test_a_packed_number_is_two_bytes_of_little_end_first() -> None:
    packed = pack([1.0, 0.0, 1 / 1.0003])
    assert base64.b64decode(packed["codes"]) == bytes([0xFD, 0xFF, 0, 0, 0xFC, 0xFF])


def test_a_page_knows_what_units_contribute() -> None:
    data = held(explorer_page(made_tables(), pictures=made_pictures()))
    assert [each["name"] for each in data["experiments"]] == list(EXPERIMENTS)
    entry = next(each for each in data["units"] if each["experiment"] == "unrelated" and each["layer"] == "fc2")
    expected = [[amounts("unrelated", "fc2", k, t, 10) for t in ("bird", "word")] for k in ("0", "50", "200")]
    np.testing.assert_allclose(unpack(entry["contributions"]), expected, rtol=1.51e-4)
    np.testing.assert_allclose(unpack(entry["samples"])[2], 1 + np.arange(10) / 10, rtol=1.51e-4)


def test_a_page_has_a_cell_for_each_image() -> None:
    sheet = sprite([np.full((8, 8, 3), 40 * image, np.uint8) for image in range(IMAGES)], 16)
    assert (sheet["columns"], sheet["count"]) == (3, IMAGES)
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(sheet["webp"]))).convert("L"))
    assert pixels.shape == (32, 48)
    for image in range(IMAGES):
        row, column = divmod(image, 3)
        assert abs(int(pixels[16 * row + 8, 16 * column + 8]) - 40 * image) <= 4


def test_the_same_tables_give_the_same_page() -> None:
    first = explorer_page(made_tables(), pictures=made_pictures())
    assert explorer_page(made_tables(), pictures=made_pictures()) == first
    code = (
        "import sys, hashlib; from featuresharing.explorer import explorer_page;"
        "from tests.support.explorer_frames import made_pictures, made_tables;"
        "page = explorer_page(made_tables(), pictures=made_pictures()); sys.stdout.buffer.write(page.encode())"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, cwd=Path(__file__).parents[1])
    assert other.stdout.decode() == first


def test_plots_have_the_same_ids_however_many_were_made() -> None:
    assert document_json(plots()) == document_json(plots())


def test_names_are_escaped_and_no_request_is_allowed() -> None:
    name = "</script><script>alert(1)</script>"
    tables = made_tables({name: ("<b>", "word")})
    page = explorer_page(tables, pictures=made_pictures({name: ()}), title="<i>")
    assert name not in page
    assert "<title>&lt;i&gt;</title>" in page
    policy = re.search('Content-Security-Policy" content="([^"]*)"', page)
    assert policy
    assert policy[1].startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-eval" not in policy[1]
    assert "http" not in policy[1]


def test_parts_are_left_out() -> None:
    whole = held(explorer_page(made_tables(), pictures=made_pictures()))
    less = held(explorer_page(made_tables(), without=["images", "lesions", "samples", "sharing"]))
    assert whole["lesions"]
    assert whole["images"]
    assert (less["lesions"], less["images"], less["sharing"], less["thumbnails"]) == (None, [], None, [])
    bare = explorer_page({"contributions": made_tables()["contributions"]})
    assert held(bare)["sharing_over_networks"] is None


def refused(**changes: object) -> str:
    settings: dict[str, Any] = {"pictures": made_pictures(), **changes}
    tables = settings.pop("tables", made_tables())
    with pytest.raises(InputError) as caught:
        explorer_page(tables, **settings)
    return str(caught.value)


def test_what_a_page_cannot_show_is_refused() -> None:
    tables = made_tables()
    assert "found no contributions" in refused(tables={"sharing": tables["sharing"]})
    assert "found 'x'; accepted are samples, images" in refused(without=["x"])
    assert "found 'owl' of 'unrelated'; accepted are its tasks bird, word" in refused(sort_by={"unrelated": "owl"})
    assert "pictures of related: found 0, none of '" in refused(pictures={})
    assert "column 'p' is missing" in refused(tables=tables | {"sharing": tables["sharing"].drop(columns="p")})
    assert "found 'trends'" in refused(tables=tables | {"trends": tables["sharing"]})


def test_a_page_that_is_too_large_says_what_takes_the_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("featuresharing.explorer.assembling.MOST_MEGABYTES", 1)
    message = refused()
    assert re.search(r"the page would take \d MB \(library \d\.\d.*\); accepted are 1: leave parts out", message)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tables, a list of analysed images and pictures of what drives the units of one layer."""
    made = tmp_path_factory.mktemp("files")
    for name, frame in made_tables().items():
        kind = TABLES.get(name.replace("_", " "))
        whole = frame if kind is None else frame.assign(**{c: 1 for c in kind.names if c not in frame.columns})
        whole.to_csv(made / f"{name}.csv", index=False, na_rep="nan")
    for image in range(IMAGES):
        Image.new("RGB", (8, 8), (40 * image, 0, 0)).save(made / f"{image}.png")
    (made / "kept.txt").write_text("".join(f"{image}.png 0,0\n" for image in range(IMAGES)))
    drawn = made / "features/related/fc2_200"
    drawn.mkdir(parents=True)
    for unit in range(LAYERS["fc2"]):
        Image.new("RGB", (8, 8), (0, 20 * unit, 0)).save(drawn / f"{unit:04d}.png")
    return made


def test_the_command_reads_what_a_run_leaves(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ("contributions", "sharing", "sharing_over_networks", "lesions", "accuracy")
    tables = {f"{name}_table": folder / f"{name}.csv" for name in names}
    options = tables | {"features": folder / "features", "sort_by": ["unrelated=word"], "method": "infdiff"}
    assert run("build-explorer", **options, output=folder / "explorer.html") == 0
    assert "explorer.html takes 2." in capsys.readouterr().out
    data = held((folder / "explorer.html").read_text())
    (drawn,) = data["features"]
    assert (drawn["experiment"], drawn["layer"], drawn["count"]) == ("related", "fc2", 10)
    assert [each["first"] for each in data["experiments"]] == [0, 1]
    looks = data["looks"]
    assert (looks["unit"], looks["near_zero"]) == ("bits", 0.05)


def test_the_command_says_what_is_wrong(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = folder / "contributions.csv"
    assert run("build-explorer", contributions_table=table, output=folder / "page.txt") == 2
    assert "accepted is a name that ends in .html" in capsys.readouterr().err
    assert run("build-explorer", contributions_table=table, output=folder / "e.html", without="x") == 2
    assert "without: found 'x'" in capsys.readouterr().err
    assert run("build-explorer", contributions_table=table, output=folder / "e.html", sort_by="x") == 2
    assert "found 'x'; accepted is EXPERIMENT=TASK" in capsys.readouterr().err
    assert not (folder / "e.html").exists()


def test_units_that_a_checkpoint_lacks_are_nan() -> None:
    contributions = made_tables()["contributions"]
    missing = (contributions["unit"] == 3) & (contributions["checkpoint"] == "0")
    data = held(explorer_page({"contributions": contributions[~missing]}))
    values = unpack(data["units"][0]["contributions"])
    assert np.isnan(values[0, :, 3]).all()
    assert not np.isnan(values[1:]).any()


def test_the_tables_of_a_run_have_the_columns_that_a_page_reads() -> None:
    for name, frame in made_tables().items():
        assert set(frame.columns) <= set(TABLES[name.replace("_", " ")].names), name
