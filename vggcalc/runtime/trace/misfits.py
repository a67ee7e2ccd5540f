"""What a layer wants of its input and what it got, where the two do not fit."""

import re
from collections.abc import Sequence

from torch import nn

from vggcalc.nets.layers import Shape

#: The attribute in which a module says how many channels or features it takes.
WANTS: tuple[tuple[type[nn.Module], str, str], ...] = (
    (nn.modules.conv._ConvNd, "in_channels", "channels"),
    (nn.modules.batchnorm._NormBase, "num_features", "channels"),
    (nn.GroupNorm, "num_channels", "channels"),
    (nn.Linear, "in_features", "features"),
    (nn.RNNBase, "input_size", "features"),
)

#: What torch says of anything else, also of its functions, and the same as wants and gets.
SAYINGS = (
    (r"reduction dim, but got \[.*?(?P<got>\d+)\] X \[(?P<wants>\d+),", "{wants} features, got {got}"),
    (r"cannot be multiplied \(\d+x(?P<got>\d+) and (?P<wants>\d+)x\d+\)", "{wants} features, got {got}"),
    (
        r"expected input with shape \[(?:\*, )?(?P<wants>[\d, ]+)\], but got input of size ?"
        r"(?:torch.Size\()?\[(?P<got>[\d, ]+)\]",
        "a shape that ends with {wants}, got {got}",
    ),
    (r"expected (?P<wants>\d+D(?: or \d+D)?) input \(got (?P<got>\d+D) input\)", "a {wants} input, got {got}"),
    (r"input size: \((?P<got>\w+)\).*Output size is too small", "a larger input, got {got}"),
    (
        r"input size per channel: \((?P<got>[\dx ]+)\). "
        r"Kernel size: \((?P<wants>[\dx ]+)\). Kernel size can't be greater",
        "an input of {wants} or more, got {got}",
    ),
)


def wants_and_got(module: nn.Module | None, shape: Shape, message: str) -> str:
    """Such as "3 channels, got 1", of a module that raised for an input of that shape; empty where it fits.

    `message` is what was raised, also where no module is known.

    >>> wants_and_got(nn.Linear(512, 10), (1, 2048), "")
    '512 features, got 2048'
    """
    for pattern, words in SAYINGS:
        found = re.search(pattern, message, re.DOTALL)
        if found is not None:
            return words.format(**{name: re.sub(", | ?x ?", "×", text) for name, text in found.groupdict().items()})
    for kind, attribute, unit in WANTS:
        if isinstance(module, kind):
            wanted, got = getattr(module, attribute), _size_of(module, shape, unit)
            if got in (None, wanted):
                continue
            if isinstance(module, nn.modules.conv._ConvNd) and len(shape) != len(module.kernel_size) + 2:
                axes = ("L", "H×W", "D×H×W")[len(module.kernel_size) - 1]
                return f"an input of N×{wanted}×{axes}, got {'×'.join(map(str, shape))}"
            return f"{wanted} {unit}, got {got}"
    return ""


def _size_of(module: nn.Module, shape: Shape, unit: str) -> int | None:
    """How many channels or features an input of that shape has for a module, None where it has too few axes."""
    kernel: Sequence[int] | None = getattr(module, "kernel_size", None)
    axis = len(shape) - 1 if unit == "features" else 1 if kernel is None else len(shape) - len(kernel) - 1
    return shape[axis] if 0 <= axis < len(shape) else None


def said_to_fit(shape: Shape) -> str:
    """How a message goes on where a shape would be right."""
    return f": did you mean {'x'.join(map(str, shape))}?" if shape else ""
