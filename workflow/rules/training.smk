# Train the network of each experiment, for sources that include lists.smk and say TRAIN_IMAGES and TRAIN_STIMULI, which are
# as TEST_IMAGES and TEST_STIMULI, RESIZED (whether images of any size are read while training, not all of one size before),
# and TRAIN_MB and TRAIN_MINUTES, the limits of the job.
from featuresharing.networks.alexnet.names import checkpoint_names
from featuresharing.workflow.sources import alexnet_of


localrules:
    plot_training,


CHECKPOINTS = checkpoint_names(config["training"]["checkpoints"])
NETWORK = "results/networks/{experiment}{nth}/{checkpoint}.pt"
NETWORKS = {experiment: checked(alexnet_of, SETTINGS, experiment) for experiment in EXPERIMENTS}
IMAGE_SIZE = {}
MORE_TARGETS = ["results/figures/training.png"]

# Keys that change no weight, and those that the kind of images or the optimiser leaves without effect.
WATCHED = ["workers", "log_every"]
FOREIGN = ["shift"] if RESIZED else ["crop", "flip"]
if config["training"]["optimiser"] != "sgd":
    FOREIGN += ["decay_at", "decay", "momentum"]
TRAINING = {key: value for key, value in seeded("training").items() if key not in WATCHED + FOREIGN}
TRAINING["resize"] = RESIZED


rule train_network:
    input:
        images=TRAIN_IMAGES,
        list="results/lists/{experiment}/train.txt",
        classes=rules.list_images.output.classes,
    output:
        checkpoints=expand("results/networks/{{experiment}}{{nth}}/{checkpoint}.pt", checkpoint=CHECKPOINTS),
        log="results/networks/{experiment}{nth}/training.csv",
    log:
        "results/logs/train_network/{experiment}{nth}.log",
    benchmark:
        "results/benchmarks/train_network/{experiment}{nth}.tsv"
    conda:
        ENVIRONMENT
    threads: config["training"]["threads"] * config["training"]["processes"] + config["training"]["workers"]
    resources:
        mem_mb=TRAIN_MB,
        runtime=TRAIN_MINUTES,
        gpu=GPUS * config["training"]["processes"],
    params:
        settings=lambda wildcards: flags(
            reseeded(TRAINING, wildcards) | config["network"] | {"image_size": config["images"]["image_size"]}
        ),
        stimuli=lambda wildcards: TRAIN_STIMULI,
        unrecorded=unrecorded(flags({"device": config["device"]} | {key: config["training"][key] for key in WATCHED})),
        folder=folder_of_output,
        numerics=NUMERICS["training"],
    message:
        "Training the network of {wildcards.experiment}{wildcards.nth}."
    shell:
        "featuresharing train {params.settings:q} {params.unrecorded:q} --list {input.list:q} --classes {input.classes:q}"
        " --wait {resources.runtime} --output-folder {params.folder:q} > {log:q} 2>&1"


rule plot_training:
    input:
        logs=expand(rules.train_network.output.log, experiment=EXPERIMENTS, nth=REPLICATES),
        accuracy="results/tables/accuracy.csv",
        lists=expand("results/lists/{experiment}/test.txt", experiment=EXPERIMENTS),
        classes=expand(rules.list_images.output.classes, experiment=EXPERIMENTS),
    output:
        report(
            "results/figures/training.{format}",
            caption="../report/training.rst",
            category="6 Networks",
            labels={"figure": "training"},
        ),
    log:
        "results/logs/plot_training.{format}.log",
    conda:
        ENVIRONMENT
    params:
        page=flags(PAGE),
        tasks=ALL_TASKS,
        logs=lambda wildcards, input: by_experiment(input.logs),
        lists=lambda wildcards, input: by_experiment(input.lists),
        classes=lambda wildcards, input: by_experiment(input.classes),
    message:
        "Plotting training."
    shell:
        "featuresharing plot-training {params.page:q} --logs {params.logs:q} --accuracy {input.accuracy:q}"
        " --lists {params.lists:q} --classes {params.classes:q} --tasks {params.tasks:q}"
        " --output {output:q} > {log:q} 2>&1"
