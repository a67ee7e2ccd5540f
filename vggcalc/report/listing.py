"""The lists of what MODEL and --into may be."""

import msgspec

from vggcalc.nets.classics import CLASSICS
from vggcalc.nets.families import FAMILIES
from vggcalc.nets.vgg import ALIASES, CONFIGS, SYNTAX


def families(as_json: bool) -> str:
    """The ways to factorize a convolution: what each is, keeps and gives up, and who proposed it."""
    rows = [
        {"name": name, "says": family.description, "source": " ".join((family.split.__doc__ or "").split())}
        for name, family in FAMILIES.items()
    ]
    if as_json:
        return msgspec.json.format(msgspec.json.encode(rows), indent=2).decode() + "\n"
    lines = [line for row in rows for line in (f"{row['name']}: {row['says']}", *_wrapped(row["source"]), "")]
    return "\n".join(lines)


def _wrapped(text: str) -> list[str]:
    from textwrap import wrap

    return wrap(text, 78, initial_indent="  ", subsequent_indent="  ")


def listing(as_json: bool) -> str:
    """What is built in, the VGGs under all their names, and how to write another."""
    torchvision = {net: alias for alias, net in ALIASES.items()}
    rows = [
        {"name": torchvision.get(net, net), "net": net, "features": tokens.split(",")}
        for net, tokens in CONFIGS.items()
    ]
    classics = [
        {
            "name": name,
            "net": name,
            "features": [],
            "source": (make.__doc__ or "").partition("\n")[0].rstrip("."),
        }
        for name, make in CLASSICS.items()
    ]
    if as_json:
        return msgspec.json.format(msgspec.json.encode([*rows, *classics]), indent=2).decode() + "\n"
    lines = ["Simonyan & Zisserman 2014, table 1 (with _bn behind the name: batch normalization)", ""]
    lines += [
        f"  {row['net']:6} {row['name'] if row['name'] != row['net'] else '':6} {CONFIGS[str(row['net'])]}"
        for row in rows
    ]
    lines += ["", "beside them, as published", ""]
    lines += [f"  {row['name']:13} {row['source']}" for row in classics]
    lines += [
        "",
        "or tokens, such as 64,64,M,128@7s2,M:",
        f"  {SYNTAX}",
        "",
        "or a module to import, whose code is run: torchvision:NAME, timm:NAME, package.module:attribute or",
        "path/to/file.py:attribute, where the attribute is a module, its class or a function that makes one",
        "",
        "or a .toml or .json file, or - for standard input, with",
        '  features = [64, 64, "M", "128@7s2", "M"]',
        "and, where they differ from these,",
        '  name = "…"  input = [3, 224, 224]  classifier = []  batch_norm = false',
        '  activation = "relu"  bias = true',
    ]
    return "\n".join(lines) + "\n"
