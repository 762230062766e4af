"""What the layers of a run take, in lines of text: time, memory and disk, here and as jobs of a cluster."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from featuresharing.estimators.durations import training_seconds
from featuresharing.estimators.estimator import Estimator
from featuresharing.networks.descriptions import NetworkDescription
from featuresharing.settings import Config
from featuresharing.settings.analysis_settings import PLAIN
from featuresharing.workflow.limits import START_SECONDS, LayerJobs, job_minutes

HEAD = ("layer", "kind", "units", "of parameters", "engine", "here", "disk", "jobs on a cluster")
"""What lines of layers have."""


@dataclass
class RunTime:
    """Seconds that a run is predicted to take, one job after another, and how many ``jobs`` it has."""

    training: float = 0.0
    units: float = 0.0
    lesions: float = 0.0
    jobs: int = 0

    @property
    def starts(self) -> float:
        """What jobs take before they compute."""
        return START_SECONDS * self.jobs

    def line(self, cores: int) -> str:
        """Return what is counted, in a line."""
        parts = {"training": self.training, "units taken out": self.units, "lesion curves": self.lesions}
        parts[f"the start of {self.jobs} jobs"] = self.starts
        counted = ", ".join(f"{name} {in_time(seconds)}" for name, seconds in parts.items() if seconds)
        on = "1 core" if cores == 1 else f"{cores} cores"
        return (
            f"in all: about {in_time(sum(parts.values()))} here, one job after another ({counted}); side by side on two"
            f" cores about half of it, and so on; predicted for {on} of a server a job, as docs/scaling.md measures;"
            " images, figures and tables are not counted, nor is a GPU"
        )


def cost_lines(
    config: Config,
    estimator: Estimator,
    networks: Mapping[str, NetworkDescription],
    layers: Mapping[str, str],
    *,
    checkpoints: int,
    images: Mapping[str, int],
    trained: bool = False,
) -> Iterator[str]:
    """Yield lines on what every layer of every network takes, module paths by alias, and on what all do together.

    ``images`` are how many there are of experiments, where that is known; a config says how many count at most.
    ``trained`` says whether the run trains the networks.
    """
    time, disk, jobs = RunTime(), 0.0, 0
    replicates, training = config.replicates, config.training
    for experiment, network in networks.items():
        most = min(config.baseline.max_images, images.get(experiment, config.baseline.max_images))
        there = replace(config, baseline=replace(config.baseline, max_images=max(most, 1)))
        rows: list[tuple[str, ...]] = [HEAD]
        for alias, path in layers.items():
            limits = LayerJobs(config, estimator, network, alias, path)
            each = LayerJobs(there, estimator, network, alias, path)
            rows.append(_row(each, limits))
            files = checkpoints * replicates
            time.units += files * each.seconds(each.cost.units)
            time.lesions += replicates * each.lesion_seconds()
            disk += files * each.disk()
            jobs += files * len(each.blocks)
            time.jobs += files * len(each.blocks) + replicates
        time.jobs += (checkpoints + trained) * replicates
        if trained:
            steps, cores = training.checkpoints[-1], training.threads * training.processes
            time.training += replicates * training_seconds(network, steps, training.batch_size, cores=cores)
        times = "one checkpoint" if checkpoints == 1 else f"each of {checkpoints} checkpoints"
        times += f" of each of {replicates} networks" if replicates > 1 else ""
        yield f"\nlayers of {experiment}, on {most} images, at {times}:"
        yield from aligned(rows)
    yield ""
    yield time.line(config.jobs.threads)
    yield f"units taken out: {in_bytes(disk)} of disk, or {jobs} jobs on a cluster"


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
