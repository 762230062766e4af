# Pictures of units, their animation over checkpoints, and curves of sharing and training.


localrules:
    plot_units,
    animate_units,
    plot_sharing,


STYLE = {key: value for key, value in config["figures"].items() if key != "milliseconds"}


rule plot_units:
    input:
        rules.marginalize_layer.output,
    output:
        report(
            "results/figures/{experiment}/{layer}_{checkpoint}.png",
            caption="../report/units.rst",
            category="Units",
            subcategory="{experiment}",
            labels={"layer": "{layer}", "checkpoint": "{checkpoint}"},
        ),
    log:
        "results/logs/plot_units/{experiment}/{layer}_{checkpoint}.log",
    benchmark:
        "results/benchmarks/plot_units/{experiment}/{layer}_{checkpoint}.tsv"
    conda:
        "../envs/featuresharing.yaml"
    resources:
        mem_mb=500,
        runtime=5,
    params:
        settings=lambda wildcards: flags(
            config["evidence"] | STYLE | {"sort_by": EXPERIMENTS[wildcards.experiment]["sort_by"]}
        ),
        numerics=NUMERICS,
    message:
        "Plotting the units of {wildcards.layer} in {wildcards.experiment}, checkpoint {wildcards.checkpoint}."
    shell:
        "featuresharing plot-units {params.settings} --conditionals {input} --output {output} > {log} 2>&1"


rule animate_units:
    input:
        expand("results/figures/{{experiment}}/{{layer}}_{checkpoint}.png", checkpoint=CHECKPOINTS),
    output:
        report(
            "results/figures/{experiment}/{layer}.gif",
            caption="../report/animation.rst",
            category="Units over training",
            subcategory="{experiment}",
            labels={"layer": "{layer}"},
        ),
    log:
        "results/logs/animate_units/{experiment}/{layer}.log",
    conda:
        "../envs/featuresharing.yaml"
    resources:
        mem_mb=500,
        runtime=5,
    params:
        milliseconds=config["figures"]["milliseconds"],
    message:
        "Animating the units of {wildcards.layer} in {wildcards.experiment}."
    shell:
        "featuresharing animate-units --frames {input} --milliseconds {params.milliseconds} --output {output}"
        " > {log} 2>&1"


rule plot_sharing:
    input:
        rules.tabulate_sharing.output,
    output:
        report(
            "results/figures/sharing.png",
            caption="../report/sharing.rst",
            category="Sharing",
            labels={"figure": "sharing against layer"},
        ),
    log:
        "results/logs/plot_sharing.log",
    conda:
        "../envs/featuresharing.yaml"
    params:
        layers=list(LAYERS),
        checkpoint=LAST,
    message:
        "Plotting sharing against layer."
    shell:
        "featuresharing plot-sharing --sharing {input} --layers {params.layers} --checkpoint {params.checkpoint}"
        " --output {output} > {log} 2>&1"
