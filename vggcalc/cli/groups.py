"""Groups of options, which have a heading in the help and reach the command as one struct."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import update_wrapper
from importlib import import_module
from typing import Any

import click

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class GroupedOption(click.Option):
    """An option with the heading under which the help shows it."""

    heading = "Options"


class Command(click.Command):
    """A command whose help shows its options under their headings."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        headings: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
            if record is not None:
                headings.setdefault(getattr(parameter, "heading", "Help"), []).append(record)
        for heading, records in headings.items():
            with formatter.section(heading):
                formatter.write_dl(records)


def option(*declarations: str, **attributes: Any) -> GroupedOption:
    """An option of a group."""
    return GroupedOption(declarations, **attributes)


def alone(heading: str, *declarations: str, **attributes: Any) -> Decorator:
    """An option that reaches the command by itself, shown under that heading."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        one = option(*declarations, **attributes)
        one.heading = heading
        command.__click_params__ = [*getattr(command, "__click_params__", ()), one]  # type: ignore[attr-defined]
        return command

    return decorate


def group(parameter: str, heading: str, struct: str, *options: GroupedOption) -> Decorator:
    """Give a command these options under that heading, as one argument: a struct, by "module:name", of their values.

    Values that were not given are left to the struct's defaults. The struct is imported when the command runs, so
    that the help does not wait for it.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        def with_struct(*arguments: Any, **values: Any) -> Any:
            chosen = {one.name: values.pop(one.name) for one in options if one.name in values}
            _import_msgspec()
            module, _, name = struct.partition(":")
            made = getattr(import_module(module), name)
            given = {str(key): value for key, value in chosen.items() if value is not None and value != ()}
            return command(*arguments, **values, **{parameter: made(**given)})

        update_wrapper(with_struct, command)
        own = list(getattr(command, "__click_params__", ()))
        for one in options:
            one.heading = heading
        with_struct.__click_params__ = [*own, *reversed(options)]  # type: ignore[attr-defined]
        return with_struct

    return decorate


def _import_msgspec() -> None:
    """Import msgspec without typing_extensions, which takes longer than all else that it imports.

    What it looks for there is in `typing` since Python 3.11, and is taken from there where there is no such package.
    """
    if "typing_extensions" in sys.modules:
        return
    sys.modules["typing_extensions"] = None  # type: ignore[assignment] # as if it was not installed
    try:
        import msgspec  # noqa: F401
    finally:
        del sys.modules["typing_extensions"]
