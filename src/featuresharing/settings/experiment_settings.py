"""Settings of experiments: a network, its tasks and its images."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from featuresharing.settings.block import Block, Problem
from featuresharing.settings.fields import LINE, NAME, needed, setting
from featuresharing.settings.preprocessing_settings import PreprocessingSettings
from featuresharing.settings.sentences import shown

INNER_PATH: dict[str, Any] = {
    "pattern": LINE,
    "optional": True,
    "accepted": "a path inside an archive, without line breaks",
}

TASK = "[A-Za-z][A-Za-z0-9_-]*"

CHECKPOINT = "[A-Za-z0-9][A-Za-z0-9-]*"
"""Pattern of a checkpoint's name, which follows that of a layer in names of files."""

PATH: dict[str, Any] = {"pattern": LINE, "longest": 1000, "accepted": "a path without line breaks"}

LINE_TEXT: dict[str, Any] = {"pattern": LINE, "longest": 1000, "accepted": "a text without line breaks"}

SCORES, LOG_PROBABILITIES, PROBABILITIES, SIGMOID_SCORE, SIGMOID = RETURNS = (
    "scores",
    "log-probabilities",
    "probabilities",
    "sigmoid-score",
    "sigmoid",
)
"""What an output of a network may hold."""


@dataclass(frozen=True)
class OwnNetworkSettings(Block):
    """A network of one's own; with ``source: network``."""

    build: str | None = setting(
        None,
        "what makes the network, such as `mynet.py:build` or `torchvision:resnet50`",
        pattern=LINE,
        longest=1000,
        accepted="a function file.py:function or package.module:function, torchvision:NAME or timm:NAME",
        null="files of checkpoints that say it themselves",
    )
    arguments: Mapping[str, Any] = setting(
        {},
        "arguments of that function, by name",
        names="[A-Za-z_][A-Za-z0-9_]*",
        names_accepted="names of arguments",
        longest_list=100,
        accepted="arguments by name, such as {width: 64}",
    )
    checkpoints: Mapping[str, str] = setting(
        {},
        "names and files of its checkpoints, in the order of training; none: as it is built, called `built`",
        names=CHECKPOINT,
        names_accepted="names of letters, digits and -",
        longest_list=1000,
        pattern=LINE,
        longest=1000,
        accepted="names and files of checkpoints, such as {'0500': step500.pt}",
        each="a path without line breaks",
    )
    strip: tuple[str, ...] = setting(
        (),
        "prefixes that are taken off the names of weights, such as `module.`, each where it stands",
        pattern=LINE,
        longest=100,
        longest_list=10,
        accepted="a list of prefixes",
        each="a text without line breaks",
    )


@dataclass(frozen=True)
class TaskSettings(Block):
    """A task of a network of one's own."""

    head: Any = setting(
        0,
        "which output of the network; `probe` trains a linear classifier on the features of a layer",
        accepted="an output's place from 0, its name, or probe",
    )
    returns: str = setting(
        SCORES,
        "what that output holds; the last two: one score or probability, that of the second of two classes",
        choices=RETURNS,
    )
    columns: tuple[int, ...] | None = setting(
        None,
        "which numbers of that output are scores of the task's classes, in their order",
        least=0,
        most=10**6,
        fewest=1,
        longest_list=10**5,
        distinct=True,
        null="all",
        accepted="a list of places from 0",
    )
    reduce: Any = setting(
        None,
        "how maps of scores become one score a class",
        accepted="mean, or a position such as [3, 3]",
        null="no maps",
    )
    column: str | None = setting(
        None, "the column of `images` with true classes", **LINE_TEXT, null="the column that is called as the task"
    )
    names: Any = setting(
        None,
        "names of the classes, in the order of the outputs",
        accepted="a list of names, or a file with one a line",
        null="numbers, or sorted names of classes where there are as many as outputs",
    )
    classes: Any = setting(
        None,
        "a group: the task is about images of these classes alone",
        accepted="a list of names or numbers of classes, or a file with one a line",
        null="all classes",
    )
    layer: str | None = setting(
        None,
        "with `head: probe`, the module path of the features",
        **LINE_TEXT,
        null="what the last linear layer takes",
    )
    share: float = setting(
        0.5, "with `head: probe`, the share of the images that train it and are not analysed", above=0, below=1
    )

    def contradictions(self) -> Iterator[Problem]:
        """Values of several kinds are of one of them."""
        if not (isinstance(self.head, str) and self.head) and not _is_place(self.head):
            accepted = "an output's place from 0, its name, or probe"
            yield Problem("head", f": found {shown(self.head)}; accepted is {accepted}")
        pair = isinstance(self.reduce, tuple | list) and len(self.reduce) == 2 and all(map(_is_place, self.reduce))
        if self.reduce not in (None, "mean") and not pair:
            yield Problem("reduce", f": found {shown(self.reduce)}; accepted is mean, or a position such as [3, 3]")
        for key, kinds, accepted in (
            ("names", (str,), "a list of distinct names, or a file with one a line"),
            ("classes", (str, int), "a list of distinct names or numbers of classes, or a file with one a line"),
        ):
            value = getattr(self, key)
            if value is None or (isinstance(value, str) and value):
                continue
            right = isinstance(value, tuple | list) and value and all(type(item) in kinds for item in value)
            if not right or len(set(value)) < len(value):
                yield Problem(key, f": found {shown(value)}; accepted is {accepted}")


def _is_place(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


@dataclass(frozen=True)
class StimuliSettings(Block):
    """Images of one's own in arrays, with ``source: network``."""

    file: str = needed("a file of arrays: .npz, or HDF5", **PATH)
    images: str = setting("images", "the array of the images, by its name or its path in the file", **LINE_TEXT)
    tasks: Mapping[str, str] = setting(
        {},
        "the arrays of true classes by task",
        names=TASK,
        names_accepted="names of tasks",
        longest_list=100,
        pattern=LINE,
        longest=1000,
        accepted="names of arrays by task; none: arrays that are called as the tasks",
        each="the name of an array",
    )


@dataclass(frozen=True)
class ExperimentSettings(Block):
    """An experiment: a network, and the tasks that it is trained on."""

    name: str = needed(
        "the experiment in file names",
        pattern=NAME,
        longest=100,
        accepted="a name of letters, digits, - and _",
        example="object_text",
    )
    tasks: tuple[str, ...] | Mapping[str, TaskSettings] = needed(
        "the tasks, one head each; with `source: network`, what each is",
        pattern=TASK,
        names=TASK,
        names_accepted="names of letters, digits, - and _, which begin with a letter",
        longest=100,
        fewest=1,
        longest_list=100,
        distinct=True,
        accepted="a list of distinct tasks; or blocks of keys by task, with source: network",
        each="a name of letters, digits, - and _",
        example="[basic, word]",
    )
    sort_by: str | None = setting(
        None,
        "the first task of figures of units, which sorts them",
        longest=100,
        accepted="the one of the experiment's tasks that sorts the units of figures",
        null="the first",
        example="word",
    )
    model: str | None = setting(
        None, "the Torch7 model in the archive of models; with `source: archives` only", **INNER_PATH
    )
    class_map: str | None = setting(
        None, "which output is which class, in the archive of models; with `source: archives` only", **INNER_PATH
    )
    image_list: str | None = setting(
        None, "test images and their classes, in the archive of images; with `source: archives` only", **INNER_PATH
    )
    network: OwnNetworkSettings | None = setting(None, "the network; with `source: network` only", optional=True)
    images: str | StimuliSettings | None = setting(
        None,
        "test images and their classes: a table, list, folder or arrays; with `source: network` only",
        optional=True,
        pattern=LINE,
        accepted="the path of a table, an image list or a folder; or a block that names arrays of a file",
    )
    preprocessing: str | PreprocessingSettings | None = setting(
        None,
        "what is done to images before the network takes them; with `source: network` only",
        optional=True,
        pattern=LINE,
        accepted="a block of keys, torchvision:WEIGHTS, timm, none for arrays that are ready, or file.py:function",
    )

    @property
    def task_names(self) -> tuple[str, ...]:
        """The names of the tasks, in their order."""
        return tuple(self.tasks)

    @property
    def sorting_task(self) -> str:
        """The task that sorts the units of figures."""
        return self.sort_by or self.task_names[0]

    def contradictions(self) -> Iterator[Problem]:
        """The task that sorts is one of the tasks, and something says what a network is."""
        if self.network and self.network.build is None and not self.network.checkpoints:
            wanted = "accepted without checkpoints is a function that makes the network"
            yield Problem("network.build", f" is missing; {wanted}")
        if self.sort_by is not None and self.sort_by not in self.tasks:
            accepted = " or ".join(self.tasks)
            yield Problem("sort_by", f": found {shown(self.sort_by)}; accepted is a task: {accepted}")
