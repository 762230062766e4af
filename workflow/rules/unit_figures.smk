# Pictures of units: of a layer, of all layers, their animations over checkpoints, and of two tasks against each other.


localrules:
    plot_units,
    animate_units,
    plot_layers,
    animate_layers,
    plot_tasks,


TIMES = {"milliseconds", "hold"}
IDLE = TIMES | ({"grid", "columns"} if config["figures"]["layout"] == "sunflower" else set())
STYLE = {key: value for key, value in config["figures"].items() if key not in IDLE}
LAYERS_STYLE = {
    key: value for key, value in config["figures"].items() if key not in TIMES | {"layout", "columns", "numbers"}
}
FRAMES = {key: config["figures"][key] for key in TIMES}

# The checkpoint whose contributions sort units: none where each is sorted by its own, or not at all.
SORTING = {"first": CHECKPOINTS[0], "last": LAST}.get(config["figures"]["sort"])
REFERENCE = expand(rules.marginalize_layer.output, checkpoint=SORTING, allow_missing=True) if SORTING else []


rule plot_units:
    input:
        conditionals=rules.marginalize_layer.output,
        reference=REFERENCE,
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
    conda:
        ENVIRONMENT
    resources:
        mem_mb=500,
        runtime=5,
    params:
        settings=unit_options(STYLE),
        reference=reference_option,
        numerics=NUMERICS["evidence"],
    message:
        "Plotting the units of {wildcards.layer} in {wildcards.experiment}{wildcards.nth}, checkpoint {wildcards.checkpoint}."
    shell:
        "featuresharing plot-units {params.settings:q} {params.reference:q} --conditionals {input.conditionals:q}"
        " --output {output:q} > {log:q} 2>&1"


rule animate_units:
    input:
        expand(rules.marginalize_layer.output, checkpoint=CHECKPOINTS, allow_missing=True),
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
    benchmark:
        "results/benchmarks/animate_units/{experiment}{nth}/{layer}.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=700,
        runtime=10,
    params:
        settings=unit_options(STYLE | FRAMES),
        numerics=NUMERICS["evidence"],
    message:
        "Animating the units of {wildcards.layer} in {wildcards.experiment}{wildcards.nth}."
    shell:
        "featuresharing animate-units {params.settings:q} --conditionals {input:q} --output {output:q} > {log:q} 2>&1"


rule plot_layers:
    input:
        conditionals=expand(rules.marginalize_layer.output, layer=LAYERS, allow_missing=True),
        reference=expand(REFERENCE, layer=LAYERS, allow_missing=True) if SORTING else [],
    output:
        report(
            "results/figures/{experiment}{nth}/layers_{checkpoint}.{format}",
            caption="../report/layers.rst",
            category="3 Units",
            subcategory="{experiment}{nth}",
            labels={"layer": "all layers", "checkpoint": "{checkpoint}"},
        ),
    log:
        "results/logs/plot_layers/{experiment}{nth}/{checkpoint}.{format}.log",
    conda:
        ENVIRONMENT
    resources:
        mem_mb=700,
        runtime=5,
    params:
        settings=unit_options(LAYERS_STYLE),
        reference=reference_option,
        numerics=NUMERICS["evidence"],
    message:
        "Plotting the units of all layers in {wildcards.experiment}{wildcards.nth}, checkpoint {wildcards.checkpoint}."
    shell:
        "featuresharing plot-layers {params.settings:q} {params.reference:q} --conditionals {input.conditionals:q}"
        " --output {output:q} > {log:q} 2>&1"


rule animate_layers:
    input:
        expand(rules.marginalize_layer.output, layer=LAYERS, checkpoint=CHECKPOINTS, allow_missing=True),
    output:
        report(
            "results/figures/{experiment}{nth}/layers.gif",
            caption="../report/layers_animation.rst",
            category="4 Units over training",
            subcategory="{experiment}{nth}",
            labels={"layer": "all layers"},
        ),
    log:
        "results/logs/animate_layers/{experiment}{nth}.log",
    benchmark:
        "results/benchmarks/animate_layers/{experiment}{nth}.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=1000,
        runtime=20,
    params:
        settings=unit_options(LAYERS_STYLE | FRAMES),
        numerics=NUMERICS["evidence"],
    message:
        "Animating the units of all layers in {wildcards.experiment}{wildcards.nth}."
    shell:
        "featuresharing animate-layers {params.settings:q} --conditionals {input:q} --output {output:q} > {log:q} 2>&1"


rule plot_tasks:
    input:
        expand(rules.marginalize_layer.output, layer=LAYERS, allow_missing=True),
    output:
        report(
            "results/figures/{experiment}{nth}/tasks_{checkpoint}.{format}",
            caption="../report/tasks.rst",
            category="3 Units",
            subcategory="{experiment}{nth}",
            labels={"layer": "task against task", "checkpoint": "{checkpoint}"},
        ),
    log:
        "results/logs/plot_tasks/{experiment}{nth}/{checkpoint}.{format}.log",
    conda:
        ENVIRONMENT
    params:
        settings=unit_options(PAGE),
        numerics=NUMERICS["evidence"],
    message:
        "Plotting task against task in {wildcards.experiment}{wildcards.nth}, checkpoint {wildcards.checkpoint}."
    shell:
        "featuresharing plot-tasks {params.settings:q} --conditionals {input:q} --output {output:q} > {log:q} 2>&1"
