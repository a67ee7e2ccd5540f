"""State dicts in files: safetensors, or torch's own `.pt`, of which nothing but tensors is ever unpickled."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import import_module
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn

from vggcalc.errors import nearest, unknown
from vggcalc.runtime.load.errors import LoadError, in_one_line
from vggcalc.runtime.load.factories import existing_file

#: Under which a training script may keep the state dict among other things.
_KEYS = ("state_dict", "model", "model_state_dict")


def load_weights(module: nn.Module, path: str) -> None:
    """Give the module the weights in a file, all of them. Raises `LoadError`."""
    try:
        module.load_state_dict(_state_dict(path))
    except RuntimeError as error:
        raise LoadError(f"{path} does not fit the model: {in_one_line(error)}") from None


def load_kernel(path: str, key: str | None) -> tuple[str, Tensor, Tensor | None]:
    """The name, the weights and the bias of a convolution in a file: those named `key`, or the only ones.

    Its bias is None where none of its channels' number stands beside it. Raises `LoadError`.
    """
    state = _state_dict(path)
    kernels = [name for name, one in state.items() if sees_a_window(one)]
    if not kernels:
        raise LoadError(f"{path} holds no kernel of a convolution that sees more than one position")
    if key is None:
        if len(kernels) > 1:
            some = ", ".join(kernels[:6]) + (" …" if len(kernels) > 6 else "")
            raise LoadError(f"{path} holds {len(kernels)} kernels: say the key of one, such as {some}")
        (key,) = kernels
    if key not in state:
        raise LoadError(f"{path}: {unknown('key', key, kernels)}")
    weight = state[key]
    if key not in kernels:
        shape = "×".join(map(str, weight.shape)) or "one number"
        near = nearest(key, kernels, 0.0)
        raise LoadError(
            f"{key} of {path} is {shape} of {weight.dtype}: no kernel that sees more than one position, such as {near}"
        )
    bias = state.get(f"{key.removesuffix('weight')}bias") if key.endswith("weight") else None
    return key, weight, bias if bias is not None and bias.shape == weight.shape[:1] else None


def sees_a_window(tensor: Tensor) -> bool:
    """Whether it may be the weights of a convolution that sees more than one position: a 1×1 and a matrix see one."""
    return 3 <= tensor.dim() <= 5 and tensor.is_floating_point() and max(tensor.shape[2:]) > 1 and tensor.numel() > 0


def read_tensors(path: str, what: str, written: str) -> object:
    """What a .pt, .safetensors or .npy file holds, of which nothing but tensors is ever unpickled.

    Raises `LoadError` that says that it cannot be read as `what`, and that `torch.save(written, FILE)` would be right.
    """
    file = existing_file(path)
    try:
        if path.endswith(".npy"):
            return torch.from_numpy(import_module("numpy").load(file, allow_pickle=False))
        if path.endswith(".safetensors"):
            return _safetensors().load_file(file)
        return torch.load(file, map_location="cpu", weights_only=True)
    except LoadError:
        raise
    except UnpicklingError:  # whose message advises to run what is in the file
        right = f"write it with torch.save({written}, FILE)"
        raise LoadError(f"{path} cannot be read as {what}: it holds more than tensors, or nothing; {right}") from None
    except Exception as error:  # whatever a file that is none makes the readers raise
        raise LoadError(f"{path} cannot be read as {what}: {in_one_line(error)}") from None


def _state_dict(path: str) -> dict[str, Tensor]:
    """The tensors in a file by their names. Raises `LoadError`."""
    found = read_tensors(path, "weights", "model.state_dict()")
    if isinstance(found, Mapping):
        found = next((found[key] for key in _KEYS if isinstance(found.get(key), Mapping)), found)
    if not isinstance(found, Mapping) or not all(
        isinstance(name, str) and isinstance(one, Tensor) for name, one in found.items()
    ):
        raise LoadError(f"{path} holds no state dict: it takes tensors by their names")
    return dict(found)


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
