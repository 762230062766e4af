"""A ResNet-18 of any width, as a user would write it: a file of its own, which tests copy beside their config."""

from torch import Tensor, nn


class Block(nn.Module):
    """Two convolutions beside a way around them."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.relu = nn.ReLU(inplace=True)
        around = [nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after)]
        self.downsample = nn.Sequential(*around) if stride > 1 else nn.Identity()

    def forward(self, maps: Tensor) -> Tensor:
        found = self.relu(self.bn1(self.conv1(maps)))
        return self.relu(self.bn2(self.conv2(found)) + self.downsample(maps))


class ResNet18(nn.Module):
    """Eight blocks in four stages, and a linear layer on the mean over positions."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        sizes = [width, width, 2 * width, 4 * width, 8 * width]
        for stage in range(4):
            first = Block(sizes[stage], sizes[stage + 1], 1 if stage == 0 else 2)
            self.add_module(f"layer{stage + 1}", nn.Sequential(first, Block(sizes[stage + 1], sizes[stage + 1], 1)))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(sizes[-1], classes)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        for stage in range(4):
            maps = self.get_submodule(f"layer{stage + 1}")(maps)
        return self.fc(self.avgpool(maps).flatten(1))


def build(width: int, classes: int) -> ResNet18:
    return ResNet18(width, classes)
