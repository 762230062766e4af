# The predictions with each unit of a layer marginalized out: a layer in one job, or in blocks of units that are merged.


localrules:
    merge_blocks,


rule marginalize_layer:
    input:
        images=TEST_IMAGES,
        list="results/baseline/{experiment}{nth}/kept.txt",
        classes="results/lists/{experiment}/classes.csv",
        checkpoint=NETWORK,
    output:
        f"{CONDITIONALS}.h5",
    log:
        "results/logs/marginalize_layer/{experiment}{nth}/{layer}_{checkpoint}.log",
    benchmark:
        "results/benchmarks/marginalize_layer/{experiment}{nth}/{layer}_{checkpoint}.tsv"
    wildcard_constraints:
        layer=alternatives(WHOLE_LAYERS),
    conda:
        ENVIRONMENT
    threads: config["jobs"]["threads"]
    resources:
        mem_mb=memory_of_job,
        runtime=minutes_of_job,
        gpu=GPUS,
    params:
        settings=lambda wildcards: flags(reseeded(METHOD, wildcards) | named(wildcards)),
        size=flags(IMAGE_SIZE),
        path=lambda wildcards: LAYERS[wildcards.layer],
        units=lambda wildcards: flags({"units": wildcards.get("units")}),
        reuse=files_of_layer,
        device=unrecorded(config["device"]),
        stimuli=stimuli_of,
        numerics=NUMERICS["marginalization"],
    message:
        "Marginalizing the units of {wildcards.layer} in {wildcards.experiment}{wildcards.nth}, checkpoint {wildcards.checkpoint}."
    shell:
        "featuresharing marginalize {params.settings:q} {params.size:q} --experiment {wildcards.experiment:q}"
        " --layer {wildcards.layer:q} --aliases {wildcards.layer:q}={params.path:q} {params.units:q}"
        " --checkpoint {input.checkpoint:q} --list {input.list:q} --classes {input.classes:q}"
        " --device {params.device:q} --threads {threads} --wait {resources.runtime}"
        " --reuse {params.reuse:q}"
        " --memory $(({resources.mem_mb} / 2)) --output {output:q} > {log:q} 2>&1"


use rule marginalize_layer as marginalize_block with:
    output:
        temp(f"{CONDITIONALS}/{{units}}.h5"),
    log:
        "results/logs/marginalize_block/{experiment}{nth}/{layer}_{checkpoint}/{units}.log",
    benchmark:
        "results/benchmarks/marginalize_block/{experiment}{nth}/{layer}_{checkpoint}/{units}.tsv"
    wildcard_constraints:
        layer=alternatives(SPLIT_LAYERS),
        units="[0-9]+-[0-9]+",
    message:
        "Marginalizing units {wildcards.units} of {wildcards.layer} in {wildcards.experiment}{wildcards.nth},"
        " checkpoint {wildcards.checkpoint}."


rule merge_blocks:
    input:
        lambda wildcards: expand(
            rules.marginalize_block.output,
            units=BLOCKS[wildcards.experiment, wildcards.layer],
            **wildcards,
            allow_missing=True,
        ),
    output:
        f"{CONDITIONALS}.h5",
    log:
        "results/logs/merge_blocks/{experiment}{nth}/{layer}_{checkpoint}.log",
    wildcard_constraints:
        layer=alternatives(SPLIT_LAYERS),
    conda:
        ENVIRONMENT
    message:
        "Merging the blocks of {wildcards.layer} in {wildcards.experiment}{wildcards.nth}, checkpoint {wildcards.checkpoint}."
    shell:
        "featuresharing merge-blocks --blocks {input:q} --output {output:q} > {log:q} 2>&1"
