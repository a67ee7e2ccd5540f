"""A network that has learnt handwritten digits with 7×7 kernels, which stacks of 3×3s then take over.

    pip install vggcalc torch scikit-learn
    python examples/carry_over.py

Prints the accuracy on images that it was not trained on: of the trained network, of the rewritten one, and while that
is trained on. Leaves the trained weights in digits.pt, for `vggcalc rewrite` and `vggcalc factorize --weights`.
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate

import vggcalc

SIZE, TRAINED_ON = 12, 897


def network(channels: int = 8) -> nn.Sequential:
    return nn.Sequential(
        *(nn.Conv2d(1, channels, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(channels, channels, 7, padding=3), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(channels, channels, 7, padding=3), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(channels * (SIZE // 4) ** 2, 10)),
    )


def digits() -> tuple[Tensor, Tensor]:
    """Images of 12×12, in a random order, and what they show."""
    found = load_digits()
    order = torch.randperm(len(found.target))
    images = interpolate(torch.tensor(found.images, dtype=torch.float32)[:, None], size=SIZE, mode="bilinear")
    return ((images - images.mean()) / images.std())[order], torch.tensor(found.target)[order]


def train(module: nn.Module, images: Tensor, labels: Tensor, steps: int, rate: float) -> None:
    optimizer = torch.optim.Adam(module.parameters(), rate)
    for _ in range(steps):
        batch = torch.randint(TRAINED_ON, (32,))
        optimizer.zero_grad()
        cross_entropy(module(images[batch]), labels[batch]).backward()
        optimizer.step()


def accuracy(module: nn.Module, images: Tensor, labels: Tensor) -> float:
    with torch.no_grad():
        return float((module(images[TRAINED_ON:]).argmax(1) == labels[TRAINED_ON:]).float().mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--channels", type=int, default=8)
    parser.add_argument("--steps", type=int, default=400, help="of training from scratch")
    parser.add_argument("--into", default="stack", help="the family that takes the kernels over")
    parser.add_argument("--pad-at", choices=("each", "first"), default="each", help="which new layer pads")
    parser.add_argument("--between", choices=("activation", "nothing"), default="activation", help="the new layers")
    parser.add_argument("--more", type=int, nargs="+", default=[10, 20, 50, 100, 200], help="steps of training on")
    options = parser.parse_args()
    torch.set_num_threads(1)  # of so small a network
    torch.manual_seed(0)
    images, labels = digits()
    trained = network(options.channels)
    train(trained, images, labels, options.steps, 0.003)
    torch.save(trained.state_dict(), "digits.pt")
    placed = {"pad_at": options.pad_at, "between": options.between}
    small = vggcalc.rewrite(trained, (1, 1, SIZE, SIZE), into=options.into, fit=True, **placed)
    for layer in small.fitted:
        print(f"{layer.name}: {layer.parameters[0]:,} → {layer.parameters[1]:,} weights, {layer.energy:.0%} explained")
    print(f"trained: {accuracy(trained, images, labels):.1%}")
    print(f"rewritten: {accuracy(small, images, labels):.1%}")
    done = 0
    for steps in options.more:
        train(small, images, labels, steps - done, 0.001)
        done = steps
        print(f"after {steps} steps more: {accuracy(small, images, labels):.1%}")


if __name__ == "__main__":
    main()
