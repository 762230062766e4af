"""Code of users: found by its name, run once, and blamed in its own traceback."""

import sys
from pathlib import Path

import pytest

from featuresharing.errors import InputError
from featuresharing.own_code import OwnCodeError, call_own, load_function, source_files

NETWORK = """
from beside import SIZE

print("imported")


def build(width=1):
    return width * SIZE


def late():
    import later

    return later.NUMBER


def fails():
    return helper()


def helper():
    raise KeyError("no such layer")


class Net:
    @classmethod
    def small(cls):
        return "small"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mynet.py").write_text(NETWORK)
    (tmp_path / "beside.py").write_text("from parts.sizes import SIZE\n")
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts/__init__.py").write_text("")
    (tmp_path / "parts/sizes.py").write_text("from . import more\nSIZE = more.MORE + 1\n")
    (tmp_path / "parts/more.py").write_text("MORE = 20\n")
    (tmp_path / "later.py").write_text("NUMBER = 7\n")
    return tmp_path


@pytest.fixture(autouse=True)
def forget_modules() -> None:
    for name in ("beside", "parts", "parts.sizes", "parts.more", "later"):
        sys.modules.pop(name, None)


def test_a_function_of_a_file_finds_modules_beside_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert load_function("mynet.py:build", folder)(width=2) == 42
    assert load_function("mynet.py:late", folder)() == 7
    assert load_function("mynet.py:Net.small", folder)() == "small"
    shown = capsys.readouterr()
    assert (shown.out, shown.err.count("imported")) == ("", 1)


def test_a_changed_file_is_run_anew(folder: Path) -> None:
    before = load_function("mynet.py:build", folder)()
    (folder / "mynet.py").write_text("def build():\n    return 'changed'\n")
    assert (before, load_function("mynet.py:build", folder)()) == (21, "changed")


def test_the_files_of_a_function_are_those_that_it_imports_from_beside(folder: Path) -> None:
    names = {str(path.relative_to(folder)) for path in source_files("mynet.py:build", folder)}
    wanted = {"mynet.py", "beside.py", "parts/__init__.py", "parts/sizes.py", "parts/more.py", "later.py"}
    assert names == wanted
    assert "beside" not in sys.modules


def test_of_an_installed_package_the_files_are_the_module_alone(folder: Path) -> None:
    assert [path.name for path in source_files("jsonschema.validators:extend", folder)] == ["validators.py"]


def test_what_fails_shows_its_own_traceback_alone(folder: Path) -> None:
    function = load_function("mynet.py:fails", folder)
    with pytest.raises(OwnCodeError) as caught:
        call_own("'mynet.py:fails', called for experiment 'x', failed", function)
    sentence, *lines = str(caught.value).splitlines()
    assert sentence == "'mynet.py:fails', called for experiment 'x', failed; this is where its code fails:"
    assert "mynet.py" in lines[1]
    assert "own_code.py" not in str(caught.value)
    assert lines[-1] == "KeyError: 'no such layer'"


def test_a_file_that_fails_at_import_shows_the_line(folder: Path) -> None:
    (folder / "mynet.py").write_text("import no_such_module\n")
    with pytest.raises(OwnCodeError, match=r"mynet.py.*line 1[\s\S]*No module named 'no_such_module'"):
        load_function("mynet.py:build", folder)


def test_a_file_that_is_a_program_and_exits_is_told(folder: Path) -> None:
    (folder / "mynet.py").write_text("import argparse\nargparse.ArgumentParser().parse_args(['--epochs', '3'])\n")
    with pytest.raises(
        OwnCodeError, match=r"'mynet.py:build' cannot be imported[\s\S]*mynet.py.*line 2[\s\S]*Exit: 2$"
    ):
        load_function("mynet.py:build", folder)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("mynet.py", "function: found 'mynet.py'; accepted is file.py:function or package.module:function."),
        ("mynet.py:", "function: found 'mynet.py:'"),
        ("mynet.py:no name", "function: found 'mynet.py:no name'"),
        ("other.py:build", "other.py does not exist"),
        ("mynet.py:built", "has no function 'built'; accepted are Net, build, fails, helper, late."),
        ("no_such_package.module:build", "there is no module no_such_package"),
        ("json.no_such:build", "there is no module json.no_such"),
    ],
)
def test_names_that_name_nothing_are_refused(folder: Path, name: str, sentence: str) -> None:
    with pytest.raises(InputError) as caught:
        load_function(name, folder)
    assert sentence in str(caught.value)
    assert not isinstance(caught.value, OwnCodeError)
    if "function '" not in sentence:
        with pytest.raises(InputError, match=sentence[:20]):
            source_files(name, folder)


def test_code_that_is_no_python_is_refused_before_it_runs(folder: Path) -> None:
    (folder / "beside.py").write_text("SIZE = (\n")
    with pytest.raises(InputError, match=r"beside.py, line 1 is no Python"):
        source_files("mynet.py:build", folder)
