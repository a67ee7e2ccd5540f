"""MODEL, as users write it: a published name, tokens, a TOML or JSON file, or standard input."""

import os
import re
from collections.abc import Callable
from typing import TypedDict, Unpack

import msgspec

from vggcalc.errors import InputError, nearest
from vggcalc.nets.graph import Network
from vggcalc.nets.layers import AXIS_NAMES, Axes, Shape, check_dims, spatial
from vggcalc.nets.reader import Kind, json_value, read_at_most, read_file, text_of, toml_value
from vggcalc.nets.vgg import ALIASES, CONFIGS, INPUT_SIZES, Config, from_config, published

LARGEST_FILE = 1_000_000

LONGEST_NAME = 300

CONFIGURATION = Kind("network configuration", "a TOML or JSON file is needed", LARGEST_FILE)

#: `M`, `LRN` or something that begins like a token, alone or in a list.
_TOKENS = r"\s*(\d+\w*(@\w*)?|M|LRN)\s*"


def load(model: str, standard_input: Callable[[int], bytes] | None = None) -> Config:
    """The configuration that MODEL names; `standard_input` reads at most so many bytes for `-`.

    Raises `InputError` with one line that names the faulty part, its position and what would be right.
    """
    if model == "-" and standard_input is not None:
        content = read_at_most(standard_input, "standard input", CONFIGURATION)
        return parse_config(_text("standard input", content), "standard input")
    config = published(model)
    if config is not None:
        return config
    from vggcalc.nets.candidates import refuse_lookalikes

    if model.endswith(".py"):
        raise InputError(f"{model}: which of its modules? {_named_in(model)}")
    refuse_lookalikes(model)
    if model.lower().endswith((".toml", ".json")) or "/" in model or "\\" in model:
        return _read_file(model)
    if "," in model and any(published(part.strip()) for part in model.split(",") if len(part) > 1):
        raise InputError(f"{model}: write several models with spaces between them, such as vgg16 vgg19")
    if "," in model or re.fullmatch(_TOKENS, model, re.IGNORECASE):
        return Config(model, tuple(model.split(",")))
    if os.path.exists(model):
        return _read_file(model)
    if ":" in model:
        raise InputError(
            f"{model} names no module: write package.module:attribute, path/to/file.py:attribute, torchvision:NAME or "
            "timm:NAME"
        )
    raise InputError(f"unknown model {model!r}: {_nearest(model)}")


def _named_in(path: str) -> str:
    """How the modules of a Python file are written, where its text shows any."""
    from vggcalc.nets.candidates import in_file

    names = in_file(path)
    if len(names) == 1:
        return f"Write {path}:{names[0]}"
    return f"Write {path}:NAME" + (f" with one of {', '.join(names)}" if names else "")


def _nearest(model: str) -> str:
    """What an unknown name may have meant: a network that is built in, or a model of an installed package."""
    from vggcalc.nets.candidates import packaged
    from vggcalc.nets.classics import CLASSICS

    names = [*(name for base in (*ALIASES, *CONFIGS) for name in (base, f"{base}_bn")), *CLASSICS]
    near = nearest(model, names, cutoff=0.7)
    module, _, attribute = model.rpartition(".")
    path = f"{module.replace('.', '/')}.py"
    found = [near] if near else [f"{path}:{attribute}"] if module and os.path.isfile(path) else packaged(model)
    if found:
        return f"did you mean {' or '.join(found)}?"
    return (
        f"try {', '.join((*ALIASES, *CLASSICS))}, tokens such as 64,M,128, a .toml or .json file, or a model to "
        "import, such as torchvision:resnet50"
    )


def _read_file(path: str) -> Config:
    content = read_file(path, CONFIGURATION)
    return parse_config(_text(path, content), path, os.path.splitext(os.path.basename(path))[0])


def _text(where: str, content: bytes) -> str:
    text = text_of(content, where)
    if not text.strip():
        raise InputError(f'{where} is empty: name features, such as features = [64, "M", 128]')
    return text


def parse_config(text: str, where: str, default_name: str = "network") -> Config:
    """A configuration from TOML, JSON (it begins with a brace) or a bare list of tokens.

    `where` is named in the message of the `InputError` that malformed text raises.
    """
    stripped = text.strip()
    if stripped.startswith(("{", "[{")) or where.lower().endswith(".json"):
        content = json_value(text, where)
    elif "=" not in text and not where.lower().endswith(".toml"):
        return published(stripped) or Config(default_name, tuple(stripped.replace("\n", ",").split(",")))
    else:
        content = toml_value(text, where)
    if isinstance(content, dict):
        if "schema_version" in content:
            raise InputError(f"{where} is an output of vggcalc, which --against and vggcalc join read")
        content.setdefault("name", default_name)
    try:
        return msgspec.convert(content, Config)
    except msgspec.ValidationError as error:
        keys = ", ".join(field.name for field in msgspec.structs.fields(Config))
        raise InputError(f"{where}: {_position_of_error(str(error), text)}; the keys are {keys}") from None


def _position_of_error(message: str, text: str) -> str:
    """msgspec's message with the line of the wrong key, where it can be found."""
    key = re.search(r"\$\.(\w+)|field `(\w+)`", message)
    name = key and (key[1] or key[2])
    for number, line in enumerate(text.splitlines(), 1):
        if name and re.search(rf"\b{re.escape(name)}\b", line.partition("#")[0]):
            return f"line {number}: {message}"
    return message


class NetworkOverrides(TypedDict, total=False):
    """Values that override those of the model; None leaves the model's own.

    `inputs` is the input's whole shape, in place of `size`, one number or one for each axis, `batch` and `in_channels`;
    `classes` the width of the last linear layer; `dims` how many spatial axes a configuration or tokens have.
    """

    inputs: Shape | None
    size: int | Axes | None
    dims: int | None
    batch: int | None
    in_channels: int | None
    classes: int | None
    batch_norm: bool | None
    activation: str | None
    bias: bool | None


def network(
    model: str | Config | Network,
    standard_input: Callable[[int], bytes] | None = None,
    **overrides: Unpack[NetworkOverrides],
) -> Network:
    """The network that `model` names or is, with the overrides.

    A string is what `load` takes or a name of `CLASSICS`, whose activations, norms and biases stay as
    published; a `Network` is taken as it is and allows no override.
    Raises `InputError` with one line that names the faulty part, its position and what would be right, `TypeError` for
    anything but a string, a `Config` or a `Network`.

    >>> network("64,M,128", size=32)
    <Network 64,M,128: 5 layers, input 1×3×32×32>
    """
    chosen = {key: value for key, value in overrides.items() if value is not None}
    if isinstance(model, Network):
        if chosen:
            raise InputError(f"{model.name} is a network already: {', '.join(chosen)} cannot change it")
        return model
    if isinstance(model, str) and is_classic(model):
        return _as_published(model.lower(), **overrides)
    if not isinstance(model, str | Config):
        raise TypeError(
            f"model {model!r} is of type {type(model).__name__}: it takes a name, tokens or a path as text, a "
            "vggcalc.Config or a vggcalc.Network"
        )
    config = load(model, standard_input) if isinstance(model, str) else model
    where = "standard input" if model == "-" else model if isinstance(model, str) else config.name
    where = where if where.isprintable() else ascii(where)
    try:
        return _overridden(config, **overrides)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def is_classic(model: str) -> bool:
    """Whether it names a built-in network other than a VGG: a name of `CLASSICS`, in any case of letters."""
    if not model.isidentifier() or published(model) is not None:
        return False
    from vggcalc.nets.classics import CLASSICS

    return model.lower() in CLASSICS


def _split(inputs: Shape, own: Shape) -> tuple[int, int, Axes]:
    """Batch, channels and sizes of a whole shape; `own` is the model's, without a batch.

    How many axes there are the model says: 3×224×224 lacks its batch, and is no sound.
    Raises `InputError` with a shape that would be right.
    """
    if len(inputs) != len(own) + 1:
        right = (1, *inputs) if len(inputs) == len(own) and inputs[0] == own[0] else (1, *own)
        axes = "×".join(("batch", "channels", *AXIS_NAMES[len(own) - 1]))
        raise InputError(
            f"input {'×'.join(map(str, inputs))} is not all of its shape, {axes}: did you mean "
            f"{'x'.join(map(str, right))}?"
        )
    batch, channels, *sizes = inputs
    return batch, channels, tuple(sizes)


def _as_published(
    name: str,
    inputs: Shape | None = None,
    size: int | Axes | None = None,
    dims: int | None = None,
    batch: int | None = None,
    in_channels: int | None = None,
    classes: int | None = None,
    **fixed: bool | str | None,
) -> Network:
    """One of `CLASSICS`, for which only these overrides are allowed."""
    from vggcalc.nets.classics import CLASSICS

    defaults = {"batch_norm": False, "activation": "relu", "bias": True}  # which say nothing
    if dims not in (None, 2):
        raise InputError(f"{name} is built in as published: in two dimensions")
    refused = [key for key, value in fixed.items() if value is not None and value != defaults[key]]
    if refused:
        raise InputError(f"{name} is built in as published: {', '.join(refused)} cannot change it")
    try:
        if inputs is not None:
            batch, in_channels, size = _split(inputs, (3, 224, 224))
        shape = (
            1 if batch is None else batch,
            3 if in_channels is None else in_channels,
            *spatial(224 if size is None else size),
        )
        return CLASSICS[name](shape, 1000 if classes is None else classes)
    except InputError as error:
        raise InputError(f"{name}: {error}") from None


def _overridden(
    config: Config,
    inputs: Shape | None = None,
    size: int | Axes | None = None,
    dims: int | None = None,
    batch: int | None = None,
    in_channels: int | None = None,
    classes: int | None = None,
    batch_norm: bool | None = None,
    activation: str | None = None,
    bias: bool | None = None,
) -> Network:
    if len(config.name) > LONGEST_NAME and "," not in config.name:  # of tokens the name is all of them
        raise InputError(f"name {config.name!r} is longer than {LONGEST_NAME} characters")
    if not config.name.isprintable():
        raise InputError(f"name {config.name!r} has characters that cannot be printed: use plain text")
    own = config.input
    if dims is not None and dims != config.dims:
        check_dims(dims)
        own = (own[0], *INPUT_SIZES[dims])
    if inputs is not None:
        batch, in_channels, size = _split(inputs, own)
    channels = own[0] if in_channels is None else in_channels
    changes: dict[str, object] = {"batch_norm": batch_norm, "activation": activation, "bias": bias}
    if classes is not None:
        if not config.classifier:
            raise InputError(f"there is no classifier, so classes {classes} changes nothing")
        changes["classifier"] = (*config.classifier[:-1], classes)
    changes |= {"input": (channels, *own[1:]), "dims": len(own) - 1}
    config = msgspec.structs.replace(config, **{k: v for k, v in changes.items() if v is not None})
    axes = len(own) - 1
    if isinstance(size, tuple) and len(size) in INPUT_SIZES and len(size) != axes:
        raise InputError(f"size {'×'.join(map(str, size))} is {len(size)}-D, and the network {axes}-D: see dims")
    sizes = spatial(own[1:] if size is None else size, axes)
    return from_config(config, (1 if batch is None else batch, channels, *sizes))
