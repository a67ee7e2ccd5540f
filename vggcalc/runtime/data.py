"""Inputs in a file that a fit is weighed by: a tensor of them, or a folder of images. Nothing is ever unpickled."""

import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vggcalc.nets.layers import Shape
from vggcalc.runtime.checkpoints import read_tensors
from vggcalc.runtime.load.errors import LoadError, in_one_line

#: What an image is read from in a folder, by the end of its name.
IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")


def load_data(path: str, shape: Shape) -> Tensor:
    """A batch of inputs of a model that takes `shape`: the tensor in a file, or the images in a folder.

    Images become numbers from 0 to 1, of the channels and size of `shape`. Raises `LoadError`.
    """
    if os.path.isdir(path):
        return _images(path, shape)
    if not path.endswith((".pt", ".pth", ".safetensors", ".npy")):
        raise LoadError(f"{path} is neither a folder of images nor a .pt, .safetensors or .npy file of a tensor")
    found = read_tensors(path, "a tensor", "inputs")
    if isinstance(found, Mapping) and len(found) == 1:
        (found,) = found.values()
    if not isinstance(found, Tensor):
        raise LoadError(f"{path} holds no single tensor: it takes a batch of inputs, such as one of shape {shape}")
    return found


def _images(path: str, shape: Shape) -> Tensor:
    """The images in a folder, in the order of their names."""
    if len(shape) != 4 or shape[1] not in (1, 3):
        raise LoadError(f"{path} is a folder of images, and the model takes inputs of shape {shape}: give a tensor")
    try:
        image: Any = import_module("PIL.Image")
    except ImportError:
        raise LoadError(
            f"{path} is a folder, and Pillow is not installed: pip install pillow, or give a tensor"
        ) from None
    files = sorted(one for one in Path(path).iterdir() if one.suffix.lower() in IMAGES)
    if not files:
        raise LoadError(f"{path} holds no images: it takes files such as {', '.join(IMAGES[:3])}")
    _, channels, height, width = shape
    found = []
    for file in files:
        try:
            with image.open(file) as opened:
                raw = opened.convert("RGB" if channels == 3 else "L").resize((width, height)).tobytes()
        except Exception as error:  # whatever a file that is no image makes its reader raise
            raise LoadError(f"{file} cannot be read as an image: {in_one_line(error)}") from None
        found.append(torch.frombuffer(bytearray(raw), dtype=torch.uint8).reshape(height, width, channels))
    return torch.stack(found).permute(0, 3, 1, 2).float() / 255
