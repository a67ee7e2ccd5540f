"""An extension of griffe, which reads the docstrings for the site: their examples are shown as code."""

import re
from typing import Any

import griffe

EXAMPLE = re.compile(r"^>>> .*\n(?:(?!\n).*\n)*?(?=\n|\Z)", re.MULTILINE)


class Examples(griffe.Extension):
    """Puts each example, from `>>>` to the empty line behind it, into a fence."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called for everything that has been read."""
        if obj.docstring is not None:
            text = obj.docstring.value.strip("\n") + "\n"
            obj.docstring.value = EXAMPLE.sub(lambda example: f"```pycon\n{example[0]}```\n", text)
