# The paper's own archives: downloaded or put in place by hand, checked, extracted, and brought into the workflow's form.
from featuresharing.workflow.sources import alexnet_of, archives_problems

checked(archives_problems, SETTINGS)


localrules:
    download_archive,
    extract_archive,
    import_list,
    import_model,


ARCHIVES = {archive["file"]: archive for archive in config["archives"]["files"].values()}
EXTRACTED = {part: f"results/archives/{part}" for part in config["archives"]["files"]}
TEST_IMAGES, TEST_STIMULI = "results/archives/images", []
PREDICT_MINUTES = 120

# Torch7 models do not say how large their images are. They have to have the sizes of the config.
CHECKPOINTS = ["pretrained"]
NETWORK = "results/networks/{experiment}/{checkpoint}.t7"
NETWORKS = {experiment: checked(alexnet_of, SETTINGS, experiment) for experiment in EXPERIMENTS}
IMAGE_SIZE = {"image_size": config["images"]["image_size"]}
MORE_TARGETS = []


wildcard_constraints:
    file=alternatives(ARCHIVES),
    part=alternatives(EXTRACTED),


def archive_checks(archive):
    """Return what an archive is compared with, as options."""
    return flags({key: archive[key] for key in ("size", "sha256")})


rule download_archive:
    output:
        f"{config['archives']['folder']}/{{file}}",
    log:
        "results/logs/download_archive/{file}.log",
    conda:
        ENVIRONMENT
    params:
        urls=lambda wildcards, output: [f"{url.rstrip('/')}/{wildcards.file}" for url in config["archives"]["urls"]],
        checks=lambda wildcards, output: archive_checks(ARCHIVES[wildcards.file]),
    message:
        "Downloading {wildcards.file}."
    shell:
        "featuresharing download {params.checks:q} --urls {params.urls:q} --output={output:q} > {log:q} 2>&1"


rule extract_archive:
    input:
        lambda wildcards: f"{config['archives']['folder']}/{config['archives']['files'][wildcards.part]['file']}",
    output:
        directory("results/archives/{part}"),
    log:
        "results/logs/extract_archive/{part}.log",
    conda:
        ENVIRONMENT
    params:
        checks=lambda wildcards, output: archive_checks(config["archives"]["files"][wildcards.part]),
    message:
        "Extracting the archive of {wildcards.part}."
    shell:
        "featuresharing extract {params.checks:q} --archive={input:q} --output-folder={output:q} > {log:q} 2>&1"


rule import_list:
    input:
        models=EXTRACTED["models"],
        images=EXTRACTED["images"],
    output:
        list="results/lists/{experiment}/test.txt",
        classes="results/lists/{experiment}/classes.csv",
    log:
        "results/logs/import_list/{experiment}.log",
    conda:
        ENVIRONMENT
    params:
        tasks=lambda wildcards: EXPERIMENTS[wildcards.experiment].task_names,
        class_map=lambda wildcards: EXPERIMENTS[wildcards.experiment].class_map,
        list=lambda wildcards: EXPERIMENTS[wildcards.experiment].image_list,
        folder=folder_of_output,
        numerics=NUMERICS["stimuli"],
    message:
        "Listing the images and classes of {wildcards.experiment}."
    shell:
        "featuresharing import-list --list {input.images:q}/{params.list:q} --images {input.images:q}/images"
        " --class-map {input.models:q}/{params.class_map:q} --tasks {params.tasks:q}"
        " --output-folder {params.folder:q} > {log:q} 2>&1"


rule import_model:
    input:
        models=EXTRACTED["models"],
        classes=rules.import_list.output.classes,
    output:
        "results/networks/{experiment}/{checkpoint}.t7",
    log:
        "results/logs/import_model/{experiment}/{checkpoint}.log",
    conda:
        ENVIRONMENT
    params:
        model=lambda wildcards: EXPERIMENTS[wildcards.experiment].model,
        settings=lambda wildcards: flags(
            IMAGE_SIZE
            | {"layers": [f"{path}={JOBS[wildcards.experiment, layer].cost.units}" for layer, path in LAYERS.items()]}
        ),
    message:
        "Checking the model of {wildcards.experiment}."
    shell:
        "featuresharing import-model {params.settings:q} --model {input.models:q}/{params.model:q} --classes {input.classes:q}"
        " --output {output:q} > {log:q} 2>&1"
