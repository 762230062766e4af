# The stimuli of the demo: drawings with a word over each.
from featuresharing.workflow.sources import drawings_problems

checked(drawings_problems, SETTINGS)


DRAWINGS = [beside(f"../../../resources/drawings/drawings.{kind}") for kind in ("csv", "png")]
CONTENT = content(*DRAWINGS, WORDS, FONT)


rule render_images:
    output:
        train=directory("results/images/train"),
        test=directory("results/images/test"),
        tables=["results/images/train.csv", "results/images/test.csv"],
    log:
        "results/logs/render_images.log",
    benchmark:
        "results/benchmarks/render_images.tsv"
    conda:
        ENVIRONMENT
    threads: 4
    resources:
        mem_mb=1000,
        runtime=15,
    params:
        settings=flags(seeded("images")),
        content=CONTENT,
        resources=unrecorded(WORDS.parent),
        folder=lambda wildcards, output: os.path.dirname(output.train),
        numerics=NUMERICS["stimuli"],
    message:
        "Rendering drawings and words into images."
    shell:
        "featuresharing render-images {params.settings:q} --resources {params.resources:q} --jobs {threads}"
        " --wait {resources.runtime} --output-folder {params.folder:q} > {log:q} 2>&1"


# Folders have no checksums, and a copy has other times: what images are made of decides whether they are others.
TRAIN_IMAGES, TEST_IMAGES = ancient("results/images/train"), ancient("results/images/test")
TRAIN_STIMULI = TEST_STIMULI = [*flags(seeded("images")), CONTENT, NUMERICS["stimuli"]]
STIMULUS_TABLES = ["results/images/train.csv", "results/images/test.csv"]
PREDICT_MINUTES = 10
RESIZED = False
TRAIN_MB, TRAIN_MINUTES = 3000, 60


include: RULES / "lists.smk"
include: RULES / "training.smk"
