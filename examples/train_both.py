"""Build both variants of a small VGG and train each for a few steps on made-up data.

Run it with `python examples/train_both.py`. Needs torch, which vggcalc installs.
"""

import torch
from torch import nn

import vggcalc
from vggcalc.runtime.build import build

STEPS = 30


def stripes(batch: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Noisy 32×32 images with horizontal (class 0) or vertical (class 1) stripes."""
    labels = torch.randint(2, (batch,), generator=generator)
    rows = torch.arange(32).div(4, rounding_mode="floor").remainder(2).float()
    horizontal, vertical = rows[:, None].expand(32, 32), rows[None, :].expand(32, 32)
    images = torch.where(labels[:, None, None] == 0, horizontal, vertical)
    images = images + 0.5 * torch.randn(batch, 32, 32, generator=generator)
    return images[:, None].expand(batch, 3, 32, 32).contiguous(), labels


def train(model: nn.Module) -> list[float]:
    """The loss of every step."""
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    losses = []
    for _ in range(STEPS):
        images, labels = stripes(16, generator)
        loss = nn.functional.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def main() -> None:
    config = vggcalc.Config(
        "stripes", (8, 8, "M", 16, 16, 16, "M"), input=(3, 32, 32), classifier=(2,), batch_norm=True
    )
    comparison = vggcalc.compare(config, batch=16)
    for variant in comparison.variants:
        torch.manual_seed(0)
        model = build(variant.network)
        losses = train(model)
        print(
            f"{variant.name:10} {variant.costs['parameters']:,} parameters, {variant.costs['macs']:,} MACs, "
            f"loss {losses[0]:.3f} → {losses[-1]:.3f}"
        )


if __name__ == "__main__":
    main()
