# The config, read and checked before anything else uses it.
import os
from pathlib import Path

from featuresharing.errors import InputError
from featuresharing.settings import Config
from featuresharing.settings.checking import check_config, check_writable
from featuresharing.settings.configfiles import check_config_files, complete_config, read_yaml, write_yaml
from featuresharing.settings.plugins import own_blocks
from featuresharing.workflow.sources import find_source

from snakemake.exceptions import WorkflowError


def beside(name):
    """Return where a file of this workflow is by its path from this one, whoever imports the workflow."""
    if not isinstance(workflow.current_basedir, os.PathLike):
        found = workflow.current_basedir.get_path_or_uri(secret_free=True)
        raise WorkflowError(
            f"{found} is not on this machine; accepted is the Snakefile of a clone, which has drawings too."
        )
    return (Path(workflow.current_basedir) / name).resolve()


RULES = beside(".")

# Imported into another workflow, this one gets its config from that one.
IMPORTED = Path(workflow.basedir).resolve() != beside("..")

try:
    check_config_files([] if IMPORTED else ["config/config.yaml", *workflow.configfiles])
except InputError as error:
    raise WorkflowError(str(error)) from None


configfile: "config/config.yaml"


try:
    # beneath a config are the demo's own values, and beneath those the defaults of the settings
    demo = complete_config(read_yaml(beside("../../config/config.yaml")), Config.defaults())
    given = complete_config(config, demo, workflow.config_settings.config)
    SETTINGS = check_config(given)
    config = SETTINGS.as_config() | own_blocks(given)
    check_writable(Path("results"))
    SOURCE = find_source(config["source"], beside("sources"))
except InputError as error:
    raise WorkflowError(str(error)) from None


def look_for_jobs_when_one_ends(scheduler):
    """Take Snakemake's usual limit of 100 starts a second away: no run of ours starts as many.

    For its sake Snakemake looks for jobs again a second after every time it looked, and each job that ends adds a time: after
    some hundred jobs it does little else.
    """
    limiter = getattr(scheduler, "job_rate_limiter", None)
    if limiter and (limiter.max_jobs, limiter.timespan) == (100, 1):
        scheduler.job_rate_limiter = None


# Not on dry runs, nor in jobs, nor where another workflow imports this one.
onstart:
    look_for_jobs_when_one_ends(workflow.scheduler)
    try:
        write_yaml(config, Path("results/config.yaml"))
    except InputError as error:
        raise WorkflowError(str(error)) from None
