"""A module made with as few values as its constructor can do with: a model larger than the memory is counted too."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from vggcalc.memory import free_bytes
from vggcalc.runtime.load.errors import in_one_line


def without_weights(make: Callable[[], Any]) -> Any:
    """What `make` makes: on the meta device, else with its parameters alone there, else with all its values.

    The second is for constructors that read the values of constants, the third for those that run a forward pass and
    read what comes out. Raises what `make` does in the last way, and `MemoryError` where there is no room for it.
    """
    try:
        with torch.device("meta"):
            return make()
    except Exception:  # whatever the user's code makes of a value that is not there
        pass
    registered: list[nn.Parameter] = []
    try:
        with _parameters_on_meta(registered):
            return make()
    except Exception as error:
        need, free = sum(one.numel() * one.element_size() for one in registered), free_bytes()
        if free is not None and need > free:
            raise MemoryError(
                f"{free:,} bytes are free, and its parameters take {need:,} or more; "
                f"it cannot be made without their values, which raises {in_one_line(error)}"
            ) from error
    return make()


@contextmanager
def _parameters_on_meta(registered: list[nn.Parameter]) -> Iterator[None]:
    """Every parameter goes to the meta device as it is registered, before anything fills it, and into the list."""
    register = nn.Module.register_parameter

    def on_meta(self: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        if parameter is not None and not is_lazy(parameter):
            parameter = nn.Parameter(parameter.detach().to("meta"), parameter.requires_grad)
            registered.append(parameter)
        register(self, name, parameter)

    nn.Module.register_parameter = on_meta  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        nn.Module.register_parameter = register  # type: ignore[method-assign]
