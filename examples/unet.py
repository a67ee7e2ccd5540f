"""A U-Net with a 7×7 stem, to be read by `vggcalc summary examples/unet.py:UNet`.

Ronneberger et al. 2015 (arXiv 1505.04597) in small: what a unit of its output sees varies from unit
to unit, because the way up is by transposed convolutions of stride 2.
"""

import torch
from torch import nn


def block(into: int, out_of: int) -> nn.Sequential:
    """Two 3×3 convolutions with batch norm and ReLU."""
    layers: list[nn.Module] = []
    for channels in (into, out_of):
        layers += [nn.Conv2d(channels, out_of, 3, padding=1, bias=False), nn.BatchNorm2d(out_of), nn.ReLU(True)]
    return nn.Sequential(*layers)


class UNet(nn.Module):
    """(batch, 3, height, width) to (batch, classes, height, width); both sizes multiples of 4."""

    def __init__(self, classes: int = 2, width: int = 32) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 7, padding=3)
        self.down1 = block(width, width)
        self.down2 = block(width, 2 * width)
        self.bottom = block(2 * width, 4 * width)
        self.pool = nn.MaxPool2d(2)
        self.up2 = nn.ConvTranspose2d(4 * width, 2 * width, 2, 2)
        self.join2 = block(4 * width, 2 * width)
        self.up1 = nn.ConvTranspose2d(2 * width, width, 2, 2)
        self.join1 = block(2 * width, width)
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        first = self.down1(self.stem(image).relu())
        second = self.down2(self.pool(first))
        below = self.bottom(self.pool(second))
        second = self.join2(torch.cat([self.up2(below), second], 1))
        return self.head(self.join1(torch.cat([self.up1(second), first], 1)))
