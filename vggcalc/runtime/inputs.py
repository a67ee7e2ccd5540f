"""The arguments that a module is called with: given as shapes or examples, made as tensors of any kind."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils._pytree import tree_leaves, tree_map

from vggcalc.errors import InputError
from vggcalc.nets.inputs import TensorSpec
from vggcalc.nets.layers import Shape

#: From which all is drawn that a model is made of and run with.
SEED = 0

#: Without an embedding, whole numbers are drawn below this.
_SMALL = 2

Make = Callable[[Shape, torch.dtype], torch.Tensor]


class Arguments(NamedTuple):
    """Positional and keyword arguments of `forward`. A tensor stands in them as its shape, a `TensorSpec` or itself."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def tensors(self) -> list[Any]:
        """The shapes, specifications and tensors in them, in order."""
        return [leaf for leaf in tree_leaves((self.args, self.kwargs), is_leaf=_is_tensor) if _is_tensor(leaf)]

    def shapes(self) -> list[Shape]:
        """Of each tensor in them, in order."""
        return [_shape(leaf) for leaf in self.tensors()]

    def dtypes(self) -> list[torch.dtype | None]:
        """Of each tensor in them, in order; None where only a shape was given."""
        return [_dtype(leaf) for leaf in self.tensors()]

    def of_integers(self) -> "Arguments":
        """The same with int64 where only a shape was given, as token numbers are."""

        def integers(leaf: Any) -> Any:
            return TensorSpec(_shape(leaf), "int64") if _is_tensor(leaf) and _dtype(leaf) is None else leaf

        return Arguments(*tree_map(integers, (self.args, self.kwargs), is_leaf=_is_tensor))

    def with_tensors(self, make: Make, dtype: torch.dtype) -> "Arguments":
        """The same with tensors that `make` makes for each shape and dtype; `dtype` is that of shapes without one."""

        def tensor(leaf: Any) -> Any:
            return make(_shape(leaf), _dtype(leaf) or dtype) if _is_tensor(leaf) else leaf

        return Arguments(*tree_map(tensor, (self.args, self.kwargs), is_leaf=_is_tensor))

    def with_values(self, make: Make, dtype: torch.dtype, device: torch.device) -> "Arguments":
        """The same with copies of the tensors that are given, and others that `make` makes, on that device."""

        def tensor(leaf: Any) -> Any:
            if not _is_tensor(leaf):
                return leaf
            given = isinstance(leaf, torch.Tensor) and not leaf.is_meta
            return (leaf.clone() if given else make(_shape(leaf), _dtype(leaf) or dtype)).to(device)

        return Arguments(*tree_map(tensor, (self.args, self.kwargs), is_leaf=_is_tensor))


def arguments_of(inputs: Any) -> Arguments:
    """What `inputs` says: one shape or tensor; a list of arguments; or a dict of keywords; nested as it may be.

    A sequence of whole numbers is a shape; numbers, strings and None are passed on as they are.
    Raises `TypeError` for anything else, `InputError` for a shape with a number below 1.
    """
    if isinstance(inputs, Arguments):
        return inputs
    if _is_tensor(inputs):
        found = Arguments((inputs,), {})
    elif isinstance(inputs, dict) and inputs and all(isinstance(name, str) for name in inputs):
        found = Arguments((), dict(inputs))
    elif isinstance(inputs, list | tuple) and inputs:
        found = Arguments(tuple(inputs), {})
    else:
        raise _wrong(inputs)
    for leaf in tree_leaves((found.args, found.kwargs), is_leaf=_is_tensor):
        if not _is_tensor(leaf) and not isinstance(leaf, int | float | bool | str | None):
            raise _wrong(leaf)
    if not found.tensors():
        raise _wrong(inputs)
    for shape in found.shapes():
        if any(number < 1 for number in shape):
            raise InputError(f"inputs {shape} is no shape: every number must be at least 1")
    return found


def of_specs(specs: tuple[TensorSpec, ...]) -> Arguments:
    """Those with a name as keyword arguments, the others by position."""
    return Arguments(
        tuple(spec for spec in specs if spec.name is None), {spec.name: spec for spec in specs if spec.name is not None}
    )


def own_dtype(module: nn.Module) -> torch.dtype:
    """That of the module's first parameter or buffer of floating-point numbers."""
    tensors: Iterator[torch.Tensor] = chain(module.parameters(), module.buffers())
    return next((tensor.dtype for tensor in tensors if tensor.is_floating_point()), torch.float32)


@contextmanager
def seeded() -> Iterator[None]:
    """Within it what torch draws is the same every time; the caller goes on drawing as if nothing had been."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        yield


def random_values(module: nn.Module, generator: torch.Generator) -> Make:
    """Tensors of random values: numbers from 0 to 1, whole numbers that every embedding of the module takes."""
    rows = [part.num_embeddings for part in module.modules() if isinstance(part, nn.Embedding)]
    below = min(rows, default=_SMALL)

    def make(shape: Shape, dtype: torch.dtype) -> torch.Tensor:
        if dtype.is_floating_point or dtype.is_complex:
            return torch.rand(shape, generator=generator, dtype=torch.float32).to(dtype)
        if dtype == torch.bool:
            return torch.ones(shape, dtype=dtype)
        return torch.randint(0, below, shape, generator=generator).to(dtype)

    return make


def _is_tensor(value: object) -> bool:
    return isinstance(value, torch.Tensor | TensorSpec) or (
        isinstance(value, list | tuple) and bool(value) and all(type(number) is int for number in value)
    )


def _shape(leaf: Any) -> Shape:
    return tuple(leaf.shape if isinstance(leaf, torch.Tensor | TensorSpec) else leaf)


def _dtype(leaf: Any) -> torch.dtype | None:
    if isinstance(leaf, torch.Tensor):
        return leaf.dtype
    named: torch.dtype | None = getattr(torch, leaf.dtype) if isinstance(leaf, TensorSpec) and leaf.dtype else None
    return named


def _wrong(value: object) -> TypeError:
    return TypeError(
        "inputs must be a shape such as (1, 3, 224, 224), a tensor, a list of these for several arguments, or a dict "
        "of them by the names of the arguments, not "
        + (f"{value!r}" if isinstance(value, int | float | str | list | tuple) else type(value).__name__)
    )
