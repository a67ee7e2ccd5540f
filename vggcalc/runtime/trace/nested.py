"""The tensors in what an operator or a module takes and puts out, however they are nested."""

from collections.abc import Iterator, Mapping
from types import GeneratorType
from typing import Any

import torch
from torch import nn

_CONTAINERS = (list, tuple, dict)  # no union of types, which each call would make anew


def tensors_of(value: object) -> list[torch.Tensor]:
    """The tensors in nested lists, tuples and dicts, in order."""
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, _CONTAINERS):
        return []
    found = []
    for part in value:  # most parts are tensors and numbers: each saves a call
        if isinstance(part, torch.Tensor):
            found.append(part)
        elif isinstance(part, _CONTAINERS):
            found += tensors_of(part)
    return found


def exhausted(output: object) -> object:
    """What a module puts out; of a generator, which does its work as it is asked for it, all of it as a list."""
    return list(output) if isinstance(output, GeneratorType) else output


def output_tensors(output: object) -> Iterator[torch.Tensor]:
    """The tensors that a module puts out, in order: in nested lists, tuples and dicts, and in objects' attributes.

    What leads back to itself is looked into once.
    """
    seen: set[int] = set()
    waiting = [output]
    while waiting:
        value = waiting.pop()
        if isinstance(value, torch.Tensor):
            yield value
        elif id(value) not in seen:
            seen.add(id(value))
            waiting += reversed(_contents(value))


def _contents(value: object) -> list[Any]:
    """The elements of a container, or the attributes of an object: of a dataclass, of one with slots, of any other."""
    match value:
        case Mapping():
            return list(value.values())
        case list() | tuple() | set() | frozenset():
            return list(value)
        case type() | nn.Module() | str() | bytes():
            return []
    slots = [vars(kind).get("__slots__", ()) for kind in type(value).__mro__]
    names = [name for one in slots for name in ((one,) if isinstance(one, str) else one) if not name.startswith("__")]
    return [*(getattr(value, name, None) for name in names), *getattr(value, "__dict__", {}).values()]
