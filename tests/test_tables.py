"""Tables: the column dictionary, its page, and frames that are read, written and made."""

import re
import subprocess
import sys
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
import yaml

from featuresharing import (
    InputError,
    accuracy_table,
    contribution_table,
    lesion_table,
    read_conditionals,
    read_predictions,
    sharing_table,
)
from featuresharing.cli import main
from featuresharing.data.column_docs import markdown
from featuresharing.data.column_kinds import Column
from featuresharing.data.columns import (
    ACCURACY,
    CLASSES,
    CONTRIBUTIONS,
    KEPT,
    LESIONS,
    TABLES,
    TRAINING,
    tables_of,
)
from featuresharing.data.lists import ImageList, kept_table
from featuresharing.data.sharing_columns import SHARING
from featuresharing.data.table_files import frame_of, read_table, write_table
from featuresharing.data.whole_tables import check_whole
from featuresharing.networks.predictions import Predictions, read_named_predictions, write_predictions
from featuresharing.store import LayerConditionals
from tests.support import stores
from tests.support.commands import ROOT


def test_the_page_of_tables_is_that_of_the_dictionary() -> None:
    command = "python -m featuresharing.data.column_docs > docs/tables.md"
    assert (ROOT / "docs/tables.md").read_text() == markdown(), f"docs/tables.md is out of date; run: {command}"


def test_sources_of_columns_are_files_and_keys_that_exist() -> None:
    sources = {column.source for table in TABLES.values() for column in (*table.columns, *filter(None, [table.rest]))}
    files = {word for source in sources for word in re.findall(r"[\w/]+\.(?:py|md|csv|txt)", source)}
    keys = {word for source in sources for word in re.findall(r"config: ([\w.]+\w)", source)}
    assert {"analysis/evidence.py", "docs/method.md"} <= files
    assert [
        name for name in files if not (ROOT / name).exists() and not (ROOT / "src/featuresharing" / name).exists()
    ] == []
    found = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())["properties"]
    for key in keys:
        block, _, name = key.partition(".")
        inside = found[block].get("items", found[block]).get("properties", {})
        assert not name or name in inside, key


def test_tables_are_found_by_their_paths() -> None:
    for path, names in (
        ("results/tables/sharing.csv", ["sharing"]),
        ("results/lesion_curves/demo/conv1_10.csv", ["lesions"]),
        ("results/images/train.csv", ["stimuli", "worded images"]),
        ("results/tables/other.csv", []),
    ):
        assert [table.name for table in tables_of(PurePosixPath(path))] == names
    assert set(TABLES) == {table.name for table in TABLES.values()}


def test_numbers_are_written_with_the_digits_of_their_column_and_read_back(tmp_path: Path) -> None:
    rows = [
        ("e", 1, "005", "conv1", 7, 'a "task", b', 1 / 3, np.inf, 0.0, 0.0),
        ("e", 2, "005", "conv1", 8, "t", 2e-12, 1.0, 1.0, np.nan),
    ]
    path, frame = tmp_path / "t.csv", frame_of(CONTRIBUTIONS, rows)
    assert [frame[name].dtype.kind for name in ("unit", "contribution")] == ["i", "f"]
    write_table(path, frame, CONTRIBUTIONS)
    assert path.read_bytes().decode() == (
        "experiment,replicate,checkpoint,layer,unit,task,contribution,effective_samples,skipped_mass,error\n"
        'e,1,005,conv1,7,"a ""task"", b",0.333333333,inf,0,0\ne,2,005,conv1,8,t,2e-12,1,1,nan\n'
    )
    again = read_table(path, CONTRIBUTIONS)
    assert again.dtypes.equals(frame.dtypes)
    assert again["checkpoint"].tolist() == ["005", "005"]
    assert again["contribution"].tolist() == [0.333333333, 2e-12]
    write_table(tmp_path / "log.csv", frame_of(TRAINING, [(20, "t", 1 / 3, 2 / 3)]), TRAINING)
    assert (tmp_path / "log.csv").read_text() == "step,task,loss,accuracy\n20,t,0.333333,0.666667\n"
    write_table(path, again.iloc[:0], CONTRIBUTIONS)
    with pytest.raises(InputError, match=r"table of contributions .*t\.csv: found no row; accepted is at least one"):
        read_table(path, CONTRIBUTIONS)


def test_columns_may_stand_in_any_order_and_others_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("name,note,index,task\ndog,x,0,t\n")
    assert read_table(tmp_path / "t.csv", CLASSES).to_dict("records") == [{"task": "t", "index": 0, "name": "dog"}]
    (tmp_path / "t.csv").write_text("index,image,basic,word\n3,a.png,bird,sun\n")
    kept = read_table(tmp_path / "t.csv", KEPT)
    assert kept.to_dict("records") == [{"index": 3, "image": "a.png", "basic": "bird", "word": "sun"}]


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ("0.5,0.4,0.6,", "line 3: column 'chance' is blank; accepted is a finite number from 0 to 1, or nan."),
        ("half,0.4,0.6,0", "line 3, column 'sharing': found 'half'; accepted is a finite number from 0 to 1, or nan."),
        ("0.5,1.1,0.6,0", "line 3, column 'low': found '1.1'; accepted"),
        ("0.5,0.4,inf,0", "line 3, column 'high': found 'inf'; accepted"),
        ("1_0,0.4,1,0", "line 3, column 'sharing': found '1_0'; accepted"),
        ("0.5,0.4,0.6,\u0663", "line 3, column 'chance': found '\u0663'; accepted"),
        ("0.5,0.4,0.6,0,0", "line 3: found 18 values; accepted are 17"),
    ],
)
def test_values_that_a_column_does_not_take_are_named(tmp_path: Path, values: str, found: str) -> None:
    head = ",".join(SHARING.needed)
    rest = "0.3,0.5,0.1,0.2,0.1,0.3,"
    first = f"nan,nan,nan,nan,{rest}word"
    (tmp_path / "t.csv").write_text(f"{head}\na,1,5,conv1,x,y,{first}\na,1,5,conv1,x,y,{values},{rest}\n")
    with pytest.raises(InputError) as error:
        read_table(tmp_path / "t.csv", SHARING)
    assert f"table of sharing {tmp_path}/t.csv, {found}" in str(error.value)


def test_whole_numbers_are_digits_alone() -> None:
    column = Column("n", "", "", "whole", low=0)
    assert [column.read(text) for text in ("7", "007", "-1", "1.0", "1e3", " 1", "²", "9" * 19)] == [7, 7, *[None] * 6]


def test_a_frame_of_other_columns_is_not_written(tmp_path: Path) -> None:
    frame = frame_of(TRAINING, [(1, "t", 1.0, 0.5)])
    for wrong in (frame.drop(columns="loss"), frame[["task", "step", "loss", "accuracy"]], frame.assign(more=1)):
        with pytest.raises(InputError, match=r"t\.csv: found columns .*; accepted are step, task, loss, accuracy\."):
            write_table(tmp_path / "t.csv", wrong, TRAINING)
    assert not (tmp_path / "t.csv").exists()


def test_tables_that_are_not_whole_are_named(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    rows = [(step, task, 1.0, 0.5) for step in (0, 20) for task in ("a", "b")]
    check_whole(path, frame_of(TRAINING, rows), of=("task",), along="step")
    with pytest.raises(
        InputError, match=r"t\.csv: task 'b' has 1 of 2 rows, or others than the rest; accepted is a wh"
    ):
        check_whole(path, frame_of(TRAINING, rows[:-1]), of=("task",), along="step")
    curves = [
        ("e", 1, "5", layer, "a", "a", n, n / 2, 0.5, 0.5, 0.1, 0.9, 0.5, 1.0, 1.0) for layer in "xy" for n in (0, 1, 2)
    ]
    of = ("experiment", "replicate", "checkpoint", "layer", "order", "task")
    check_whole(path, frame_of(LESIONS, curves), of=of, along="removed")
    place = "experiment 'e', replicate '1', checkpoint '5', layer 'x', order 'a', task 'a'"
    with pytest.raises(InputError, match=f"{place} has 2 of 3"):
        check_whole(path, frame_of(LESIONS, curves[1:]), of=of, along="removed")


def test_tables_warn_of_few_images_and_name_a_measure_that_does_not_exist(tmp_path: Path) -> None:
    stores.compute(tmp_path / "conv5_7.h5")
    layer = read_conditionals(tmp_path / "conv5_7.h5")
    with pytest.warns(UserWarning, match="object_text: only 5 images are analysed: contributions and sh"):
        frame = contribution_table([layer, layer])
    assert [frame[name].tolist()[:4] for name in ("unit", "task")] == [[0, 0, 1, 1], ["word", "basic"] * 2]
    said: list[str] = []
    pairs = sharing_table([layer], resamples=10, say=said.append)
    assert len(said) == 1
    assert pairs[["checkpoint", "layer", "task_a", "task_b"]].to_numpy().tolist() == [["7", "conv5", "word", "basic"]]
    with pytest.raises(
        InputError, match=r"^conditionals: found object_text 7 conv5 twice; accepted is each layer once"
    ):
        sharing_table([layer, layer], resamples=10, say=said.append)
    with pytest.raises(InputError, match=r"method: found .*woe.*; accepted"):
        contribution_table([layer], method="woe")


def test_sharing_of_a_task_that_relies_on_no_unit_is_called_rounding() -> None:
    predictions = np.full(20, 0.5, np.float32)
    moved = predictions - np.linspace(0.1, 0.4, 60, dtype=np.float32).reshape(3, 20)
    still = predictions - np.array([[2e-6], [5e-7], [0]], np.float32)  # the first leaves out draws of this mass
    both = {"seen": moved, "read": still}
    layer = LayerConditionals(
        np.arange(3),
        dict.fromkeys(both, 2),
        dict.fromkeys(both, predictions),
        both,
        np.ones(3),
        np.array([1.5e-6, 0, 0]),
        {},
        {"experiment": "e", "checkpoint": "7", "alias": "fc"},
    )
    said: list[str] = []
    sharing_table([layer], resamples=10, say=said.append)
    assert said == [
        "e 7 fc, task 'read': no unit changes a prediction by more than rounding: its sharing means nothing."
    ]
    still[1, 3] -= 1e-5
    sharing_table([layer], resamples=10, say=said.append)
    assert len(said) == 1


def test_curves_of_lesions_are_a_tidy_frame() -> None:
    accuracy = np.array([[[1.0, 1.0], [0.5, 0.75]]])  # one order, none and all four units, two tasks
    random = np.array([[[1.0, 1.0], [0.25, 0.75]], [[1.0, 1.0], [0.75, 0.75]]])
    place = ("e", 3, "5", "conv1")
    frame = lesion_table(place, ["b"], ["a", "b"], np.array([0, 4]), accuracy, random, [0.25, 0.5])
    assert list(frame) == list(LESIONS.names)
    assert frame[["experiment", "replicate", "checkpoint"]].drop_duplicates().to_numpy().tolist() == [["e", 3, "5"]]
    assert frame[["order", "task", "removed", "fraction", "accuracy"]].to_numpy().tolist() == [
        *(["b", "a", 0, 0.0, 1.0], ["b", "a", 4, 1.0, 0.5]),
        *(["b", "b", 0, 0.0, 1.0], ["b", "b", 4, 1.0, 0.75]),
    ]
    assert frame["random_mean"].tolist() == [1, 0.5, 1, 0.75]
    assert frame["random_low"].tolist() == [1, 0.2625, 1, 0.75]
    assert frame["random_high"].tolist() == [1, 0.7375, 1, 0.75]
    assert frame["chance"].tolist() == [0.25, 0.25, 0.5, 0.5]
    assert frame["p"].tolist() == frame["p_corrected"].tolist() == [1, 1, 1, 1]  # in the middle, or all the same
    lower = lesion_table(place, ["b"], ["a", "b"], np.array([0, 4]), accuracy - [0, 0.5], random)
    assert lower["p"].tolist() == [1, 1, 2 / 3, 2 / 3]
    assert lower["p_corrected"].tolist() == [1, 1, 1 / 3, 1 / 3]
    assert lower["chance"].isna().all()
    with pytest.raises(InputError, match=r"chance: found \[1\]; accepted is \[tasks\]: \[2\]"):
        lesion_table(place, ["b"], ["a", "b"], np.array([0, 4]), accuracy, random, [0.5])


def test_names_of_kept_images_that_are_not_utf_8_stand_there_as_escapes() -> None:
    images = ImageList((Path("x/a.png"), Path("caf\udce9.png")), np.array([[0, 1], [1, 0]]))
    frame = kept_table(images, np.array([1]), {"basic": ["bird", "boat"], "word": ["map", "sun"]})
    wanted = {"index": 1, "image": "caf\\udce9.png", "basic": "boat", "word": "map"}
    assert frame.to_dict("records") == [wanted]


def test_predictions_say_what_predicted_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    probabilities, targets = {"t": np.eye(2, dtype=np.float32)}, {"t": np.array([0, 0])}
    named = Predictions(probabilities, targets, 10, experiment="demo", checkpoint="010", replicate=3)
    write_predictions(tmp_path / "named.h5", named)
    frame = accuracy_table([read_named_predictions(tmp_path / "named.h5")])
    assert list(frame) == list(ACCURACY.names)
    assert frame.to_numpy().tolist() == [["demo", 3, "010", 10, "t", 0.5, 2]]
    write_predictions(tmp_path / "old.h5", Predictions(probabilities, targets, 10))
    old = read_predictions(tmp_path / "old.h5")
    assert (old.experiment, old.replicate) == ("", 1)
    output = ["--output", str(tmp_path / "a.csv")]
    assert main(["tabulate-accuracy", "--predictions", str(tmp_path / "old.h5"), *output]) == 2
    assert "old.h5 does not say of which experiment and checkpoint it is" in capsys.readouterr().err


def test_logs_have_the_names_of_their_experiments(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_table(tmp_path / "log.csv", frame_of(TRAINING, [(1, "t", 1.0, 0.5)]), TRAINING)
    write_table(tmp_path / "a.csv", frame_of(ACCURACY, [("e", 1, "1", 1, "t", 0.5, 2)]), ACCURACY)
    log, rest = str(tmp_path / "log.csv"), ["--accuracy", str(tmp_path / "a.csv"), "--output", str(tmp_path / "a.png")]
    for logs, words in (
        ([log], f"argument --logs: found '{log}'; accepted is NAME=PATH."),
        ([f"e={log}x"], f"log of training {log}x does not exist; accepted is one that does."),
    ):
        assert main(["plot-training", "--logs", *logs, *rest]) == 2
        assert words in capsys.readouterr().err
    assert main(["plot-training", "--logs", f"e={log}", *rest]) == 0
    assert f"plot-training: read {log} and {tmp_path}/a.csv; wrote " in capsys.readouterr().out


def test_commands_that_need_no_table_do_not_import_pandas(tmp_path: Path) -> None:
    write_predictions(tmp_path / "p.h5", Predictions({"t": np.eye(2, dtype="f4")}, {"t": np.array([0, 1])}, 0))
    code = (
        "import sys\nfrom pathlib import Path\nfrom featuresharing.cli import main\n"
        "from featuresharing.data.lists import read_classes\nimport featuresharing.cli.marginal_commands\n"
        "import featuresharing.analysis.tables, featuresharing.data.overlay, featuresharing.data.stimuli\n"
        "import featuresharing.figures.training_curves, featuresharing.runs.training\n"
        "for command in ('status', 'verify'):\n    assert main([command, sys.argv[1]]) == 0\n"
        "assert read_classes(Path(sys.argv[2])) == {'t': ['a']}\n"
        "assert 'pandas' not in sys.modules\n"
    )
    (tmp_path / "classes.csv").write_text("task,index,name\nt,0,a\n")
    command = [sys.executable, "-c", code, str(tmp_path), str(tmp_path / "classes.csv")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
