# The stimuli of a data set with one folder a class, such as ImageNet: its images with a word over each.


FOLDERS = config["folders"]
WORDS = FOLDERS["words"] or RESOURCES / "words.txt"
FONT = FOLDERS["font"] or RESOURCES / "fonts/DejaVuSans-Bold.ttf"


rule overlay_words:
    input:
        lambda wildcards: ancient(FOLDERS[wildcards.part]),
        words=WORDS,
        font=FONT,
        hierarchy=FOLDERS["hierarchy"] or [],
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
        "../envs/featuresharing.yaml"
    threads: 4
    resources:
        mem_mb=2000,
        runtime=1440,
    params:
        settings=flags(
            {key: FOLDERS[key] for key in ("font_sizes", "colours", "outline", "undecodable", "hierarchy")}
            | {"seed": config["seed"]}
        ),
        folder=lambda wildcards: FOLDERS[wildcards.part],
        numerics=NUMERICS,
    message:
        "Drawing words over the {wildcards.part} images."
    shell:
        "featuresharing overlay-words {params.settings} --folder {params.folder:q} --words {input.words:q}"
        " --font {input.font:q} --jobs {threads} --output-folder {output.images} > {log} 2>&1"


TRAIN_IMAGES, TEST_IMAGES = expand(rules.overlay_words.output.images, part=["train", "test"])
STIMULUS_TABLES = expand(rules.overlay_words.output.table, part=["train", "test"])


include: "lists.smk"
include: "training.smk"
