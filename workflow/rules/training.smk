# Train the network of each experiment.


localrules:
    plot_training,


rule train_network:
    input:
        images=TRAIN_IMAGES,
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
    threads: config["training"]["threads"] * config["training"]["processes"] + config["training"]["workers"]
    resources:
        mem_mb=3000 if config["source"] == "drawings" else 16000,
        runtime=60 if config["source"] == "drawings" else 1440,
        gpu=GPUS * config["training"]["processes"],
    params:
        settings=flags(
            seeded("training")
            | config["network"]
            | {"image_size": config["images"]["image_size"], "resize": config["source"] == "folders"}
        ),
        device=config["device"],
        numerics=NUMERICS,
    message:
        "Training the network of {wildcards.experiment}."
    shell:
        "featuresharing train {params.settings} --device {params.device} --list {input.list} --classes {input.classes}"
        " --wait {resources.runtime} --output-folder results/networks/{wildcards.experiment} > {log} 2>&1"


rule plot_training:
    input:
        logs=expand(rules.train_network.output.log, experiment=EXPERIMENTS),
        accuracy="results/tables/accuracy.csv",
    output:
        report(
            "results/figures/training.png",
            caption="../report/training.rst",
            category="Networks",
            labels={"figure": "training"},
        ),
    log:
        "results/logs/plot_training.log",
    conda:
        "../envs/featuresharing.yaml"
    message:
        "Plotting training."
    shell:
        "featuresharing plot-training --logs {input.logs} --accuracy {input.accuracy} --output {output} > {log} 2>&1"
