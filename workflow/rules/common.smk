# Names that the rules share, and the config checked before any of them is used.
import os
import shutil
import subprocess
import sys
from pathlib import Path

from featuresharing.config import check_config, check_writable
from featuresharing.errors import InputError
from featuresharing.networks.names import checkpoint_names
from featuresharing.version import NUMERICS

from snakemake.exceptions import WorkflowError

try:
    check_config(config, Path(workflow.current_basedir) / "../schemas/config.schema.yaml")
    check_writable(Path("results"))
except InputError as error:
    raise WorkflowError(str(error)) from None

RESOURCES = Path(workflow.basedir).parent / "resources"
EXPERIMENTS = {experiment["name"]: experiment for experiment in config["experiments"]}
LAYERS = config["layers"]
CHECKPOINTS = checkpoint_names(config["training"]["checkpoints"])
LAST = CHECKPOINTS[-1]


wildcard_constraints:
    experiment="|".join(EXPERIMENTS),
    layer="|".join(name.replace(".", r"\.") for name in LAYERS),
    checkpoint="|".join(CHECKPOINTS),


# Rules call the featuresharing command that is installed beside this Python, activated or not.
shell.prefix(f"export PATH={os.path.dirname(sys.executable)!r}:$PATH; ")


def flags(settings):
    """Turn a block of the config into options of the command line: same names, null left out."""
    options = []
    for name, value in settings.items():
        if value is None or value == []:
            continue
        values = value if isinstance(value, list) else [value]
        words = (str(v).lower() if isinstance(v, bool) else str(v) for v in values)
        options.append(f"--{name.replace('_', '-')} {' '.join(words)}")
    return " ".join(options)


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
