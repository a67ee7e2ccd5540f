"""Which commit a benchmark ran on."""

import subprocess
from pathlib import Path


def commit() -> str:
    """The commit that ran, with a + where files differ from it; empty outside of a repository.

    >>> commit()  # doctest: +SKIP
    '0d027af+'
    """
    command = [
        "git",
        "-C",
        str(Path(__file__).parent),
        "describe",
        "--always",
        "--abbrev=7",
        "--exclude=*",
        "--dirty=+",
    ]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:  # there is no git
        return ""
