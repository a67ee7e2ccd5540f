"""Pairs of command lines that mean the same."""

import json
import random

from . import values
from .cases import Case
from .checks import Checker, figures, in_table

NOTHING = Case([], b"", {})


def restate(rng: random.Random, checker: Checker) -> None:
    """One pair or one question in two formats. Raises `Failed` where the answers differ."""
    rng.choice(ALL)(rng, checker)


def kernel(rng: random.Random) -> list[str]:
    chosen = ["factorize", str(rng.choice((3, 5, 7, 9, 11))), "--no-latency"]
    for option, values_of in (("--size", (5, 7, 28)), ("--stride", (1, 2, 3)), ("--batch", (1, 4))):
        if rng.random() < 0.4:
            chosen += [option, str(rng.choice(values_of))]
    return [*chosen, "--into", rng.choice(("stack", "asymmetric", "separable,stack", "all"))]


def channels(rng: random.Random, checker: Checker) -> None:
    base, width = [*kernel(rng), "--json"], str(rng.choice((1, 3, 16, 64, 0)))
    checker.same(
        NOTHING, [*base, "--channels", width], [*base, "--in-channels", width, "--out-channels", width], figures
    )


def depthwise(rng: random.Random, checker: Checker) -> None:
    base, width = [*kernel(rng), "--json"], str(rng.choice((1, 4, 16)))
    checker.same(
        NOTHING, [*base, "--channels", width, "--depthwise"], [*base, "--channels", width, "--groups", width], figures
    )


def files(rng: random.Random, checker: Checker) -> None:
    """Tokens, TOML, JSON and standard input."""
    features = values.tokens(rng)
    document = {"features": features.split(",")}
    case = Case(
        [], features.encode(), {"m.toml": values.as_toml(document).encode(), "m.json": json.dumps(document).encode()}
    )
    command = [rng.choice(("compare", "summary")), "--no-latency", "--json", "--size", str(rng.choice((32, 64, 7)))]
    ways = [features, "m.toml", "m.json", "-"]
    one, two = rng.sample(ways, 2)
    checker.same(case, [*command, one], [*command, two], figures)


def swept(rng: random.Random, checker: Checker) -> None:
    base = kernel(rng)
    sweep = ["sweep", "--kernel", base[1], *(one for one in base[2:] if one != "--no-latency"), "--format", "csv"]
    checker.same(NOTHING, [*base, "--json"], sweep, by_macs)


def by_macs(text: str) -> list[tuple[int, int]]:
    """In no order, since a sweep names a single variant otherwise."""
    return sorted((one["macs"], one["parameters"]) for one in figures(text))


def formats(rng: random.Random, checker: Checker) -> None:
    base = kernel(rng) if rng.random() < 0.5 else ["compare", values.tokens(rng), "--no-latency", "--size", "64"]
    checker.same(NOTHING, [*base, "--json"], [*base, "--format", "csv", "--rows", "total"], figures)


def table(rng: random.Random, checker: Checker) -> None:
    in_table(checker, kernel(rng))


ALL = (channels, depthwise, files, swept, formats, table)
