# Networks, tasks and images of one's own: a block an experiment.
import json

from featuresharing.settings.block import plain
from featuresharing.workflow.own_networks import checkpoints_of, definition_of, own_problems

checked(own_problems, SETTINGS)


localrules:
    define_network,
    import_stimuli,


CHECKPOINTS = checkpoints_of(SETTINGS)
NETWORK = "results/networks/{experiment}/{checkpoint}.json"
NETWORKS = {
    name: DefinedNetwork(checked(definition_of, experiment, CHECKPOINTS[-1], config["seed"]))
    for name, experiment in EXPERIMENTS.items()
}
IMAGE_SIZE = {}
TEST_IMAGES = []
TEST_STIMULI = {}
PREDICT_MINUTES = 120
MORE_TARGETS = []


def definition(wildcards):
    """Return the definition of an experiment's network at a checkpoint."""
    return checked(definition_of, EXPERIMENTS[wildcards.experiment], wildcards.checkpoint, config["seed"])


def preprocessing(wildcards):
    """Return what the config says of an experiment's preprocessing, as JSON."""
    return json.dumps(plain(EXPERIMENTS[wildcards.experiment].preprocessing))


rule define_network:
    input:
        files=lambda wildcards: checked(definition(wildcards).files),
        list="results/lists/{experiment}/test.txt",
    output:
        "results/networks/{experiment}/{checkpoint}.json",
    log:
        "results/logs/define_network/{experiment}/{checkpoint}.log",
    conda:
        ENVIRONMENT
    params:
        definition=lambda wildcards: json.dumps(definition(wildcards).values()),
        preprocessing=preprocessing,
    message:
        "Defining the network of {wildcards.experiment}, checkpoint {wildcards.checkpoint}."
    shell:
        "featuresharing define-network --definition {params.definition:q} --preprocessing {params.preprocessing:q}"
        " --list {input.list:q} --output {output:q} > {log:q} 2>&1"
