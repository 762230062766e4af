# The stimuli of a data set with one folder a class, such as ImageNet: its images with a word over each.


FOLDERS = config["folders"]
FILES = {"words": FOLDERS["words"] or WORDS, "font": FOLDERS["font"] or FONT, "hierarchy": FOLDERS["hierarchy"]}


rule overlay_words:
    output:
        images=directory("results/images/{part}"),
        table="results/images/{part}.csv",
    log:
        "results/logs/overlay_words/{part}.log",
    benchmark:
        "results/benchmarks/overlay_words/{part}.tsv"
    wildcard_constraints:
        part="train|test",
    conda:
        ENVIRONMENT
    threads: 4
    resources:
        mem_mb=2000,
        runtime=1440,
    params:
        settings=flags(
            {key: FOLDERS[key] for key in ("font_sizes", "colours", "outline")} | {"seed": config["seed"]}
        ),
        content=[path and content(path) for path in FILES.values()],
        folder=lambda wildcards: flags({"folder": FOLDERS[wildcards.part]}),
        files=unrecorded(flags(FILES | {"undecodable": FOLDERS["undecodable"]})),
        numerics=NUMERICS,
    message:
        "Drawing words over the {wildcards.part} images."
    shell:
        "featuresharing overlay-words {params.settings:q} {params.folder:q} {params.files:q} --jobs {threads}"
        " --output-folder {output.images:q} > {log:q} 2>&1"


TRAIN_IMAGES, TEST_IMAGES = "results/images/train", "results/images/test"
STIMULUS_TABLES = ["results/images/train.csv", "results/images/test.csv"]


include: "lists.smk"
include: "training.smk"
