"""The models of libraries for benchmarks/zoo.py: their names, and how each is made without pretrained weights."""

import importlib
import inspect
import re
from collections.abc import Callable, Iterable
from itertools import zip_longest
from pathlib import Path
from typing import Any
from zlib import crc32

from zoo_inputs import ARGUMENTS, inputs_of
from zoo_tables import DIFFUSERS, IMAGE, KORNIA, MONAI

LIBRARIES = (
    "torchvision", "timm", "segmentation_models_pytorch", "ultralytics", "transformers", "diffusers", "open_clip",
    "pytorchcv", "monai", "kornia",
)  # fmt: skip
#: segmentation_models_pytorch's encoders, one of each family, the smallest.
ENCODERS = (
    "resnet34", "efficientnet-b0", "mobilenet_v2", "mit_b0", "densenet121", "resnext50_32x4d", "timm-skresnet18",
    "mobileone_s0", "xception", "inceptionv4", "dpn68", "se_resnet50", "timm-efficientnet-b0", "vgg11_bn",
    "inceptionresnetv2", "timm-tf_efficientnet_lite0",
)  # fmt: skip
#: The shapes that torchvision's models of other kinds than classification take, by a pattern of their names.
TORCHVISION = {
    "rcnn|ssd|retinanet|fcos": ([(3, 320, 320)],), "raft": ((1, 3, 128, 128),) * 2, "swin3d": (1, 3, 32, 224, 224),
    "mvit|s3d": (1, 3, 16, 224, 224), "r3d|mc3|r2plus1d": (1, 3, 16, 112, 112), "inception_v3": (1, 3, 299, 299),
}  # fmt: skip


def in_turn(names: Iterable[str], kind: Callable[[str], str]) -> list[str]:
    """The names with one of each kind first, then the second of each.

    >>> in_turn(["vgg11", "vgg16", "resnet18"], lambda name: name.rstrip("0123456789"))
    ['vgg11', 'resnet18', 'vgg16']
    """
    kinds: dict[str, list[str]] = {}
    for name in names:
        kinds.setdefault(kind(name), []).append(name)
    return [name for turn in zip_longest(*kinds.values()) for name in turn if name is not None]


def names(library: str) -> list[str]:
    """The names of all models of a library, one of each kind first: of each file of its code, of each architecture."""
    if library == "torchvision":
        from torchvision.models import get_model_builder, list_models

        return in_turn(list_models(), lambda name: get_model_builder(name).__module__)
    if library == "timm":
        from timm.models import list_models, model_entrypoint

        return in_turn(list_models(), lambda name: model_entrypoint(name).__module__)
    if library == "open_clip":
        from open_clip import list_models

        return in_turn(list_models(), lambda name: name.partition("-")[0])
    if library == "transformers":
        from transformers.models.auto.configuration_auto import model_type_to_module_name
        from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

        # Not by the alphabet, in which those of one house stand together.
        drawn = sorted(MODEL_MAPPING_NAMES, key=lambda name: crc32(name.encode()))
        return in_turn(drawn, model_type_to_module_name)
    if library == "pytorchcv":
        from pytorchcv.model_provider import _models

        return in_turn(_models, lambda name: _models[name].__module__)
    if library == "segmentation_models_pytorch":
        from segmentation_models_pytorch import MODEL_ARCHITECTURES_MAPPING as ARCHITECTURES

        decoders = [name for name in ARCHITECTURES if name != "dpt"]
        turns = [ENCODERS[turn:] + ENCODERS[:turn] for turn in range(len(ENCODERS))]
        paired = [f"{decoder}-{encoder}" for turn in turns for decoder, encoder in zip(decoders, turn, strict=False)]
        return ["dpt-tu-vit_tiny_patch16_224", *paired]  # which takes timm's transformers alone
    if library == "ultralytics":
        folder = Path(str(importlib.import_module("ultralytics").__file__)).parent / "cfg" / "models"
        found = [re.sub(r"^(yolo(?!v10|v9)e?-?v?\d+)", r"\1n", path.name) for path in sorted(folder.glob("*/*.yaml"))]
        return in_turn(found, lambda name: name.removesuffix(".yaml").partition("-")[0])
    listed: dict[str, dict[str, Any]] = {"diffusers": DIFFUSERS, "monai": MONAI, "kornia": KORNIA}
    return list(listed[library])


def make(library: str, name: str) -> tuple[Any, Any]:
    """A model without pretrained weights, and the shapes, tensors and numbers that it takes, nested as it does."""
    import torch

    inputs: Any
    if library == "torchvision":
        from torchvision.models import get_model_builder

        builder = get_model_builder(name)
        backbone = {"weights_backbone": None} if "weights_backbone" in builder.__annotations__ else {}
        inputs = next((shape for sign, shape in TORCHVISION.items() if re.search(sign, name)), IMAGE)
        return builder(weights=None, **backbone), inputs
    if library == "timm":
        import timm

        module = timm.create_model(name, pretrained=False)
        return module, (1, *module.default_cfg["input_size"])
    if library == "transformers":
        from transformers import CONFIG_MAPPING, AutoModel

        module = AutoModel.from_config(CONFIG_MAPPING[name](**ARGUMENTS.get(name, {})))
        if any(type(part).__name__.endswith("Experts") for part in module.modules()):
            module = module.bfloat16()  # on the meta device torch has the product of groups for it alone
        return module, inputs_of(module)
    if library == "open_clip":
        import open_clip

        module = open_clip.create_model(name, device=torch.get_default_device())
        size = module.visual.image_size
        return module, (
            (1, 3, *(size if isinstance(size, tuple) else (size, size))),
            torch.zeros(1, getattr(module, "context_length", 77), dtype=torch.long),
        )
    if library == "pytorchcv":
        from pytorchcv.model_provider import get_model

        module = get_model(name)
        return module, (1, getattr(module, "in_channels", 3), *getattr(module, "in_size", (224, 224)))
    if library == "segmentation_models_pytorch":
        import segmentation_models_pytorch

        architecture, _, encoder = name.partition("-")
        return segmentation_models_pytorch.create_model(architecture, encoder, encoder_weights=None), IMAGE
    if library == "ultralytics":
        from ultralytics import RTDETR, YOLO

        return (RTDETR if "rtdetr" in name else YOLO)(name).model, (1, 3, 640, 640)
    if library in ("monai", "kornia"):
        module_name, _, kind = ("networks.nets:" * (library == "monai") + name).rpartition(":")
        arguments, inputs = (MONAI | KORNIA)[name]
        build = getattr(importlib.import_module(f"{library}.{module_name}"), kind)
        if "pretrained" in inspect.signature(build).parameters:
            arguments = {"pretrained": None if kind == "LoFTR" else False} | arguments
        return build(**arguments), torch.zeros(inputs, dtype=torch.long) if "num_tokens" in arguments else inputs
    import diffusers

    arguments, inputs = DIFFUSERS[name]
    return getattr(diffusers, name)(**arguments), inputs


def on_meta(inputs: Any, dtype: Any) -> Any:
    """The inputs with tensors on the meta device for every shape, of that dtype, and for every tensor, of its own."""
    import torch

    if isinstance(inputs, torch.Tensor):
        return inputs.to("meta")
    if isinstance(inputs, dict):
        return {key: on_meta(value, dtype) for key, value in inputs.items()}
    if isinstance(inputs, list | tuple):
        is_shape = all(isinstance(number, int) for number in inputs)
        if is_shape:
            return torch.empty(inputs, dtype=dtype, device="meta")
        return type(inputs)(on_meta(value, dtype) for value in inputs)
    return inputs


def call(module: Any, inputs: Any) -> Any:
    """Run a module on its inputs: a tuple is several, a dictionary is keywords."""
    arguments = inputs if isinstance(inputs, tuple) else () if isinstance(inputs, dict) else (inputs,)
    return module(*arguments, **(inputs if isinstance(inputs, dict) else {}))
