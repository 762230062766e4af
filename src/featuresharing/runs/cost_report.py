"""What the layers of a run take, in lines of text: time, memory and disk, here and as jobs of a cluster."""

from collections.abc import Iterator, Mapping

from featuresharing.estimators.estimator import Estimator
from featuresharing.networks.descriptions import NetworkDescription
from featuresharing.settings import Config
from featuresharing.workflow.limits import LayerJobs, job_minutes

HEAD = ("layer", "kind", "units", "of parameters", "engine", "here", "disk", "jobs on a cluster")
"""What lines of layers have."""

WIDTHS = "{:12} {:10} {:>6} {:>13}  {:>30} {:>9} {:>9}  {}"


def cost_lines(
    config: Config,
    estimator: Estimator,
    networks: Mapping[str, NetworkDescription],
    layers: Mapping[str, str],
    checkpoints: int,
) -> Iterator[str]:
    """Yield lines on what every layer of every network takes, module paths by alias, and on what all do together."""
    seconds = disk = jobs = 0.0
    for experiment, network in networks.items():
        yield f"\nlayers of {experiment}, at each of {checkpoints} checkpoints:"
        yield WIDTHS.format(*HEAD)
        for alias, path in layers.items():
            each = LayerJobs(config, estimator, network, alias, path)
            yield _line(each)
            seconds += checkpoints * each.seconds(each.cost.units)
            disk += checkpoints * each.disk()
            jobs += checkpoints * len(each.blocks)
    images, threads = config.baseline.max_images, config.jobs.threads
    yield (
        f"\nin all: about {in_time(seconds)} here (predicted for {threads} of its cores and {images} images, as "
        f"docs/scaling.md measures), {in_bytes(disk)} of disk, or {jobs:.0f} jobs on a cluster"
    )


def _line(jobs: LayerJobs) -> str:
    layer, cost = jobs.network.layer(jobs.path), jobs.cost
    if jobs.config.marginalization.engine == "plain":
        engine = "plain, as the config says"
    else:
        engine = f"one-channel, {cost.variant / max(cost.forward, 1):.1%} of a pass"
    blocks = jobs.blocks
    limit = job_minutes(jobs.seconds(min(jobs.units, cost.units)))
    here, disk = in_time(jobs.seconds(cost.units)), in_bytes(jobs.disk())
    told = f"{len(blocks)} of up to {limit} minutes and {jobs.mb()} MB"
    return WIDTHS.format(jobs.alias, layer.kind, cost.units, cost.size, engine, here, disk, told)


def in_time(seconds: float) -> str:
    """Return a time in words."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def in_bytes(count: float) -> str:
    """Return an amount of memory in words."""
    return f"{count / 1e6:.1f} MB" if count < 1e9 else f"{count / 1e9:.1f} GB"
