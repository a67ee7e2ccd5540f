"""VGG networks: the published configurations, and the tokens in which users write their own.

Simonyan & Zisserman 2014 (arXiv 1409.1556v6), table 1. Head and layer order as in torchvision.
"""

import re
from math import prod

import msgspec

from vggcalc.errors import InputError, unknown
from vggcalc.nets.graph import MOST_LAYERS, Network, chain
from vggcalc.nets.layers import (
    AXIS_NAMES,
    GELU,
    Axes,
    Conv,
    Dropout,
    Flatten,
    Layer,
    Linear,
    LocalResponseNorm,
    PlainConvolution,
    ReLU,
    Shape,
    SiLU,
    check_dims,
    check_number,
    in_axes,
)
from vggcalc.nets.names import ACTIVATIONS
from vggcalc.nets.shapes import shapes

#: Table 1: filters of each 3×3, `@1` for a 1×1, LRN, and M for 2×2 max-pooling with stride 2.
CONFIGS: dict[str, str] = {
    "A": "64,M,128,M,256,256,M,512,512,M,512,512,M",
    "A-LRN": "64,LRN,M,128,M,256,256,M,512,512,M,512,512,M",
    "B": "64,64,M,128,128,M,256,256,M,512,512,M,512,512,M",
    "C": "64,64,M,128,128,M,256,256,256@1,M,512,512,512@1,M,512,512,512@1,M",
    "D": "64,64,M,128,128,M,256,256,256,M,512,512,512,M,512,512,512,M",
    "E": "64,64,M,128,128,M,256,256,256,256,M,512,512,512,512,M,512,512,512,512,M",
}

#: torchvision's names for the paper's.
ALIASES: dict[str, str] = {"vgg11": "A", "vgg13": "B", "vgg16": "D", "vgg19": "E"}

_ACTIVATION_LAYERS: dict[str, Layer | None] = dict(zip(ACTIVATIONS, (ReLU(), GELU(), SiLU(), None), strict=True))


def activation(name: str) -> Layer | None:
    """The layer of that name, None for "none". Raises `InputError` for another."""
    if name not in _ACTIVATION_LAYERS:
        raise unknown("activation", name, ACTIVATIONS)
    return _ACTIVATION_LAYERS[name]


#: The input of an image classifier, of a second of sound, and of a clip of video, by the number of spatial axes.
INPUT_SIZES: dict[int, Axes] = {1: (16_000,), 2: (224, 224), 3: (16, 112, 112)}


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A VGG-like network: `features` are tokens, `classifier` the widths of its linear layers.

    `input` is (channels, height, width), or has one size or three: `dims` is how many, 2 unless said. With a
    classifier an adaptive average pooling brings other input sizes to the feature map size that `input` gives, as
    torchvision's VGG does.
    """

    name: str
    features: tuple[int | str, ...]
    input: tuple[int, ...] = ()
    classifier: tuple[int, ...] = ()
    batch_norm: bool = False
    activation: str = "relu"
    bias: bool = True
    dims: int | None = None

    def __post_init__(self) -> None:
        dims = (len(self.input) - 1 if self.input else 2) if self.dims is None else self.dims
        check_dims(dims)
        msgspec.structs.force_setattr(self, "dims", dims)
        msgspec.structs.force_setattr(self, "input", self.input or (3, *INPUT_SIZES[dims]))
        if len(self.input) != dims + 1:
            sizes = ", ".join(AXIS_NAMES[dims])
            raise InputError(f"input {list(self.input)} is not (channels, {sizes}): dims is {dims}")


_EACH = r"\d+(?:x\d+){0,2}"
TOKEN = rf"(?P<filters>\d+)(?P<arguments>(?:[@spd]{_EACH}|g\d+)*)"
ARGUMENTS = {"@": "kernel_size", "s": "stride", "p": "padding", "d": "dilation", "g": "groups"}
SYNTAX = (
    "write FILTERS, FILTERS@KERNEL, either with sSTRIDE, pPADDING, dDILATION or gGROUPS behind it, "
    "numbers or one for each axis such as 64@1x7, M for a 2×2 max-pool, or LRN"
)


def _convolution_from_token(token: str, in_channels: int, bias: bool, dims: int) -> Conv:
    """`256@7s2` is 256 filters of 7×7 with stride 2; without `p` the padding is "same"."""
    match = re.fullmatch(TOKEN, token, re.ASCII)
    if match is None:
        raise InputError(SYNTAX)
    found = re.findall(rf"([@spdg])({_EACH})", match["arguments"])
    given = {ARGUMENTS[letter]: tuple(map(int, numbers.split("x"))) for letter, numbers in found}
    if len(given) < len(found):
        raise InputError(f"an argument is given twice: {SYNTAX}")
    groups = given.pop("groups", (1,))[0]
    arguments = {name: numbers * dims if len(numbers) == 1 else numbers for name, numbers in given.items()}
    kernel = arguments.setdefault("kernel_size", (3,) * dims)
    for k in kernel:
        if k % 2 == 0:
            tries = f"{k - 1} or {k + 1}" if k else "1 or 3"
            raise InputError(f"kernel {k} is even: no padding keeps the size. Try {tries}")
    dilation = arguments.get("dilation", (1,) * dims)
    if "padding" not in arguments and len(kernel) == len(dilation):
        arguments["padding"] = tuple(d * (k - 1) // 2 for k, d in zip(kernel, dilation, strict=True))
    made = in_axes("Conv", dims)(in_channels, int(match["filters"]), groups=groups, bias=bias, **arguments)
    assert isinstance(made, PlainConvolution)
    return made


def _features(config: Config) -> list[tuple[str, Layer]]:
    chosen = activation(config.activation)
    layers: list[tuple[str, Layer]] = []
    channels, block, dims = config.input[0], 1, len(config.input) - 1
    if len(config.features) > MOST_LAYERS // 2:
        raise InputError(f"features are {len(config.features):,} tokens: give at most {MOST_LAYERS // 2:,}")
    for position, token in enumerate(config.features, 1):
        name = f"block{block}"
        match str(token).strip().upper():
            case "M":
                layers.append((name, in_axes("MaxPool", dims)()))
                block += 1
            case "LRN":
                layers.append((name, LocalResponseNorm()))
            case _:
                try:
                    conv = _convolution_from_token(str(token).strip(), channels, config.bias, dims)
                except InputError as error:
                    raise InputError(f"token {position}, {token!r}: {error}") from None
                channels = conv.out_channels
                layers.append((name, conv))
                if config.batch_norm:
                    layers.append((name, in_axes("BatchNorm", dims)(channels)))
                if chosen is not None:
                    layers.append((name, chosen))
    if not any(isinstance(layer, PlainConvolution) for _, layer in layers):
        raise InputError(f"features name no convolution: {SYNTAX}")
    return layers


def _classifier(config: Config, features: Shape) -> list[tuple[str, Layer]]:
    """torchvision's head: pooled to the size of `features`, hidden layers with activation and dropout."""
    area = features[2:]
    layers: list[Layer] = [in_axes("AdaptiveAvgPool", len(area))(area), Flatten()]
    chosen = activation(config.activation)
    wide = prod(features[1:])
    for i, out in enumerate(config.classifier, 1):
        try:
            layers.append(Linear(wide, out))
        except InputError as error:
            raise InputError(f"classifier {i}, {out}: {error}") from None
        wide = out
        if i < len(config.classifier):
            layers += [chosen, Dropout()] if chosen is not None else [Dropout()]
    return [("classifier", layer) for layer in layers]


def from_config(config: Config, input_shape: Shape) -> Network:
    """The network of a configuration, for an input shape such as (batch, channels, height, width).

    Its linear layers are those that its own input needs; for another size the map before them is pooled.

    Raises `InputError` naming the token or the layer that is at fault.
    """
    for what, number in zip(("channels", *AXIS_NAMES[len(config.input) - 1]), config.input, strict=True):
        check_number(f"input {what}", number)
    layers = _features(config)
    if config.classifier:
        native = shapes(chain(config.name, (1, *config.input), layers))
        layers += _classifier(config, list(native.values())[-1])
    return chain(config.name, input_shape, layers, layout="torchvision")


def published(name: str) -> Config | None:
    """The configuration of a published VGG (`vgg16`, `D`, `vgg16_bn`, any case), or None."""
    base, batch_norm = (name[:-3], True) if name.lower().endswith("_bn") else (name, False)
    base = ALIASES.get(base.lower(), base.upper())
    if base not in CONFIGS:
        return None
    features = tuple(CONFIGS[base].split(","))
    return Config(name, features, classifier=(4096, 4096, 1000), batch_norm=batch_norm)
