"""State dicts in files: safetensors, or torch's own `.pt`, of which nothing but tensors is ever unpickled."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from vggcalc.runtime.load.errors import LoadError, in_one_line
from vggcalc.runtime.load.factories import existing_file

#: Under which a training script may keep the state dict among other things.
_KEYS = ("state_dict", "model", "model_state_dict")


def load_weights(module: nn.Module, path: str) -> None:
    """Give the module the weights in a file, all of them. Raises `LoadError`."""
    file = existing_file(path)
    try:
        if path.endswith(".safetensors"):
            found: object = _safetensors().load_file(file)
        else:
            found = torch.load(file, map_location="cpu", weights_only=True)
    except LoadError:
        raise
    except Exception as error:  # whatever a file that is none makes the readers raise
        raise LoadError(f"{path} cannot be read as weights: {in_one_line(error)}") from None
    if isinstance(found, Mapping):
        found = next((found[key] for key in _KEYS if isinstance(found.get(key), Mapping)), found)
    if not isinstance(found, Mapping) or not all(
        isinstance(name, str) and isinstance(one, Tensor) for name, one in found.items()
    ):
        raise LoadError(f"{path} holds no state dict: it takes tensors by their names")
    try:
        module.load_state_dict(dict(found))
    except RuntimeError as error:
        raise LoadError(f"{path} does not fit the model: {in_one_line(error)}") from None


def save_weights(module: nn.Module, path: str) -> None:
    """Write the module's state dict; an earlier file is replaced only by a whole one. Raises `LoadError`."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}
    with whole_file(path) as part, open(part, "wb") as out:
        if path.endswith(".safetensors"):
            out.write(_safetensors().save({name: tensor.clone() for name, tensor in state.items()}))
        else:
            torch.save(state, out)


@contextmanager
def whole_file(path: str) -> Iterator[str]:
    """The name of a file that becomes `path` when all of it is written, and else is removed. Raises `LoadError`."""
    part = f"{path}.{os.getpid()}.part"
    try:
        yield part
        os.replace(part, path)
    except OSError as error:
        raise LoadError(f"{path} cannot be written: {error.strerror or error}") from None
    finally:
        with suppress(OSError):  # it has become the file, or could not be made
            os.unlink(part)


def _safetensors() -> Any:
    try:
        return import_module("safetensors.torch")
    except ImportError:
        raise LoadError("safetensors is not installed: pip install safetensors, or use a .pt file") from None
