# Names that the rules share.
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import product

from featuresharing.errors import InputError
from featuresharing.figure_formats import FIGURES
from featuresharing.files.atomic import file_digest
from featuresharing.settings.analysis_settings import PAGE_KEYS
from featuresharing.data.columns import TABLES
from featuresharing.replicates import network_label, seed_of_replicate
from featuresharing.workflow.limits import LayerJobs, marginalize_minutes, predict_mb
from featuresharing.workflow.architectures import Architecture, NetworkFile, describe
from featuresharing.workflow.config_layers import estimator_of, in_order, layer_problems, name_layers
from featuresharing.workflow.sources import check_source
from featuresharing.workflow.targets import describe_target
from featuresharing.version import NUMERICS

WORDS = beside("../../resources/words.txt")
FONT = beside("../../resources/fonts/DejaVuSans-Bold.ttf")

# Snakemake formats this path, though not the paths that it joins to others itself.
ENVIRONMENT = re.sub("[{}]", r"\g<0>\g<0>", str(beside("../envs/featuresharing.yaml")))

EXPERIMENTS = {experiment.name: experiment for experiment in SETTINGS.experiments}

# What paths have behind an experiment's name: nothing of its first network, whose paths are those of a single one, and /2, /3
# and so on of its other replicates.
REPLICATES = {network_label("", number): number for number in range(1, SETTINGS.replicates + 1)}

# The tasks of all experiments as they first appear: a task has the same colour in all figures.
ALL_TASKS = list(dict.fromkeys(task for experiment in EXPERIMENTS.values() for task in experiment.task_names))

# Rules call the featuresharing command that is installed beside this Python, activated or not.
shell.prefix(f"export PATH={shlex.quote(os.path.dirname(sys.executable))}:$PATH; ")


def flags(settings):
    """Turn a block of the config into words of the command line, which rules quote: same names, null left out.

    They are sorted, since the order of keys in a config reruns nothing.
    """
    words = []
    for name, value in sorted(settings.items()):
        option = f"--{name.replace('_', '-')}"
        if isinstance(value, list):
            words += [option, *map(str, value)] if value else []
        elif value is not None:
            words.append(f"{option}={str(value).lower() if isinstance(value, bool) else value}")
    return words


def checked(make, *arguments, **options):
    """Return what a function gives; its problems, a line each, end the workflow, as does its InputError."""
    try:
        found = make(*arguments, **options)
        lines = [f"config key '{key}'{text}." for key, text in found] if isinstance(found, Iterator) else []
    except InputError as error:
        lines = [str(error)]
    if lines:
        raise WorkflowError("\n".join(lines))
    return found


def stimuli_of(wildcards):
    """Return what names the test images of an experiment, where Snakemake cannot see them, for params."""
    return TEST_STIMULI[wildcards.experiment] if isinstance(TEST_STIMULI, dict) else TEST_STIMULI


def unrecorded(value):
    """Return a param for what changes no number: Snakemake records none that is derived from outputs, so it reruns nothing."""
    return lambda wildcards, output: value


def content(*paths):
    """Return a digest of files, for params: files of another name or age are the same as long as they hold the same."""
    return checked(file_digest, *map(Path, paths))


def folder_of_output(wildcards, output):
    """Return the folder of the first output, for params; it is unrecorded too."""
    return os.path.dirname(output[0])


def seeded(block):
    """Return a block of the config with its seed, or else the seed of the whole config."""
    settings = config[block]
    return settings | {"seed": config["seed"] if settings["seed"] is None else settings["seed"]}


def replicate_of(wildcards):
    """Return which of its experiment's networks a job is about, from 1."""
    return REPLICATES[wildcards.get("nth", "")]


def reseeded(settings, wildcards):
    """Return settings with the seed of a job's network in place of that of the first, if they have a seed."""
    seeds = {"seed": seed_of_replicate(settings["seed"], replicate_of(wildcards))} if "seed" in settings else {}
    return settings | seeds


def named(wildcards):
    """Return the option that names a job's network in its output: none of the first, whose files need not say so."""
    return {} if replicate_of(wildcards) == 1 else {"replicate": replicate_of(wildcards)}


def by_experiment(paths):
    """Return NAME=PATH of paths, of which each experiment has as many, in their order, for params."""
    each = len(paths) // len(EXPERIMENTS)
    names = [name for name in EXPERIMENTS for _ in range(each)]
    return [f"{name}={path}" for name, path in zip(names, paths)]


def count_gpus_of_job():
    """Return 1 if jobs of torch will use a GPU: then the cap on gpu holds them apart, else it must not hold cores back."""
    if config["device"] != "auto":
        return int(config["device"].startswith("cuda"))
    listed = shutil.which("nvidia-smi") and subprocess.run(["nvidia-smi", "-L"], capture_output=True, check=False)
    return int(bool(listed) and listed.returncode == 0 and b"GPU" in listed.stdout)


GPUS = count_gpus_of_job()

# How units are taken out, and where what is predicted without them goes.
LESION = config["method"] == "lesion"
CONDITIONALS = f"results/{'lesion' if LESION else 'marginal'}/{{experiment}}{{nth}}/{{layer}}_{{checkpoint}}"
METHOD = seeded("marginalization")
if LESION:
    METHOD |= {"estimator": config["method"], "softmax": config["lesions"]["softmax"]}
ESTIMATOR = estimator_of(SETTINGS)
METHOD = {key: value for key, value in METHOD.items() if key not in ESTIMATOR.idle}
if METHOD.get("tolerance_bits") is not None:
    METHOD |= {"laplace": config["evidence"]["laplace"]}
EVIDENCE = {"method": "probdiff"} if config["evidence"]["method"] == "probdiff" else config["evidence"]
NEAR_ZERO = {"near_zero": config["sharing"]["near_zero"]}


# The page that every figure is drawn for, and the ends of figures' names.
PAGE = {key: config["figures"][key] for key in PAGE_KEYS}
FORMATS = [ending.removeprefix(".") for ending in FIGURES]


def alternatives(names):
    """Return a pattern that matches one of ``names``, and nothing if there are none."""
    return f"(?:{'|'.join(map(re.escape, names))})" if names else "(?!)"


def alternated(names):
    """Return words of bash that it expands to one word for each of ``names``."""
    words = [shlex.quote(name) if name else "" for name in names]
    return f"{{{','.join(words)}}}" if len(words) > 1 else words[0]


def files_of_layer(wildcards, output):
    """Return where units of a layer may be, whole or in blocks, for params; it is unrecorded too."""
    whole = CONDITIONALS.format(**wildcards)
    return [f"{whole}.h5", whole]


# What the report calls the tables, in the order in which it lists them.
TITLES = {
    "sharing_over_networks": "1 sharing over networks",
    "trends": "2 trends and their differences",
    "sharing": "3 sharing of every network",
    "overlap": "4 other measures of overlap",
    "lesions": "5 accuracy without units",
    "accuracy": "6 accuracy on held-out images",
    "contributions": "7 contribution of every unit",
}


def titled(table):
    """Return where the report lists the CSV file of a table."""
    return {"category": "8 Tables", "labels": {"table": TITLES[table], "form": "file"}}


def unit_options(settings):
    """Return a function that returns options of a figure of units of an experiment."""
    several = ["--one-of-several"] if SETTINGS.replicates > 1 else []
    return lambda wildcards: several + flags(
        EVIDENCE | NEAR_ZERO | settings | {"sort_by": EXPERIMENTS[wildcards.experiment].sorting_task}
    )


def reference_option(wildcards, input, output):
    """Return the option that names the files that sort units, if any do, for params; inputs and --sort say it too."""
    return ["--reference", *input.reference] if input.get("reference") else []
