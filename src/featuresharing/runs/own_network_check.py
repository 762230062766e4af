"""An experiment on a network of one's own, tried before anything runs: its weights, heads, classes and predictions."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from featuresharing.analysis.guessing import GUESSED, guessing_probability
from featuresharing.data.images import read_inputs
from featuresharing.data.lists import MISSING
from featuresharing.data.preprocessing import AnyPreprocessing, shape_in_words
from featuresharing.data.stimulus_sets import LISTS, StimulusSet, classes_and_targets, few_names, read_stimulus_set
from featuresharing.errors import InputError
from featuresharing.networks.descriptions import NetworkDescription
from featuresharing.networks.heads import head_of
from featuresharing.randomness import keyed_generator
from featuresharing.replicates import FIRST
from featuresharing.runs.stopping import Say
from featuresharing.settings import Config, ExperimentSettings
from featuresharing.settings.analysis_settings import PLAIN
from featuresharing.settings.experiment_settings import OwnNetworkSettings
from featuresharing.workflow.architectures import describe, preprocessing_of_defined
from featuresharing.workflow.own_networks import (
    checkpoints_of,
    columns_of,
    definition_of,
    images_of,
    labelled_task,
    network_of,
    network_settings,
    probes_of,
    tasks_of,
)

if TYPE_CHECKING:
    from torch import nn

    from featuresharing.networks.formats import Contents

MOST_IMAGES = 32
"""Images on which predictions are tried."""

MOST_LOOKED_AT = 4
"""Images on which outputs are looked at."""

MOST_NAMED = 6
"""Classes that a line names."""


@dataclass
class OwnNetworkCheck:
    """What is found out about an ``experiment`` of a ``config``; ``sentences`` say what is wrong with it.

    ``description`` is that of its network, once it is known; ``stimuli`` are its images, ``classes`` the names of the
    classes and ``targets`` int64 [N] the true ones by task, of tasks whose labels fit. ``misfits`` are
    checkpoints without weights of the network, ``ready`` is that network with its heads, and two images as it takes
    them.
    """

    config: Config
    experiment: ExperimentSettings
    say: Say
    sentences: list[str] = field(default_factory=list)
    description: NetworkDescription | None = None
    stimuli: StimulusSet | None = None
    classes: dict[str, list[str]] = field(default_factory=dict)
    targets: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    misfits: set[str] = field(default_factory=set)
    ready: "tuple[nn.Module, NDArray[Any]] | None" = None

    def run(self, *, network: bool, images: bool, predictions: bool) -> None:
        """Try the network, the images and predictions, where they are worth it: there, and not known to be wrong."""
        if images:
            with self._telling():
                path, array = images_of(self.experiment)
                self.stimuli = read_stimulus_set(path, {}, array=array)
                self.say(f"images: {len(self.stimuli.paths)} of {path}")
        if network:
            self._describe()
        if self.stimuli:
            self._number_labels()
        fits = not self.misfits & {checkpoints_of(self.config)[-1]}
        if predictions and self.description and self.targets and fits:
            with self._telling():
                self._predict()

    @contextmanager
    def _telling(self, misfit: str | None = None) -> Iterator[None]:
        """Keep what ends a block in one sentence; then a checkpoint ``misfit`` is none."""
        try:
            yield
        except InputError as error:
            self.misfits |= {misfit} if misfit else set()
            sentence = f"experiment '{self.experiment.name}': {error}"
            self.sentences += [sentence] if sentence not in self.sentences else []

    def _describe(self) -> None:
        """Describe the network, or say which of its weights and heads are wrong."""
        from featuresharing.networks.defining import open_definition

        last = checkpoints_of(self.config)[-1]
        network = network_of(self.experiment, last, self.config.seed)
        found = look = None
        with self._telling():
            found = open_definition(replace(network.definition, heads={}), numbers=self._engine == PLAIN)
        if found is None:
            return
        self._try_weights(found)
        said = self.experiment.preprocessing
        if (said is None and network.definition.build) or (isinstance(said, str) and not self.stimuli):
            return  # nobody says how the network takes images
        with self._telling():
            look = preprocessing_of_defined(network, found)
        if look is None:
            return
        self.say(f"takes: {shape_in_words(look.shape)}")
        with self._telling():
            if not self._wrong_heads(found, look):
                found_network = self.description = describe(network, engine=self._engine)
                self.say(
                    f"network: {network.definition.build or network.definition.weights}, {found_network.parameters} "
                    f"parameters, {len(found_network.layers)} layers, {found_network.forward} multiply-adds of a pass"
                )

    def _try_weights(self, found: "Contents") -> None:
        """Tell which checkpoints fit, and say which do not."""
        from featuresharing.networks.opening import open_network
        from featuresharing.networks.weights import fitting_weights

        for network, name, text in self._checkpoints():
            path = Path(text)
            with self._telling(misfit=name):
                if not path.is_file():
                    self.misfits.add(name)  # which is told elsewhere
                elif network.build:
                    weights = fitting_weights(found.network, path, network.strip)
                    self.say(f"checkpoint {name}: {path}, {len(weights)} weights, which fit {network.build}")
                else:
                    notes = "".join(f" {note}" for note in open_network(path, heads=False).notes)
                    self.say(f"checkpoint {name}: {path}, a whole network.{notes}")

    def _checkpoints(self) -> Iterator[tuple[OwnNetworkSettings, str, str]]:
        """Yield the networks of all replicates with the names and files of their checkpoints, each file once."""
        told = set[str]()
        for replicate in range(FIRST, self.config.replicates + 1):
            network = network_settings(self.experiment, replicate)
            for name, text in network.checkpoints.items():
                if text not in told:
                    told.add(text)
                    yield network, name, text

    def _wrong_heads(self, found: "Contents", look: AnyPreprocessing) -> bool:
        """Say which heads the network does not have, and describe it with the others; return whether there are any."""
        from featuresharing.engine.describing import describe_network
        from featuresharing.networks.output_looks import wrong_heads
        from featuresharing.networks.task_scores import attach_heads

        heads = {task: head_of(values) for task, values in self._heads().items()}
        wrong = wrong_heads(found.network, heads, look.shape, whole=look.whole)
        self.sentences += [f"experiment '{self.experiment.name}': {sentence}" for sentence in wrong.values()]
        right = {task: head for task, head in heads.items() if task not in wrong}
        if wrong and right:
            attach_heads(found.network, right)
            described = describe_network(found.network, look.shape, whole=look.whole, engine=self._engine)
            self.description = replace(described, preprocessing=look)
        return bool(wrong)

    @property
    def _engine(self) -> str:
        return self.config.marginalization.engine

    def _heads(self) -> Mapping[str, Mapping[str, Any]]:
        return definition_of(self.experiment, checkpoints_of(self.config)[-1], self.config.seed).heads

    def _number_labels(self) -> None:
        """Number the classes of every task, or say which do not fit."""
        outputs = self.description.heads if self.description else {}
        for task, found in self._labelled():
            with self._telling():
                count = None if task in probes_of(self.experiment) else outputs.get(task)
                labelled = labelled_task(self.experiment, task, count)
                classes, targets = classes_and_targets(found, [labelled], say=self.say)
                self.classes[task], self.targets[task] = classes[task], targets[:, 0]
                images = int((targets != MISSING).sum())
                named = few_names(classes[task], MOST_NAMED)
                self.say(f"task {task}: {images} images of {len(classes[task])} classes, {named}")

    def _labelled(self) -> Iterator[tuple[str, StimulusSet]]:
        """Yield tasks with images and their labels, but for those that have none."""
        path, array = images_of(self.experiment)
        columns = {task: columns_of(self.experiment).get(task, task) for task in tasks_of(self.experiment)}
        # lists have all tasks in a column
        parts = [columns] if path.suffix.lower() in LISTS else [{task: name} for task, name in columns.items()]
        for part in parts:
            with self._telling():
                found = read_stimulus_set(path, part, array=array)
                yield from ((task, found) for task in part)

    def _predict(self) -> None:
        """Predict a handful of images, and say how that looks."""
        from featuresharing.networks.defining import open_definition
        from featuresharing.networks.output_looks import look_at_outputs
        from featuresharing.networks.predicting import predict
        from featuresharing.networks.task_scores import attach_heads

        assert self.description
        known = self.description.heads.keys() & self.targets.keys()
        heads = {task: head_of(values) for task, values in self._heads().items() if task in known}
        definition = definition_of(self.experiment, checkpoints_of(self.config)[-1], self.config.seed)
        network = open_definition(replace(definition, heads={})).network
        assert self.description.preprocessing
        assert self.stimuli
        chosen = self._choose(list(heads))
        paths = [self.stimuli.paths[index] for index in chosen]
        inputs = read_inputs(paths, self.description.preprocessing)
        for each in look_at_outputs(network, inputs[:MOST_LOOKED_AT]):
            self.say(f"output {each.name}: {each.in_words()}")
        if not heads:
            return
        right = {}
        for task, head in heads.items():  # each alone, so that what is wrong with others is told too
            with self._telling():
                right[task] = predict(attach_heads(network, {task: head}), inputs)[1][0]
        if len(right) == len(self._heads()):
            self.ready = attach_heads(network, heads), inputs[:2]
        if right:
            self._tell_predictions(chosen, right)

    def _choose(self, tasks: list[str]) -> list[int]:
        """Return the first image of any task and some others, in their order."""
        there = np.any([self.targets[task] != MISSING for task in tasks or self.targets], axis=0)
        first, *others = np.flatnonzero(there).tolist()
        drawn = keyed_generator(self.config.seed, "images to check").permutation(others)[: MOST_IMAGES - 1]
        return [first, *sorted(drawn.tolist())]

    def _tell_predictions(self, chosen: list[int], predictions: Mapping[str, NDArray[Any]]) -> None:
        """Tell what the first image is taken for, and how many of all."""
        assert self.stimuli
        self.say(f"first image {self.stimuli.paths[chosen[0]]}:")
        for task, found in predictions.items():
            truth, names = self.targets[task][chosen], self.classes[task]
            label = "of no class" if truth[0] == MISSING else names[truth[0]]
            best = int(found[0].argmax())
            self.say(f"  {task}: {label}, predicted {names[best]} (probability {found[0, best]:.2f})")
        absent = {task: self.targets[task][chosen] == MISSING for task in predictions}
        right = [
            (found.argmax(axis=1) == self.targets[task][chosen]) | absent[task] for task, found in predictions.items()
        ]
        count = int(np.all(right, axis=0).sum())
        self.say(f"right in every task of theirs: {count} of {len(chosen)} images; only such are analysed")
        for task, found in predictions.items():
            truth = self.targets[task][chosen]
            there = truth != MISSING
            hits, images = int((found.argmax(axis=1) == truth)[there].sum()), int(there.sum())
            self.say(f"accuracy of {task} on {images} images: {hits / max(images, 1):.0%}")
            if is_chance(hits, images, found.shape[1]):
                self.say(
                    f"warning: {task} is no better than chance at checkpoint {checkpoints_of(self.config)[-1]}; "
                    "then names of classes are probably in another order than outputs, or preprocessing is another one."
                )


def is_chance(hits: int, images: int, classes: int) -> bool:
    """Return whether guessing among classes gets so many images right with a probability of 5 % or more.

    Of so few images that guessing could get all right, nobody can tell: False.
    """
    found, best = (guessing_probability(right, images, 1 / classes) for right in (hits, images))
    return found >= GUESSED > best
