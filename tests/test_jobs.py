"""What jobs are predicted to take agrees with what the plans of the networks say."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import h5py
import pytest
import torch
from torch import Tensor, nn

from featuresharing import Estimation, InputError, marginalize_to_file
from featuresharing.engine.cost import cost_of
from featuresharing.engine.describing import describe_network
from featuresharing.engine.engines import make_engine
from featuresharing.engine.one_channel import OneChannelEngine
from featuresharing.estimators.durations import layer_cost, marginalize_seconds
from featuresharing.networks.alexnet.architecture import build_from_sizes
from featuresharing.networks.alexnet.names import LAYERS
from featuresharing.networks.alexnet.sizes import AlexNetShape
from featuresharing.networks.descriptions import NetworkDescription
from featuresharing.networks.layers import find_layer, unit_count, unit_size
from featuresharing.runs.cost_report import cost_lines, in_time
from featuresharing.settings.checking import check_config
from featuresharing.workflow.architectures import Architecture, NetworkFile, describe
from featuresharing.workflow.config_layers import in_order, layer_problems
from featuresharing.workflow.limits import LayerJobs, job_mb, job_minutes, marginalize_minutes, unit_blocks

SHAPES = {
    "demo": AlexNetShape(48, 2, (24, 64, 64, 64, 48), (7, 3, 3, 3, 3), (256, 256), (100, 20)),
    "odd": AlexNetShape(37, 1, (5, 6, 7, 8, 9), (3, 5, 3, 1, 3), (11, 12), (4, 3, 2)),
    "paper": AlexNetShape(224, 4, (96, 256, 384, 384, 256), (11, 5, 3, 3, 3), (4096, 4096), (600, 600), 3, 2),
}


class Backwards(nn.Module):
    """Runs its layers in another order than that in which they stand; one has its weight computed, one is not used."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(5, 3)
        self.unused = nn.Linear(2, 2)
        self.twice = nn.Conv2d(4, 4, 1)
        self.middle = nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 5, 3))
        self.first = nn.Conv2d(3, 4, 3, bias=False)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return the scores of one task."""
        maps = self.twice(self.twice(self.first(images).relu()))
        return {"task": self.head(self.middle(maps).mean(dim=(2, 3)))}


@cache
def described(name: str) -> NetworkDescription:
    shape = SHAPES[name]
    with torch.device("meta"):
        return describe_network(build_from_sizes(**shape.as_dict()), shape.image_size)


@pytest.mark.parametrize("name", ["demo", "odd"])
def test_descriptions_say_what_plans_of_real_networks_count(name: str) -> None:
    shape, found = SHAPES[name], described(name)
    network = build_from_sizes(**shape.as_dict()).eval()
    assert list(LAYERS.values()) == [layer.path for layer in found.layers][: len(LAYERS)]
    for path in LAYERS.values():
        engine = make_engine(network, path, torch.zeros(1, 3, shape.image_size, shape.image_size))
        assert isinstance(engine, OneChannelEngine)
        counted, predicted = cost_of(engine.plan), layer_cost(found, path)
        assert (predicted.forward, predicted.numbers) == (counted.forward, counted.numbers)
        assert predicted.variant == counted.variant
        layer = find_layer(network, path)[1]
        assert (predicted.units, predicted.size) == (unit_count(layer), unit_size(layer))
    assert found.heads == {str(task): classes for task, classes in enumerate(shape.classes)}
    assert found.parameters == sum(value.numel() for value in network.parameters())
    assert NetworkDescription.from_dict(json.loads(json.dumps(found.as_dict()))) == found


def test_layers_stand_in_the_order_in_which_they_run_and_say_why_some_cannot_be_analysed() -> None:
    found = describe_network(Backwards().eval(), 8)
    assert [(layer.path, layer.kind, layer.units) for layer in found.layers] == [
        *(("first", "Conv2d", 4), ("twice", "Conv2d", 4), ("middle", "Conv2d", 5)),
        *(("head", "Linear", 3), ("unused", "Linear", 2)),
    ]
    assert found.heads == {"task": 3}
    by_hand = 36 * 4 * 27 + 2 * 36 * 16 + 16 * 5 * 36 + 15  # places, channels, products
    assert found.forward == by_hand
    assert found.layer("first").variant == 36 * 27 + 36 * 4 + 36 * 16 + 16 * 5 * 36 + 15
    assert found.layer("middle").variant == 16 * 36 + 3
    assert found.layer("middle").size == 37
    layers = {"b": "head", "a": "middle", "c": "first"}
    assert list(in_order(layers, {"one": found})) == ["c", "a", "b"]
    assert not list(layer_problems(layers, {"one": found}, Estimation().make()))
    problems = dict(layer_problems({"x": "twice", "y": "unused", "z": "nowhere"}, {"one": found}, Estimation().make()))
    assert problems == {
        "layers.x": ": layer 'twice' is used 2 times in one pass; accepted are layers used once",
        "layers.y": ": layer 'unused' is used 0 times in one pass; accepted are layers used once",
        "layers.z": ": the network has no layer 'nowhere'; accepted are first, twice, middle, head, unused",
    }
    (problem,) = layer_problems({"tasks": "head"}, {"one": found}, Estimation().make())
    assert problem.key == "layers.tasks"
    assert problem.text.startswith(": found 'tasks', but figures of all layers are called so; accepted is an alias")
    (problem,) = layer_problems({"b": "head", "c": "first"}, {"one": found}, Estimation("quadrature").make())
    assert (
        problem.text
        == ": found 'first'; accepted with quadrature are linear layers that take one row an image: head, unused"
    )


def test_descriptions_are_kept_and_depend_on_what_they_describe(tmp_path: Path) -> None:
    architecture = Architecture(
        "featuresharing.networks.alexnet.architecture:build_from_sizes", SHAPES["odd"].as_dict(), 37
    )
    found = describe(architecture, tmp_path / "kept")
    assert found == described("odd")
    (kept,) = (tmp_path / "kept").iterdir()
    kept.write_text(kept.read_text().replace('"forward": ', '"forward": 1'))
    assert describe(architecture, tmp_path / "kept").forward == int(f"1{found.forward}")
    kept.write_text("{")  # damaged, it is made anew
    assert describe(architecture, tmp_path / "kept") == found
    wider = replace(architecture, settings=SHAPES["odd"].as_dict() | {"hidden": [13, 12]})
    assert describe(wider, tmp_path / "kept").layer("1.2").units == 13
    assert len(list((tmp_path / "kept").iterdir())) == 2
    (tmp_path / "file").touch()
    assert describe(architecture, tmp_path / "file/kept") == found  # where nothing can be kept


def test_a_changed_file_of_a_network_is_described_anew(tmp_path: Path) -> None:
    path = tmp_path / "x.t7"
    for name, units in (("alexnet67_double", 24), ("zoo_layers", None)):
        path.write_bytes((Path(__file__).parent / f"fixtures/torch7/{name}.t7").read_bytes())
        network = NetworkFile(path, 67)
        if units:
            assert describe(network, tmp_path / "kept").layer("1.2").units == units
        else:
            with pytest.raises(InputError, match=r"x\.t7 "):
                describe(network, tmp_path / "kept")
    with pytest.raises(InputError, match=r"nowhere\.t7 does not exist"):
        describe(NetworkFile(tmp_path / "nowhere.t7"), tmp_path / "kept")


@pytest.mark.parametrize(
    ("build", "settings", "said"),
    [
        ("no.such:thing", {}, r"^'no\.such:thing': there is no module no; accepted"),
        ("math:nothing", {}, r"^'math:nothing': math has no function 'nothing'; accepted"),
        ("math:sqrt", {"x": 4}, r"cannot be built by math:sqrt with \(x=4\); .*\n(.*\n)*TypeError"),
        ("math:factorial", {}, r"cannot be built by math:factorial with \(\); .*\n(.*\n)*TypeError"),
        ("builtins:dict", {"a": 1}, "gives a dict; accepted is a function that gives a torch.nn.Module"),
    ],
)
def test_architectures_that_cannot_be_built(build: str, settings: dict[str, int], said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        describe(Architecture(build, settings, 8), tmp_path)


def test_time_grows_with_units_images_and_draws_and_shrinks_with_threads() -> None:
    cost = layer_cost(described("demo"), LAYERS["conv2"])
    whole = marginalize_seconds(cost, 64, 60, 10)
    for other in ((32, 60, 10), (64, 30, 10), (64, 60, 5)):
        assert marginalize_seconds(cost, *other) == pytest.approx(whole / 2, rel=0.05)
    assert whole / 2 < marginalize_seconds(cost, 64, 60, 10, threads=2) < whole


def test_draws_that_are_only_weighed_take_time() -> None:
    cost = layer_cost(described("paper"), LAYERS["fc6"])
    more = marginalize_seconds(cost, 10, 60, 2, weighed=100) - marginalize_seconds(cost, 10, 60, 2)
    assert more == pytest.approx(10 * 100 * 9217 * 1e-8)


def test_limits_double_with_every_attempt() -> None:
    assert [job_minutes(600, attempt) for attempt in (1, 2, 3)] == [45, 90, 180]
    small, large = (job_mb(described(name), 600) for name in ("demo", "paper"))
    assert small < large
    assert [job_mb(described("paper"), 600, attempt) for attempt in (1, 2)] == [large, 2 * large]
    assert job_mb(described("paper"), 600, full=True) > large


def test_blocks_cover_the_units_of_a_layer() -> None:
    assert unit_blocks(96, 32) == ["0-31", "32-63", "64-95"]
    assert unit_blocks(96, 50) == ["0-49", "50-95"]
    assert unit_blocks(96, 96) == unit_blocks(96, 500) == ["0-95"]


def test_jobs_of_layers_follow_the_config() -> None:
    values = {"experiments": [{"name": "x", "tasks": ["a", "b"]}], "jobs": {"units": {"conv2": 24}}}
    config = check_config(values | {"baseline": {"max_images": 5000}})
    estimator, network = Estimation().make(), described("paper")
    cut, whole = (LayerJobs(config, estimator, network, alias, LAYERS[alias]) for alias in ("conv2", "conv3"))
    assert (cut.units, whole.units) == (24, 384)
    assert cut.blocks[0] == "0-23"
    assert cut.blocks[-1] == "240-255"
    assert whole.blocks == ["0-383"]
    cost = layer_cost(network, LAYERS["conv2"])
    seconds = marginalize_seconds(cost, 24, 5000, estimator.kept_draws(cost.size))
    assert cut.seconds(24) == seconds
    assert marginalize_minutes([cut]) == job_minutes(seconds) > 10
    assert marginalize_minutes([cut, whole]) == marginalize_minutes([whole]) > marginalize_minutes([cut])
    assert marginalize_minutes([cut], 2) == 2 * marginalize_minutes([cut])
    assert whole.mb(2) == 2 * job_mb(network, 5000)
    passes = 5000 * 23 * 21
    assert cut.lesion_minutes() == job_minutes(7.6e-12 * network.forward * passes)
    assert cut.feature_minutes() == job_minutes(7.6e-12 * network.forward * 3 * 256 * 500)


def test_a_run_takes_training_units_lesions_and_the_starts_of_jobs() -> None:
    tasks = {"experiments": [{"name": "x", "tasks": ["a", "b"]}], "replicates": 2}
    config = check_config(tasks | {"training": {"checkpoints": [0, 300], "batch_size": 10, "threads": 2}})
    network, estimator = described("demo"), Estimation().make()
    layers = {alias: LAYERS[alias] for alias in ("conv2", "fc6")}
    jobs = [LayerJobs(config, estimator, network, alias, path) for alias, path in layers.items()]
    numbers = max(layer.numbers for layer in network.layers)
    training = 2 * 300 * 10 * (3 * 7.6e-12 * network.forward + 1.5e-8 * numbers) / 2
    units = 2 * 2 * sum(each.seconds(each.cost.units) for each in jobs)
    passes = config.baseline.max_images * (config.lesions.random_orders + 3) * (config.lesions.steps + 1)
    lesions = 2 * 2 * 7.6e-12 * network.forward * passes
    starts = 2 * (1 + 2 + 2 * 2 + 2)  # a training, two checkpoints predicted, two layers at each, and two of curves
    for trained, jobs_in_all in ((True, starts), (False, starts - 2)):
        *_, line, disk = cost_lines(
            config, estimator, {"x": network}, layers, checkpoints=2, images={}, trained=trained
        )
        total = units + lesions + 2.0 * jobs_in_all + trained * training
        assert line.startswith(f"in all: about {in_time(total)} here, one job after another (")
        assert (f"training {in_time(training)}, " in line) == trained
        assert f"units taken out {in_time(units)}, lesion curves {in_time(lesions)}, " in line
        assert f"the start of {jobs_in_all} jobs {in_time(2 * jobs_in_all)})" in line
        assert disk.endswith("of disk, or 8 jobs on a cluster")


def test_disk_is_what_a_file_holds(tmp_path: Path) -> None:
    network, images = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)).eval(), torch.ones(5, 4)
    config = check_config({"experiments": [{"name": "x", "tasks": ["a", "b"]}], "baseline": {"max_images": 5}})
    path = tmp_path / "0.h5"
    for estimator in ("prior-weighted", "monte-carlo", "quadrature"):
        output = path.with_stem(estimator)
        marginalize_to_file(network, "0", images, {"a": [0, 1, 2, 0, 1]}, output, estimator=estimator, samples=3)
        jobs = LayerJobs(config, Estimation(estimator).make(), describe_network(network, (4,)), "first", "0")
        with h5py.File(output) as file:
            assert jobs.disk() == sum(file[name].nbytes for name in file)
