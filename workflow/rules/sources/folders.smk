# The stimuli of a data set with one folder a class, such as ImageNet: its images with a word over each.
from featuresharing.workflow.sources import folders_problems

checked(folders_problems, SETTINGS)


FOLDERS = config["folders"]
FILES = {"words": FOLDERS["words"] or WORDS, "font": FOLDERS["font"] or FONT, "hierarchy": FOLDERS["hierarchy"]}
CONTENT = [path and content(path) for path in FILES.values()]
OVERLAY = flags({key: FOLDERS[key] for key in ("font_sizes", "colours", "outline")} | {"seed": config["seed"]})


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
        settings=OVERLAY,
        content=CONTENT,
        folder=lambda wildcards: flags({"folder": FOLDERS[wildcards.part]}),
        files=unrecorded(flags(FILES | {"undecodable": FOLDERS["undecodable"]})),
        numerics=NUMERICS["stimuli"],
    message:
        "Drawing words over the {wildcards.part} images."
    shell:
        "featuresharing overlay-words {params.settings:q} {params.folder:q} {params.files:q} --jobs {threads}"
        " --wait {resources.runtime} --output-folder {output.images:q} > {log:q} 2>&1"


# Folders have no checksums, and a copy has other times: what images are made of decides whether they are others.
TRAIN_IMAGES, TEST_IMAGES = ancient("results/images/train"), ancient("results/images/test")
TRAIN_STIMULI, TEST_STIMULI = ([*OVERLAY, *CONTENT, FOLDERS[part], NUMERICS["stimuli"]] for part in ("train", "test"))
STIMULUS_TABLES = ["results/images/train.csv", "results/images/test.csv"]
PREDICT_MINUTES = 120
RESIZED = True
TRAIN_MB, TRAIN_MINUTES = 16000, 1440


include: RULES / "lists.smk"
include: RULES / "training.smk"
