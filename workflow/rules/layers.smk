# The networks of the experiments and the layers that are analysed, known before anything ran, and what their jobs take.


checked(check_source, SOURCE, globals(), replicates=SETTINGS.replicates)

DESCRIPTIONS = {
    experiment: checked(describe, NETWORKS[experiment], engine=config["marginalization"]["engine"])
    for experiment in EXPERIMENTS
}
NAMED_LAYERS = checked(name_layers, config["layers"], DESCRIPTIONS, ESTIMATOR)
checked(layer_problems, NAMED_LAYERS, DESCRIPTIONS, ESTIMATOR)

# In the order of the network, whatever order the config has: axes of figures follow it.
LAYERS = in_order(NAMED_LAYERS, DESCRIPTIONS)
LAST = CHECKPOINTS[-1]
SHOWN = ".gif" if len(CHECKPOINTS) > 1 else f"_{LAST}.png"
UNIT_FIGURE = f"results/figures/{{experiment}}{{nth}}/{{layer}}{SHOWN}"
LAYERS_FIGURE = f"results/figures/{{experiment}}{{nth}}/layers{SHOWN}"


wildcard_constraints:
    experiment=alternatives(EXPERIMENTS),
    nth=alternatives(REPLICATES),
    layer=alternatives(LAYERS),
    checkpoint=alternatives(CHECKPOINTS),
    format=alternatives(FORMATS),


JOBS = {
    (experiment, layer): LayerJobs(SETTINGS, ESTIMATOR, DESCRIPTIONS[experiment], layer, LAYERS[layer])
    for experiment, layer in product(EXPERIMENTS, LAYERS)
}


def jobs_of(wildcards):
    """Return the jobs of a layer."""
    return JOBS[wildcards.experiment, wildcards.layer]


def minutes_of_job(wildcards, attempt):
    """Return the time limit of a marginalize job: the same for all blocks, since those of an array share the first's."""
    block = wildcards.get("units")
    pairs = product(EXPERIMENTS, SPLIT_LAYERS) if block else [(wildcards.experiment, wildcards.layer)]
    return marginalize_minutes((JOBS[pair] for pair in pairs), attempt)


def lesion_minutes(wildcards, attempt):
    """Return the time limit of a job that removes units of a layer in every order."""
    return jobs_of(wildcards).lesion_minutes(attempt)


def feature_minutes(wildcards, attempt):
    """Return the time limit of a job that finds the images that drive a layer's units."""
    return jobs_of(wildcards).feature_minutes(attempt)


def memory_of_job(wildcards, attempt):
    """Return the memory limit of a marginalize job in MB."""
    return jobs_of(wildcards).mb(attempt)


BLOCKS = {pair: jobs.blocks for pair, jobs in JOBS.items()}
SPLIT_LAYERS = [layer for layer in LAYERS if any(len(BLOCKS[experiment, layer]) > 1 for experiment in EXPERIMENTS)]
WHOLE_LAYERS = [layer for layer in LAYERS if layer not in SPLIT_LAYERS]


def every_layer(wildcards, input):
    """Return the files of every layer as bash expands them, for params: a command cannot hold thousands of paths."""
    names = {"experiment": EXPERIMENTS, "nth": REPLICATES, "layer": LAYERS, "checkpoint": CHECKPOINTS}
    first = f"{CONDITIONALS}.h5".format(**{wildcard: next(iter(found)) for wildcard, found in names.items()})
    prefix = alternated([input[0].removesuffix(first)])
    paths = f"{CONDITIONALS}.h5".format(**{wildcard: alternated(found) for wildcard, found in names.items()})
    return prefix + paths
