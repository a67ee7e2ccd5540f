"""A case: files in a folder of its own, and a command line about them."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click

from vggcalc.cli.app import cli

from . import values

#: What would import torch, time or draw: `real` has some of that.
LEFT_OUT = {"latency", "check", "verify", "plot", "help", "compiled", "cold"}

#: How likely each option is given; a line then has a few.
SHARE = 0.12


COMMANDS = (
    *("factorize", "factorize", "compare", "compare", "summary", "sweep", "sweep", "join", "models", "families"),
)


class Case(NamedTuple):
    """The arguments, what standard input holds, and the files that are there before."""

    arguments: list[str]
    stdin: bytes
    files: dict[str, bytes]


def option_of(rng: random.Random, option: click.Option) -> Iterator[str]:
    """An option as it is written, or its opposite."""
    flag = rng.choice((*option.opts, *option.secondary_opts))
    yield flag
    if option.is_flag:
        return
    if option.is_flag is False and option._flag_needs_value and rng.random() < 0.5:
        return
    yield values.value(rng, option)


def target(rng: random.Random, suffixes: tuple[str, ...]) -> str:
    if rng.random() < 0.25:
        return rng.choice(("/dev/null", "/dev/full", ".", "/nowhere/x", "model.toml", "-", "a\0b", "", "b\x1b.json"))
    return f"out{rng.choice(suffixes)}"


def made(seed: int, number: int, baseline: bytes, rows: bytes) -> Case:
    """The case of that number; `baseline` is a report and `rows` are a sweep's, which it may damage."""
    rng = random.Random(f"{seed} {number}")
    name = rng.choice(COMMANDS)
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    files, stdin = {}, b""
    arguments = [values.any_case(rng, name) if rng.random() < 0.1 else name]
    if name in ("factorize", "compare", "summary"):
        arguments.append("--no-latency")
    if name == "factorize":
        kernels = ("3", "5", "7", "9", "11", "8", "31", "7x7", "5,7", "1x7", "5x5x5", "3x7", values.number(rng))
        arguments += rng.choices(kernels, k=rng.randint(1, 2))
    if name in ("compare", "summary"):
        document = values.configuration(rng)
        files = {"model.toml": values.as_toml(document).encode(), "model.json": json.dumps(document).encode()}
        if rng.random() < 0.3:
            files = {path: values.damaged(rng, content) for path, content in files.items()}
        stdin = rng.choice(list(files.values()))
        model = rng.choice(
            (values.tokens(rng), values.tokens(rng), rng.choice(values.MODELS), "model.toml", "model.json", "-")
        )
        arguments.append(rng.choice(values.HOSTILE) if rng.random() < 0.05 else model)
        if rng.random() < SHARE:  # several, side by side
            arguments += rng.choices((*values.MODELS, values.tokens(rng), "model.toml"), k=rng.randint(1, 2))
    if name == "join":
        for path in ("a.json", "b.json"):
            files[path] = values.damaged(rng, baseline) if rng.random() < 0.5 else baseline
            arguments.append(path)
    for option in command.params:
        if not isinstance(option, click.Option) or option.name in LEFT_OUT:
            continue
        if option.name == "against":
            if rng.random() < SHARE:
                files["base.json"] = values.damaged(rng, baseline) if rng.random() < 0.5 else baseline
                arguments += [
                    "--against",
                    rng.choice(("base.json", "base.json", "/dev/null", "/dev/zero", ".", "nowhere")),
                ]
        elif option.name == "output":
            if rng.random() < 0.25:
                suffixes = (".csv", ".jsonl", ".txt") if name == "sweep" else (".json", ".csv", ".md", ".html", "")
                arguments += [rng.choice(("--output", "-o")), target(rng, suffixes)]
        elif option.name == "resume":
            if rng.random() < 0.2:
                files["out.csv"] = (
                    values.damaged(rng, rows) if rng.random() < 0.6 else rows[: rng.randint(0, len(rows))]
                )
                arguments += ["--output", "out.csv", "--resume"]
        elif option.required or rng.random() < SHARE:
            for _ in range(1 + (option.multiple and rng.random() < 0.3)):
                arguments += option_of(rng, option)
    if rng.random() < 0.03:
        arguments.insert(rng.randint(2, len(arguments) + 1), rng.choice(values.HOSTILE))
    return Case([one.replace("\0", "") for one in arguments], stdin, files)


def write(case: Case, folder: Path) -> None:
    for path, content in case.files.items():
        (folder / path).write_bytes(content)
