# One page, opened from disk, in which every unit of all layers can be looked at.


localrules:
    build_explorer,


# Pictures of what drives units are made on request: the page shows those that are there when it is made.
DRAWN = [
    folder
    for folder in expand(
        "results/features/{experiment}/{layer}_{checkpoint}", experiment=EXPERIMENTS, layer=LAYERS, checkpoint=LAST
    )
    if os.path.isdir(folder)
]


rule build_explorer:
    input:
        contributions=rules.tabulate_contributions.output,
        sharing=rules.tabulate_sharing.output.sharing,
        over_networks=rules.tabulate_sharing.output.over_networks,
        lesions=rules.tabulate_lesions.output,
        images=rules.tabulate_images.output,
        accuracy=rules.tabulate_accuracy.output,
        kept=expand("results/baseline/{experiment}{nth}/kept.txt", experiment=EXPERIMENTS, nth=REPLICATES),
    output:
        report(
            "results/explorer.html",
            caption="../report/explorer.rst",
            category="1 Summary",
            labels={"page": "explorer"},
        ),
    log:
        "results/logs/build_explorer.log",
    benchmark:
        "results/benchmarks/build_explorer.tsv"
    conda:
        ENVIRONMENT
    params:
        settings=flags(
            {key: config["figures"][key] for key in ("colour_scale", "limits", "palette")}
            | {"method": config["evidence"]["method"], "near_zero": config["sharing"]["near_zero"]}
            | {"softmax": config["lesions"]["softmax"] or not LESION}
            | {"features": "results/features" if DRAWN else None}
        ),
        kept=lambda wildcards, input: by_experiment(input.kept),
        sorting=[f"{name}={experiment.sorting_task}" for name, experiment in EXPERIMENTS.items()],
        tasks=ALL_TASKS,
        drawn=DRAWN,
    message:
        "Building the page to explore."
    shell:
        "featuresharing build-explorer {params.settings:q} --contributions-table {input.contributions:q}"
        " --sharing-table {input.sharing:q} --sharing-over-networks-table {input.over_networks:q}"
        " --lesions-table {input.lesions:q} --accuracy-table {input.accuracy:q} --images-table {input.images:q}"
        " --kept {params.kept:q}"
        " --sort-by {params.sorting:q} --tasks {params.tasks:q} --output {output:q} > {log:q} 2>&1"
