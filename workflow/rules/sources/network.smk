# Networks, tasks and images of one's own: a block an experiment.
import json

from featuresharing.settings.block import plain
from featuresharing.workflow.own_networks import (
    array_files,
    checkpoints_of,
    definition_of,
    images_of,
    network_of,
    own_problems,
    sizes_of_images,
    stimulus_options,
)

checked(own_problems, SETTINGS)


localrules:
    define_network,
    import_stimuli,


CHECKPOINTS = checkpoints_of(SETTINGS)
NETWORK = "results/networks/{experiment}/{checkpoint}.json"
NETWORKS = {name: network_of(experiment, CHECKPOINTS[-1], config["seed"]) for name, experiment in EXPERIMENTS.items()}
IMAGE_SIZE = {}
TEST_STIMULI = {name: checked(sizes_of_images, experiment) for name, experiment in EXPERIMENTS.items()}
PREDICT_MINUTES = 120
MORE_TARGETS = []


def TEST_IMAGES(wildcards):
    """Return the files of arrays that test images are in; of images in files of their own, TEST_STIMULI has the sizes."""
    return array_files(EXPERIMENTS[wildcards.experiment])


def definition(wildcards):
    """Return the definition of an experiment's network at a checkpoint."""
    return definition_of(EXPERIMENTS[wildcards.experiment], wildcards.checkpoint, config["seed"])


def preprocessing(wildcards):
    """Return what the config says of an experiment's preprocessing, as JSON."""
    return json.dumps(plain(EXPERIMENTS[wildcards.experiment].preprocessing))


rule import_stimuli:
    input:
        lambda wildcards: images_of(EXPERIMENTS[wildcards.experiment])[0],
    output:
        list="results/lists/{experiment}/test.txt",
        classes="results/lists/{experiment}/classes.csv",
    log:
        "results/logs/import_stimuli/{experiment}.log",
    conda:
        ENVIRONMENT
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        settings=lambda wildcards: flags(
            stimulus_options(EXPERIMENTS[wildcards.experiment], DESCRIPTIONS[wildcards.experiment].heads)
        ),
        stimuli=stimuli_of,
        folder=folder_of_output,
        numerics=NUMERICS["stimuli"],
    message:
        "Listing the images and classes of {wildcards.experiment}."
    shell:
        "featuresharing import-stimuli {params.settings:q} --output-folder {params.folder:q} > {log:q} 2>&1"


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
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        definition=lambda wildcards: json.dumps(definition(wildcards).values()),
        preprocessing=preprocessing,
    message:
        "Defining the network of {wildcards.experiment}, checkpoint {wildcards.checkpoint}."
    shell:
        "featuresharing define-network --definition {params.definition:q} --preprocessing {params.preprocessing:q}"
        " --list {input.list:q} --output {output:q} > {log:q} 2>&1"
