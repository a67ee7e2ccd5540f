"""vggcalc's command line: in a process of its own, as users run it, or, much faster, in this one."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from click.testing import CliRunner

from vggcalc.cli.app import cli


def run(
    *arguments: str, stdin: str = "", cwd: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """A command's standard output, standard error and exit status, at 80 columns, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "vggcalc", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=600,
        cwd=cwd,
        env={**os.environ, "COLUMNS": "80", **environment},
    )


def invoke(*arguments: str, stdin: str | bytes = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """The same in this process. Whatever no user should see, such as a `TypeError`, is raised."""
    result = CliRunner().invoke(
        cli, arguments, input=stdin, env={"COLUMNS": "80", **environment}, prog_name="vggcalc", catch_exceptions=False
    )
    return subprocess.CompletedProcess(arguments, result.exit_code, result.stdout, result.stderr)


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for what another process does in its own time; if it never does, the test fails after ten minutes."""
    deadline = time.monotonic() + 600
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
