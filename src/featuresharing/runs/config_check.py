"""A config tried before anything runs: every mistake in one go, and what a run will compute and take."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from featuresharing.errors import InputError
from featuresharing.estimators.estimation import Estimation
from featuresharing.estimators.estimator import Estimator
from featuresharing.networks.descriptions import NetworkDescription
from featuresharing.runs.cost_report import cost_lines
from featuresharing.runs.inspection import layer_lines
from featuresharing.runs.own_network_check import OwnNetworkCheck
from featuresharing.runs.stopping import Say
from featuresharing.settings import Config
from featuresharing.settings.block import Problem
from featuresharing.settings.examination import ExaminedConfig, examine_config
from featuresharing.workflow.architectures import describe
from featuresharing.workflow.config_layers import estimator_of, in_order, layer_problems, name_layers
from featuresharing.workflow.config_reading import read_config
from featuresharing.workflow.own_networks import checkpoints_of, own_problems
from featuresharing.workflow.sources import alexnet_of, archives_problems, drawings_problems, folders_problems

PROBLEMS: Mapping[str, Callable[[Config], Iterator[Problem]]] = {
    "archives": archives_problems,
    "drawings": drawings_problems,
    "folders": folders_problems,
    "network": own_problems,
}
"""What sources of the workflow do not accept, by their names."""


def try_config(paths: Sequence[Path], demo: Path | None, *, say: Say = print) -> list[str]:
    """Return a sentence for everything that is wrong with a config, and tell ``say`` what it is about.

    ``paths`` are files of configs, the last before the others, ``demo`` is the config that the workflow itself comes
    with. No conditional is computed, and nothing is written but descriptions of networks. Raises InputError for files
    that are no config.
    """
    found = examine_config(read_config(paths, demo))
    trial = _Trial(found, say, list(found.sentences))
    trial.run()
    return trial.sentences


@dataclass
class _Trial:
    found: ExaminedConfig
    say: Say
    sentences: list[str]
    networks: dict[str, NetworkDescription] = field(default_factory=dict)
    own: dict[str, OwnNetworkCheck] = field(default_factory=dict)

    @property
    def config(self) -> Config:
        return self.found.settings

    def run(self) -> None:
        source = self.config.source
        problems = list(PROBLEMS[source](self.config)) if source in PROBLEMS else []
        self.sentences += self.found.told(problems)
        if source == "network":
            self._try_own(problems)
        elif source in PROBLEMS:
            self._describe_alexnets()
        else:
            self.say(f"source {source}: what it defines is checked when snakemake runs")
        if self.networks:
            self._try_layers(problems)

    def _try_own(self, problems: Sequence[Problem]) -> None:
        for index, experiment in enumerate(self.config.experiments):
            self.say(f"\nexperiment {experiment.name}")
            check = self.own[experiment.name] = OwnNetworkCheck(self.config, experiment, self.say)
            sound = partial(self.found.is_sound, index, problems=problems)
            needed = ("network.build", "network.arguments", "preprocessing.size", "preprocessing.colour")
            network = experiment.network is not None and all(map(sound, needed))
            images = experiment.images is not None and sound("images")
            weights = sound("network.checkpoints") or bool(experiment.network and experiment.network.checkpoints)
            check.run(network=network, images=images, predictions=weights and sound("preprocessing"))
            self.sentences += check.sentences
            if check.description:
                self.networks[experiment.name] = check.description

    def _describe_alexnets(self) -> None:
        for experiment in self.config.experiments:
            try:
                alexnet = alexnet_of(self.config, experiment.name)
                network = self.networks[experiment.name] = describe(alexnet, engine=self.config.marginalization.engine)
            except InputError as error:
                self.sentences.append(str(error))
                continue
            heads = ", ".join(experiment.task_names)
            self.say(f"experiment {experiment.name}: the multi-task AlexNet, {network.parameters} parameters, {heads}")

    def _try_layers(self, problems: Sequence[Problem]) -> None:
        """Say which layers are not there, and tell what those that are take."""
        estimator = self._estimator()
        if any(problem.key == "layers" for problem in problems):
            self._list_layers()
            return
        try:
            named = name_layers(self.config.layers, self.networks, estimator)
        except InputError as error:
            self.sentences.append(str(error))
            self._list_layers()
            return
        wrong = list(layer_problems(named, self.networks, estimator))
        self.sentences += self.found.told(wrong)
        right = {alias: path for alias, path in named.items() if f"layers.{alias}" not in {each.key for each in wrong}}
        if not right:
            return
        layers = in_order(right, self.networks)
        for name, check in self.own.items():
            self.sentences += _refused_engine(name, check, next(iter(layers.values())), self.config)
        trained = checkpoints_of(self.config) if self.config.source == "network" else self._trained()
        images = {name: len(check.stimuli.paths) for name, check in self.own.items() if check.stimuli}
        trains = self.config.source in ("drawings", "folders")
        counts = {"checkpoints": len(trained), "images": images, "trained": trains}
        for line in cost_lines(self.config, estimator, self.networks, layers, **counts):  # type: ignore[arg-type]
            self.say(line)

    def _list_layers(self) -> None:
        """Tell which layers a config can name."""
        for name, network in self.networks.items():
            self.say(f"\nlayers of {name}, by their module paths:")
            for line in layer_lines(network):
                self.say(line)

    def _trained(self) -> Sequence[object]:
        return ["pretrained"] if self.config.source == "archives" else self.config.training.checkpoints

    def _estimator(self) -> Estimator:
        try:
            return estimator_of(self.config)
        except InputError:  # which the config's own sentences say
            return Estimation().make()


def _refused_engine(name: str, check: OwnNetworkCheck, path: str, config: Config) -> Iterator[str]:
    """Yield why the engine of the config does not compute a network, if it does not."""
    if check.ready is None:
        return
    from featuresharing.computation import Computation
    from featuresharing.engine.engines import make_engine

    network, images = check.ready
    settings = Computation(engine=config.marginalization.engine, dtype=config.marginalization.dtype)
    otherwise = "accepted with marginalization: {engine: plain}, which is slow"
    try:
        make_engine(network, path, images, settings, otherwise=otherwise)
    except InputError as error:
        yield f"experiment '{name}': {error}"
