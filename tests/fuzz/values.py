"""Values for options, by click's own description of them; tokens; documents, whole and damaged."""

import json
import random
from typing import Any

import click

#: Text that hurts where it is printed, read or taken for something else.
HOSTILE = (
    "", " ", "\x1b[31mred", "\x1b]0;title\x07", "a\nb", "\u202egpj", "\x9b2J", "\udc80", "=1+1", "@x", "-1", "--",
    "<b>x",
    "[x](y)", "`x`", "a|b", "x" * 5000, "9" * 400, "²", "٣", "7×7", "\0", "nul\0l", "None", "null", "1e999",
    "../..", "~",
    "%s%n", "{}", "'", '"', "\\", "​", "ﬀ", "Ⅷ", "0x10", "1_000", "+7", "７",
)  # fmt: skip

NUMBERS = (0, 1, 2, 3, 4, 5, 7, 8, 9, 16, 31, 64, 100, 999, 1000, 2**31 - 1, 2**31, 2**63, -1, 10**30)

TOKENS = (
    "64",
    "M",
    "LRN",
    "128@7s2",
    "32@1",
    "16@5",
    "8g2",
    "64@3p0",
    "64d2",
    "m",
    "64@4",
    "0",
    "64@",
    "x",
    "64@99",
    "16@1x5",
    "8@5x3x3s1x2x2",
    "8@3x3x3x3",
    "8g2x2",
)

FAMILIES = [
    "stack",
    "asymmetric",
    "separable",
    "separable-stack",
    "bottleneck",
    "cp",
    "dilated",
    "dilated-stack",
    "stripes",
    "(2+1)d",
    "2+1D",
    "all",
    "STACK",
    "best",
]

MODELS = ("vgg16", "VGG11_bn", "A-LRN", "c", "alexnet", "googlenet", "alexnet2012", "vgg17", "resnet", "E_bn")

FIGURES = ("macs", "parameters", "flops", "receptive_field", "receptive_field.height", "convolutions", "latency", "mac")


def number(rng: random.Random) -> str:
    return str(rng.choice(NUMBERS) if rng.random() < 0.4 else rng.randint(1, 64))


def any_case(rng: random.Random, word: str) -> str:
    return rng.choice((word, word.upper(), word.title()))


def axis(rng: random.Random) -> str:
    """An axis of a sweep, a short one as a rule."""
    if rng.random() < 0.1:
        return rng.choice(("3:9999999", "9:3", "3:9:0", "3,,5", "3:5:7:9", "3-9", "1:100000:50000"))
    low = rng.randint(1, 9)
    return rng.choice((str(low), f"{low},{low + 4}", f"{low}:{low + 6}:2", f"{low}:{low + 3}"))


def condition(rng: random.Random) -> str:
    left = rng.choice(("naive", "factorized", "given", "stack", "merged", "nobody", ""))
    path = ".".join(filter(None, (left, rng.choice(("", "", "ratio", "against")), rng.choice(FIGURES))))
    bound = rng.choice(
        ("16G", "1.5M", "0", "90%", "1e9", "2e99", "15,470,264,320", "3ms", "x", "", "-1", "3GiB", "9" * 50)
    )
    return f"{path} {rng.choice(('>', '>=', '<', '<=', '==', '!=', '≥', '=', '<>', ''))} {bound}"


def pattern(rng: random.Random) -> str:
    return rng.choice(
        (
            ".",
            "conv",
            "5x5",
            "block[12]",
            "^inception",
            "(",
            "[[5",
            "x{99999999999}",
            "(" * 300,
            "a" * 2000,
            r"\d+\.",
            "",
        )
    )


def tokens(rng: random.Random) -> str:
    wrong = rng.random() < 0.3
    chosen = TOKENS if wrong else (*TOKENS[:8], "16@1x5")
    return ",".join(rng.choice(chosen) for _ in range(rng.randint(1, 8)))


#: By an option's name, where its type says too little.
BY_NAME = {
    "into": lambda rng: ",".join(rng.choice(FAMILIES) for _ in range(rng.randint(1, 2))),
    "kernels": axis,
    "sizes": lambda rng: rng.choice((axis(rng), "8x16", "7,14x28")),
    "size": lambda rng: rng.choice((number(rng), "32x64", "224", "8×8", "4x16x16", "axb")),
    "dims": lambda rng: rng.choice(("1", "2", "3", "3", "4", "x")),
    "stride": lambda rng: rng.choice((number(rng), "2", "1x2", "1x2x2", "0x1", "x2")),
    "dilation": lambda rng: rng.choice((number(rng), "2", "2x1", "1x1x2", "2x")),
    "padding": lambda rng: rng.choice(("same", "SAME", number(rng), "3x1", "0x1x2", "much")),
    "stride_at": lambda rng: rng.choice(("first", "LAST", "1", "2", "99", "middle")),
    "widths": lambda rng: rng.choice(("64", "32,32,64", "8", "x", number(rng))),
    "fail_if": condition,
    "only": pattern,
    "dtypes": lambda rng: rng.choice(("float32", "FP16", "bfloat16", "double", "int8", "flaot")),
    "dtype": lambda rng: rng.choice(("float32", "half", "int8")),
    "threads": lambda rng: rng.choice(("1", "ALL", "0", "2")),
    "budget": lambda rng: rng.choice(("1", "30", "0.5", "nan", "-1", "1e9", "soon")),
    "precision": lambda rng: rng.choice(("3%", "0.03", "0", "101%", "x")),
    "devices": lambda rng: rng.choice(("cpu", "CPU", "auto", "nowhere")),
    "device": lambda rng: rng.choice(("cpu", "CPU", "auto")),
    "inputs": lambda rng: rng.choice(
        ("1x3x64x64", "1x3", "1x3x0x4", "1x3x400", "1x3x8x32x32", "2×3×32×32", "x", "1x4x64x64")
    ),
    "unit": lambda rng: rng.choice(("0,0", "7,7", "9999,0", "-1,0", "x")),
    "receptive_field": lambda rng: rng.choice(("block1.conv1", "block5.pool", "classifier.linear1", "nothing")),
    "counter": lambda rng: rng.choice(("fvcore", "TORCH", "thop", "torchinfo", "nobody")),
    "crossover": lambda rng: rng.choice(("kernel", "CHANNELS", "batch", "depth")),
    "arguments": lambda rng: rng.choice(("a=1", "x", "a=[1,2]", "a={}", "1a=2")),
}  # fmt: skip


def value(rng: random.Random, option: click.Option) -> str:
    """A value for an option: a fitting one as a rule, else one that hurts."""
    name = str(option.name)
    if rng.random() < 0.06:
        return rng.choice(HOSTILE)
    if name in BY_NAME:
        return str(BY_NAME[name](rng))
    if isinstance(option.type, click.Choice):
        return any_case(rng, rng.choice(list(option.type.choices)))
    if option.type.name in ("integer", "integer range"):
        return number(rng)
    return axis(rng)


def configuration(rng: random.Random) -> dict[str, Any]:
    """A network as a TOML or JSON file says it."""
    found: dict[str, Any] = {"features": [int(t) if t.isdigit() else t for t in tokens(rng).split(",")]}
    if rng.random() < 0.5:
        found["input"] = [rng.choice((1, 3)), *[rng.choice((16, 32, 64))] * 2]
    if rng.random() < 0.2:
        found["dims"] = rng.choice((1, 2, 3, 3, 4))
    if rng.random() < 0.3:
        found["classifier"] = [rng.randint(1, 64) for _ in range(rng.randint(1, 2))]
    if rng.random() < 0.3:
        found |= {"batch_norm": rng.random() < 0.5, "bias": rng.random() < 0.5}
    if rng.random() < 0.2:
        found["activation"] = rng.choice(("relu", "gelu", "none", "tanh"))
    if rng.random() < 0.2:
        found["name"] = rng.choice((*HOSTILE, "plain"))
    return found


def as_toml(document: dict[str, Any]) -> str:
    """JSON's values are TOML's."""
    return "".join(f"{key} = {json.dumps(one)}\n" for key, one in document.items())


def damaged(rng: random.Random, content: bytes) -> bytes:
    """A document with one to three wounds."""
    for _ in range(rng.randint(1, 3)):
        at = rng.randint(0, len(content))
        end = min(len(content), at + rng.randint(1, 40))
        hurt = rng.choice(HOSTILE).encode(errors="surrogatepass")
        content = rng.choice(
            (
                content[:at],
                content[:at] + content[end:],
                content[:at] + content[at:end] * 3 + content[end:],
                content[:at] + hurt + content[at:],
                content[:at] + bytes(rng.randrange(256) for _ in range(4)) + content[end:],
                content.replace(b"1", str(rng.choice(NUMBERS)).encode(), 3),
                content.replace(b'"', b"", 1),
                content[:at] + b"[" * 3000 + content[at:],
                content[:at] + rb'"\ud800"' + content[at:],
            )
        )
    return content
