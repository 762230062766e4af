# The stimuli of the demo: drawings with a word over each.


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


TRAIN_IMAGES = rules.render_images.output.train
TEST_IMAGES = rules.render_images.output.test
STIMULUS_TABLES = rules.render_images.output.tables


include: "lists.smk"
include: "training.smk"
