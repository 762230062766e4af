# Lists of a stimulus set's images with the classes of each experiment's tasks, for sources that say STIMULUS_TABLES: the
# tables of train and test images.


localrules:
    list_images,


rule list_images:
    input:
        stimuli=STIMULUS_TABLES,
    output:
        lists=expand("results/lists/{{experiment}}/{part}.txt", part=["train", "test"]),
        classes="results/lists/{experiment}/classes.csv",
    log:
        "results/logs/list_images/{experiment}.log",
    conda:
        ENVIRONMENT
    resources:
        mem_mb=500,
        runtime=5,
    params:
        tasks=lambda wildcards: EXPERIMENTS[wildcards.experiment].task_names,
        folder=folder_of_output,
    message:
        "Listing the images and classes of {wildcards.experiment}."
    shell:
        "featuresharing list-images --stimuli {input.stimuli:q} --tasks {params.tasks:q}"
        " --output-folder {params.folder:q} > {log:q} 2>&1"
