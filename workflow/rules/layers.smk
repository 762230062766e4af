# The networks of the experiments and the layers that are analysed, known before anything ran, and what their jobs take.


checked(check_source, SOURCE, globals())

DESCRIPTIONS = {
    experiment: checked(describe, NETWORKS[experiment], engine=config["marginalization"]["engine"])
    for experiment in EXPERIMENTS
}
NAMED_LAYERS = checked(name_layers, config["layers"], DESCRIPTIONS, ESTIMATOR)
checked(layer_problems, NAMED_LAYERS, DESCRIPTIONS, ESTIMATOR)

# In the order of the network, whatever order the config has: axes of figures follow it.
LAYERS = in_order(NAMED_LAYERS, DESCRIPTIONS)
LAST = CHECKPOINTS[-1]
UNIT_FIGURE = f"results/figures/{{experiment}}/{{layer}}{'.gif' if len(CHECKPOINTS) > 1 else f'_{LAST}.png'}"


wildcard_constraints:
    experiment=alternatives(EXPERIMENTS),
    layer=alternatives(LAYERS),
    checkpoint=alternatives(CHECKPOINTS),


def cost_of(experiment, layer):
    """Return what a layer costs in the network of an experiment."""
    return layer_cost(DESCRIPTIONS[experiment], LAYERS[layer])


def units_of_job(experiment, layer):
    """Return how many units of a layer one job computes at most."""
    units = config["jobs"]["units"]
    return (units.get(layer) if isinstance(units, dict) else units) or cost_of(experiment, layer).units


def seconds_of_job(experiment, layer):
    """Return how long a marginalize job of a layer is predicted to take."""
    cost, threads = cost_of(experiment, layer), config["jobs"]["threads"]
    draws, weighed = ESTIMATOR.kept_draws(cost.size), ESTIMATOR.weighed_draws()
    units = min(units_of_job(experiment, layer), cost.units)
    images = config["baseline"]["max_images"]
    return marginalize_seconds(cost, units, images, draws, weighed=weighed, threads=threads)


def minutes_of_job(wildcards, attempt):
    """Return the time limit of a marginalize job: the same for all blocks, since those of an array share the first's."""
    block = wildcards.get("units")
    jobs = product(EXPERIMENTS, SPLIT_LAYERS) if block else [(wildcards.experiment, wildcards.layer)]
    return job_minutes(max(starmap(seconds_of_job, jobs)), attempt)


def lesion_minutes(wildcards, attempt):
    """Return the time limit of a job that removes units of a layer in every order."""
    orders = config["lesions"]["random_orders"] + 3
    passes = orders * (config["lesions"]["steps"] + 1)
    cost = cost_of(wildcards.experiment, wildcards.layer)
    # a pass through the network behind the layer is no more than one through all of it
    seconds = SECONDS_PER_MULTIPLY_ADD * cost.forward * config["baseline"]["max_images"] * passes
    return job_minutes(seconds / config["jobs"]["threads"], attempt)


def feature_minutes(wildcards, attempt):
    """Return the time limit of a job that finds the images that drive a layer's units."""
    cost = cost_of(wildcards.experiment, wildcards.layer)
    # a gradient takes two passes back for each forward; behind the layer there is nothing to do
    passes = 3 * cost.units * config["features"]["iterations"]
    return job_minutes(SECONDS_PER_MULTIPLY_ADD * cost.forward * passes / config["jobs"]["threads"], attempt)


def memory_of_job(wildcards, attempt):
    """Return the memory limit of a marginalize job in MB."""
    full = config["marginalization"]["storage"] == "full"
    return job_mb(DESCRIPTIONS[wildcards.experiment], config["baseline"]["max_images"], attempt, full=full)


BLOCKS = {
    (experiment, layer): unit_blocks(cost_of(experiment, layer).units, units_of_job(experiment, layer))
    for experiment, layer in product(EXPERIMENTS, LAYERS)
}
SPLIT_LAYERS = [layer for layer in LAYERS if any(len(BLOCKS[experiment, layer]) > 1 for experiment in EXPERIMENTS)]
WHOLE_LAYERS = [layer for layer in LAYERS if layer not in SPLIT_LAYERS]
