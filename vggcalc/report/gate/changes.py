"""Reading an earlier JSON output, and what has changed since."""

from collections.abc import Iterator

import msgspec

from vggcalc.errors import InputError
from vggcalc.nets.reader import Kind, read_file
from vggcalc.report import units
from vggcalc.report.gate.values import GatedFigure, LowerBound, Measured, Path, Value, figures_of, typical, values_at
from vggcalc.results import SCHEMA_VERSION, Change, Comparison, Report

#: What a time depends on, of an environment.
_SURROUNDINGS = ("cpu", "instruction_set", "cores", "torch", "platform")

#: A larger file is no report: that of a network with 20,000 layers has 60 MB.
LARGEST_REPORT = 512_000_000


class _Head(msgspec.Struct):
    """The key that every JSON output of vggcalc has, of whatever version."""

    schema_version: int
    vggcalc_version: str


class Earlier(msgspec.Struct, frozen=True):
    """An earlier report and the file that it is from."""

    file: str
    report: Report

    def counterpart(self, comparison: Comparison) -> Comparison | None:
        """The comparison of that name with the same input and dtype."""
        return next((one for one in self.report.comparisons if _key(one) == _key(comparison)), None)

    def values_at(self, path: Path, comparison: Comparison) -> dict[str, Value]:
        """The values at the path in the counterpart."""
        nothing, other = "has nothing to compare with: ", self.counterpart(comparison)
        if other is None:
            return {"": Value(unknown=f"{nothing}{self.file} has no {comparison.name} with this input and dtype")}
        if path.variant not in other:
            return {"": Value(unknown=f"{nothing}{self.file} has no variant {path.variant} of {comparison.name}")}
        return {
            place: Value(unknown=f"{nothing}in {self.file} it {one.unknown}") if one.unknown else one
            for place, one in values_at(path, other).items()
        }


def read_report(file: str) -> Report:
    """The report in a JSON document. Raises `InputError` with one line for anything else, and for what is too large."""
    needed = "name one that --json --output FILE wrote"
    kind = Kind("JSON output of vggcalc", needed, LARGEST_REPORT, b"{")
    text = read_file(file, kind).removeprefix(b"\xef\xbb\xbf")  # as some shells begin a file
    try:
        head = msgspec.json.decode(text, type=_Head)
        if head.schema_version != SCHEMA_VERSION:
            raise InputError(
                f"{file} has schema version {head.schema_version}, and this reads {SCHEMA_VERSION}: write it with this "
                f"vggcalc, or read it with {head.vggcalc_version}"
            )
        return msgspec.json.decode(text, type=Report)
    except RecursionError:
        raise InputError(f"{file} is no JSON output of vggcalc (nested too deeply): {needed}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InputError(f"{file} is no JSON output of vggcalc ({error}): {needed}") from None
    except MemoryError:
        raise InputError(f"{file} is larger than the memory that is free: {needed}") from None


def _key(comparison: Comparison) -> tuple[object, ...]:
    return comparison.name, comparison.input_shape, comparison.dtype


def changes(earlier: Earlier, report: Report) -> tuple[Change, ...]:
    """All changes, comparison by comparison and variant by variant; then those of the machine."""
    found: list[Change] = []
    for comparison in report.comparisons:
        before = earlier.counterpart(comparison)
        if before is None:
            found.append(Change(comparison.name, None, "comparison", None, _input(comparison)))
        else:
            found += _comparison_changes(before, comparison)
    now = {_key(comparison) for comparison in report.comparisons}
    gone = [one for one in earlier.report.comparisons if _key(one) not in now]
    found += [Change(one.name, None, "comparison", _input(one), None) for one in gone]
    return (*found, *_machine_changes(earlier.report, report))


def _input(comparison: Comparison) -> str:
    return f"{units.shape(comparison.input_shape)} {comparison.dtype}"


def _comparison_changes(before: Comparison, after: Comparison) -> Iterator[Change]:
    """Every figure that differs, and how many layers, by name, kind and arguments, only one side has."""
    for name in dict.fromkeys(variant.name for variant in (*after, *before)):
        if name not in before or name not in after:
            had, has = (name if name in one else None for one in (before, after))
            yield Change(after.name, name, "variant", had, has)
            continue
        old, new = figures_of(before, name), figures_of(after, name)
        for path, label in dict.fromkeys([*old, *new]):
            pair = old.get((path, label)), new.get((path, label))
            if _differ(*pair):
                partial = isinstance(pair[0], LowerBound), isinstance(pair[1], LowerBound)
                yield Change(
                    after.name, name, path, _reported_value(pair[0]), _reported_value(pair[1]), partial, label or None
                )
        layers, others = ({layer.name: layer.layer for layer in one[name].layers} for one in (before, after))
        if gone := sum(others.get(layer) != arguments for layer, arguments in layers.items()):
            yield Change(after.name, name, "layers_gone", gone, None)
        if come := sum(layers.get(layer) != arguments for layer, arguments in others.items()):
            yield Change(after.name, name, "layers_new", None, come)


def _differ(before: GatedFigure | None, after: GatedFigure | None) -> bool:
    """Whether it changed: a time only if both intervals are over processes (`ONE_PROCESS`) and do not overlap."""
    if not isinstance(before, Measured) and not isinstance(after, Measured):
        return before != after
    if not isinstance(before, Measured) or not isinstance(after, Measured) or not before.ci95 or not after.ci95:
        return False
    if min(len(before.rounds_per_process), len(after.rounds_per_process)) < 2:
        return False
    return after.ci95[0] > before.ci95[1] or after.ci95[1] < before.ci95[0]


def _reported_value(figure: GatedFigure | None) -> int | float | str | tuple[int, ...] | None:
    if isinstance(figure, Measured):
        return typical(figure)
    return figure.value if isinstance(figure, LowerBound) else figure


def _machine_changes(before: Report, after: Report) -> Iterator[Change]:
    """Changes of the machine and versions, where both sides have times."""
    old, new = _machine_and_versions(before), _machine_and_versions(after)
    for figure in dict.fromkeys([*old, *new]) if old and new else ():
        if old.get(figure) != new.get(figure):
            yield Change(None, None, figure, old.get(figure), new.get(figure))


def _machine_and_versions(report: Report) -> dict[str, str | int]:
    """The machine and versions that times depend on; empty where there are no times."""
    found = report.environment
    if found is None or not any(variant.latency for comparison in report.comparisons for variant in comparison):
        return {}
    devices = {device.name: device.model for device in found.devices if device.name != "cpu"}
    return {key: getattr(found, key) for key in _SURROUNDINGS} | devices
