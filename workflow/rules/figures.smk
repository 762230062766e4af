# Pictures of units, their animation over checkpoints, and curves of sharing and training.


localrules:
    plot_units,
    animate_units,
    plot_sharing,


OTHER_STYLE = {"milliseconds"} | ({"grid", "columns"} if config["figures"]["layout"] == "sunflower" else set())
STYLE = {key: value for key, value in config["figures"].items() if key not in OTHER_STYLE}


rule plot_units:
    input:
        rules.marginalize_layer.output,
    output:
        report(
            "results/figures/{experiment}{nth}/{layer}_{checkpoint}.{format}",
            caption="../report/units.rst",
            category="Units",
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
            category="Units over training",
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
        rules.tabulate_sharing.output,
    output:
        report(
            "results/figures/sharing.{format}",
            caption="../report/sharing.rst",
            category="Sharing",
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
    message:
        "Plotting sharing against layer."
    shell:
        "featuresharing plot-sharing {params.page:q} --sharing {input:q} --layers {params.layers:q} --checkpoint {params.checkpoint:q}"
        " --output {output:q} > {log:q} 2>&1"
