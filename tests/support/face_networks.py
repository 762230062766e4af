"""The three networks that find faces (MTCNN), as a user writes them; the files of weights name their layers so."""

import torch
from torch import Tensor, nn


class Proposals(nn.Module):
    """P-Net: whether there is a face, and where, at every position of an image."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 10, 3), nn.PReLU(10)
        self.pool1 = nn.MaxPool2d(2, ceil_mode=True)
        self.conv2, self.prelu2 = nn.Conv2d(10, 16, 3), nn.PReLU(16)
        self.conv3, self.prelu3 = nn.Conv2d(16, 32, 3), nn.PReLU(32)
        self.conv4_1, self.conv4_2 = nn.Conv2d(32, 2, 1), nn.Conv2d(32, 4, 1)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return probabilities [N, 2, H, W] and corners of boxes [N, 4, H, W]."""
        maps = self.pool1(self.prelu1(self.conv1(images)))
        maps = self.prelu3(self.conv3(self.prelu2(self.conv2(maps))))
        return {"boxes": self.conv4_2(maps), "face": torch.softmax(self.conv4_1(maps), dim=1)}


class Refinement(nn.Module):
    """R-Net: whether a crop of 24 x 24 pixels is a face, and where it is."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 28, 3), nn.PReLU(28)
        self.conv2, self.prelu2 = nn.Conv2d(28, 48, 3), nn.PReLU(48)
        self.pool = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv3, self.prelu3 = nn.Conv2d(48, 64, 2), nn.PReLU(64)
        self.dense4, self.prelu4 = nn.Linear(576, 128), nn.PReLU(128)
        self.dense5_1, self.dense5_2 = nn.Linear(128, 2), nn.Linear(128, 4)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return probabilities [N, 2] and corners of boxes [N, 4]."""
        maps = self.pool(self.prelu1(self.conv1(images)))
        maps = self.pool(self.prelu2(self.conv2(maps)))
        maps = self.prelu3(self.conv3(maps))
        hidden = self.prelu4(self.dense4(maps.transpose(1, 3).flatten(1)))  # weights are for width, height, channels
        return {"boxes": self.dense5_2(hidden), "face": self.dense5_1(hidden).softmax(dim=1)}


class Output(nn.Module):
    """O-Net: whether a crop of 48 x 48 pixels is a face, where it is, and where eyes, nose and mouth are."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 32, 3), nn.PReLU(32)
        self.conv2, self.prelu2 = nn.Conv2d(32, 64, 3), nn.PReLU(64)
        self.conv3, self.prelu3 = nn.Conv2d(64, 64, 3), nn.PReLU(64)
        self.conv4, self.prelu4 = nn.Conv2d(64, 128, 2), nn.PReLU(128)
        self.dense5, self.prelu5 = nn.Linear(1152, 256), nn.PReLU(256)
        self.dense6_1, self.dense6_2, self.dense6_3 = nn.Linear(256, 2), nn.Linear(256, 4), nn.Linear(256, 10)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return corners of boxes [N, 4], landmarks [N, 10] and probabilities [N, 2]."""
        maps = nn.functional.max_pool2d(self.prelu1(self.conv1(images)), 3, 2, ceil_mode=True)
        maps = nn.functional.max_pool2d(self.prelu2(self.conv2(maps)), 3, 2, ceil_mode=True)
        maps = nn.functional.max_pool2d(self.prelu3(self.conv3(maps)), 2, ceil_mode=True)
        maps = self.prelu4(self.conv4(maps))
        hidden = self.prelu5(self.dense5(maps.transpose(1, 3).flatten(1)))
        return self.dense6_2(hidden), self.dense6_3(hidden), self.dense6_1(hidden).softmax(dim=1)
