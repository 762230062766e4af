"""What the layers of a run take, in lines of text: time, memory and disk, here and as jobs of a cluster."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from featuresharing.estimators.estimator import Estimator
from featuresharing.networks.descriptions import NetworkDescription
from featuresharing.settings import Config
from featuresharing.settings.analysis_settings import PLAIN
from featuresharing.workflow.limits import LayerJobs, job_minutes

HEAD = ("layer", "kind", "units", "of parameters", "engine", "here", "disk", "jobs on a cluster")
"""What lines of layers have."""


def cost_lines(
    config: Config,
    estimator: Estimator,
    networks: Mapping[str, NetworkDescription],
    layers: Mapping[str, str],
    *,
    checkpoints: int,
    images: Mapping[str, int],
) -> Iterator[str]:
    """Yield lines on what every layer of every network takes, module paths by alias, and on what all do together.

    ``images`` are how many there are of experiments, where that is known; a config says how many count at most.
    """
    seconds = disk = jobs = 0.0
    for experiment, network in networks.items():
        most = min(config.baseline.max_images, images.get(experiment, config.baseline.max_images))
        there = replace(config, baseline=replace(config.baseline, max_images=max(most, 1)))
        rows: list[tuple[str, ...]] = [HEAD]
        for alias, path in layers.items():
            limits = LayerJobs(config, estimator, network, alias, path)
            each = LayerJobs(there, estimator, network, alias, path)
            rows.append(_row(each, limits))
            files = checkpoints * config.replicates
            seconds += files * each.seconds(each.cost.units)
            disk += files * each.disk()
            jobs += files * len(each.blocks)
        times = "one checkpoint" if checkpoints == 1 else f"each of {checkpoints} checkpoints"
        times += f" of each of {config.replicates} networks" if config.replicates > 1 else ""
        yield f"\nlayers of {experiment}, on {most} images, at {times}:"
        yield from aligned(rows)
    cores = "1 core" if config.jobs.threads == 1 else f"{config.jobs.threads} cores"
    yield (
        f"\nin all: about {in_time(seconds)} here (predicted for {cores} of a server, as "
        f"docs/scaling.md measures), {in_bytes(disk)} of disk, or {jobs:.0f} jobs on a cluster"
    )


def _row(jobs: LayerJobs, limits: LayerJobs) -> tuple[str, ...]:
    layer, cost = jobs.network.layer(jobs.path), jobs.cost
    if jobs.config.marginalization.engine == PLAIN:
        engine = "plain, as the config says"
    else:
        engine = f"one-channel, {cost.variant / max(cost.forward, 1):.1%} of a pass"
    minutes = job_minutes(limits.seconds(min(limits.units, cost.units)))
    told = f"{len(jobs.blocks)} of up to {minutes} minutes and {limits.mb()} MB"
    here, disk = in_time(jobs.seconds(cost.units)), in_bytes(jobs.disk())
    return jobs.alias, layer.kind, str(cost.units), str(cost.size), engine, here, disk, told


def aligned(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Yield lines of rows whose columns stand below each other; numbers end where their heads do."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            cell.rjust(width) if 1 < place < len(row) - 1 else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()


def in_time(seconds: float) -> str:
    """Return a time in words."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def in_bytes(count: float) -> str:
    """Return an amount of memory in words."""
    return f"{count / 1e6:.1f} MB" if count < 1e9 else f"{count / 1e9:.1f} GB"
