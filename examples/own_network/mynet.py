"""A network of one's own: what it sees in a picture, and which word it reads there."""

import torch
from torch import Tensor, nn


class Reader(nn.Module):
    """Three convolutions that two tasks share, and a head for each."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 5, stride=2, padding=2)
        self.conv2 = nn.Conv2d(width, 2 * width, 3, padding=1)
        self.conv3 = nn.Conv2d(2 * width, 2 * width, 3, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.hidden = nn.Linear(2 * width * 16, 4 * width)
        self.object, self.word = nn.Linear(4 * width, 4), nn.Linear(4 * width, 4)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return scores [images, classes] of both tasks."""
        maps = self.pool(torch.relu(self.conv1(images)))
        maps = torch.relu(self.conv2(maps))
        maps = self.pool(torch.relu(self.conv3(maps)))
        seen = torch.relu(self.hidden(maps.flatten(1)))
        return {"object": self.object(seen), "word": self.word(seen)}


def build(width: int = 8) -> nn.Module:
    """Return the network; the config gives the width."""
    return Reader(width)
