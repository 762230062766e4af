# Tables over all experiments, layers and checkpoints. Their columns are params: a table of another form is made anew.


localrules:
    tabulate_accuracy,
    tabulate_contributions,
    tabulate_sharing,
    tabulate_images,


EVERY_LAYER = expand(
    rules.marginalize_layer.output, experiment=EXPERIMENTS, nth=REPLICATES, layer=LAYERS, checkpoint=CHECKPOINTS
)


rule tabulate_accuracy:
    input:
        expand(rules.predict_images.output, experiment=EXPERIMENTS, nth=REPLICATES, checkpoint=CHECKPOINTS),
    output:
        report(
            "results/tables/accuracy.csv",
            caption="../report/accuracy.rst",
            **titled("accuracy"),
        ),
    log:
        "results/logs/tabulate_accuracy.log",
    conda:
        ENVIRONMENT
    params:
        columns=TABLES["accuracy"].names,
    message:
        "Tabulating accuracy."
    shell:
        "featuresharing tabulate-accuracy --predictions {input:q} --output {output:q} > {log:q} 2>&1"


rule tabulate_contributions:
    input:
        EVERY_LAYER,
    output:
        report(
            "results/tables/contributions.csv",
            caption="../report/contributions.rst",
            **titled("contributions"),
        ),
    log:
        "results/logs/tabulate_contributions.log",
    benchmark:
        "results/benchmarks/tabulate_contributions.tsv"
    conda:
        ENVIRONMENT
    params:
        conditionals=every_layer,
        settings=flags(EVIDENCE),
        columns=TABLES["contributions"].names,
        numerics=NUMERICS["evidence"],
    message:
        "Tabulating contributions."
    shell:
        "featuresharing tabulate-contributions {params.settings:q} --conditionals {params.conditionals}"
        " --output {output:q} > {log:q} 2>&1"


rule tabulate_sharing:
    input:
        EVERY_LAYER,
    output:
        sharing=report(
            "results/tables/sharing.csv",
            caption="../report/sharing_table.rst",
            **titled("sharing"),
        ),
        overlap=report(
            "results/tables/overlap.csv",
            caption="../report/overlap_table.rst",
            **titled("overlap"),
        ),
        over_networks=report(
            "results/tables/sharing_over_networks.csv",
            caption="../report/over_networks_table.rst",
            **titled("sharing_over_networks"),
        ),
        trends=report(
            "results/tables/trends.csv",
            caption="../report/trends_table.rst",
            **titled("trends"),
        ),
    log:
        "results/logs/tabulate_sharing.log",
    benchmark:
        "results/benchmarks/tabulate_sharing.tsv"
    conda:
        ENVIRONMENT
    params:
        conditionals=every_layer,
        settings=flags(EVIDENCE | config["sharing"] | {"seed": config["seed"]}),
        layers=list(LAYERS),
        checkpoints=CHECKPOINTS,
        columns=[TABLES[name].names for name in ("sharing", "overlap", "sharing over networks", "trends")],
        numerics=[NUMERICS[stage] for stage in ("evidence", "sharing")],
    message:
        "Tabulating sharing."
    shell:
        "featuresharing tabulate-sharing {params.settings:q} --layers {params.layers:q} --checkpoints {params.checkpoints:q}"
        " --conditionals {params.conditionals} --output {output.sharing:q} --overlap {output.overlap:q}"
        " --over-networks {output.over_networks:q} --trends {output.trends:q} > {log:q} 2>&1"


# No part of the report: too long to be read.
rule tabulate_images:
    input:
        conditionals=expand(
            rules.marginalize_layer.output,
            experiment=EXPERIMENTS,
            nth=REPLICATES,
            layer=LAYERS,
            checkpoint=LAST,
        ),
        kept=expand(rules.select_images.output.table, experiment=EXPERIMENTS, nth=REPLICATES),
    output:
        "results/tables/images.csv",
    log:
        "results/logs/tabulate_images.log",
    benchmark:
        "results/benchmarks/tabulate_images.tsv"
    conda:
        ENVIRONMENT
    params:
        settings=flags(EVIDENCE),
        columns=TABLES["images"].names,
        numerics=NUMERICS["evidence"],
    message:
        "Tabulating the images on which units matter most."
    shell:
        "featuresharing tabulate-images {params.settings:q} --conditionals {input.conditionals:q} --kept {input.kept:q}"
        " --output {output:q} > {log:q} 2>&1"
