"""Formulas of users: what an operator or a module does that vggcalc does not know, in MACs."""

from collections.abc import Callable
from operator import index
from typing import Any, TypeVar

import torch
from torch import nn
from torch._ops import OpOverload, OpOverloadPacket
from torch.utils._pytree import tree_map

from vggcalc.errors import InputError
from vggcalc.runtime.trace.operators import OPERATORS
from vggcalc.runtime.trace.operators.rules import opaque

Formula = Callable[..., int]
FormulaFunction = TypeVar("FormulaFunction", bound=Formula)

#: The registered formulas, by an operator's qualified name ("torchvision::deform_conv2d") and by class.
_OF_OPERATORS: dict[str, Formula] = {}
_OF_MODULES: dict[type[nn.Module], Formula] = {}


class FormulaTypeError(TypeError):
    """A formula returned no whole number."""


_ACCEPTED = (
    'an operator (torch.ops.mylib.attention or its name, "mylib::attention") or a subclass of torch.nn.Module, or a '
    "list of these"
)


def register_formula(targets: Any) -> Callable[[FormulaFunction], FormulaFunction]:
    """Say how many MACs an operator, or a module taken whole, does: a decorator for the function that computes them.

    The manner is that of `torch.utils.flop_counter.register_flop_formula`: the function is called with the
    operator's own arguments, each tensor replaced by its shape, and with `out_shape`, the shape of the output (a
    tuple of them where there are several). It returns MACs, not FLOPs. For a module class it is called with the
    module and the arguments of its `forward`: an instance of the class, or of a subclass without a formula of its
    own, is then one layer with all its parameters, and the operators within it are not looked at.

    Args:
        targets: an operator (`torch.ops.mylib.attention`, one overload of it, or "mylib::attention"), a subclass of
            `torch.nn.Module`, or a list of these. An operator that vggcalc has a formula for is refused. A later
            registration takes the place of an earlier one.

    Raises:
        TypeError: a target is none of these, or the formula cannot be called or returns no whole number.
        InputError: a name that is no operator's, or an operator that needs no formula; a formula below 0.

    It holds in this process. A model that is imported by its name is traced in another, where `formulas="file.py"` of
    `summary` and `compare`, and `--formulas FILE.py` of the command line, run a file that calls this.

    The receptive field of what has a registered formula is unknown, and so is what training saves for it.

    >>> import torch
    >>> class Gram(torch.nn.Module):
    ...     def forward(self, x):
    ...         return x.flatten(2) @ x.flatten(2).mT
    >>> @vggcalc.register_formula(Gram)
    ... def gram_macs(module, x_shape, out_shape):
    ...     batch, channels, height, width = x_shape
    ...     return batch * channels * channels * height * width
    >>> vggcalc.summary(Gram(), (1, 8, 16, 16)).macs
    16384
    """
    keys = [_registry_key(target) for target in (targets if isinstance(targets, list | tuple) else [targets])]

    def register(formula: FormulaFunction) -> FormulaFunction:
        if not callable(formula):
            raise TypeError(f"formula must be a function that returns MACs, not {formula!r}")
        for key in keys:
            if isinstance(key, str):
                _OF_OPERATORS[key] = formula
            else:
                _OF_MODULES[key] = formula
        return formula

    return register


def _registry_key(target: Any) -> str | type[nn.Module]:
    """What a target's formula is kept under. Raises `TypeError` and `InputError`."""
    if isinstance(target, type) and issubclass(target, nn.Module):
        return target
    target = getattr(target, "_opoverload", target)  # of torch.library.custom_op
    match target:
        case OpOverload():
            name = target.name().removesuffix(".default")
        case OpOverloadPacket():
            name = target._qualified_op_name
        case str():
            name = target
        case nn.Module():
            raise TypeError(f"targets must be {_ACCEPTED}, not a module: give its class, {type(target).__name__}")
        case _:
            raise TypeError(f"targets must be {_ACCEPTED}, not {target!r}")
    namespace, separator, function = name.partition("::")
    if not (namespace and separator and function):
        raise InputError(f'{name!r} is no operator\'s name: write namespace and name as in "mylib::attention"')
    if namespace == "aten" and OPERATORS.get(function.partition(".")[0], opaque) is not opaque:
        raise InputError(f"{name} has a formula already: register one for what has none")
    return str(name)


def has_formulas() -> bool:
    """Whether any is registered in this process."""
    return bool(_OF_OPERATORS or _OF_MODULES)


def operator_formula(func: OpOverload) -> Formula | None:
    """The formula registered for this overload, or for the operator."""
    if not _OF_OPERATORS:
        return None
    name = func.name()
    return _OF_OPERATORS.get(name) or _OF_OPERATORS.get(name.partition(".")[0])


def module_formula(module: nn.Module) -> Formula | None:
    """The formula registered for the module's class, or for the nearest of its bases that has one."""
    if not _OF_MODULES:
        return None
    return next((_OF_MODULES[kind] for kind in type(module).__mro__ if kind in _OF_MODULES), None)


def macs_by(formula: Formula, name: str, *arguments: Any, out: Any, **keywords: Any) -> int:
    """What the formula returns for these arguments and outputs, of whose tensors it gets the shapes."""
    args, kwargs, out_shape = tree_map(_shape_of, (arguments, keywords, out))
    found = formula(*args, **kwargs, out_shape=out_shape)
    if isinstance(found, bool) or not hasattr(found, "__index__"):
        raise FormulaTypeError(f"the formula of {name} returned {found!r}: it must return MACs, a whole number")
    macs = index(found)
    if macs < 0:
        raise InputError(f"the formula of {name} returned {macs} MACs: they cannot be negative")
    return macs


def _shape_of(value: object) -> object:
    return tuple(value.shape) if isinstance(value, torch.Tensor) else value
