"""What a wrong command line may have meant: the nearest command or option, or where what was typed belongs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import click

from vggcalc.errors import hint, nearest
from vggcalc.report.units import names


def no_such_command(typed: str, commands: Mapping[str, object]) -> str:
    """The message for a command that there is not."""
    if nearest(typed, ["help"]):
        return f"No such command {typed!r}: vggcalc --help shows all, vggcalc {next(iter(commands))} -h one"
    return f"No such command {typed!r}" + hint(typed, commands, f": there are {', '.join(commands)}")


def no_such_option(error: click.NoSuchOption, arguments: Sequence[str]) -> str:
    """The message for an option that the command has not: another's, an argument's name, or one that is nearly so."""
    typed, ctx = error.option_name, error.ctx
    number = next((one for one in arguments if one.startswith(typed) and one[1:2].isdigit()), None)
    if number:
        return f"{number} is negative: a kernel is an odd number of 3 or more, such as 7"
    if ctx is None:
        return error.format_message()
    command = ctx.command
    own = list(_options(command))
    named = [one.human_readable_name for one in command.params if isinstance(one, click.Argument)]
    argument = nearest(typed, [name.rstrip(".") for name in named], cutoff=0.8)
    all_of_them = f"{ctx.command_path} --help shows all"
    having = [] if ctx.parent is None else list(_others_with(typed, ctx.parent))
    elsewhere = (
        f", which {names(having, most=3 if len(having) > 4 else None)} {'has' if len(having) == 1 else 'have'}"
        if having
        else ""
    )
    words = f"{ctx.info_name} has no option {typed}{elsewhere}"
    if argument is not None:
        return f"{words}: write {argument} without it, as in {example(command)}"
    if not typed.startswith("--"):
        short = [name for name in own if not name.startswith("--")]
        return f"{words}: " + (f"short ones are {' and '.join(short)}; " if short else "") + all_of_them
    return words + hint(typed, own, f": {all_of_them}", cutoff=0.8 if having else 0.6)


def missing(error: click.MissingParameter) -> str:
    """The message for an argument or option that must be there, with the command's example."""
    command = None if error.ctx is None else error.ctx.command
    text = error.format_message()
    return text if command is None or not command.epilog else f"{text.rstrip('.')}, as in {example(command)}"


def example(command: click.Command) -> str:
    """The command's example, which stands at the end of its help."""
    return (command.epilog or "").removeprefix("Example: ")


def _options(command: click.Command) -> Iterator[str]:
    """Every name of every option of a command."""
    for one in command.params:
        if isinstance(one, click.Option):
            yield from (*one.opts, *one.secondary_opts)
    yield "--help"


def _others_with(option: str, ctx: click.Context) -> Iterator[str]:
    """The other commands that have exactly this option, the program itself among them."""
    if option in _options(ctx.command):
        yield str(ctx.info_name)
    if isinstance(ctx.command, click.Group):
        for name in ctx.command.list_commands(ctx):
            command = ctx.command.get_command(ctx, name)
            if command is not None and option in _options(command):
                yield name
