"""What must hold of every answer, and of two commands that ask the same in other words."""

import csv
import io
import json
import os
import re
import signal
import time
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import jsonschema
from click.testing import CliRunner

from vggcalc.cli.app import cli

from .cases import Case, write

STATUSES = {0, 1, 2, 3, 4}

#: No case takes as long, however busy the machine is.
LIMIT_S = 600

#: Costs of a network that are the sums of its layers'.
ADDITIVE = (
    "parameters",
    "macs",
    "flops",
    "activations",
    "weight_bytes",
    "traffic_bytes",
    "saved_bytes",
    "training_flops",
)

#: What a terminal would obey, and in what is no JSON what it would hide.
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


class Failed(AssertionError):
    """A case of which something does not hold."""


class Answer(NamedTuple):
    status: int
    out: str
    err: str


class Hangs(Exception):
    """It takes longer than `LIMIT_S`."""


def ask(arguments: list[str], stdin: bytes = b"") -> Answer:
    """A command in this process, in the current folder. Raises what it raises, and `Hangs`."""

    def ring(number: int, frame: FrameType | None) -> None:
        raise Hangs

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, LIMIT_S)
    try:
        done = CliRunner().invoke(
            cli, arguments, input=stdin, env={"COLUMNS": "100"}, prog_name="vggcalc", catch_exceptions=False
        )
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    return Answer(done.exit_code, done.stdout, done.stderr)


def require(holds: object, what: str) -> None:
    if not holds:
        raise Failed(what)


class Checker:
    """Runs cases in a folder, which is empty before and after each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        schema = json.loads(ask(["schema"]).out)
        self._validator = jsonschema.Draft202012Validator(schema)

    def run(self, case: Case) -> Answer:
        """Run a case and check it. Raises `Failed` and whatever the command raises."""
        write(case, self.folder)
        with chdir(self.folder):
            try:
                answer = ask(case.arguments, case.stdin)
                self._check(case, answer)
            finally:
                left = {path.name: path.read_bytes() for path in self.folder.iterdir() if path.is_file()}
                for path in self.folder.iterdir():
                    path.unlink()
        new = {name for name, content in left.items() if case.files.get(name) != content}
        written = {name for name in new if name in case.arguments}
        model = case.arguments[2:3]  # which is never written over; what else is named as the output is
        require(not written & set(model), f"{written} is the model too")
        require(new == written, f"left over or changed: {new - written}")
        require(answer.status != 2 or not new, f"status 2, and yet there is {new}")
        if answer.status in (0, 4) and "--resume" not in case.arguments:
            for name in written:
                if name.endswith(".json") and "--format" not in case.arguments:
                    self.document(left[name].decode())
        return answer

    def _check(self, case: Case, answer: Answer) -> None:
        require(answer.status in STATUSES, f"status {answer.status}")
        require("Traceback" not in answer.err, "a traceback")
        for text in (answer.out, answer.err):
            found = OBEYED.search(text)
            require(found is None, f"a control character {found and found[0]!r}")
        if answer.status == 2 and "--help" not in case.arguments:
            require(not answer.out, "status 2 and an output")
            require(answer.err.startswith("vggcalc: error: "), "an error in another form")
            require(answer.err.count("\n") == 1, "an error of several lines")
            require(len(answer.err) < 1100, "a long error")
        if answer.status in (0, 1, 4) and answer.out.startswith("{\n") and "--json" in case.arguments:
            self.document(answer.out)

    def document(self, text: str) -> Any:
        """A report: valid by the schema, its costs the sums of the layers'."""
        document = json.loads(text)
        self._validator.validate(document)
        for comparison in document["comparisons"]:
            for variant in comparison["variants"]:
                for parts in ("layers", "blocks"):
                    for cost in ADDITIVE if variant[parts] else ():
                        total = sum(one["costs"][cost] for one in variant[parts])
                        require(total == variant["costs"][cost], f"{cost} of {variant['name']} is not its {parts}'")
        return document

    def same(self, case: Case, first: list[str], second: list[str], read: Callable[[str], Any]) -> None:
        """Two commands of the same meaning have the same figures, or the same status."""
        write(case, self.folder)
        try:
            with chdir(self.folder):
                one, two = ask(first, case.stdin), ask(second, case.stdin)
        finally:
            for path in self.folder.iterdir():
                path.unlink()
        require(one.status == two.status, f"{first} ends with {one.status}, {second} with {two.status}: {two.err}")
        if one.status == 0:
            require(read(one.out) == read(two.out), f"{first} and {second} differ")


def figures(text: str) -> list[Any]:
    """Every variant's costs, of JSON or CSV; names aside."""
    if text.startswith("{"):
        found = json.loads(text)["comparisons"]
        return [{key: one["costs"][key] for key in ADDITIVE} for c in found for one in c["variants"]]
    return [{key: int(row[key]) for key in ADDITIVE} for row in csv.DictReader(io.StringIO(text))]


def in_table(checker: Checker, arguments: list[str]) -> None:
    """The table shows the parameters and MACs of the JSON, to the digit."""
    document, table = ask([*arguments, "--json"]), ask(arguments)
    require(document.status == table.status, "the table and the JSON end differently")
    if document.status == 0:
        for figure in figures(document.out):
            for key in ("parameters", "macs"):
                require(f"{figure[key]:,}" in table.out, f"{key} {figure[key]:,} is not in the table")


def wait_until(holds: Callable[[], bool], limit_s: float = LIMIT_S) -> bool:
    until = time.monotonic() + limit_s
    while not holds():
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def left_parts(folder: Path) -> list[str]:
    return [name for name in os.listdir(folder) if name.endswith(".part")]
