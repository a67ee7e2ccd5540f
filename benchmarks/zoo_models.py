"""The models of libraries for benchmarks/zoo.py: their names, and how each is made without pretrained weights."""

import importlib
import inspect
import re
from collections.abc import Callable, Iterable
from itertools import zip_longest
from pathlib import Path
from typing import Any

from zoo_inputs import ARGUMENTS, inputs_of

LIBRARIES = (
    "torchvision", "timm", "segmentation_models_pytorch", "ultralytics", "transformers", "diffusers", "open_clip",
    "pytorchcv", "monai", "kornia",
)  # fmt: skip
IMAGE = (1, 3, 224, 224)
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
#: diffusers' models, which have defaults, with the shapes that they take.
DIFFUSERS = {
    "UNet2DModel": {"sample": (1, 3, 64, 64), "timestep": 1},
    "UNet2DConditionModel": {"sample": (1, 4, 64, 64), "timestep": 1, "encoder_hidden_states": (1, 77, 1280)},
    "UNet3DConditionModel": {"sample": (1, 4, 4, 32, 32), "timestep": 1, "encoder_hidden_states": (1, 77, 1024)},
    "AutoencoderKL": (1, 3, 64, 64), "VQModel": (1, 3, 64, 64), "AutoencoderTiny": (1, 3, 64, 64),
    "UNet1DModel": {"sample": (1, 2, 4096), "timestep": 1},
}  # fmt: skip
CUBE = (1, 1, 96, 96, 96)
CHANNELS = {"channels": (16, 32, 64, 128), "strides": (2, 2, 2)}
VOLUMES = {"spatial_dims": 3, "in_channels": 1, "out_channels": 2}
#: MONAI's networks by name: the arguments of their constructors, and the shapes that they take.
MONAI: dict[str, tuple[dict[str, Any], Any]] = {
    "AHNet": ({}, (1, 1, 128, 128, 64)), "AttentionUnet": (VOLUMES | CHANNELS, CUBE),
    "UNETR": ({"in_channels": 1, "out_channels": 2, "img_size": 96}, CUBE),
    "AutoEncoder": (VOLUMES | CHANNELS | {"strides": (2, 2, 2, 2)}, CUBE),
    "BasicUNet": ({}, CUBE), "BasicUNetPlusPlus": ({}, CUBE), "DenseNet121": (VOLUMES, CUBE),
    "DenseNet264": (VOLUMES, CUBE), "DiffusionModelUNet": (
        VOLUMES | {"channels": (32, 64, 64, 64)}, {"x": (1, 1, 32, 32, 32), "timesteps": (1,)}),
    "AutoencoderKL": ({"spatial_dims": 3, "channels": (32, 64, 64, 64)}, (1, 1, 32, 32, 32)),
    "DynUNet": (VOLUMES | {"kernel_size": [3] * 4, "strides": [1, 2, 2, 2], "upsample_kernel_size": [2] * 3}, CUBE),
    "EfficientNetBN": ({"model_name": "efficientnet-b0", "pretrained": False}, IMAGE), "FlexibleUNet": (
        {"in_channels": 3, "out_channels": 2, "backbone": "efficientnet-b0"}, IMAGE),
    "HighResNet": ({}, CUBE), "HoVerNet": ({"out_classes": 3}, (1, 3, 256, 256)), "MedNeXt": ({}, CUBE),
    "MILModel": ({"num_classes": 2, "pretrained": False}, (1, 4, 3, 224, 224)), "Quicknat": ({}, (1, 1, 64, 64)),
    "PatchDiscriminator": (VOLUMES | {"channels": 32}, CUBE), "SegResNet": ({}, CUBE), "SegResNetDS": ({}, CUBE),
    "SegResNetVAE": ({"input_image_size": CUBE[2:]}, CUBE), "SEResNet50": (
        {"spatial_dims": 3, "in_channels": 1, "num_classes": 2}, CUBE),
    "SwinUNETR": ({"in_channels": 1, "out_channels": 2}, CUBE), "UNet": (VOLUMES | CHANNELS, CUBE),
    "TorchVisionFCModel": ({"pretrained": False}, IMAGE), "VNet": ({}, CUBE),
    "ViT": ({"in_channels": 1, "img_size": 96, "patch_size": 16, "classification": True}, CUBE),
    "ViTAutoEnc": ({"in_channels": 1, "img_size": 96, "patch_size": 16}, CUBE), "VQVAE": (VOLUMES, CUBE),
    "MaskedAutoEncoderViT": ({"in_channels": 1, "img_size": 96, "patch_size": 16}, CUBE),
    "DecoderOnlyTransformer": ({"num_tokens": 256, "max_seq_len": 128, "attn_layers_dim": 64, "attn_layers_depth": 4,
        "attn_layers_heads": 4}, (1, 128)), "resnet50": ({"n_input_channels": 1}, CUBE), "RegUNet": (
        {"spatial_dims": 3, "in_channels": 2, "num_channel_initial": 16, "depth": 3}, (1, 2, 64, 64, 64)),
    "LocalNet": ({"spatial_dims": 3, "in_channels": 2, "num_channel_initial": 16, "extract_levels": (0, 1, 2)},
        (1, 2, 64, 64, 64)), "VoxelMorph": ({}, {"moving": (1, 1, 64, 64, 64), "fixed": (1, 1, 64, 64, 64)}),
    "GlobalNet": ({"image_size": [64] * 3, "spatial_dims": 3, "in_channels": 2, "num_channel_initial": 16, "depth": 3},
        (1, 2, 64, 64, 64)),
}  # fmt: skip
PATCH = (8, 1, 32, 32)
#: kornia's networks by the name of their class in kornia.feature or behind their module.
KORNIA: dict[str, tuple[dict[str, Any], Any]] = {
    "feature:ALIKED": ({}, IMAGE), "feature:DeFMO": ({}, (1, 6, 224, 224)), "feature:DISK": ({}, (1, 3, 256, 256)),
    "feature:HardNet": ({}, PATCH), "feature:HardNet8": ({}, PATCH), "feature:HyNet": ({}, PATCH),
    "feature:KeyNet": ({}, (1, 1, 224, 224)), "feature:OriNet": ({}, PATCH), "feature:SOSNet": ({}, PATCH),
    "feature:LoFTR": ({}, [{"image0": (1, 1, 128, 128), "image1": (1, 1, 128, 128)}]), "feature:TFeat": ({}, PATCH),
    "feature:SOLD2_detector": ({}, (1, 1, 64, 64)), "feature:XFeatModel": ({}, (1, 3, 256, 256)),
    "models.dexined:DexiNed": ({}, IMAGE), "models.tiny_vit:TinyViT": ({}, IMAGE),
    "models.vit:VisionTransformer": ({}, IMAGE), "models.vit_mobile:MobileViT": ({}, (1, 3, 256, 256)),
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
        from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

        return list(MODEL_MAPPING_NAMES)
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

    given = {"extra_in_channels": 64} if name == "UNet1DModel" else {}  # those of its embedded time
    return getattr(diffusers, name)(**given), DIFFUSERS[name]


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
