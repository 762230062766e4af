"""The lists of packages say the same."""

import re
import tomllib
from pathlib import Path
from typing import Any

import yaml
from packaging.requirements import Requirement

from featuresharing.version import PACKAGE
from tests.support.commands import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONDA_NAMES = {"torch": "pytorch", "matplotlib": "matplotlib-base", "snakemake": "snakemake-minimal"}


def conda_packages(path: str) -> list[Any]:
    return yaml.safe_load((ROOT / path).read_text())["dependencies"]


def runtime_packages() -> dict[str, str]:
    formats = PROJECT["optional-dependencies"]["formats"]  # conda has no extras: everybody gets them
    requirements = map(Requirement, [*PROJECT["dependencies"], *formats])
    packages = {CONDA_NAMES.get(found.name, found.name): str(found.specifier) for found in requirements}
    return packages | {"python": PROJECT["requires-python"]}


def split(packages: list[str]) -> dict[str, str]:
    matches = [re.fullmatch(r"([\w-]+)(.*)", package) for package in packages]
    return {match[1]: match[2] for match in matches if match}


def test_conda_installs_what_pip_would() -> None:
    packages = conda_packages("environment.yml")
    assert packages.pop() == {"pip": ["--no-deps -e ."]}
    assert split(packages) == runtime_packages() | {"pip": ""}


def test_rules_have_what_the_package_needs() -> None:
    wanted = {name: bound for name, bound in runtime_packages().items() if name != "snakemake-minimal"}
    assert split(conda_packages("workflow/envs/featuresharing.yaml")) == wanted


def test_every_runtime_package_has_a_lower_bound() -> None:
    assert all(bound.startswith(">=") for bound in runtime_packages().values())


def test_constraints_pin_every_package_within_its_bounds() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.lower().replace("_", "-").split("==") for line in lines if line and not line.startswith("#"))
    extras = [text for texts in PROJECT["optional-dependencies"].values() for text in texts]
    for text in [*PROJECT["dependencies"], *extras]:
        requirement = Requirement(text)
        pin = pins[requirement.name.lower()]
        assert requirement.specifier.contains(pin), f"{text}: {pin}"
    assert pins["torch"] == "2.13.0"


def test_hooks_before_commits_run_programs_that_are_installed_for_tests() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    programs = [hook["entry"].split()[0] for hook in hooks]
    installed = {Requirement(text).name for text in PROJECT["optional-dependencies"]["test"]}
    assert {Path(program).name for program in programs} == {"ruff", "snakefmt", "mypy"} <= installed
    assert all(program.startswith(".venv/bin/") for program in programs)


def test_the_citation_is_that_of_the_readme_and_of_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == PACKAGE
    assert citation["license"] == PROJECT["license"] == (ROOT / "LICENSE").read_text().split()[0]
    (paper,) = citation["references"]
    assert citation["preferred-citation"] == paper
    readme = " ".join((ROOT / "README.md").read_text().replace("> ", "").split())
    assert f"https://doi.org/{paper['doi']}" in readme
    assert f"{paper['title']}. *{paper['journal']}*, {paper['volume']}, {paper['start']}\u2013{paper['end']}." in readme
