"""From recorded steps to nodes: names after the modules that ran them, and whether `rewrite` can replace these."""

from collections import Counter

import msgspec
from torch import nn

from vggcalc.nets.graph import INPUT, Autograd, Constant, Node, Traced
from vggcalc.nets.layers import Axes, Conv2d, Layer, Shape

#: The number that stands for the network's input where a step says what it reads.
INPUT_STEP = -1

#: The function of a step that stands for parameters of which no operator makes use.
UNUSED = "unused"


class Step(msgspec.Struct):
    """A node before it has its name: `path` is that of the module that ran it, in the module's `call`-th call.

    `inputs` are the numbers of the steps that it reads, `uses` the names of the parameters and buffers that take
    part, `parameters` the scalars of those that no earlier step uses, `trainable` those of them that require a
    gradient. The rest is as in `Traced`; `whole` says that the module is this one step.
    """

    path: str
    call: int
    function: str
    layer: Layer
    shape: Shape
    inputs: tuple[int, ...]
    reach: str
    spatial_size: Axes
    uses: frozenset[str]
    parameters: int
    trainable: int
    parameter_bytes: int
    weights: str
    trains: str
    autograd: Autograd
    itemsize: int = 0
    steering: tuple[int, ...] = ()
    constants: tuple[Constant, ...] = ()
    whole: bool = False


def nodes_of(steps: list[Step], modules: dict[str, nn.Module], calls: Counter[str]) -> tuple[Node, ...]:
    """The steps as nodes. `modules` are by path, `calls` says how often each ran."""
    names = _names(steps, modules)
    users = Counter(name for step in steps for name in step.uses)
    nodes = []
    for i, step in enumerate(steps):
        by_function = _by_function(step, modules[step.path])
        reason = _why_not_replaceable(step, modules[step.path], by_function, calls, users)
        traced = Traced(
            step.reach,
            step.spatial_size,
            step.parameters,
            None if reason else step.path,
            reason,
            step.weights,
            by_function,
            step.trains,
            step.trainable,
            step.parameter_bytes,
            step.autograd,
            step.itemsize,
            step.steering,
            step.constants,
        )
        nodes.append(Node(names[i], step.layer, tuple(names[j] for j in step.inputs), traced))
    return tuple(nodes)


def _names(steps: list[Step], modules: dict[str, nn.Module]) -> dict[int, str]:
    """By number: the module's path where it runs one operator, else that and the operator's name."""
    lengths = Counter((step.path, step.call) for step in steps)
    names, taken = {INPUT_STEP: INPUT}, {INPUT}
    last: Counter[tuple[str, bool]] = Counter()  # up to it the numbers of a stem, a module's or a function's, are taken
    for i, step in enumerate(steps):
        leaf = step.path and not modules[step.path]._modules
        alone = bool(leaf) and lengths[step.path, step.call] == 1 and step.function != UNUSED
        alone = alone or bool(step.whole and step.path)
        stem = step.path if alone else f"{step.path}.{step.function}".lstrip(".")
        number = last[stem, alone] or 1
        candidate = stem if number == 1 else f"{stem}_{number}"
        # A function never takes the name of a module, which another node may be.
        while candidate in taken or (not alone and candidate in modules):
            number += 1
            candidate = f"{stem}_{number}"
        taken.add(candidate)
        last[stem, alone] = number
        names[i] = candidate
    return names


def _by_function(step: Step, module: nn.Module) -> bool:
    """Whether a function, or a module of another make, computes it, and no module of torch.nn."""
    of_torch = type(module).__module__.startswith("torch.nn.modules.") and not module._modules
    return not of_torch or (isinstance(step.layer, Conv2d) and type(module) is not nn.Conv2d)


def _is_convolution(module: nn.Module) -> bool:
    """Whether it is one of torch.nn's, or of another class that does the same, such as torchvision's Conv3DSimple."""
    if module._modules or not isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        return False
    forwards = type(module).forward, type(module)._conv_forward
    return all(forward.__module__ == "torch.nn.modules.conv" for forward in forwards)


def _why_not_replaceable(
    step: Step, module: nn.Module, by_function: bool, calls: Counter[str], users: Counter[str]
) -> str:
    """Why the module of a step cannot be replaced by another; empty if it can."""
    if by_function and not _is_convolution(module):
        return "it is computed by a function, not by a module of torch.nn that could be replaced"
    if calls[step.path] > 1:
        return f"its module is called {calls[step.path]} times"
    if getattr(module, "padding_mode", "zeros") != "zeros":
        return f"its padding is {module.padding_mode}, which no stack repeats"
    if any(users[name] > 1 for name in step.uses):
        return "its weight belongs to another layer too"
    return ""
