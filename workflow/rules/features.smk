# The image that drives each unit of a layer, one PNG a unit and a sheet of all; made when asked for, by the target `features`
# of the first replicate alone.


localrules:
    features,


rule visualize_units:
    input:
        checkpoint=NETWORK,
    output:
        sheet=report(
            "results/features/{experiment}{nth}/{layer}_{checkpoint}.png",
            caption="../report/features.rst",
            category="7 Features",
            subcategory="{experiment}{nth}",
            labels={"layer": "{layer}", "checkpoint": "{checkpoint}"},
        ),
        pictures=directory("results/features/{experiment}{nth}/{layer}_{checkpoint}"),
    log:
        "results/logs/visualize_units/{experiment}{nth}/{layer}_{checkpoint}.log",
    benchmark:
        "results/benchmarks/visualize_units/{experiment}{nth}/{layer}_{checkpoint}.tsv"
    conda:
        ENVIRONMENT
    threads: config["jobs"]["threads"]
    resources:
        mem_mb=memory_of_job,
        runtime=feature_minutes,
        gpu=GPUS,
    params:
        settings=lambda wildcards: flags(
            reseeded(config["features"] | {"seed": config["seed"]}, wildcards) | IMAGE_SIZE
        ),
        path=lambda wildcards: LAYERS[wildcards.layer],
        device=unrecorded(config["device"]),
        page=unrecorded(flags(PAGE)),
        numerics=NUMERICS["features"],
    message:
        "Finding what drives the units of {wildcards.layer} in {wildcards.experiment}{wildcards.nth},"
        " checkpoint {wildcards.checkpoint}."
    shell:
        "featuresharing visualize-units {params.settings:q} {params.page:q} --title {wildcards.experiment:q}"
        " --layer {wildcards.layer:q} --aliases {wildcards.layer:q}={params.path:q}"
        " --checkpoint {input.checkpoint:q} --device {params.device:q} --threads {threads}"
        " --wait {resources.runtime} --output-folder {output.pictures:q} --output {output.sheet:q} > {log:q} 2>&1"


rule features:
    input:
        expand(rules.visualize_units.output, experiment=EXPERIMENTS, nth="", layer=LAYERS, checkpoint=LAST),
    message:
        "Pictures of all units are there."
