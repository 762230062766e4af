# Predict the test images, and keep those that are right in every task.


localrules:
    select_images,


rule predict_images:
    input:
        images=TEST_IMAGES,
        list="results/lists/{experiment}/test.txt",
        classes="results/lists/{experiment}/classes.csv",
        checkpoint=NETWORK,
    output:
        "results/baseline/{experiment}{nth}/{checkpoint}.h5",
    log:
        "results/logs/predict_images/{experiment}{nth}/{checkpoint}.log",
    benchmark:
        "results/benchmarks/predict_images/{experiment}{nth}/{checkpoint}.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=lambda wildcards, attempt: predict_mb(DESCRIPTIONS[wildcards.experiment], attempt),
        runtime=PREDICT_MINUTES,
        gpu=GPUS,
    params:
        settings=lambda wildcards: flags(IMAGE_SIZE | named(wildcards)),
        device=unrecorded(config["device"]),
        undecodable=unrecorded(config["baseline"]["undecodable"]),
        stimuli=stimuli_of,
        numerics=NUMERICS["predictions"],
    message:
        "Predicting the test images of {wildcards.experiment}{wildcards.nth} with checkpoint {wildcards.checkpoint}."
    shell:
        "featuresharing predict {params.settings:q} --undecodable {params.undecodable:q}"
        " --experiment {wildcards.experiment:q} --checkpoint-name {wildcards.checkpoint:q}"
        " --checkpoint {input.checkpoint:q} --list {input.list:q} --classes {input.classes:q}"
        " --device {params.device:q} --threads {threads} --output {output:q} > {log:q} 2>&1"


# The last checkpoint chooses for all: at the first, hardly an image is right, and curves compare the same images.
# What it warns of, such as few images, is shown as well as logged.
rule select_images:
    input:
        images=TEST_IMAGES,
        list="results/lists/{experiment}/test.txt",
        classes="results/lists/{experiment}/classes.csv",
        predictions=f"results/baseline/{{experiment}}{{nth}}/{LAST}.h5",
    output:
        list="results/baseline/{experiment}{nth}/kept.txt",
        table="results/baseline/{experiment}{nth}/kept.csv",
    log:
        "results/logs/select_images/{experiment}{nth}.log",
    conda:
        ENVIRONMENT
    resources:
        mem_mb=500,
        runtime=5,
    params:
        settings=lambda wildcards: flags(
            reseeded({"max_images": config["baseline"]["max_images"], "seed": config["seed"]}, wildcards)
        ),
        stimuli=stimuli_of,
        numerics=NUMERICS["predictions"],
    message:
        "Keeping images of {wildcards.experiment}{wildcards.nth} that are right in every task."
    # whoever runs the workflow sees warnings, which would be missed in the log
    shell:
        "featuresharing select-images {params.settings:q} --list {input.list:q} --classes {input.classes:q}"
        " --predictions {input.predictions:q} --output {output.list:q} > {log:q} 2>&1"
        " && {{ grep '^warning: ' {log:q} >&2 || true; }}"
