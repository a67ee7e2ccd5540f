"""The options of the command line as structs: measuring, gate and output."""

import os
import sys
from typing import TYPE_CHECKING, Literal

import click
import msgspec

from vggcalc.report.detail import Detail
from vggcalc.results import MemoryFormat, Mode

if TYPE_CHECKING:
    from vggcalc.library.models import InputsFrom
    from vggcalc.measurement.plan import Plan
    from vggcalc.nets.inputs import TensorSpec
    from vggcalc.pipeline.picture import Picture


class InputOptions(msgspec.Struct, frozen=True, kw_only=True):
    """All that the model is called with: tensors by their shapes, or the name of a function that makes them.

    With `cache` its trace is kept, and read if it is there already.
    """

    tensors: tuple[str, ...] = ()
    made_by: str | None = None
    cache: bool = True

    @property
    def inputs(self) -> "tuple[TensorSpec, ...] | InputsFrom | None":
        """The same for `library.models.resolve`."""
        from vggcalc.library.models import InputsFrom
        from vggcalc.nets.inputs import tensor_spec

        if self.made_by is not None:
            if self.tensors:
                raise click.UsageError("--inputs makes all inputs: leave out --input")
            return InputsFrom(self.made_by)
        return tuple(map(tensor_spec, self.tensors)) or None


class SideBySideOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What several models are called, the inputs of those that need their own, and whether each is fused too."""

    names: tuple[str, ...] = ()
    input_of: tuple[str, ...] = ()
    fused: bool = False

    @property
    def inputs_of(self) -> "dict[str, tuple[TensorSpec, ...] | InputsFrom]":
        """By the models' names, for `library.side_by_side`. Raises `click.UsageError` for what is not NAME=INPUT."""
        found: dict[str, InputOptions] = {}
        for text in self.input_of:
            name, equals, given = text.partition("=")
            if not equals or not name or not given:
                raise click.UsageError(f"--input-of {text} is not NAME=INPUT, such as resnet50=1x3x256x256")
            before = found.get(name, InputOptions())
            if ".py:" in given:
                found[name] = InputOptions(tensors=before.tensors, made_by=given)
            else:
                found[name] = InputOptions(tensors=(*before.tensors, given), made_by=before.made_by)
        inputs = {name: one.inputs for name, one in found.items()}
        return {name: one for name, one in inputs.items() if one is not None}


class MeasuringOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What to measure: see `measurement.plan.Plan`. `check` None is with the latency."""

    latency: bool = True
    check: bool | None = None
    effective: bool = False
    effective_samples: int = 20
    devices: tuple[str, ...] = ("auto",)
    threads: tuple[int, ...] = (1,)
    dtypes: tuple[str, ...] = ()
    modes: tuple[Mode, ...] = ("inference",)
    memory_formats: tuple[MemoryFormat, ...] = ("contiguous",)
    compiled: bool = False
    cold: bool = False
    budget: float | None = None
    precision: float = 0.03
    processes: int | None = None
    rounds: int | None = None
    quick: bool = False
    seed: int = 0
    allocator: Literal["pinned", "default"] = "pinned"

    def dtype(self, own: str = "float32") -> str:
        """The dtype of the counts' bytes: that of the network itself unless another is asked for."""
        return self.dtypes[0] if self.dtypes else own

    def plan(self, verify: bool = False, own_dtype: str = "float32") -> "Plan | None":
        """What the workers are to do, None if nothing. Raises `click.UsageError` for contradictions."""
        if self.quick and self.processes not in (None, 1):
            from vggcalc.measurement.schedule import MOST_PROCESSES

            if self.processes != MOST_PROCESSES:  # the default says nothing
                raise click.UsageError("--quick is one process: leave it out beside --processes")
        check = self.latency and not self.quick if self.check is None else self.check
        if not (self.latency or check or verify or self.effective):
            return None
        from vggcalc.measurement.plan import Plan

        return Plan(
            latency=self.latency,
            check=check,
            verify=verify,
            effective_samples=self.effective_samples if self.effective else 0,
            devices=self.devices,
            dtypes=tuple(dict.fromkeys(self.dtypes or (own_dtype,))),
            threads=tuple(dict.fromkeys(self.threads)),
            modes=self.modes,
            memory_formats=self.memory_formats,
            executions=("eager", "compiled") if self.compiled else ("eager",),
            cold=self.cold,
            budget_s=self.budget,
            quick=self.quick,
            precision=self.precision,
            processes=self.processes,
            rounds=self.rounds,
            seed=self.seed,
            pin_allocator=self.allocator != "default",
        )


class GateOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Conditions that fail a build, and an earlier output to hold this one against."""

    fail_if: tuple[str, ...] = ()
    against: str | None = None


class OutputOptions(msgspec.Struct, frozen=True, kw_only=True):
    """In which format, where to, and how much of it; `rows` are those of a CSV."""

    format_: str | None = None
    as_json: bool = False
    output: str | None = None
    rows: str | None = None
    plot: str | None = None
    figure: str | None = None
    width: float | None = None
    brief: bool = False
    details: bool = False

    @property
    def detail(self) -> Detail:
        """How much is shown: in a table what fits a screen, in a document everything, unless either is asked for.

        Raises `click.UsageError` for both.
        """
        if self.brief and self.details:
            raise click.UsageError("--brief and --details contradict each other")
        if self.brief:
            return Detail.BRIEF
        return Detail.FULL if self.details or self.format != "table" else Detail.NORMAL

    @property
    def format(self) -> str:
        """The format that is named, or that a file's name asks for, a table where it says none.

        Raises `click.UsageError` for two, and for a file that is named as what is not written.
        """
        if self.as_json and self.format_ not in (None, "json"):
            raise click.UsageError(f"--json and --format {self.format_} contradict each other")
        if self.format_ is not None or self.as_json:
            return self.format_ or "json"
        suffix = os.path.splitext(self.output or "")[1].lower()
        if suffix in (".svg", ".png", ".pdf"):
            raise click.UsageError(f"--output {self.output} is a picture, which --plot {self.output} draws")
        if suffix not in FORMAT_OF and not _is_special(self.output):
            known = ", ".join(FORMAT_OF)
            raise click.UsageError(f"--output {self.output} says no format: end it with {known[2:]}, or give --format")
        return FORMAT_OF.get(suffix, "table")

    @property
    def mismatch(self) -> str:
        """What to say where the file's name asks for another format than the one that is named."""
        of_name = FORMAT_OF.get(os.path.splitext(self.path or "")[1].lower(), "table")
        if self.path is None or of_name in ("table", self.format):
            return ""
        return f"{self.path} is written as {self.format}, which its name does not say"

    @property
    def path(self) -> str | None:
        """The file, None for standard output."""
        return None if self.output == "-" else self.output

    def picture(self) -> "Picture | None":
        """The file for figures. Raises `click.UsageError` for options of one without it, and as `Picture` does."""
        if self.plot is None:
            for option, value in (("--figure", self.figure), ("--width", self.width)):
                if value is not None:
                    raise click.UsageError(f"{option} is of a figure: give --plot FILE too")
            return None
        from vggcalc.pipeline.picture import COLUMN_MM, Picture

        return Picture(self.plot, self.figure, COLUMN_MM if self.width is None else self.width)

    def check_apart(self, *inputs: str | None) -> None:
        """Raise `click.UsageError` if two things would go to one file, or an input would be overwritten."""
        if self.plot is not None and self.path is not None and same_file(self.plot, self.path):
            raise click.UsageError(f"--plot and --output both name {self.plot}: give two files")
        named = [source for source in inputs if source is not None]
        named += [source.rpartition(":")[0] for source in named]  # of net.py:Net
        read = [_identity(source) for source in named if source == "-" or os.path.isfile(source)]
        for option, target in (("--output", self.path), ("--plot", self.plot)):
            if target is not None and os.path.isfile(target) and _identity(target) in read:
                raise click.UsageError(f"{option} {target} would overwrite what is read: give another file")


#: The format that the end of a file's name stands for.
FORMAT_OF = {
    "": "table", ".txt": "table", ".json": "json", ".csv": "csv", ".md": "markdown", ".html": "html",
}  # fmt: skip


def _is_special(path: str | None) -> bool:
    """Whether it is there already as something else than a file, such as a pipe or a folder, whatever its name."""
    return path is not None and os.path.exists(path) and not os.path.isfile(path)


def same_file(one: str, two: str) -> bool:
    """Whether two paths name one file, there already or not."""
    return _identity(one) == _identity(two)


def _identity(path: str) -> tuple[int, int] | str:
    """What is the same for two names of one file; `-` is standard input."""
    try:
        found = os.fstat(sys.stdin.fileno()) if path == "-" else os.stat(path)
    except (OSError, ValueError, AttributeError):  # it is not there yet, or standard input is no file
        return os.path.normpath(path)
    return found.st_dev, found.st_ino


class SweepTiming(msgspec.Struct, frozen=True, kw_only=True):
    """Whether and how the points of a sweep are timed."""

    latency: bool = False
    budget: float = 300.0
    device: str = "cpu"
    threads: int = 1
    mode: Mode = "inference"
    processes: int | None = None
    rounds: int | None = None
    seed: int = 0

    def plan(self, dtype: str) -> "Plan | None":
        """The plan for all points together, None if none is timed. Raises `click.UsageError`."""
        if not self.latency:
            return None
        if self.device == "auto":
            raise click.UsageError("--device auto may be several: name one, such as cpu")
        from vggcalc.measurement.plan import Plan

        return Plan(
            check=False,
            devices=(self.device,),
            dtypes=(dtype,),
            threads=(self.threads,),
            modes=(self.mode,),
            budget_s=self.budget,
            processes=self.processes,
            rounds=self.rounds,
            seed=self.seed,
        )


class SweepOutput(msgspec.Struct, frozen=True, kw_only=True):
    """Where the rows of a sweep go, and whether they are summed up to crossovers along an axis."""

    format_: str = "table"
    output: str | None = None
    resume: bool = False
    crossover: str | None = None
    brief: bool = False
    plot: str | None = None
    figure: str | None = None
    width: float | None = None


def read_standard_input(size: int) -> bytes:
    """At most so many bytes of standard input, for MODEL `-`."""
    if sys.stdin is None:
        raise click.UsageError("standard input is closed: name a model or a file")
    try:
        return sys.stdin.buffer.read(size)
    except OSError as error:
        raise click.UsageError(f"standard input cannot be read: {error.strerror or error}") from None
