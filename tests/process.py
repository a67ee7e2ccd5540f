"""vggcalc in a process of its own, as users run it."""

import os
import subprocess
import sys
from pathlib import Path


def run(
    *arguments: str, stdin: str = "", cwd: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """A command's standard output, standard error and exit status, at 80 columns."""
    return subprocess.run(
        [sys.executable, "-m", "vggcalc", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
        cwd=cwd,
        env={**os.environ, "COLUMNS": "80", **environment},
    )
