"""How the energy of a unit's gradient is spread over the input, with the weights and activations that a module has.

Luo, Li, Urtasun, Zemel 2016 (arXiv 1701.04128): a unit depends on all of its receptive field, and in a deep network
hardly on its edge. The energy at a position of the input is Σ (∂y/∂x)² over the channels of both; over y's channels it
is estimated by one gradient of their sum with random signs, whose expected square it is (Hutchinson 1989).
"""

from collections.abc import Iterator, Mapping
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from vggcalc.nets.layers import Shape
from vggcalc.protocol import GradientEnergy, Subject
from vggcalc.runtime.build import build
from vggcalc.runtime.check.counts import calls_of
from vggcalc.runtime.check.gradient import ProbeError, check_one_input, first_target, gradient_of, output_of
from vggcalc.runtime.inputs import Make, own_dtype, random_values
from vggcalc.runtime.load.load import call_arguments, load
from vggcalc.runtime.trace.nested import exhausted


def gradient_energies(
    subject: Subject, centres: Mapping[str, tuple[float, ...]], samples: int, seed: int
) -> Iterator[GradientEnergy]:
    """The energy around the centre of each of `samples` seeded inputs, of which none depends on how many there are.

    `centres` are those of the fields of the subject's targets, by layer. A network that is built has other random
    weights in each sample (He et al. 2015, without biases), and an imported module those of its factory in all of them.
    Raises `ProbeError`, or whatever the module's own code raises.
    """
    if subject.origin is None:
        layer, gradients = _of_built(subject, samples, seed)
    else:
        layer, gradients = _of_imported(subject, samples, seed)
    for gradient in gradients:
        energy = gradient.double().square().flatten(0, 1).sum(0)
        sides, shares = energy_by_side(energy, centres[layer])
        yield GradientEnergy(subject.name, layer, sides, shares, subject.comparison)


def energy_by_side(energy: Tensor, centre: tuple[float, ...]) -> tuple[tuple[int, ...], tuple[float, ...] | None]:
    """The sides of squares around `centre`, in positions, and the share of the energy within each; None of none at all.

    In one dimension they are intervals, in three cubes. The smallest is one position, or two along an axis where the
    centre is between two.
    """
    farthest = torch.zeros(energy.shape, dtype=torch.float64)
    for axis, middle in enumerate(centre):
        away = (torch.arange(energy.shape[axis], dtype=torch.float64) - middle).abs()
        farthest = farthest.maximum(away.reshape(-1, *[1] * (energy.dim() - axis - 1)))
    side = (2 * farthest + 1 - 1e-9).ceil().long().flatten()
    within = torch.bincount(side, weights=energy.flatten()).cumsum(0)
    sides = side.unique()
    total = float(within[-1])
    shares = tuple((within[sides] / total).tolist()) if total > 0 else None
    return tuple(sides.tolist()), shares


def _of_built(subject: Subject, samples: int, seed: int) -> tuple[str, Iterator[Tensor]]:
    """The layer, and the gradient in each sample, of a network that is built up to the first of its targets."""
    target = subject.targets[0]
    module = build(subject.network.up_to(target.layer)).eval().requires_grad_(False)
    shape: Shape = (1, *subject.network.input_shape[1:])

    def gradients() -> Iterator[Tensor]:
        for number in range(samples):
            generator = torch.Generator().manual_seed(1000 * seed + number)
            _draw_weights(module, generator)
            image = torch.rand(shape, generator=generator).requires_grad_()
            yield gradient_of(module(image * 1), target, image, partial(_signs, generator))

    return target.layer, gradients()


def _of_imported(subject: Subject, samples: int, seed: int) -> tuple[str, Iterator[Tensor]]:
    """The same of an imported module, whose weights are those that its code makes, after torch is seeded."""
    assert subject.origin is not None
    check_one_input(subject)
    torch.manual_seed(seed)
    module = load(subject.origin).eval().requires_grad_(False)
    dtype = own_dtype(module)
    if dtype in (torch.float16, torch.bfloat16):
        module, dtype = module.float(), torch.float32
    arguments = call_arguments(module, subject.origin, subject.network)
    if not all((of or dtype).is_floating_point for of in arguments.dtypes()):
        raise ProbeError("its input is whole numbers, of which there is no gradient")

    def draw_image(generator: torch.Generator) -> tuple[Tensor, Make]:
        draw = random_values(module, generator)
        image = draw(subject.network.input_shape, dtype).requires_grad_()
        return image, lambda shape, of: image * 1 if of == dtype else draw(shape, of)

    def run(make: Make) -> object:
        inputs = arguments.with_tensors(make, dtype)
        return exhausted(module(*inputs.args, **inputs.kwargs))

    with torch.no_grad(), calls_of(module) as calls:
        run(draw_image(torch.Generator().manual_seed(0))[1])
    target, path = first_target(subject, calls)

    def gradients() -> Iterator[Tensor]:
        for number in range(samples):
            generator = torch.Generator().manual_seed(1000 * seed + number)
            image, make = draw_image(generator)
            output = output_of(module, path, partial(run, make))
            yield gradient_of(output, target, image, partial(_signs, generator))

    return target.layer, gradients()


def _signs(generator: torch.Generator, number: int) -> Tensor:
    """So many of +1 and −1."""
    return torch.randint(0, 2, (number,), generator=generator) * 2.0 - 1


def _draw_weights(module: nn.Module, generator: torch.Generator) -> None:
    """Weights for layers with rectifiers (He et al. 2015, arXiv 1502.01852), and biases of 0."""
    for part in module.modules():
        if isinstance(part, _BatchNorm):
            part.reset_parameters()
        elif isinstance(part, _ConvNd | nn.Linear):
            nn.init.kaiming_normal_(part.weight, nonlinearity="relu", generator=generator)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
