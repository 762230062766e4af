# Curves of sharing.


localrules:
    plot_sharing,
    plot_sharing_over_training,


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
