"""The console script: signals first, so that Ctrl-C is quiet from the first import on; then the commands."""

import sys

try:
    from vggcalc.measurement import interrupts
except KeyboardInterrupt:  # before there is a handler
    sys.exit(130)


def main() -> None:
    """Run `vggcalc` with the process's arguments, and exit."""
    interrupts.install()
    try:
        import gc

        from vggcalc.cli.app import cli
        from vggcalc.pipeline.emit import make_streams_safe

        gc.set_threshold(100_000)  # what is made here lives to the end: looking for garbage is in vain
        make_streams_safe()
        cli.main(prog_name="vggcalc")
    except KeyboardInterrupt:
        sys.exit(interrupts.signal_exit_status())
    finally:
        interrupts.ignore()
