"""An earlier JSON output: read, and what has changed since."""

from collections.abc import Iterable, Iterator

import msgspec

from vggcalc.errors import InputError
from vggcalc.report import units
from vggcalc.report.gate.conditions import COUNTS
from vggcalc.results import (
    SCHEMA_VERSION,
    Change,
    Comparison,
    Configuration,
    Environment,
    Latency,
    LatencyRatio,
    Report,
    Variant,
)

#: Why an interval within one process says nothing of another run, which is another process.
ONE_PROCESS = "one process differs from the next by more than its own interval"

#: Of an environment, what a time depends on.
_SURROUNDINGS = ("cpu", "instruction_set", "cores", "torch", "platform")


class _Head(msgspec.Struct):
    """What every JSON output of vggcalc has, of whatever version."""

    schema_version: int
    vggcalc_version: str


class Earlier(msgspec.Struct, frozen=True):
    """An earlier report and the file that it is from."""

    file: str
    report: Report

    def counterpart(self, comparison: Comparison) -> Comparison | None:
        """What was compared under that name, with that input and dtype."""
        return next((one for one in self.report.comparisons if _key(one) == _key(comparison)), None)


def earlier(file: str) -> Earlier:
    """The report in a file. Raises `InputError` with one line for anything else."""
    try:
        return Earlier(file, read_report(file))
    except InputError as error:
        raise InputError(f"--against {error}") from None


#: A larger file is no report: that of a network with 20,000 layers has 60 MB.
LARGEST_REPORT = 512_000_000


def read_report(file: str) -> Report:
    """The report in a JSON document. Raises `InputError` with one line for anything else, and for what is too large."""
    try:
        with open(file, "rb") as stream:
            text = stream.read(LARGEST_REPORT + 1).removeprefix(b"\xef\xbb\xbf")  # as some shells begin a file
        if len(text) > LARGEST_REPORT:
            raise InputError(f"{file} is larger than {LARGEST_REPORT:,} bytes: no report is")
        head = msgspec.json.decode(text, type=_Head)
        if head.schema_version != SCHEMA_VERSION:
            raise InputError(f"{file} has schema version {head.schema_version}, and this reads {SCHEMA_VERSION}")
        return msgspec.json.decode(text, type=Report)
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror or error}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(
            f"{file} is no JSON output of vggcalc ({error}): write one with --json --output {file}"
        ) from None


def _key(comparison: Comparison) -> tuple[object, ...]:
    return comparison.name, comparison.input_shape, comparison.dtype


def _whole(comparison: Comparison) -> str:
    return f"{units.shape(comparison.input_shape)} {comparison.dtype}"


def changes(before: Earlier, report: Report) -> tuple[Change, ...]:
    """What differs, comparison by comparison and variant by variant; then what it was measured on."""
    found: list[Change] = []
    known = {_key(comparison): comparison for comparison in report.comparisons}
    for comparison in known.values():
        other = before.counterpart(comparison)
        if other is None:
            found.append(Change(comparison.name, None, "comparison", None, _whole(comparison)))
        else:
            found += _of_comparison(other, comparison)
    found += [
        Change(one.name, None, "comparison", _whole(one), None)
        for one in before.report.comparisons
        if _key(one) not in known
    ]
    return (*found, *_of_surroundings(before.report, report))


def _of_comparison(before: Comparison, after: Comparison) -> Iterator[Change]:
    name = after.name
    old, new = ({variant.name: variant for variant in one.variants} for one in (before, after))
    for variant in after.variants:
        if variant.name not in old:
            yield Change(name, variant.name, "variant", None, variant.name)
            continue
        yield from _of_variant(name, old[variant.name], variant)
        yield from _of_times(name, variant.name, "latency", old[variant.name].latency, variant.latency)
        ratios = [
            [told for ratio in one.ratios if ratio.variant == variant.name for told in ratio.latency]
            for one in (before, after)
        ]
        yield from _of_times(name, variant.name, "ratio.latency", *ratios)
    for gone in old:
        if gone not in new:
            yield Change(name, gone, "variant", gone, None)


def _of_variant(comparison: str, before: Variant, after: Variant) -> Iterator[Change]:
    """Costs, counts, the receptive field, and how many layers went and came."""
    for key in dict.fromkeys([*before.costs, *after.costs]):
        old, new = before.costs.get(key), after.costs.get(key)
        partial = (key in before.partial, key in after.partial)
        if old != new or partial[0] != partial[1]:
            yield Change(comparison, after.name, key, old, new, partial)
    for key in COUNTS:
        if getattr(before, key) != getattr(after, key):
            yield Change(comparison, after.name, key, getattr(before, key), getattr(after, key))
    fields = before.receptive_field, after.receptive_field
    for key in ("size", "stride", "padding"):
        old, new = (getattr(field, key) if field else None for field in fields)
        if old != new:
            figure = "receptive_field" if key == "size" else f"receptive_field_{key}"
            yield Change(comparison, after.name, figure, old, new)
    if before.sees != after.sees:
        yield Change(comparison, after.name, "sees", before.sees, after.sees)
    went, came = _apart(before, after)
    if went:
        yield Change(comparison, after.name, "layers_gone", went, None)
    if came:
        yield Change(comparison, after.name, "layers_new", None, came)


def _apart(before: Variant, after: Variant) -> tuple[int, int]:
    """How many layers only the one and only the other has: by name, kind and arguments."""
    old, new = ({layer.name: layer.layer for layer in one.layers} for one in (before, after))
    return (
        sum(new.get(name) != layer for name, layer in old.items()),
        sum(old.get(name) != layer for name, layer in new.items()),
    )


def _of_times(
    comparison: str,
    variant: str,
    figure: str,
    before: Iterable[Latency | LatencyRatio],
    after: Iterable[Latency | LatencyRatio],
) -> Iterator[Change]:
    """Times or ratios of times in the same way of running whose intervals over processes do not overlap."""
    old: dict[Configuration, Latency | LatencyRatio] = {one.configuration: one for one in before}
    for new in after:
        then = old.get(new.configuration)
        if then is None or then.ci95 is None or new.ci95 is None:
            continue
        if min(len(then.rounds_per_process), len(new.rounds_per_process)) < 2:
            continue  # ONE_PROCESS
        if new.ci95[0] > then.ci95[1] or new.ci95[1] < then.ci95[0]:
            yield Change(comparison, variant, figure, typical(then), typical(new), on=new.label)


def typical(time: Latency | LatencyRatio) -> float:
    """The median, or the ratio."""
    return time.median_s if isinstance(time, Latency) else time.ratio


def _of_surroundings(before: Report, after: Report) -> Iterator[Change]:
    """On what the times were measured, where there are times on both sides."""
    if _timed(before) and _timed(after) and before.environment and after.environment:
        old, new = (_surroundings(one) for one in (before.environment, after.environment))
        for figure in dict.fromkeys([*old, *new]):
            if old.get(figure) != new.get(figure):
                yield Change(None, None, figure, old.get(figure), new.get(figure))


def _surroundings(environment: Environment) -> dict[str, str | int]:
    devices = {device.name: device.model for device in environment.devices if device.name != "cpu"}
    return {key: getattr(environment, key) for key in _SURROUNDINGS} | devices


def _timed(report: Report) -> bool:
    return any(variant.latency for comparison in report.comparisons for variant in comparison.variants)
