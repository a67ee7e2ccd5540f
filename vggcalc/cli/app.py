"""The command line's commands, each loaded when it is called, and how errors end it."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import click

import vggcalc
from vggcalc.errors import VggcalcError
from vggcalc.pipeline.emit import ExitStatus, discard_stdout, exit_status, message

#: The commands, each with the module where it stands and a line about it.
COMMANDS: dict[str, tuple[str, str]] = {
    "factorize": ("factorize", "One k×k convolution against its stack of 3×3s, or what --into names."),
    "compare": ("compare", "A network with large kernels against it as 3×3 stacks."),
    "summary": ("summary", "One network, layer by layer."),
    "rewrite": ("rewrite", "A model's weights with its large kernels replaced, written to a file."),
    "sweep": ("sweep", "Every combination of kernels, channels, sizes and batches; where a variant pays."),
    "join": ("join", "What several machines measured, side by side: each with its verdict, and where they disagree."),
    "models": ("lists", "What MODEL may be."),
    "families": ("lists", "What --into may be: the families of factorizations."),
    "costs": ("lists", "What the columns are: the name of each in JSON and --fail-if, its unit and definition."),
    "schema": ("lists", "The JSON Schema of the JSON output."),
    "cache": ("cache", "Traces of imported models that are kept: where and how many; cache clear removes them."),
}


class CommandLine(click.Group):
    """A click group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        cmd_name = cmd_name.lower()
        if cmd_name not in COMMANDS:
            from vggcalc.cli.hints import no_such_command

            raise click.UsageError(no_such_command(cmd_name, COMMANDS))
        found: click.Command = getattr(import_module(f"vggcalc.cli.{COMMANDS[cmd_name][0]}"), cmd_name)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; a reader that has gone (`| head`) and Ctrl-C end it quietly."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:  # for which click would write an empty line
            return ctx.exit(exit_status([ExitStatus.INTERRUPTED]))
        except BrokenPipeError:  # which click would make exit status 1
            discard_stdout()
            return ctx.exit(0)

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run the command line and exit: every error of the user's is one line and exit status 2."""
        extra["standalone_mode"] = False
        try:
            sys.exit(super().main(*args, **extra))
        except VggcalcError as error:
            _fail(str(error))
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.format_message(), err=True)
            sys.exit(ExitStatus.USAGE)
        except click.NoSuchOption as error:
            from vggcalc.cli.hints import no_such_option

            _fail(no_such_option(error, args[0] if args else extra.get("args") or sys.argv))
        except click.MissingParameter as error:
            from vggcalc.cli.hints import missing

            _fail(missing(error))
        except click.ClickException as error:
            _fail(error.format_message())
        except (KeyboardInterrupt, click.Abort):
            sys.exit(exit_status([ExitStatus.INTERRUPTED]))
        except OSError as error:
            discard_stdout()
            where = "standard output cannot be written" if error.filename is None else str(error.filename)
            _fail(f"{where}: {error.strerror or error}")


@click.group(
    cls=CommandLine,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit status: 0 done, 1 something could not be delivered, 2 wrong use or bad input, "
    "3 the crosscheck or the verification disagrees, 4 a --fail-if condition holds, "
    "128 + its number for a signal (130 for Ctrl-C).",
)
@click.version_option(vggcalc.__version__, message="vggcalc %(version)s")
def cli() -> None:
    """What it costs to see k pixels, in one large convolution or in a stack of 3×3s.

    \b
    vggcalc factorize 7
    vggcalc compare vgg16 --no-latency
    vggcalc compare vgg16 --json | jq '.comparisons[0].ratios[0].costs.macs'
    """


def _fail(text: str) -> None:
    message("error: " + " ".join(text.split()))
    sys.exit(ExitStatus.USAGE)
