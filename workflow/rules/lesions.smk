# How accuracy falls as more and more units of a layer are removed, those that a task relies on most first.


localrules:
    tabulate_lesions,
    plot_lesions,


rule measure_lesions:
    input:
        images=TEST_IMAGES,
        list="results/baseline/{experiment}{nth}/kept.txt",
        classes="results/lists/{experiment}/classes.csv",
        checkpoint=NETWORK,
        conditionals=rules.marginalize_layer.output,
    output:
        "results/lesion_curves/{experiment}{nth}/{layer}_{checkpoint}.csv",
    log:
        "results/logs/measure_lesions/{experiment}{nth}/{layer}_{checkpoint}.log",
    benchmark:
        "results/benchmarks/measure_lesions/{experiment}{nth}/{layer}_{checkpoint}.tsv"
    conda:
        ENVIRONMENT
    threads: config["jobs"]["threads"]
    resources:
        mem_mb=memory_of_job,
        runtime=lesion_minutes,
        gpu=GPUS,
    params:
        settings=lambda wildcards: flags(
            {key: config["lesions"][key] for key in ("steps", "random_orders")}
            | EVIDENCE
            | reseeded({"seed": config["seed"], "engine": config["marginalization"]["engine"]}, wildcards)
            | IMAGE_SIZE
        ),
        device=unrecorded(config["device"]),
        stimuli=stimuli_of,
        columns=TABLES["lesions"].names,
        numerics=[NUMERICS[stage] for stage in ("evidence", "removal", "lesions")],
    message:
        "Removing units of {wildcards.layer} in {wildcards.experiment}{wildcards.nth}, checkpoint {wildcards.checkpoint}."
    shell:
        "featuresharing lesion-curves {params.settings:q} --conditionals {input.conditionals:q}"
        " --checkpoint {input.checkpoint:q} --list {input.list:q} --classes {input.classes:q}"
        " --device {params.device:q} --threads {threads} --memory $(({resources.mem_mb} / 2))"
        " --wait {resources.runtime} --output {output:q} > {log:q} 2>&1"


rule tabulate_lesions:
    input:
        expand(rules.measure_lesions.output, experiment=EXPERIMENTS, nth=REPLICATES, layer=LAYERS, checkpoint=LAST),
    output:
        report(
            "results/tables/lesions.csv",
            caption="../report/lesions_table.rst",
            **titled("lesions"),
        ),
    log:
        "results/logs/tabulate_lesions.log",
    conda:
        ENVIRONMENT
    message:
        "Tabulating lesions."
    shell:
        "featuresharing tabulate-lesions --curves {input:q} --output {output:q} > {log:q} 2>&1"


rule plot_lesions:
    input:
        expand(rules.measure_lesions.output, nth=REPLICATES, layer=LAYERS, checkpoint=LAST, allow_missing=True),
    output:
        report(
            "results/figures/{experiment}/lesions.{format}",
            caption="../report/lesions.rst",
            category="5 Lesions",
            labels={"figure": "accuracy without units", "experiment": "{experiment}"},
        ),
    log:
        "results/logs/plot_lesions/{experiment}.{format}.log",
    conda:
        ENVIRONMENT
    params:
        settings=flags(PAGE | {"threshold": config["lesions"]["threshold"]}),
        tasks=ALL_TASKS,
    message:
        "Plotting lesions of {wildcards.experiment}."
    shell:
        "featuresharing plot-lesions {params.settings:q} --curves {input:q} --tasks {params.tasks:q} --output {output:q}"
        " > {log:q} 2>&1"
