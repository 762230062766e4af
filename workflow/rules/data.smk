# One stimulus set, and a list of its images with the classes of each experiment's tasks.


localrules:
    list_images,


rule render_images:
    input:
        multiext(str(RESOURCES / "drawings/drawings"), ".csv", ".png"),
        words=RESOURCES / "words.txt",
        font=RESOURCES / "fonts/DejaVuSans-Bold.ttf",
    output:
        train=directory("results/images/train"),
        test=directory("results/images/test"),
        tables=["results/images/train.csv", "results/images/test.csv"],
    log:
        "results/logs/render_images.log",
    benchmark:
        "results/benchmarks/render_images.tsv"
    conda:
        "../envs/featuresharing.yaml"
    threads: 4
    resources:
        mem_mb=1000,
        runtime=15,
    params:
        settings=flags(seeded("images")),
        resources=RESOURCES,
        numerics=NUMERICS,
    message:
        "Rendering drawings and words into images."
    shell:
        "featuresharing render-images {params.settings} --resources {params.resources:q} --jobs {threads}"
        " --output-folder results/images > {log} 2>&1"


rule list_images:
    input:
        stimuli=rules.render_images.output.tables,
    output:
        lists=expand("results/lists/{{experiment}}/{part}.txt", part=["train", "test"]),
        classes="results/lists/{experiment}/classes.csv",
    log:
        "results/logs/list_images/{experiment}.log",
    conda:
        "../envs/featuresharing.yaml"
    resources:
        mem_mb=500,
        runtime=5,
    params:
        tasks=lambda wildcards: EXPERIMENTS[wildcards.experiment]["tasks"],
    message:
        "Listing the images and classes of {wildcards.experiment}."
    shell:
        "featuresharing list-images --stimuli {input.stimuli} --tasks {params.tasks}"
        " --output-folder results/lists/{wildcards.experiment} > {log} 2>&1"
