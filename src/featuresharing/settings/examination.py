"""Everything that is wrong with a config in one go: what is sound in it is checked further, whatever else is not."""

import copy
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from jsonschema import ValidationError

from featuresharing.settings.block import Problem
from featuresharing.settings.checking import config_errors, contradictions, described, joined, meant
from featuresharing.settings.config import Config
from featuresharing.settings.configfiles import check_extent
from featuresharing.settings.plugins import own_blocks

Place = tuple[str | int, ...]


@dataclass(frozen=True)
class ExaminedConfig:
    """A config of which only what is sound counts: other keys have their defaults, other experiments are left out.

    ``sentences`` say what is wrong, each once. ``unsound`` are the paths of keys that were left out, and ``positions``
    the places in the config of the experiments that count.
    """

    settings: Config
    sentences: tuple[str, ...]
    unsound: frozenset[str]
    positions: tuple[int, ...]

    def place(self, index: int) -> str:
        """Return the key of an experiment that counts."""
        return f"experiments.{self.positions[index]}"

    def is_sound(self, index: int, part: str, problems: Iterable[Problem]) -> bool:
        """Return whether nothing is wrong with a key of an experiment that counts, nor in ``problems``."""
        wrong = [*self.unsound, *(self.named(problem.key) for problem in problems)]
        return not any(_touch(f"{self.place(index)}.{part}", key) for key in wrong)

    def told(self, problems: Iterable[Problem]) -> Iterator[str]:
        """Yield sentences on more problems, but for those that follow from keys which are wrong already.

        Problems name experiments by their places among those that count.
        """
        for key, text in problems:
            named = self.named(key)
            if not any(_touch(named, wrong) for wrong in self.unsound):
                yield f"config key '{named}'{text}."

    def named(self, key: str) -> str:
        """Return a key by the place of its experiment in the config."""
        return re.sub(r"^experiments\.(\d+)", lambda found: self.place(int(found[1])), key)


def _touch(one: str, other: str) -> bool:
    """Return whether one key is the other, in it or around it."""
    return one == other or one.startswith(f"{other}.") or other.startswith(f"{one}.")


def examine_config(config: Mapping[str, Any]) -> ExaminedConfig:
    """Return what is sound in a config, and what is wrong with it; raises InputError for one that holds too much."""
    check_extent(config, "the config")
    kept = copy.deepcopy({key: value for key, value in config.items() if key not in own_blocks(config)})
    errors = config_errors(kept)
    sentences = [line for error in errors for line in described(error)]
    unsound = [place for error in errors for place in _unsound(error)]
    for place in unsound:
        _remove(kept, place)
    found = _examined(kept, frozenset(map(joined, unsound)))
    wrong = list(contradictions(found.settings))
    sentences += found.told(wrong)
    for problem in wrong:
        place = tuple(int(part) if part.isdecimal() else part for part in found.named(problem.key).split("."))
        if place[2:] != ("name",):  # an experiment counts, though another one is called as it is
            _remove(kept, place)
    settled = _examined(kept, found.unsound | {found.named(problem.key) for problem in wrong})
    return replace(settled, sentences=tuple(dict.fromkeys(sentences)))


def _examined(config: Mapping[str, Any], unsound: frozenset[str]) -> ExaminedConfig:
    """Return a config without the experiments that lack what every one has."""
    experiments = config.get("experiments") or []
    sound = [index for index, each in enumerate(experiments) if each and each.get("name") and each.get("tasks")]
    settings = Config.unchecked({**config, "experiments": [experiments[index] for index in sound]})
    return ExaminedConfig(settings, (), unsound, tuple(sound))


def _unsound(error: ValidationError) -> Iterator[Place]:
    """Yield the places of values that do not count, as they are wrong."""
    place: Place = tuple(error.absolute_path)
    if error.validator == "additionalProperties":
        yield from ((*place, key) for key in error.instance if key not in error.schema["properties"])
    elif error.validator == "anyOf" and (inside := meant(error)):
        for inner in inside:
            yield from _unsound(inner)
    else:
        yield place


def _remove(config: Any, place: Place) -> None:
    """Take a value out of a config; of a list, the list, but for experiments, which keep their places."""
    *above, last = _of_list(place)
    for part in above:
        if not isinstance(config, Mapping | list) or (isinstance(config, Mapping) and part not in config):
            return
        config = config[part]  # type: ignore[index]
    if isinstance(config, list):
        config[last] = None  # type: ignore[index]
    elif isinstance(config, dict):
        config.pop(last, None)


def _of_list(place: Place) -> Place:
    """Return the place of the list that a place is in, but for experiments."""
    start = 2 if place[:1] == ("experiments",) else 0
    within = next((index for index, part in enumerate(place) if index >= start and isinstance(part, int)), None)
    return place if within is None else place[:within]
