# Train the network of each experiment, predict the test images, keep those that are right in every task.


localrules:
    select_images,


rule train_network:
    input:
        images=rules.render_images.output.train,
        list="results/lists/{experiment}/train.txt",
        classes=rules.list_images.output.classes,
    output:
        checkpoints=expand("results/networks/{{experiment}}/{checkpoint}.pt", checkpoint=CHECKPOINTS),
        log="results/networks/{experiment}/training.csv",
    log:
        "results/logs/train_network/{experiment}.log",
    benchmark:
        "results/benchmarks/train_network/{experiment}.tsv"
    conda:
        "../envs/featuresharing.yaml"
    threads: config["training"]["threads"]
    resources:
        mem_mb=3000,
        runtime=60,
        gpu=GPUS,
    params:
        settings=flags(seeded("training") | config["network"] | {"image_size": config["images"]["image_size"]}),
        device=config["device"],
        numerics=NUMERICS,
    message:
        "Training the network of {wildcards.experiment}."
    shell:
        "featuresharing train {params.settings} --device {params.device} --list {input.list} --classes {input.classes}"
        " --output-folder results/networks/{wildcards.experiment} > {log} 2>&1"


rule predict_images:
    input:
        images=rules.render_images.output.test,
        list="results/lists/{experiment}/test.txt",
        classes=rules.list_images.output.classes,
        checkpoint="results/networks/{experiment}/{checkpoint}.pt",
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
        runtime=10,
        gpu=GPUS,
    params:
        device=config["device"],
        numerics=NUMERICS,
    message:
        "Predicting the test images of {wildcards.experiment} with checkpoint {wildcards.checkpoint}."
    shell:
        "featuresharing predict --checkpoint {input.checkpoint} --list {input.list} --classes {input.classes}"
        " --device {params.device} --threads {threads} --output {output} > {log} 2>&1"


# The last checkpoint chooses for all: at the first, hardly an image is right, and curves compare the same images.
rule select_images:
    input:
        images=rules.render_images.output.test,
        list="results/lists/{experiment}/test.txt",
        classes=rules.list_images.output.classes,
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
        settings=flags(config["baseline"] | {"seed": config["seed"]}),
        numerics=NUMERICS,
    message:
        "Keeping images of {wildcards.experiment} that are right in every task."
    shell:
        "featuresharing select-images {params.settings} --list {input.list} --classes {input.classes}"
        " --predictions {input.predictions} --output {output.list} > {log} 2>&1"
