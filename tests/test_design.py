"""The shape of the code: which rooms know which, how long functions and modules are, and what loads slowly."""

import ast
import pkgutil
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from graphlib import TopologicalSorter
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.commands import ROOT

SOURCE = ROOT / "src"
MODULES = {
    ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(SOURCE.rglob("*.py"))
}
TREES = {name: ast.parse(path.read_text()) for name, path in MODULES.items()}

ORDER = (
    *("version", "errors", "arguments", "randomness", "replicates", "progress_bar", "figure_formats", "own_code"),
    *("files", "torch7", "hdf5"),
    *("settings", "computation", "data", "fetch", "networks", "engine", "estimators", "store", "analysis"),
    *("reports", "colours", "figures", "plot", "explorer", "workflow", "runs", "cli", "__main__"),
)
"""Rooms and modules outside of rooms: each knows those before it, and none after it."""

AGAINST_ORDER = {
    ("featuresharing.settings.plugins", "featuresharing.estimators.registry"): "a config names estimators, which say"
    " what their settings may be; whoever checks a config asks them",
    ("featuresharing.settings.documentation", "featuresharing.estimators.registry"): "the documentation lists them",
}
"""Imports against the order, with reasons."""

LONG_FUNCTIONS: dict[str, str] = {}
LONG_MODULES: dict[str, str] = {}
LONG_HANDLERS: dict[str, str] = {}
"""What is longer than it should be, with reasons."""


def nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield all nodes of a tree but those of blocks that only type checkers read."""
    yield tree
    for child in ast.iter_child_nodes(tree):
        if not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield from nodes(child)


def imports(name: str) -> set[str]:
    """Return the modules of the package that a module imports anywhere, at its top or in a function."""
    found = set()
    for node in nodes(TREES[name]):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {home(each) for each in found if each.split(".")[0] == "featuresharing"} - {name}


def home(name: str) -> str:
    """Return the module of a name that is imported."""
    while name not in MODULES:
        name = name.rpartition(".")[0]
    return name


def room(name: str) -> str:
    return name.split(".")[1] if "." in name else "__main__"


def functions(name: str) -> Iterator[tuple[str, ast.FunctionDef, int]]:
    """Yield the functions of a module with their names in the package and how many lines they have."""
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.FunctionDef):
            yield f"{name}.{node.name}", node, (node.end_lineno or 0) - node.lineno + 1


def is_handler(node: ast.FunctionDef) -> bool:
    """Return whether a function is what a command of the command line does."""
    first = node.args.args[0].annotation if node.args.args else None
    returns = node.returns is None or ast.unparse(node.returns) in ("None", "int")
    return first is not None and ast.unparse(first).endswith("Namespace") and returns


def test_rooms_know_only_those_before_them() -> None:
    wrong = {
        (name, other)
        for name in MODULES
        for other in imports(name)
        if room(name) != room(other) and ORDER.index(room(other)) > ORDER.index(room(name))
    }
    assert wrong == set(AGAINST_ORDER)


def test_no_module_imports_itself_by_way_of_others() -> None:
    TopologicalSorter({name: imports(name) for name in MODULES}).prepare()


def test_no_two_modules_have_one_name() -> None:
    counts = Counter(path.stem for path in MODULES.values() if path.stem != "__init__")
    assert [name for name, count in counts.items() if count > 1] == ["__main__"]


def test_functions_handlers_and_modules_are_short() -> None:
    found = [(name, node, lines) for module in MODULES for name, node, lines in functions(module)]
    assert {name for name, _, lines in found if lines > 60} == set(LONG_FUNCTIONS)
    assert {name for name, node, lines in found if is_handler(node) and lines > 25} == set(LONG_HANDLERS)
    assert {name for name, path in MODULES.items() if len(path.read_text().splitlines()) > 400} == set(LONG_MODULES)
    assert sum(is_handler(node) for _, node, _ in found) > 20


SLOW = ("torch", "pandas", "scipy", "matplotlib", "h5py", "bokeh", "snakemake")


@pytest.mark.parametrize(
    "module",
    [
        *("featuresharing", "featuresharing.plot", "featuresharing.cli", "featuresharing.settings.checking"),
        *("featuresharing.settings.configfiles", "featuresharing.workflow.limits", "featuresharing.runs.measurements"),
    ],
)
def test_what_every_command_and_every_dry_run_loads_starts_fast(module: str) -> None:
    code = f"import sys, {module}; print([name for name in {SLOW} if name in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown == "[]\n"


def test_help_and_refusals_of_every_command_start_fast() -> None:
    code = f"""
import contextlib, io, re, sys
from featuresharing.cli import main

def said(*words):
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()):
        with contextlib.suppress(SystemExit):
            main(words)
    return out.getvalue()

commands = re.findall("^  ([a-z-]+) ", said("--help"), re.M)
assert len(commands) > 20
for command in commands:
    assert said(command, "--help").startswith("usage: featuresharing " + command)
    said(command, "--nonsense")
    assert not [name for name in {SLOW} if name in sys.modules], command
"""
    subprocess.run([sys.executable, "-c", code], check=True)


PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
PAGES += [*ROOT.glob("docs/*.md"), *(ROOT / folder / "README.md" for folder in ("config", "benchmarks", "resources"))]
ENTRY_POINTS = ("estimators", "formats")


def quoted_words(page: Path) -> list[str]:
    """Return the words of what stands in backticks on one line of a page, without punctuation."""
    quoted = re.findall(r"`([^`\n]+)`", page.read_text())
    return [word.split("::")[0].strip(".,;:()|") for text in quoted for word in text.split()]


def test_documents_name_files_that_are_there() -> None:
    tops = {path.name for path in ROOT.iterdir()} - {"archives", "results"}
    rooms = {path.name for path in (SOURCE / "featuresharing").iterdir() if path.is_dir()} | {"sources"}
    missing, count = [], 0
    for page in PAGES:
        for word in quoted_words(page):
            top, slash, _ = word.partition("/")
            if not slash or "NAME" in word or not (top in tops or (top in rooms and word.endswith((".py", ".smk")))):
                continue
            count += 1
            places = (ROOT, page.parent, SOURCE / "featuresharing", ROOT / "workflow/rules")
            missing += [] if any((place / word).exists() for place in places) else [f"{page.name}: {word}"]
    assert count > 100
    assert missing == []


def test_documents_name_what_the_package_has() -> None:
    missing, count = [], 0
    for page in PAGES:
        for name in {name for word in quoted_words(page) for name in re.findall(r"^featuresharing(?:\.\w+)+", word)}:
            if name.removeprefix("featuresharing.") in ENTRY_POINTS:
                continue
            count += 1
            try:
                pkgutil.resolve_name(name)
            except (ImportError, AttributeError):
                missing.append(f"{page.name}: {name}")
    assert count > 10
    assert missing == []


def test_the_document_finds_functions_where_they_are() -> None:
    named = re.findall(r"`(\w+)` in\s+`(src/[\w/]+\.py)`", (ROOT / "docs/architecture.md").read_text())
    assert len(named) >= 4
    for function, path in named:
        assert re.search(rf"^(def|class) {function}\b", (ROOT / path).read_text(), re.MULTILINE), function


def test_the_order_is_that_of_the_document() -> None:
    text = (ROOT / "docs/architecture.md").read_text()
    rows = [text.index(f"| `{name}/`") for name in ORDER if (SOURCE / "featuresharing" / name).is_dir()]
    assert all(before < after for before, after in pairwise(rows))
