"""The command line: which commands there are, and what becomes of their errors."""

from __future__ import annotations

import gc
import os
import sys
from importlib import import_module
from typing import Any

import click

import vggcalc
from vggcalc.errors import InputError

#: The commands, each with the module where it stands and a line about it.
COMMANDS: dict[str, tuple[str, str]] = {
    "factorize": ("factorize", "One k×k convolution against its stack of 3×3s, or what --into names."),
    "compare": ("compare", "A network with large kernels against it as 3×3 stacks."),
    "summary": ("summary", "One network, layer by layer."),
    "sweep": ("sweep", "Every combination of kernels, channels, sizes and batches; where a way pays."),
    "models": ("lists", "What MODEL may be."),
    "families": ("lists", "What --into may be: the ways to factorize a convolution."),
    "schema": ("lists", "The JSON Schema of the JSON output."),
}


class _Cli(click.Group):
    """Commands that are loaded when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            from difflib import get_close_matches

            near = get_close_matches(cmd_name, COMMANDS, n=1, cutoff=0.6)
            hint = f" Did you mean {near[0]}?" if near else f" There are {', '.join(COMMANDS)}"
            raise click.UsageError(f"No such command {cmd_name!r}.{hint}")
        found: click.Command = getattr(import_module(f"vggcalc.cli.{COMMANDS[cmd_name][0]}"), cmd_name)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; a reader that has gone (`| head`) ends it quietly."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # which click would make exit status 1
            from vggcalc.pipeline.files import discard_stdout

            discard_stdout()
            return ctx.exit(0)


@click.group(
    cls=_Cli,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit status: 0 done, 1 something asked for could not be delivered, 2 wrong use or bad input, "
    "3 the crosscheck or the verification disagrees, 4 a --fail-if condition holds, 130 interrupted.",
)
@click.version_option(vggcalc.__version__, message="vggcalc %(version)s")
def cli() -> None:
    """What it costs to see k pixels, in one large convolution or in a stack of 3×3s.

    \b
    vggcalc factorize 7
    vggcalc compare vgg16 --no-latency
    vggcalc compare vgg16 --json | jq '.comparisons[0].ratios[0].costs.macs'
    """


def main() -> None:
    """The console script: every error of the user's is one line and exit status 2."""
    gc.set_threshold(100_000)  # what is made here lives to the end: looking for garbage is in vain

    from vggcalc.errors import OutputError
    from vggcalc.pipeline.files import TolerantStderr, discard_stdout

    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started us
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - it is open as long as we run
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    sys.stderr = TolerantStderr(sys.stderr)
    try:
        cli.main(prog_name="vggcalc", standalone_mode=False)
    except (InputError, OutputError) as error:
        _fail(str(error))
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        sys.exit(2)
    except click.NoSuchOption as error:
        _fail(_negative(error) or error.format_message())
    except click.ClickException as error:
        _fail(error.format_message())
    except (KeyboardInterrupt, click.Abort):
        sys.exit(130)
    except OSError as error:
        discard_stdout()
        _fail(f"standard output cannot be written: {error.strerror or error}")


def _negative(error: click.NoSuchOption) -> str | None:
    """`vggcalc factorize -3` is a negative kernel, not an option."""
    number = next((a for a in sys.argv if a.startswith(error.option_name) and a[1:2].isdigit()), None)
    return f"{number} is negative: a kernel is an odd number of 3 or more, such as 7" if number else None


def _fail(message: str) -> None:
    click.echo("vggcalc: error: " + " ".join(message.split()), err=True)
    sys.exit(2)
