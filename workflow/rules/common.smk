# Names that the rules share.
import os
import re
import shlex
import shutil
import subprocess
import sys

from featuresharing.errors import InputError
from featuresharing.files.atomic import file_digest
from featuresharing.workflow.limits import (
    SECONDS_PER_MULTIPLY_ADD,
    job_mb,
    job_minutes,
    kept_draws,
    marginalize_seconds,
    weighed_draws,
)
from featuresharing.workflow.targets import describe_target
from featuresharing.version import NUMERICS

WORDS = beside("../../resources/words.txt")
FONT = beside("../../resources/fonts/DejaVuSans-Bold.ttf")

# Snakemake formats this path, though not the paths that it joins to others itself.
ENVIRONMENT = re.sub("[{}]", r"\g<0>\g<0>", str(beside("../envs/featuresharing.yaml")))

EXPERIMENTS = {experiment["name"]: experiment for experiment in config["experiments"]}

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


def refuse(problems):
    """End with a line for each problem, if there are any."""
    if lines := list(problems):
        raise WorkflowError("\n".join(lines))


def unrecorded(value):
    """Return a param for what changes no number: Snakemake records none that is derived from outputs, so it reruns nothing."""
    return lambda wildcards, output: value


def content(*paths):
    """Return a digest of files, for params: files of another name or age are the same as long as they hold the same."""
    try:
        return file_digest(*map(Path, paths))
    except InputError as error:
        raise WorkflowError(str(error)) from None


def folder_of_output(wildcards, output):
    """Return the folder of the first output, for params; it is unrecorded too."""
    return os.path.dirname(output[0])


def seeded(block):
    """Return a block of the config with its seed, or else the seed of the whole config."""
    settings = config[block]
    return settings | {"seed": config["seed"] if settings["seed"] is None else settings["seed"]}


def count_gpus_of_job():
    """Return 1 if jobs of torch will use a GPU: then the cap on gpu holds them apart, else it must not hold cores back."""
    if config["device"] != "auto":
        return int(config["device"].startswith("cuda"))
    listed = shutil.which("nvidia-smi") and subprocess.run(["nvidia-smi", "-L"], capture_output=True, check=False)
    return int(bool(listed) and listed.returncode == 0 and b"GPU" in listed.stdout)


GPUS = count_gpus_of_job()

# How units are taken out, and where what is predicted without them goes.
LESION = config["method"] == "lesion"
CONDITIONALS = f"results/{'lesion' if LESION else 'marginal'}/{{experiment}}/{{layer}}_{{checkpoint}}"
IDLE = {"quadrature": {"samples", "seed"}, "monte-carlo": {"tolerance"}}.get(
    config["marginalization"]["estimator"], set()
)
METHOD = {key: value for key, value in seeded("marginalization").items() if key not in IDLE}
EVIDENCE = {"method": "probdiff"} if config["evidence"]["method"] == "probdiff" else config["evidence"]
if LESION:
    METHOD = {"estimator": "lesion", "softmax": config["lesions"]["softmax"]} | {
        key: config["marginalization"][key] for key in ("dtype", "storage")
    }


def alternatives(names):
    """Return a pattern that matches one of ``names``, and nothing if there are none."""
    return "|".join(re.escape(name) for name in names) or "(?!)"


def units_of_job(layer):
    """Return how many units of a layer one job computes at most."""
    units = config["jobs"]["units"]
    return (units.get(layer) if isinstance(units, dict) else units) or COSTS[layer].units


def seconds_of_job(layer):
    """Return how long a marginalize job of a layer is predicted to take."""
    cost, threads = COSTS[layer], config["jobs"]["threads"]
    draws = 1 if LESION else kept_draws(cost.size, **config["marginalization"])
    weighed = 0 if LESION else weighed_draws(**config["marginalization"])
    units = min(units_of_job(layer), cost.units)
    images = config["baseline"]["max_images"]
    return marginalize_seconds(cost, units, images, draws, weighed=weighed, threads=threads)


def minutes_of_job(wildcards, attempt):
    """Return the time limit of a marginalize job: the same for all blocks, since those of an array share the first's."""
    layers = SPLIT_LAYERS if wildcards.get("units") else [wildcards.layer]
    return job_minutes(max(map(seconds_of_job, layers)), attempt)


def lesion_minutes(layer, attempt):
    """Return the time limit of a job that removes units of a layer in every order."""
    orders = config["lesions"]["random_orders"] + 3
    passes = orders * (config["lesions"]["steps"] + 1)
    cost = COSTS[layer]
    # a pass through the network behind the layer is no more than one through all of it
    seconds = SECONDS_PER_MULTIPLY_ADD * cost.forward * config["baseline"]["max_images"] * passes
    return job_minutes(seconds / config["jobs"]["threads"], attempt)


def feature_minutes(layer, attempt):
    """Return the time limit of a job that finds the images that drive a layer's units."""
    cost = COSTS[layer]
    # a gradient takes two passes back for each forward; behind the layer there is nothing to do
    passes = 3 * cost.units * config["features"]["iterations"]
    return job_minutes(SECONDS_PER_MULTIPLY_ADD * cost.forward * passes / config["jobs"]["threads"], attempt)


def memory_of_job(wildcards, attempt):
    """Return the memory limit of a marginalize job in MB."""
    full = config["marginalization"]["storage"] == "full"
    return job_mb(SIZES, config["baseline"]["max_images"], attempt, full=full)
