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
    probe_options,
    probes_of,
    sizes_of_images,
    stimulus_options,
)

checked(own_problems, SETTINGS)


localrules:
    define_frozen_network,
    define_network,
    import_all_stimuli,
    import_stimuli,
    split_list,


PROBED = [name for name, experiment in EXPERIMENTS.items() if probes_of(experiment)]
UNPROBED = [name for name in EXPERIMENTS if name not in PROBED]
CHECKPOINTS = checkpoints_of(SETTINGS)
NETWORK = "results/networks/{experiment}{nth}/{checkpoint}.json"
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
    return definition_of(
        EXPERIMENTS[wildcards.experiment], wildcards.checkpoint, config["seed"], replicate_of(wildcards)
    )


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
    wildcard_constraints:
        experiment=alternatives(UNPROBED),
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


# Where probes are trained, on some of the images, the others are analysed.
use rule import_stimuli as import_all_stimuli with:
    output:
        list="results/probes/{experiment}/test.txt",
        classes="results/probes/{experiment}/classes.csv",
    log:
        "results/logs/import_all_stimuli/{experiment}.log",
    wildcard_constraints:
        experiment=alternatives(PROBED),


rule split_list:
    input:
        list=rules.import_all_stimuli.output.list,
        classes=rules.import_all_stimuli.output.classes,
    output:
        list="results/lists/{experiment}/test.txt",
        classes="results/lists/{experiment}/classes.csv",
    log:
        "results/logs/split_list/{experiment}.log",
    wildcard_constraints:
        experiment=alternatives(PROBED),
    conda:
        ENVIRONMENT
    params:
        settings=lambda wildcards: flags(
            {"shares": probe_options(EXPERIMENTS[wildcards.experiment])["shares"], "seed": config["seed"]}
        ),
        numerics=NUMERICS["stimuli"],
    message:
        "Listing the images of {wildcards.experiment} that train no probe."
    shell:
        "featuresharing split-list {params.settings:q} --list {input.list:q} --classes {input.classes:q}"
        " --output {output.list:q} > {log:q} 2>&1 && cp {input.classes:q} {output.classes:q}"


rule train_probes:
    input:
        images=TEST_IMAGES,
        list=rules.import_all_stimuli.output.list,
        classes=rules.import_all_stimuli.output.classes,
        checkpoint="results/probes/{experiment}{nth}/{checkpoint}.json",
    output:
        "results/probes/{experiment}{nth}/{checkpoint}.npz",
    log:
        "results/logs/train_probes/{experiment}{nth}/{checkpoint}.log",
    benchmark:
        "results/benchmarks/train_probes/{experiment}{nth}/{checkpoint}.tsv"
    conda:
        ENVIRONMENT
    threads: config["jobs"]["threads"]
    resources:
        mem_mb=lambda wildcards, attempt: predict_mb(DESCRIPTIONS[wildcards.experiment], attempt),
        runtime=PREDICT_MINUTES,
        gpu=GPUS,
    params:
        settings=lambda wildcards: flags(
            probe_options(EXPERIMENTS[wildcards.experiment]) | {"seed": config["seed"]} | IMAGE_SIZE
        ),
        device=unrecorded(config["device"]),
        undecodable=unrecorded(config["baseline"]["undecodable"]),
        stimuli=stimuli_of,
        numerics=NUMERICS["probes"],
    message:
        "Training probes of {wildcards.experiment}{wildcards.nth}, checkpoint {wildcards.checkpoint}."
    shell:
        "featuresharing train-probes {params.settings:q} --undecodable {params.undecodable:q}"
        " --checkpoint {input.checkpoint:q} --list {input.list:q} --classes {input.classes:q}"
        " --device {params.device:q} --threads {threads} --output {output:q} > {log:q} 2>&1"


rule define_network:
    input:
        files=lambda wildcards: checked(definition(wildcards).files),
        list="results/lists/{experiment}/test.txt",
        probes=lambda wildcards: rules.train_probes.output if wildcards.experiment in PROBED else [],
    output:
        "results/networks/{experiment}{nth}/{checkpoint}.json",
    log:
        "results/logs/define_network/{experiment}{nth}/{checkpoint}.log",
    conda:
        ENVIRONMENT
    resources:
        mem_mb=lambda wildcards, attempt: predict_mb(DESCRIPTIONS[wildcards.experiment], attempt),
        runtime=10,
    params:
        definition=lambda wildcards: json.dumps(definition(wildcards).values()),
        preprocessing=preprocessing,
        probes=lambda wildcards, input: flags({"probes": input.get("probes") or None}),
    message:
        "Defining the network of {wildcards.experiment}{wildcards.nth}, checkpoint {wildcards.checkpoint}."
    shell:
        "featuresharing define-network --definition {params.definition:q} --preprocessing {params.preprocessing:q}"
        " {params.probes:q} --list {input.list:q} --output {output:q} > {log:q} 2>&1"


use rule define_network as define_frozen_network with:
    input:
        files=lambda wildcards: checked(definition(wildcards).files),
        list=rules.import_all_stimuli.output.list,
    output:
        "results/probes/{experiment}{nth}/{checkpoint}.json",
    log:
        "results/logs/define_frozen_network/{experiment}{nth}/{checkpoint}.log",
    wildcard_constraints:
        experiment=alternatives(PROBED),
    message:
        "Defining the network of {wildcards.experiment}{wildcards.nth} without probes, checkpoint {wildcards.checkpoint}."
