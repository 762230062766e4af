# The config, read and checked before anything else uses it.
import os
from pathlib import Path

from featuresharing.settings.checking import check_config, check_writable
from featuresharing.settings.configfiles import check_config_files, complete_config, read_yaml
from featuresharing.errors import InputError
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


# Imported into another workflow, this one gets its config from that one.
IMPORTED = Path(workflow.basedir).resolve() != beside("..")

try:
    check_config_files([] if IMPORTED else ["config/config.yaml", *workflow.configfiles])
except InputError as error:
    raise WorkflowError(str(error)) from None


configfile: "config/config.yaml"


try:
    schema, defaults = beside("../schemas/config.schema.yaml"), beside("../../config/config.yaml")
    config = complete_config(config, read_yaml(defaults), workflow.config_settings.config, read_yaml(schema))
    check_config(config, schema)
    check_writable(Path("results"))
    SOURCE = find_source(config["source"], beside("sources"))
except InputError as error:
    raise WorkflowError(str(error)) from None
