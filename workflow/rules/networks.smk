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
        "results/baseline/{experiment}/{checkpoint}.h5",
    log:
        "results/logs/predict_images/{experiment}/{checkpoint}.log",
    benchmark:
        "results/benchmarks/predict_images/{experiment}/{checkpoint}.tsv"
    conda:
        "../envs/featuresharing.yaml"
    resources:
        mem_mb=2000,
        runtime=PREDICT_MINUTES,
        gpu=GPUS,
    params:
        settings=flags({"undecodable": config["baseline"]["undecodable"]} | IMAGE_SIZE),
        device=config["device"],
        numerics=NUMERICS,
    message:
        "Predicting the test images of {wildcards.experiment} with checkpoint {wildcards.checkpoint}."
    shell:
        "featuresharing predict {params.settings} --checkpoint {input.checkpoint} --list {input.list} --classes {input.classes}"
        " --device {params.device} --threads {threads} --output {output} > {log} 2>&1"


# The last checkpoint chooses for all: at the first, hardly an image is right, and curves compare the same images.
rule select_images:
    input:
        images=TEST_IMAGES,
        list="results/lists/{experiment}/test.txt",
        classes="results/lists/{experiment}/classes.csv",
        predictions=f"results/baseline/{{experiment}}/{LAST}.h5",
    output:
        list="results/baseline/{experiment}/kept.txt",
        table="results/baseline/{experiment}/kept.csv",
    log:
        "results/logs/select_images/{experiment}.log",
    conda:
        "../envs/featuresharing.yaml"
    resources:
        mem_mb=500,
        runtime=5,
    params:
        settings=flags({"max_images": config["baseline"]["max_images"], "seed": config["seed"]}),
        numerics=NUMERICS,
    message:
        "Keeping images of {wildcards.experiment} that are right in every task."
    shell:
        "featuresharing select-images {params.settings} --list {input.list} --classes {input.classes}"
        " --predictions {input.predictions} --output {output.list} > {log} 2>&1"
