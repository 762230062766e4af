# Pictures of units, their animation over checkpoints, and curves of sharing and training.


localrules:
    plot_units,
    animate_units,
    plot_sharing,
    plot_sharing_over_training,


OTHER_STYLE = {"milliseconds"} | ({"grid", "columns"} if config["figures"]["layout"] == "sunflower" else set())
STYLE = {key: value for key, value in config["figures"].items() if key not in OTHER_STYLE}


rule plot_units:
    input:
        rules.marginalize_layer.output,
    output:
        report(
            "results/figures/{experiment}{nth}/{layer}_{checkpoint}.{format}",
            caption="../report/units.rst",
            category="3 Units",
            subcategory="{experiment}{nth}",
            labels={"layer": "{layer}", "checkpoint": "{checkpoint}"},
        ),
    log:
        "results/logs/plot_units/{experiment}{nth}/{layer}_{checkpoint}.{format}.log",
    benchmark:
        "results/benchmarks/plot_units/{experiment}{nth}/{layer}_{checkpoint}.{format}.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=500,
        runtime=5,
    params:
        settings=lambda wildcards: flags(EVIDENCE | STYLE | {"sort_by": EXPERIMENTS[wildcards.experiment].sorting_task}),
        numerics=NUMERICS["evidence"],
    message:
        "Plotting the units of {wildcards.layer} in {wildcards.experiment}{wildcards.nth}, checkpoint {wildcards.checkpoint}."
    shell:
        "featuresharing plot-units {params.settings:q} --conditionals {input:q} --output {output:q} > {log:q} 2>&1"


rule animate_units:
    input:
        expand("results/figures/{{experiment}}{{nth}}/{{layer}}_{checkpoint}.png", checkpoint=CHECKPOINTS),
    output:
        report(
            "results/figures/{experiment}{nth}/{layer}.gif",
            caption="../report/animation.rst",
            category="4 Units over training",
            subcategory="{experiment}{nth}",
            labels={"layer": "{layer}"},
        ),
    log:
        "results/logs/animate_units/{experiment}{nth}/{layer}.log",
    conda:
        ENVIRONMENT
    resources:
        mem_mb=500,
        runtime=5,
    params:
        milliseconds=config["figures"]["milliseconds"],
    message:
        "Animating the units of {wildcards.layer} in {wildcards.experiment}{wildcards.nth}."
    shell:
        "featuresharing animate-units --frames {input:q} --milliseconds {params.milliseconds:q} --output {output:q}"
        " > {log:q} 2>&1"


rule plot_sharing:
    input:
        sharing=rules.tabulate_sharing.output.sharing,
        over_networks=rules.tabulate_sharing.output.over_networks,
    output:
        report(
            "results/figures/sharing.{format}",
            caption="../report/sharing.rst",
            category="2 Sharing",
            labels={"figure": "sharing against layer"},
        ),
    log:
        "results/logs/plot_sharing.{format}.log",
    conda:
        ENVIRONMENT
    params:
        page=flags(PAGE),
        layers=list(LAYERS),
        checkpoint=LAST,
        tasks=ALL_TASKS,
    message:
        "Plotting sharing against layer."
    shell:
        "featuresharing plot-sharing {params.page:q} --sharing {input.sharing:q} --over-networks {input.over_networks:q}"
        " --layers {params.layers:q} --checkpoint {params.checkpoint:q} --tasks {params.tasks:q} --output {output:q}"
        " > {log:q} 2>&1"


rule plot_sharing_over_training:
    input:
        rules.tabulate_sharing.output.over_networks,
    output:
        report(
            "results/figures/sharing_over_training.{format}",
            caption="../report/sharing_over_training.rst",
            category="2 Sharing",
            labels={"figure": "sharing over training"},
        ),
    log:
        "results/logs/plot_sharing_over_training.{format}.log",
    conda:
        ENVIRONMENT
    params:
        page=flags(PAGE),
        layers=list(LAYERS),
        checkpoints=CHECKPOINTS,
    message:
        "Plotting sharing over training."
    shell:
        "featuresharing plot-excess-sharing {params.page:q} --over-networks {input:q} --layers {params.layers:q}"
        " --checkpoints {params.checkpoints:q} --output {output:q} > {log:q} 2>&1"
