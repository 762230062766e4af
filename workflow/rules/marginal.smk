# The predictions with each unit of a layer marginalized out.


rule marginalize_layer:
    input:
        images=rules.render_images.output.test,
        list="results/baseline/{experiment}/kept.txt",
        classes=rules.list_images.output.classes,
        checkpoint="results/networks/{experiment}/{checkpoint}.pt",
    output:
        "results/marginal/{experiment}/{layer}_{checkpoint}.h5",
    log:
        "results/logs/marginalize_layer/{experiment}/{layer}_{checkpoint}.log",
    benchmark:
        "results/benchmarks/marginalize_layer/{experiment}/{layer}_{checkpoint}.tsv"
    conda:
        "../envs/featuresharing.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
        gpu=GPUS,
    params:
        settings=flags(seeded("marginalization")),
        path=lambda wildcards: LAYERS[wildcards.layer],
        device=config["device"],
        numerics=NUMERICS,
    message:
        "Marginalizing the units of {wildcards.layer} in {wildcards.experiment}, checkpoint {wildcards.checkpoint}."
    shell:
        "featuresharing marginalize {params.settings} --experiment {wildcards.experiment}"
        " --layer {wildcards.layer} --aliases {wildcards.layer}={params.path} --checkpoint {input.checkpoint}"
        " --list {input.list} --classes {input.classes} --device {params.device} --threads {threads}"
        " --output {output} > {log} 2>&1"
