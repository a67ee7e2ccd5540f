"""How autograd would meet an operator in training, which a trace without gradients has to be told."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.autograd import Function
from torch.utils import checkpoint as checkpointing

from vggcalc.nets.graph import Autograd


class AutogradMode:
    """Whether autograd would record the operators that run: "" where it does.

    "no_grad" under `torch.no_grad` and `torch.inference_mode`, and "checkpoint" in `torch.utils.checkpoint`, whose
    operators run again in the backward pass. A custom `torch.autograd.Function` runs its forward without gradients and
    has a backward of its own: it is taken as it is called.
    """

    def __init__(self) -> None:
        self._within: list[Autograd] = []

    @property
    def current(self) -> Autograd:
        """That of what runs now."""
        if self._within:
            return self._within[-1]
        return "" if torch.is_grad_enabled() else "no_grad"

    @contextmanager
    def _run_as(self, mode: Autograd) -> Iterator[None]:
        self._within.append(mode)
        try:
            yield
        finally:
            self._within.pop()

    @contextmanager
    def followed(self) -> Iterator[None]:
        """Within it custom functions and both kinds of checkpoints are seen, which torch's own mode does not show."""
        apply = vars(Function)["apply"]
        without_reentrant = checkpointing._checkpoint_without_reentrant_generator

        def applied(kind: type[Function], *args: Any, **kwargs: Any) -> Any:
            if issubclass(kind, checkpointing.CheckpointFunction):
                function, _, *inputs = args
                with self._run_as(self.current or "checkpoint"):
                    return function(*inputs)
            with self._run_as(self.current), torch.no_grad():
                return apply.__get__(None, kind)(*args, **kwargs)

        def entered(*args: Any, **kwargs: Any) -> Iterator[None]:  # and no more, as where gradients are off
            with self._run_as(self.current or "checkpoint"):
                yield

        Function.apply = classmethod(applied)  # type: ignore[assignment]
        checkpointing._checkpoint_without_reentrant_generator = entered
        try:
            yield
        finally:
            Function.apply = apply  # type: ignore[method-assign]
            checkpointing._checkpoint_without_reentrant_generator = without_reentrant
