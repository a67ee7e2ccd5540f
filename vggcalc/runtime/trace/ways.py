"""The ways to run a module that is traced: on the meta device, with fake tensors, or itself with random values."""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import msgspec
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from vggcalc.runtime.inputs import SEED, Make, random_values

logging.getLogger("torch._subclasses.fake_tensor").setLevel(logging.CRITICAL)  # what it cannot run is tried otherwise


class Way(msgspec.Struct, frozen=True):
    """How a module is run: where its tensors lie, what a tensor of its state becomes, and what its inputs are."""

    name: Literal["meta", "fake", "values"]
    device: AbstractContextManager[Any]
    state: Callable[[torch.Tensor], torch.Tensor]
    make: Make


def _empty_like(tensor: torch.Tensor, device: str) -> torch.Tensor:
    """As torch's, which takes 20 times as long where the tensor is on the meta device already."""
    if tensor.layout is not torch.strided or tensor.is_quantized:
        return torch.empty_like(tensor, device=device)
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=device)


def on_meta(module: nn.Module) -> Way:
    return Way(
        "meta",
        torch.device("meta"),
        lambda tensor: _empty_like(tensor, "meta"),
        lambda shape, dtype: torch.empty(shape, dtype=dtype, device="meta"),
    )


def fake(module: nn.Module) -> Way:
    return Way(
        "fake",
        FakeTensorMode(allow_non_fake_inputs=True),
        lambda tensor: _empty_like(tensor, "cpu"),
        lambda shape, dtype: torch.empty(shape, dtype=dtype, device="cpu"),
    )


def real(module: nn.Module) -> Way:
    generator = torch.Generator().manual_seed(SEED)
    return Way("values", nullcontext(), lambda tensor: tensor.detach().to("cpu"), random_values(module, generator))
