"""Progress on standard error: one line that is rewritten, in a terminal only."""

import os
import sys

from vggcalc.pipeline.emit import message
from vggcalc.report.escape import visible


class Progress:
    """Shows the text that it is called with; `close` clears the line."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._length = 0

    def __call__(self, text: str) -> None:
        if self._terminal:
            text = visible(text)[: max(20, os.get_terminal_size(sys.stderr.fileno()).columns - 1)]
            line, self._length = text.ljust(self._length), len(text)  # before it is there to be cleared
            sys.stderr.write("\r" + line)
            sys.stderr.flush()

    def say(self, text: str) -> None:
        """Print a line that stays."""
        self.close()
        message(text)

    def close(self) -> None:
        if self._terminal and self._length:
            sys.stderr.write("\r" + " " * self._length + "\r")
            sys.stderr.flush()
            self._length = 0
