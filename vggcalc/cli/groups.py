"""Groups of options, which have a heading in the help and reach the command as one struct.

`-h` shows the options that most people use, `--help` all of them under their headings.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import update_wrapper
from importlib import import_module
from itertools import pairwise
from typing import Any

import click

#: What people write behind an option that is on or off by itself.
TRUTH_VALUES = ("true", "false", "yes", "no", "on", "off")

#: A brief help has fewer options; where a command has no more, it is all of the help.
FEW = 18

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class GroupedOption(click.Option):
    """An option with the heading under which `--help` shows it; `-h` shows the `common` ones.

    Its metavar is written as it is typed: words in lower case as they are, what is in capitals is to be filled in.
    """

    def __init__(self, *arguments: Any, common: bool = False, heading: str = "Help", **attributes: Any) -> None:
        super().__init__(*arguments, **attributes)
        self.common, self.heading = common, heading

    def make_metavar(self, ctx: click.Context) -> str:
        if self.metavar is not None:
            return self.metavar
        if isinstance(self.type, click.Choice):
            return "|".join(self.type.choices)
        return "N" if self.type.name.startswith("integer") else self.type.name

    def get_help_extra(self, ctx: click.Context) -> Any:
        """What click adds to the text by itself; not the range of a number, which a wrong one is told."""
        extra = super().get_help_extra(ctx)
        extra.pop("range", None)
        return extra


class Command(click.Command):
    """A command whose `--help` shows all options under their headings, and `-h` those that most people use."""

    def __init__(self, *arguments: Any, **attributes: Any) -> None:
        super().__init__(*arguments, **attributes)
        self.context_settings = {"help_option_names": ["--help"]}
        self.params.append(
            GroupedOption(
                ["-h"], is_flag=True, is_eager=True, expose_value=False, callback=_show_brief_help,
                help="Show the options that most people use.",
            )
        )  # fmt: skip

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the arguments; a truth value behind an option that takes none would be read as an argument."""
        flags = {name: one for one in self.params if isinstance(one, click.Option) and one.is_flag for name in one.opts}
        for word, following in pairwise(args):
            if word in flags and following.lower() in TRUTH_VALUES:
                no = " or ".join(flags[word].secondary_opts) or f"leave {word} out"
                raise click.UsageError(f"{word} takes no value, such as {following}: write it alone, or {no}")
        return super().parse_args(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        headings: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
            if record is not None:
                headings.setdefault(getattr(parameter, "heading", "Help"), []).append(record)
        for heading, records in headings.items():
            with formatter.section(heading):
                formatter.write_dl(records)

    def brief_help(self, ctx: click.Context) -> str:
        """The help with the common options alone; all of it where there are few."""
        options = [one for one in self.params if isinstance(one, GroupedOption) and one.expose_value]
        common = [record for one in options if one.common and (record := one.get_help_record(ctx))]
        if len(options) < FEW:
            return self.get_help(ctx)
        formatter = ctx.make_formatter()
        self.format_usage(ctx, formatter)
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text((self.help or "").partition("\n\n")[0].replace("\n", " "))
        with formatter.section(f"Options (--help shows all {len(options)})"):
            formatter.write_dl(common)
        self.format_epilog(ctx, formatter)
        return formatter.getvalue().rstrip("\n")


def _show_brief_help(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing and isinstance(ctx.command, Command):
        click.echo(ctx.command.brief_help(ctx), color=ctx.color)
        ctx.exit()


def option(*declarations: str, **attributes: Any) -> GroupedOption:
    """An option of a group; `common=True` is shown by `-h` too."""
    return GroupedOption(declarations, **attributes)


def alone(heading: str, *declarations: str, **attributes: Any) -> Decorator:
    """An option that reaches the command by itself, shown under that heading."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        one = option(*declarations, heading=heading, **attributes)
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
