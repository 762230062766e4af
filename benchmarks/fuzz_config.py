"""Check configs that are wrong in every way: each is accepted, or refused in sentences, and none ends in a traceback.

python benchmarks/fuzz_config.py --cases 2000 --seed 0
"""

import argparse
import random
import re
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from featuresharing import InputError
from featuresharing.settings import Config
from featuresharing.settings.checking import check_config
from featuresharing.settings.configfiles import check_config_files, complete_config, read_yaml
from featuresharing.workflow.own_networks import own_problems

ROOT = Path(__file__).parents[1]

SHIPPED = (
    *(ROOT / f"config/{name}.yaml" for name in ("config", "paper", "paper-training")),
    ROOT / "examples/own_network/config.yaml",
)

TEXTS = [
    "",
    " ",
    "a b",
    "it's",
    '"',
    "$(touch x)",
    "`id`",
    "-x",
    "--help",
    "a\n",
    "\n",
    "{a}",
    "{{",
    "é",
    "\u202e",
    "\x00",
]
TEXTS += ["../..", "~", "null", "1e-3", "0", "true", "a" * 500, "0.0.10", "conv5", "cuda:99999999999", "subordinate"]
NUMBERS = [0, 1, -1, 2, 3, 0.5, 1e-300, 1e300, 10**11, 2**63, 10**400, 16**5000, float("nan"), float("inf"), -0.0, 64.0]
OTHERS = [None, True, False, [], {}, [None], {"a": 1}, {1: 2, "b": 3, None: 4}, date(2020, 1, 1), b"x", (1, 2), {3}]


SENTENCE = re.compile(
    r"; (accepted (is|are)|the nearest is) .*\.$|accepted with source|problems more\.$|is missing; accepted is"
)


def places(config: Any) -> list[tuple[Any, Any]]:
    """Return (holder, key) of every value in a config."""
    found = []
    keys = list(config) if isinstance(config, dict) else range(len(config)) if isinstance(config, list) else []
    for key in keys:
        found += [(config, key), *places(config[key])]
    return found


def some_value(rng: random.Random, depth: int = 0) -> Any:
    """Return a text, number, list or block that no key is likely to accept."""
    kind = rng.randrange(5 if depth < 3 else 3)
    if kind < 3:
        return deepcopy(rng.choice((TEXTS, NUMBERS, OTHERS)[kind]))
    count = rng.choice([0, 1, 2, 5, 5, 1000])
    made = [some_value(rng, depth + 1) for _ in range(min(count, 6))] * max(1, count // 6)
    return made if kind == 3 else {rng.choice([*TEXTS, "dpi", "seed", 1, None]): value for value in made}


def replace(config: dict[str, Any], rng: random.Random) -> None:
    """Give a key another value."""
    holder, key = rng.choice(places(config))
    holder[key] = some_value(rng)


def remove(config: dict[str, Any], rng: random.Random) -> None:
    """Leave a key or an item out."""
    holder, key = rng.choice(places(config))
    del holder[key]


def add(config: dict[str, Any], rng: random.Random) -> None:
    """Add a key or an item."""
    holder, _ = rng.choice(places(config))
    if isinstance(holder, dict):
        holder[rng.choice([*TEXTS, 1, None, date(2020, 1, 1)])] = some_value(rng)
    else:
        holder.insert(rng.randrange(len(holder) + 1), some_value(rng))


def swap(config: dict[str, Any], rng: random.Random) -> None:
    """Exchange two values."""
    (one, key), (other, name) = rng.choice(places(config)), rng.choice(places(config))
    one[key], other[name] = deepcopy(other[name]), deepcopy(one[key])


def nest(config: dict[str, Any], rng: random.Random) -> None:
    """Put aliases of aliases in a place, or one of itself."""
    holder, key = rng.choice(places(config))
    value: Any = ["x"] * 9
    for _ in range(rng.choice([3, 9, 40])):
        value = [value] * 9 if rng.random() < 0.5 else dict.fromkeys("abcdefghi", value)
    if rng.random() < 0.2:
        value = [1]
        value.append(value)
    holder[key] = value


CHANGES: list[Callable[[dict[str, Any], random.Random], None]] = [replace, replace, remove, add, swap]


def damaged_text(text: bytes, rng: random.Random) -> bytes:
    """Return the text of a config with bytes changed, lines repeated, moved or cut, or in another encoding."""
    kind = rng.randrange(6)
    if kind == 0:
        changed = bytearray(text)
        for _ in range(rng.randrange(1, 20)):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        return bytes(changed)
    if kind == 1:
        return text.decode().encode(rng.choice(["utf-8-sig", "utf-16", "utf-32", "utf-16-le"]))
    if kind == 2:
        return text[: rng.randrange(len(text))]
    lines = text.splitlines(keepends=True)
    index, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    if kind == 3:
        lines.insert(other, lines[index])
    elif kind == 4:
        lines[index] = b"\t" * rng.randrange(1, 3) + lines[index].lstrip()
    else:
        lines[index] = lines[index].replace(
            b": ", b": " + rng.choice([b"[" * 3000, b"&a [*a]", b"9" * 5000, b"!!python/x ", b"'"])
        )
    return b"".join(lines)


def check_all(config: dict[str, Any]) -> None:
    """Check a config and, of networks of one's own, the files that it names; raises InputError for what is wrong."""
    settings = check_config(config)
    if settings.source == "network" and (problems := list(own_problems(settings))):
        raise InputError("\n".join(f"config key '{key}'{text}." for key, text in problems))


def case(number: int, seed: int, folder: Path) -> None:
    """Check one wrong config, as values or as a file; raises InputError where it is refused."""
    rng = random.Random(f"{seed} {number}")
    shipped = rng.choice(SHIPPED)
    base = complete_config(read_yaml(ROOT / "config/config.yaml"), Config.defaults())
    if number % 2:
        config = complete_config(read_yaml(shipped), base)
        for _ in range(rng.choice([1, 1, 1, 2, 5])):
            rng.choice(CHANGES)(config, rng)
        if rng.random() < 0.1:
            nest(config, rng)
        given = {key: value for key, value in config.items() if rng.random() < 0.2}
        check_all(complete_config(config, base, given))
        return
    path = folder / "config.yaml"
    path.write_bytes(damaged_text(shipped.read_bytes(), rng))
    check_config_files([path])
    check_all(complete_config(yaml.safe_load(path.read_text("utf-8-sig")), base))


def run(cases: int, seed: int) -> tuple[Counter[str], float, list[str]]:
    """Return how many cases were refused, accepted or a traceback; the slowest one's seconds; and what was wrong."""
    counts: Counter[str] = Counter()
    slowest, wrong = 0.0, []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(cases):
            start = time.perf_counter()
            try:
                case(number, seed, Path(folder))
                counts["accepted"] += 1
            except InputError as error:
                counts["refused"] += 1
                if any(len(line) > 2000 or not SENTENCE.search(line) for line in str(error).splitlines()):
                    wrong.append(f"case {number}: {str(error)[:300]}")
            except Exception:
                counts["tracebacks"] += 1
                wrong.append(f"case {number}: {traceback.format_exc()[-1500:]}")
            slowest = max(slowest, time.perf_counter() - start)
    return counts, slowest, wrong


def main() -> int:
    """Print what was wrong, and how many cases were refused; return 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=2000, help="configs to check")
    parser.add_argument("--seed", type=int, default=0, help="of the changes")
    options = parser.parse_args()
    counts, slowest, wrong = run(options.cases, options.seed)
    print(*wrong[:20], sep="\n")
    print(
        f"{options.cases} cases: {counts['refused']} refused, {counts['accepted']} accepted,"
        f" {counts['tracebacks']} tracebacks; the slowest took {slowest:.2f} s."
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
