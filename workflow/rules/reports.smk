# What the run found, in words, and tables as pages: a report shows pages, and lets CSV files be saved.


localrules:
    summarize,
    show_table,


# Tables that are shown as pages; the others are for programs, and too long to be read.
PAGES = ["sharing_over_networks", "trends", "sharing", "overlap", "lesions", "accuracy"]


rule summarize:
    input:
        **{name: f"results/tables/{name}.csv" for name in ("accuracy", "contributions", "trends", "lesions")},
        sharing="results/tables/sharing_over_networks.csv",
        kept=expand("results/baseline/{experiment}{nth}/kept.csv", experiment=EXPERIMENTS, nth=REPLICATES),
        predictions=expand(rules.predict_images.output, experiment=EXPERIMENTS, nth=REPLICATES, checkpoint=LAST),
    output:
        text="results/summary.md",
        page=report(
            "results/summary.html", caption="../report/summary.rst", category="1 Summary", labels={"page": "summary"}
        ),
    log:
        "results/logs/summarize.log",
    conda:
        ENVIRONMENT
    params:
        settings=flags(
            {"method": EVIDENCE["method"], "near_zero": config["sharing"]["near_zero"], "seed": config["seed"]}
            | {key: METHOD.get(key) for key in ("samples", "softmax")}
            | {"trained": "TRAIN_IMAGES" in globals()}
        ),
        kept=lambda wildcards, input: [
            f"{name}={path}" for name, path in zip([name for name in EXPERIMENTS for _ in REPLICATES], input.kept)
        ],
        layers=list(LAYERS),
        checkpoint=LAST,
        numerics=NUMERICS["words"],
    message:
        "Saying in words what was found."
    shell:
        "featuresharing summarize {params.settings:q} --accuracy {input.accuracy:q} --contributions {input.contributions:q}"
        " --sharing {input.sharing:q} --trends {input.trends:q} --lesions {input.lesions:q} --kept {params.kept:q}"
        " --predictions {input.predictions:q} --layers {params.layers:q} --checkpoint {params.checkpoint:q}"
        " --page {output.page:q} --output {output.text:q} > {log:q} 2>&1"


rule show_table:
    input:
        "results/tables/{table}.csv",
    output:
        report(
            "results/tables/{table}.html",
            caption="../report/table_page.rst",
            category="8 Tables",
            labels=lambda wildcards: {"table": TITLES[wildcards.table], "form": "page"},
        ),
    log:
        "results/logs/show_table/{table}.log",
    wildcard_constraints:
        table=alternatives(PAGES),
    conda:
        ENVIRONMENT
    params:
        numerics=NUMERICS["words"],
    message:
        "Showing {wildcards.table} as a page."
    shell:
        "featuresharing show-table --table {input:q} --output {output:q} > {log:q} 2>&1"
