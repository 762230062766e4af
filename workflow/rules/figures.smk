# Curves of sharing.


localrules:
    plot_sharing,


rule plot_sharing:
    input:
        rules.tabulate_sharing.output.sharing,
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
