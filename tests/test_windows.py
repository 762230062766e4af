"""What the centre of a unit depends on, and its gradient, on networks of many kinds: against their own passes."""

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from featuresharing.analysis import windowed_drives
from featuresharing.analysis.image_gradients import ImageConvolution
from featuresharing.analysis.unit_drives import PlainDrive, Subject, gradient_of
from featuresharing.analysis.windowed_drives import find_drive

torch.set_num_threads(1)


class Residual(nn.Module):
    """A stem that strides, batch norms, a padded pool, two blocks with smooth activations, a head that cannot run."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm, self.pool = nn.Conv2d(3, 5, 7, 2, 3, bias=False), nn.BatchNorm2d(5), nn.MaxPool2d(3, 2, 1)
        self.one, self.two, self.aside = nn.Conv2d(5, 5, 3, padding=1), nn.Conv2d(5, 6, 3, 2, 1), nn.Conv2d(5, 6, 1, 2)
        self.last = nn.Conv2d(6, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(F.silu(self.norm(self.stem(x))))
        x = F.silu(self.two(F.silu(x + self.one(x))) + self.aside(x))
        self.last(x)
        raise AssertionError("what lies behind the layer is not needed")


class Branches(nn.Module):
    """Groups, gaps in filters, uneven padding, a mean pool with padding, branches that are put together."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.wide = nn.Conv2d(2, 4, 3, (1, 2)), nn.Conv2d(4, 4, 3, padding=2, dilation=2, groups=2)
        self.thin, self.last = nn.Conv2d(4, 3, 1), nn.Conv2d(11, 5, (3, 2))

    def forward(self, x: Tensor) -> Tensor:
        x = F.hardswish(self.stem(F.pad(x, (1, 2, 0, 1)) * 2 - 1))
        y = torch.cat([self.wide(x), self.thin(x), F.avg_pool2d(x, 3, 1, 1)], 1)
        return self.last(F.gelu(F.max_pool2d(y, 3, 2, ceil_mode=True)))


class Constants(nn.Module):
    """Maps and masks that are added and multiplied, images and values changed in place, and one value for a channel."""

    def __init__(self) -> None:
        super().__init__()
        self.place, self.mask = nn.Parameter(torch.randn(1, 4, 11, 9)), torch.rand(11, 9).double()
        self.scale = nn.Parameter(torch.randn(4, 1, 1))
        self.stem, self.last = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 3, 3)

    def forward(self, x: Tensor) -> Tensor:
        x.sub_(0.5)
        x = torch.relu_(self.stem(x)) * self.scale
        x += self.place
        return self.last(x * self.mask)


class Spread(nn.Module):
    """Operators that no window is known of: a resize, means over a map, a roll."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.gate, self.last = nn.Conv2d(3, 4, 3, 2), nn.Linear(4, 4), nn.Conv2d(4, 3, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.silu(self.stem(x))
        x = F.interpolate(x, scale_factor=2.0, mode="bilinear").roll(1, 2)
        return self.last(x * torch.sigmoid(self.gate(x.mean((2, 3))))[:, :, None, None])


class Tokens(nn.Module):
    """Patches as tokens, with attention between them."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.norm = nn.Conv2d(3, 8, 4, 4), nn.LayerNorm(8)
        self.attention, self.last = nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        y = self.norm(x)
        return self.last(x + self.attention(y, y, y)[0]).mean(1)


def alexnet() -> nn.Module:
    """Return convolutions with rectification and pooling, and linear layers behind."""
    pool = nn.MaxPool2d(2)
    features = [nn.Conv2d(3, 6, 7, 2, 3), nn.ReLU(), pool, nn.Conv2d(6, 5, 3, padding=1), nn.ReLU(inplace=True), pool]
    return nn.Sequential(*features, nn.Conv2d(5, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(36, 7), nn.ReLU())


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, int, int], tuple[str, ...]]] = {
    "alexnet": (alexnet, (3, 40, 40), ("0", "3", "6", "9")),
    "residual": (Residual, (3, 45, 38), ("stem", "one", "two", "aside", "last")),
    "branches": (Branches, (2, 19, 23), ("stem", "wide", "thin", "last")),
    "constants": (Constants, (1, 11, 9), ("stem", "last")),
    "spread": (Spread, (3, 13, 15), ("stem", "last")),
    "tokens": (Tokens, (3, 12, 16), ("patches", "last")),
}


def subject_of(network: nn.Module, path: str) -> Subject:
    values = {
        name: value.detach()
        for name, value in {**dict(network.named_parameters()), **dict(network.named_buffers())}.items()
    }
    module = network.get_submodule(path)
    return Subject(network, module, path, isinstance(module, nn.Linear), values, {})


def prepared(name: str) -> tuple[nn.Module, tuple[int, int, int]]:
    build, shape, _ = NETWORKS[name]
    torch.manual_seed(0)
    network = build().double().eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
    return network, shape


def values_and_gradients(drive: Any, images: Tensor, units: Tensor) -> tuple[Tensor, Tensor]:
    """Return what images give, and the gradient to them, which is 0 where the drive does not look."""
    rows, columns = drive.window
    part = images[:, :, rows, columns].clone().requires_grad_()
    driven = drive(part, units)
    whole = torch.zeros_like(images)
    whole[:, :, rows, columns] = gradient_of(driven, part, "")
    return driven.detach(), whole


@pytest.mark.parametrize(("name", "path"), [(name, path) for name, (_, _, paths) in NETWORKS.items() for path in paths])
def test_windows_give_what_the_network_gives(name: str, path: str) -> None:
    network, shape = prepared(name)
    subject, units = subject_of(network, path), torch.tensor([2, 0, 1])
    drive = find_drive(subject, torch.randn(3, *shape).double(), units)
    assert drive is not None
    support = torch.zeros(shape[1:], dtype=torch.bool)
    for _ in range(20):
        images = torch.randn(3, *shape).double() * 2
        found, right = (values_and_gradients(each, images, units) for each in (drive, PlainDrive(subject)))
        for mine, theirs in zip(found, right, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-12 * float(theirs.abs().max()))
        support |= (right[1] != 0).any(0).any(0)
    rows, columns = (torch.nonzero(support.any(axis)).ravel() for axis in (1, 0))
    seen = [(int(each[0]), int(each[-1]) + 1) for each in (rows, columns)]
    looked_at = [window.indices(size)[:2] for window, size in zip(drive.window, shape[1:], strict=True)]
    assert all(first <= start and end <= last for (first, last), (start, end) in zip(looked_at, seen, strict=True))
    if (name, path) in TIGHT:
        assert looked_at == seen == TIGHT[name, path]


TIGHT = {
    # rows 2 * 10 - 3 to 2 * 10 + 3 of 40
    ("alexnet", "0"): [(17, 24), (17, 24)],
    # its centre is row 5, which takes pooled rows 4 to 6, rows 8 to 13 before pooling, and pixels 13 to 29
    ("alexnet", "3"): [(13, 30), (13, 30)],
    # 23 rows and 19 columns: pixels 2 * 11 - 3 to 2 * 11 + 3, and 2 * 9 - 3 to 2 * 9 + 3
    ("residual", "stem"): [(19, 26), (15, 22)],
    # 18 rows and 12 columns: pixels 9 to 11, less no row of padding, and 2 * 6 to 2 * 6 + 2 less one column of it
    ("branches", "stem"): [(9, 12), (11, 14)],
    ("constants", "stem"): [(4, 7), (3, 6)],
    ("tokens", "patches"): [(4, 8), (8, 12)],
}
"""Windows of rows and of columns, worked out by hand."""


def test_a_window_at_the_edge_takes_padding() -> None:
    """Of two rows, the centre takes those from the fourth of eight on and one of padding, and these pixels 7 to 14."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.Tanh(), nn.Conv2d(4, 2, 5, 6, 2)).double()
    subject, images = subject_of(network, "2"), torch.randn(2, 3, 15, 31).double()
    drive = find_drive(subject, images, torch.tensor([0, 1]))
    assert drive is not None
    assert drive.window == (slice(7, 15), slice(7, 18))
    for mine, theirs in zip(
        values_and_gradients(drive, images, torch.tensor([0, 1])),
        values_and_gradients(PlainDrive(subject), images, torch.tensor([0, 1])),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-13)


class Backwards(torch.autograd.Function):
    """Gives what it takes, and turns the gradient round."""

    @staticmethod
    def forward(_: Any, values: Tensor) -> Tensor:
        return values.clone()

    @staticmethod
    def backward(_: Any, behind: Tensor) -> Tensor:
        return -behind


def detached(_: nn.Module, images: Tensor) -> Tensor:
    return images + images.detach() / 10


def turned_round(_: nn.Module, images: Tensor) -> Tensor:
    turned: Tensor = Backwards.apply(images)
    return turned


def looked_at(_: nn.Module, images: Tensor) -> Tensor:
    return images if float(images.mean()) > 0 else -images


def by_chance(_: nn.Module, images: Tensor) -> Tensor:
    return images * torch.rand(1)


class Changing(nn.Sequential):
    """Convolutions behind a change of the images."""

    def __init__(self, change: Callable[[nn.Module, Tensor], Tensor]) -> None:
        torch.manual_seed(0)
        super().__init__(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Conv2d(4, 2, 3))
        self.change = change

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(self.change(self, images))


def test_what_rounding_may_have_switched_is_told_in_double_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(windowed_drives.CLOSENESS, torch.float32, 0.0)
    images, units = torch.randn(3, 3, 9, 9), torch.tensor([0, 1, 0])
    assert find_drive(subject_of(Changing(lambda _, images: images * 2), "2"), images, units) is not None
    assert find_drive(subject_of(Changing(detached), "2"), images, units) is None


@pytest.mark.parametrize("change", [detached, turned_round, looked_at, by_chance])
def test_what_a_graph_does_not_hold_is_left_to_the_network(change: Callable[[nn.Module, Tensor], Tensor]) -> None:
    network = Changing(change).double()
    assert find_drive(subject_of(network, "2"), torch.randn(2, 3, 9, 9).double(), torch.tensor([0, 1])) is None


@pytest.mark.parametrize(("size", "stride", "padding"), list(product((1, 2, 3, 5, 8), (1, 2, 3, 4), (0, 1, 2, 4))))
def test_gradients_in_blocks_are_those_of_the_convolution(size: int, stride: int, padding: int) -> None:
    torch.manual_seed(0)
    for height, width, other in ((9, 12, 1), (13, 8, 3)):
        images = torch.randn(2, 3, height, width, dtype=torch.float64, requires_grad=True)
        filters, bias = torch.randn(4, 3, size, other, dtype=torch.float64), torch.randn(4, dtype=torch.float64)
        right = F.conv2d(images, filters, bias, (stride, 2), (padding, 0))
        found = ImageConvolution.of(filters, bias, (stride, 2), (padding, 0))(images)
        assert torch.equal(found, right)
        behind = torch.randn_like(right)
        mine, theirs = (torch.autograd.grad(each, images, behind)[0] for each in (found, right))
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "path", "numbers"),
    [
        ("alexnet", "0", 3 * 7 * 7 + 6),
        # pixels, the stem with its batch norm, its activation, three rows and columns of it pooled, the layer
        ("residual", "one", 3 * 19 * 19 + 5 * 7 * 7 + 5 * 7 * 7 + 5 * 3 * 3 + 5),
        # pixels, six rows and columns of the stem, of which three are pooled and then rectified, the layer
        ("alexnet", "3", 3 * 17 * 17 + 6 * 6 * 6 + 2 * 6 * 3 * 3 + 5),
    ],
)
def test_numbers_are_those_of_windows_of_a_simpler_graph(name: str, path: str, numbers: int) -> None:
    network, shape = prepared(name)
    drive = find_drive(subject_of(network, path), torch.randn(3, *shape).double(), torch.tensor([0, 1, 2]))
    assert drive is not None
    assert drive.numbers == numbers
