"""The gate: conditions read and decided exactly, what changed since an earlier report, exit status 4."""

import json
import operator
import os
import re
import subprocess
import sys
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
import torch
from builders import latency, latency_ratio, report
from hypothesis import given
from hypothesis import strategies as st
from process import invoke as run

import vggcalc
from vggcalc.errors import LONGEST_MESSAGE, InputError
from vggcalc.measurement.plan import Plan
from vggcalc.measurement.session import MeasurementOutcome
from vggcalc.pipeline import run as pipeline
from vggcalc.report.gate.changes import Earlier, changes
from vggcalc.report.gate.conditions import Condition, parse_condition
from vggcalc.report.gate.gate import Gate, GateResult, gate, holds
from vggcalc.report.gate.values import Path as FigurePath
from vggcalc.report.gate.values import Value
from vggcalc.report.tables.changes import sections
from vggcalc.results import (
    Comparison,
    Configuration,
    Counted,
    Crosscheck,
    DeviceInfo,
    Environment,
    ReceptiveField,
    Report,
)

SIGNS = {
    ">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le,
    "==": operator.eq, "!=": operator.ne,
}  # fmt: skip

pytestmark = pytest.mark.usefixtures("warm_workers")

SEVEN = vggcalc.factorize(7, in_channels=8, out_channels=8, size=14)
NINE = vggcalc.factorize(9, in_channels=8, out_channels=8, size=14)
ALONE = vggcalc.summary("64,M,128", size=32)
replace = msgspec.structs.replace


def judged(text: str, *comparisons: Comparison, earlier: Report | None = None) -> GateResult:
    """What becomes of one condition about comparisons whose latency is measured or is in no condition."""
    known = Earlier("base.json", earlier) if earlier is not None else None
    return Gate((parse_condition(text, comparisons, known is not None),), known).judge(report(*comparisons))


def costing(comparison: Comparison, variant: str, **costs: int) -> Comparison:
    """The comparison with other costs of a variant."""
    found = [replace(one, costs=one.costs | costs) if one.name == variant else one for one in comparison.variants]
    return replace(comparison, variants=tuple(found))


def named(comparison: Comparison, *names: str) -> Comparison:
    """With as many variants, of these names, the first the baseline; copies of the second."""
    baseline, other = comparison.variants[0], comparison.variants[-1]
    variants = tuple(replace(other if i else baseline, name=name) for i, name in enumerate(names))
    ratios = tuple(replace(comparison.ratios[0], variant=name) for name in names[1:])
    return replace(comparison, baseline=names[0], variants=variants, ratios=ratios)


def timed(
    comparison: Comparison,
    ends: tuple[float, float] | None,
    *,
    configuration: Configuration = Configuration("cpu", "float32"),
    processes: int = 3,
) -> Comparison:
    """With a latency of every variant and a ratio of every other, in one configuration, of that interval."""
    rounds = (8 if ends else 3,) * processes
    middle = sum(ends) / 2 if ends else 1.0
    times = (middle,) * sum(rounds)
    time = latency(middle, configuration, times_s=times, rounds_per_process=rounds, ci95=ends)
    ratio = latency_ratio(
        middle, ends, configuration, basis="processes", processes=processes, rounds=rounds[0], rounds_per_process=rounds
    )
    return replace(
        comparison,
        variants=tuple(replace(one, latency=(*one.latency, time)) for one in comparison.variants),
        ratios=tuple(replace(one, latency=(*one.latency, ratio)) for one in comparison.ratios),
    )


# What a condition says


@pytest.mark.parametrize(
    ("figure", "number", "expected"),
    [
        ("macs", "16G", 16 * 10**9),
        ("macs", "16 G", 16 * 10**9),
        ("macs", "16Gi", 16 * 2**30),
        ("macs", "1.5M", 1_500_000),
        ("macs", "2k", 2_000),
        ("macs", "2K", 2_000),
        ("macs", "3T", 3 * 10**12),
        ("macs", "15,470,264,320", 15_470_264_320),
        ("macs", "15_470_264_320", 15_470_264_320),
        ("macs", "2e9", 2 * 10**9),
        ("macs", "2.5e+3", 2_500),
        ("macs", "123456789012345678901234567890", 123456789012345678901234567890),
        ("macs", "0.1", Fraction(1, 10)),
        ("weight_bytes", "528MiB", 528 * 2**20),
        ("weight_bytes", "528 MB", 528 * 10**6),
        ("weight_bytes", "1.5KiB", 1536),
        ("weight_bytes", "7B", 7),
        ("weight_bytes", "7", 7),
        ("weight_bytes", "7k", 7000),
        ("intensity", "12.5", Fraction(25, 2)),
        ("receptive_field", "212", 212),
        ("convolutions", "13", 13),
        ("latency", "3 ms", Fraction(3, 1000)),
        ("latency", "3s", 3),
        ("latency", "3", 3),
        ("latency", "40us", Fraction(40, 10**6)),
        ("latency", "40\N{MICRO SIGN}s", Fraction(40, 10**6)),
        ("latency", "40\N{GREEK SMALL LETTER MU}s", Fraction(40, 10**6)),
        ("latency", "1e-3", Fraction(1, 1000)),
        ("ratio.macs", "110%", Fraction(11, 10)),
        ("ratio.macs", "1.1", Fraction(11, 10)),
        ("ratio.latency", "90 %", Fraction(9, 10)),
        ("against.macs", "101%", Fraction(101, 100)),
        ("against.latency", "101%", Fraction(101, 100)),
        ("against.ratio.latency", "1", 1),
    ],
)
def test_numbers_and_units_are_exact(figure: str, number: str, expected: Fraction) -> None:
    assert parse_condition(f"factorized.{figure} > {number}", [SEVEN], True).bound == expected


@given(st.decimals(min_value=0, max_value=10**25, places=3), st.sampled_from(["", "k", "M", "G", "T"]))
def test_a_number_is_what_decimal_makes_of_it(number: Decimal, unit: str) -> None:
    scale = 1000 ** ["", "k", "M", "G", "T"].index(unit)
    for text in (f"{number:f}", f"{number:,f}"):
        bound = parse_condition(f"naive.macs>={text}{unit}", [SEVEN], False).bound
        assert bound == Fraction(number) * scale


@pytest.mark.parametrize("sign", [*SIGNS, "≥", "≤", "≠"])
@pytest.mark.parametrize("space", ["", " ", "  "])
def test_signs_and_spaces(sign: str, space: str) -> None:
    found = parse_condition(f"{space}naive.macs{space}{sign}{space}5{space}", [SEVEN], False)
    assert found.sign == {"≥": ">=", "≤": "<=", "≠": "!="}.get(sign, sign)
    assert (found.path, found.bound) == (FigurePath("naive", "macs"), 5)


@pytest.mark.parametrize(
    ("names", "text", "expected"),
    [
        (("naive", "stack", "stack:stride-1"), "stack:stride-1.macs", FigurePath("stack:stride-1", "macs")),
        (("naive", "stack", "stack:stride-1"), "stack.macs", FigurePath("stack", "macs")),
        (("naive", "large-kernel"), "large-kernel.macs", FigurePath("large-kernel", "macs")),
        (("net", "net.v2"), "net.v2.macs", FigurePath("net.v2", "macs")),
        (("net", "net.ratio"), "net.ratio.macs", FigurePath("net.ratio", "macs")),
        (("net", "other", "other.ratio"), "other.ratio.latency", FigurePath("other.ratio", "latency")),
        (("other", "net", "net.macs"), "net.macs", FigurePath("net", "macs")),
        (("naive", "factorized"), "factorized.ratio.macs", FigurePath("factorized", "macs", ratio=True)),
        (("naive", "factorized"), "factorized.against.macs", FigurePath("factorized", "macs", against=True)),
        (("a", "b"), "b.against.ratio.latency", FigurePath("b", "latency", ratio=True, against=True)),
        (("a", "b"), "b.receptive_field.height", FigurePath("b", "receptive_field", axis="height")),
        (("a", "b"), "b.receptive_field.width", FigurePath("b", "receptive_field", axis="width")),
    ],
)  # fmt: skip
def test_the_longest_name_that_fits_is_the_variant(names: tuple[str, ...], text: str, expected: FigurePath) -> None:
    assert parse_condition(f"{text} > 1", [named(SEVEN, *names)], True).path == expected


@pytest.mark.parametrize("name", ["vgg16", "path/to/net.py:Net", "timm:convnext_tiny.fb_in22k", "64,M,128@7s2,M"])
def test_a_single_variant_needs_no_name(name: str) -> None:
    alone = replace(ALONE, variants=(replace(ALONE.variants[0], name=name),), baseline=name)
    expected = FigurePath(name, "macs")
    assert parse_condition("macs > 1", [alone], False).path == expected
    assert parse_condition(f"{name}.macs > 1", [alone], False).path == expected
    assert parse_condition("receptive_field.height > 1", [alone], False).path.axis == "height"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("factorized.macs", "it is no condition: write one such as"),
        ("", "it is no condition"),
        ("factorized.macs = 3", "= is no comparison: write one of > >= < <= == !="),
        (
            "factorised.macs > 3",
            "variant 'factorised' is unknown: did you mean factorized? There are naive, factorized",
        ),
        ("macs > 3", "of which variant? Write naive.macs or factorized.macs"),
        (
            "factorized.mac > 3",
            "figure 'mac' is unknown: did you mean macs?",
        ),
        ("factorized.macs.height > 3", "figure 'macs.height' is unknown: "),
        ("factorized. > 3", "figure '' is unknown: there are"),
        ("factorized.ratio.receptive_field > 3", "ratio 'receptive_field' is unknown: there are parameters"),
        ("naive.ratio.macs > 3", "naive has no ratio: it is the baseline itself"),
        ("factorized.receptive_field.depth > 3", "depth is no axis: there are height, width"),
        (
            "factorized.against.macs > 3",
            "against. needs an earlier JSON output: name its file (--against FILE, in Python against=)",
        ),
        ("factorized.macs > ", "'' is no number"),
        ("factorized.macs > -3", "'-3' is no number: write one such as 16G"),
        ("factorized.macs > 1,5", "'1,5' is no number"),
        ("factorized.macs > 1.5.2", "'1.5.2' is no number"),
        ("factorized.macs > many", "'many' is no number"),
        ("factorized.macs > " + "9" * 5000, "is no number"),
        (
            "factorized.macs > 3m",
            "'m' is no unit of macs: write none, or one of k, M, G, T, K, Ki, Mi, Gi, Ti",
        ),
        ("factorized.macs > 3MiB", "'MiB' is no unit of macs"),
        ("factorized.macs > 110%", "a share of what? Write factorized.against.macs > 102% for now / earlier"),
        ("factorized.latency > 3min", "'min' is no unit of latency: write none, or one of s, ms, us, ns"),
        ("factorized.ratio.latency > 3ms", "'ms' is no unit of a ratio: write none, or one of %"),
        ("factorized.latency == 3ms", "== is for exact counts, and latency is none: write one of > >= < <="),
        ("factorized.intensity != 3", "!= is for exact counts, and intensity is none"),
    ],
)
def test_what_cannot_be_read_is_an_error_of_one_line(text: str, expected: str) -> None:
    with pytest.raises(InputError) as caught:
        gate([text], None, [SEVEN, NINE], True)
    message = str(caught.value)
    assert message.startswith(f'condition "{text}": '[:600])  # a very long one is quoted in part
    assert len(message) <= LONGEST_MESSAGE
    assert expected in message
    assert "\n" not in message


# Whether it holds


@given(st.integers(0, 10**40), st.sampled_from(list(SIGNS)), st.integers(-1, 1))
def test_counts_are_compared_exactly(macs: int, sign: str, beside: int) -> None:
    """Also where a float cannot tell the two apart."""
    bound = max(macs + beside, 0)
    found = judged(f"factorized.macs {sign} {bound:,}", costing(SEVEN, "factorized", macs=macs))
    assert bool(found.held) == SIGNS[sign](macs, bound)
    assert not found.undecided


@given(st.integers(1, 10**30), st.integers(1, 10**30), st.sampled_from(list(SIGNS)), st.integers(-1, 1))
def test_ratios_are_compared_exactly(baseline: int, percent: int, sign: str, beside: int) -> None:
    """The variant costs `percent` in a hundred of the baseline, or one unit more or less."""
    both = costing(SEVEN, "naive", macs=100 * baseline)
    both = costing(both, "factorized", macs=percent * baseline + beside)
    found = judged(f"factorized.ratio.macs {sign} {percent}%", both)
    assert bool(found.held) == SIGNS[sign](percent * baseline + beside, percent * baseline)
    since = judged(f"factorized.against.macs {sign} {percent}%", both,
                   earlier=report(costing(SEVEN, "factorized", macs=100 * baseline)))  # fmt: skip
    assert bool(since.held) == bool(found.held)


def test_sixteen_billion_is_sixteen_billion() -> None:
    exactly = costing(SEVEN, "factorized", macs=16_000_000_000)
    assert not judged("factorized.macs > 16G", exactly).held
    assert judged("factorized.macs >= 16G", exactly).held
    assert judged("factorized.macs > 16G", costing(SEVEN, "factorized", macs=16_000_000_001)).held


@given(st.fractions(0, 9), st.fractions(0, 9), st.fractions(0, 9), st.sampled_from([">", ">=", "<", "<="]))
def test_an_interval_holds_wholly_or_not(one: Fraction, other: Fraction, bound: Fraction, sign: str) -> None:
    low, high = sorted((one, other))
    condition = Condition("", FigurePath("naive", "latency"), sign, bound)
    everywhere = all(SIGNS[sign](low + i * (high - low) / 4, bound) for i in range(5))
    assert holds(condition, Value(low, high, low)) is everywhere


@given(st.integers(0, 30), st.integers(0, 30), st.sampled_from(list(SIGNS)))
def test_a_lower_bound_decides_what_it_can(least: int, bound: int, sign: str) -> None:
    """What the total may be are the integers from the bound up: far enough up to meet every case."""
    possible = {SIGNS[sign](total, bound) for total in range(least, least + 100)}
    partial = costing(SEVEN, "factorized", macs=least)
    variants = (partial.variants[0], replace(partial.variants[1], partial={"macs": ("aten::x",)}))
    found = judged(f"factorized.macs {sign} {bound}", replace(partial, variants=variants))
    assert bool(found.held) == (possible == {True})
    assert bool(found.undecided) == (possible == {True, False})


def test_a_lower_bound_is_named() -> None:
    least = costing(SEVEN, "factorized", macs=1500)
    least = replace(least, variants=(least.variants[0], replace(least.variants[1], partial={"macs": ("x",)})))
    (line,) = judged("factorized.macs > 1k", least).held
    assert line.endswith("7×7 factorized.macs is 1,500 or more: at least 500 (50.0%) above 1,000")
    (line,) = judged("factorized.macs < 2k", least).undecided
    assert "cannot be decided: 7×7 factorized.macs is 1,500 or more, which is a lower bound" in line
    other = replace(SEVEN, variants=(replace(SEVEN.variants[0], partial={"macs": ("x",)}), SEVEN.variants[1]))
    (line,) = judged("factorized.ratio.macs > 1%", other).undecided
    assert "7×7 factorized.ratio.macs is divided by a lower bound" in line


def test_a_receptive_field_along_each_axis() -> None:
    field = ReceptiveField((7, 5), (1, 1), (3, 2))
    oblong = replace(SEVEN, variants=tuple(replace(one, receptive_field=field) for one in SEVEN.variants))
    for text, held in (
        ("receptive_field > 6", ["height"]),
        ("receptive_field < 6", ["width"]),
        ("receptive_field >= 5", ["height", "width"]),
        ("receptive_field > 7", []),
        ("receptive_field.height > 6", ["height"]),
        ("receptive_field.width > 6", []),
    ):
        lines = judged(f"naive.{text}", oblong).held
        assert [re.search(r"7×7 naive.receptive_field.(\w+) is \d:", line)[1] for line in lines] == held
    (line,) = judged("naive.receptive_field == 7", SEVEN).held
    assert line.endswith("7×7 naive.receptive_field is 7: exactly the bound")
    image = replace(SEVEN, variants=tuple(
        replace(one, receptive_field=None, sees="image") for one in SEVEN.variants
    ))  # fmt: skip
    (line,) = judged("naive.receptive_field > 1", image).undecided
    assert "7×7 naive.receptive_field is the whole image" in line


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("factorized.latency > 1.9 s", "is 2.125 s, 95% interval 2 s … 2.25 s (over 3 processes): "
         "at least 100 ms (5.3%) above 1.9 s"),
        ("factorized.latency > 2 s", None),
        ("factorized.latency >= 2 s", "its nearest end exactly the bound"),
        ("factorized.latency < 2.1 s", None),
        ("factorized.latency < 2.25 s", None),
        ("factorized.latency <= 2.25 s", "its nearest end exactly the bound"),
        ("factorized.latency < 2500 ms", "at least 250 ms (10.0%) below 2.5 s"),
        ("factorized.ratio.latency > 190%", "is 212.5%, 95% interval 200% … 225% (over 3 processes): "
         "at least 10 points above 190%"),
        ("factorized.ratio.latency > 205%", None),
    ],
)  # fmt: skip
def test_a_latency_holds_with_its_whole_interval(text: str, expected: str | None) -> None:
    found = judged(text, timed(SEVEN, (2.0, 2.25)))
    assert not found.undecided
    assert bool(found.held) == (expected is not None)
    assert all(expected in line for line in found.held if expected)


def test_a_latency_without_an_interval_decides_nothing() -> None:
    for text in ("factorized.latency > 1 us", "factorized.ratio.latency > 1%"):
        found = judged(text, timed(SEVEN, None, processes=1))
        assert not found.held
        (line,) = found.undecided
        assert "on cpu has no interval: 3 rounds of one process are too few" in line
    (line,) = judged("factorized.latency > 1 us", SEVEN).undecided
    assert "7×7 factorized.latency was not measured" in line


def test_every_configuration_and_comparison_is_looked_at_and_named() -> None:
    two = Configuration("cpu", "float32", 2)
    both = timed(timed(SEVEN, (2.0, 2.1)), (1.0, 1.1), configuration=two)
    assert [re.search(r"latency on (.*) is", line)[1] for line in judged("naive.latency > 0.5 s", both).held] == [
        "cpu", "cpu 2 threads",
    ]  # fmt: skip
    (line,) = judged("naive.latency > 1.5 s", both).held
    assert "7×7 naive.latency on cpu is 2.05 s" in line
    macs = {one.name: one["naive"].costs["macs"] for one in (SEVEN, NINE)}
    (line,) = judged(f"naive.macs > {macs['7×7']}", SEVEN, NINE).held
    more = 8 * 8 * 14 * 14 * (81 - 49)
    assert f"9×9 naive.macs is {macs['9×9']:,}: {more:,} (65.3%) above {macs['7×7']:,}" in line
    only = named(NINE, "naive", "stack")
    (line,) = judged("stack.macs > 1", SEVEN, only).held
    assert "9×9 stack.macs" in line


# Against an earlier report


def since(before: Report, after: Report) -> list[tuple[Any, ...]]:
    found = changes(Earlier("base.json", before), after)
    return [(one.comparison, one.variant, one.figure, one.before, one.after) for one in found]


def test_nothing_changed() -> None:
    same = report(SEVEN, timed(NINE, (1.0, 2.0)))
    assert since(same, same) == []
    (text,) = sections(replace(report(SEVEN), against="base.json"))
    assert text.lines == ("Against base.json: nothing changed.",)


def test_costs_fields_and_layers_that_changed() -> None:
    """7×7 grown to 9×9 under the name that it had: its stack has a layer more."""
    grown = replace(NINE, name="7×7")
    found = {row[1:3]: row[3:] for row in since(report(SEVEN), report(grown))}
    for variant, pixels in (("naive", (49, 81)), ("factorized", (27, 36))):
        assert found[variant, "macs"] == tuple(14 * 14 * 8 * 8 * n for n in pixels)
        assert found[variant, "receptive_field"] == ((7, 7), (9, 9))
        assert found[variant, "receptive_field_padding"] == ((3, 3), (4, 4))
        assert (variant, "receptive_field_stride") not in found
    assert found["factorized", "convolutions"] == found["factorized", "nonlinearities"] == (3, 4)
    assert found["factorized", "parameters"] == (3 * (9 * 64 + 8), 4 * (9 * 64 + 8))
    assert ("naive", "convolutions") not in found
    assert (found["naive", "layers_gone"], found["naive", "layers_new"]) == ((1, None), (None, 1))
    assert found["factorized", "layers_new"] == (None, 2), "a convolution and its activation"
    assert ("factorized", "layers_gone") not in found
    back = {row[1:3]: row[3:] for row in since(report(grown), report(SEVEN))}
    assert back["factorized", "layers_gone"] == (2, None)


def test_variants_and_comparisons_that_came_and_went() -> None:
    before = report(named(SEVEN, "naive", "stack"), NINE)
    after = report(named(SEVEN, "naive", "stripes"), replace(NINE, input_shape=(2, 8, 14, 14)))
    assert since(before, after) == [
        ("7×7", "stripes", "variant", None, "stripes"),
        ("7×7", "stack", "variant", "stack", None),
        ("9×9", None, "comparison", None, "2×8×14×14 float32"),
        ("9×9", None, "comparison", "1×8×14×14 float32", None),
    ]


@given(st.tuples(*[st.floats(0.1, 9)] * 4))
def test_a_latency_changed_only_where_the_intervals_do_not_overlap(ends: tuple[float, ...]) -> None:
    before, after = sorted(ends[:2]), sorted(ends[2:])
    apart = before[1] < after[0] or after[1] < before[0]
    rows = since(report(timed(SEVEN, tuple(before))), report(timed(SEVEN, tuple(after))))
    expected = [("naive", "latency"), ("factorized", "latency"), ("factorized", "ratio.latency")]
    assert [row[1:3] for row in rows] == (expected if apart else [])


def test_a_latency_of_one_process_says_nothing_of_another_run() -> None:
    """Nor does one in another configuration."""
    for other in (
        timed(SEVEN, (1.0, 1.1), processes=1),
        timed(SEVEN, (1.0, 1.1), configuration=Configuration("cpu", "float64")),
    ):
        assert since(report(timed(SEVEN, (2.0, 2.1))), report(other)) == []
        found = judged("naive.against.latency < 80%", other, earlier=report(timed(SEVEN, (2.0, 2.1))))
        assert not found.held
        assert len(found.undecided) == 1


def test_a_latency_over_an_earlier_one_is_as_wide_as_both() -> None:
    before, after = timed(SEVEN, (2.0, 2.5)), timed(SEVEN, (3.0, 4.0))
    for text, held in (("> 119%", True), ("> 121%", False), ("< 201%", True), ("< 199%", False)):
        found = judged(f"naive.against.latency {text}", after, earlier=report(before))
        assert bool(found.held) is held, text  # 3.0 / 2.5 … 4.0 / 2.0
        assert not found.undecided


ENVIRONMENT = Environment("3", "2.8", "0", "linux", "one CPU", "AVX2", 2, 0.5)


def test_what_else_was_measured_on_is_named() -> None:
    other = replace(ENVIRONMENT, cpu="another CPU", load=1.5, devices=(DeviceInfo("cuda:0", "a GPU"),))
    before = report(timed(SEVEN, (1.0, 1.1)), environment=ENVIRONMENT)
    after = report(timed(SEVEN, (2.0, 2.1)), environment=other)
    surroundings = [(None, None, "cpu", "one CPU", "another CPU"), (None, None, "cuda:0", None, "a GPU")]
    assert since(before, after)[-2:] == surroundings
    known = Gate((parse_condition("naive.against.latency > 1", after.comparisons, True),), Earlier("base.json", before))
    compared = known.against(after)
    assert compared.against == "base.json"
    (line,) = known.judge(compared).held
    assert "measured on something else: cpu one CPU then, another CPU now; cuda:0 — then, a GPU now" in line
    (text,) = sections(compared)[1:]
    assert "of another run, measured on something else (cpu one CPU then" in text.lines[0]
    assert since(report(SEVEN, environment=ENVIRONMENT), report(SEVEN, environment=other)) == []


def test_what_the_earlier_report_lacks_is_an_error_before_anything_is_measured(tmp_path: Path) -> None:
    path = tmp_path / "base.json"
    path.write_bytes(msgspec.json.encode(report(SEVEN)))
    for text, expected in (
        ("stack.against.macs > 1", f"{path} has no variant stack of 7×7"),
        ("naive.against.latency > 1", f"in {path} it was not measured"),
    ):
        with pytest.raises(InputError, match=re.escape(expected)):
            gate([text], str(path), [named(SEVEN, "naive", "stack")], True)
    with pytest.raises(InputError, match=f"{re.escape(str(path))} has no 9×9 with this input and dtype"):
        gate(["naive.against.macs > 1"], str(path), [NINE], True)
    found = gate(["naive.against.macs > 1"], str(path), [SEVEN, NINE], True).judge(report(SEVEN, NINE))
    assert (found.held, len(found.undecided)) == ((), 1)


# The exit status


@pytest.mark.parametrize(
    ("interrupted", "disagrees", "condition", "failures", "status"),
    [
        (True, True, "naive.macs > 0", ("x",), 130),
        (False, True, "naive.macs > 0", ("x",), 3),
        (False, False, "naive.macs > 0", ("x",), 4),
        (False, False, "naive.macs > 0", (), 4),
        (False, False, "naive.macs < 0", ("x",), 1),
        (False, False, "naive.latency < 1", ("x",), 1),
        (False, False, "naive.latency < 1", (), 1),
        (False, False, "naive.macs < 0", (), 0),
    ],
)
def test_which_exit_status_goes_first(
    interrupted: bool,
    disagrees: bool,
    condition: str,
    failures: tuple[str, ...],
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    checks = [Crosscheck(not disagrees, *[Counted(1)] * 5) for _ in SEVEN.variants]
    variants = tuple(replace(one, crosscheck=check) for one, check in zip(SEVEN.variants, checks, strict=True))
    outcome = MeasurementOutcome((replace(SEVEN, variants=variants),), failures=failures, interrupted=interrupted)
    monkeypatch.setattr(pipeline, "measure_with_progress", lambda *_: outcome)
    conditions = gate([condition], None, [SEVEN], True)
    assert pipeline.measure_and_write("factorize", [SEVEN], Plan(), "json", None, conditions) == status
    assert ('condition "naive.' in capsys.readouterr().err) == (condition != "naive.macs < 0")


# In a real process


VGG16 = ("compare", "vgg16", "--no-latency")
SMALL = ("factorize", "7", "--size", "8", "--channels", "4", "--no-check", "--budget", "3600")


@pytest.mark.parametrize("format_", ["table", "json", "csv", "markdown"])
def test_a_condition_that_holds_is_reported_and_the_report_is_as_ever(format_: str) -> None:
    plain = run(*VGG16, "--format", format_)
    done = run(*VGG16, "--format", format_, "--fail-if", "factorized.macs > 15G", "--fail-if", "naive.macs < 1")
    assert (plain.returncode, done.returncode) == (0, 4)
    assert done.stdout == plain.stdout
    assert done.stderr == (
        'vggcalc: condition "factorized.macs > 15G" holds: vgg16 factorized.macs is 15,470,264,320: '
        "470,264,320 (3.1%) above 15,000,000,000\n"
    )


def test_conditions_that_do_not_hold_say_nothing() -> None:
    done = run(*VGG16, "--fail-if", "factorized.macs > 16G", "--fail-if", "factorized.ratio.parameters > 96%")
    assert (done.returncode, done.stderr) == (0, "")
    done = run("summary", "vgg16", "--no-latency", "--fail-if", "macs != 15_470_264_320")
    assert (done.returncode, done.stderr) == (0, "")


def test_of_several_kernels_those_are_named_that_fail() -> None:
    done = run("factorize", "5", "7", "9", "--no-latency", "--fail-if", "factorized.receptive_field >= 7")
    assert done.returncode == 4
    assert re.findall(r"holds: (\S+) factorized.receptive_field is (\d)", done.stderr) == [
        ("7×7", "7"), ("9×9", "9"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            (*VGG16, "--fail-if", "factorized.mac > 1"),
            "figure 'mac' is unknown: did you mean macs?",
        ),
        ((*VGG16, "--fail-if", "given.macs > 1"), "did you mean naive? There are naive, factorized"),
        ((*VGG16, "--fail-if", "naive.macs > 1X"), "'X' is no unit of macs"),
        ((*VGG16, "--fail-if", "naive.latency > 1ms"), "needs the latency measured: leave out --no-latency"),
        (
            (*VGG16, "--fail-if", "naive.against.macs > 1"),
            "against. needs an earlier JSON output: name its file (--against FILE, in Python against=)",
        ),
        (("compare", "vgg16", "--fail-if", "naive.mac > 1"), "figure 'mac' is unknown"),
        ((*VGG16, "--against", "missing.json"), "missing.json"),
        ((*VGG16, "--against", "constraints.txt"), "constraints.txt is no JSON output of vggcalc"),
        ((*VGG16, "--against", os.devnull), "is no JSON output of vggcalc"),
        (
            (*VGG16, "--against", "examples/baseline.json", "--format", "csv"),
            "--against makes no rows of a CSV",
        ),
    ],
)
def test_wrong_use_is_one_line_before_anything_is_done(arguments: tuple[str, ...], expected: str) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("vggcalc: error: ")
    assert done.stderr.count("\n") == 1
    assert expected in done.stderr


def test_other_versions_and_other_json_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "base.json"
    document = json.loads(run(*VGG16, "--json").stdout)
    for content, expected in (
        ({**document, "schema_version": 2}, "has schema version 2, and this reads 1"),
        ({**document, "comparisons": 1}, "is no JSON output of vggcalc (Expected `array`, got `int`"),
        ([1], "is no JSON output of vggcalc"),
        ({"schema_version": 1}, "is no JSON output of vggcalc"),
    ):
        path.write_text(json.dumps(content))
        done = run(*VGG16, "--against", str(path))
        assert (done.returncode, done.stdout) == (2, "")
        assert expected in done.stderr
        assert done.stderr.count("\n") == 1


def test_a_build_can_fail_on_growth(tmp_path: Path) -> None:
    """Batch norm adds 2 parameters a channel; the file is written, and its changes shown, whatever the status."""
    path, again = tmp_path / "base.json", tmp_path / "now.json"
    assert run("compare", "64,M,128", "--size", "32", "--no-latency", "--output", str(path)).returncode == 0
    done = run(
        "compare", "64,M,128", "--size", "32", "--batch-norm", "--no-latency", "--against", str(path),
        "--output", str(again), "--fail-if", "factorized.against.parameters > 100%",
        "--fail-if", "factorized.against.macs != 1",
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (4, "")
    before = 64 * (27 + 1) + 128 * (9 * 64 + 1)
    after = before + 2 * (64 + 128)
    grown = (
        f"is {100 * after / before:.4g}% ({before:,} → {after:,}): {100 * (after / before - 1):.3g} points above 100%"
    )
    assert f"64,M,128 factorized.against.parameters {grown}\n" in done.stderr
    assert done.stderr.count("\n") == 1
    document = json.loads(again.read_text(encoding="utf-8"))
    jsonschema.validate(document, json.loads(run("schema").stdout))
    assert document["against"] == str(path)
    rows = [row for row in document["changes"] if (row["variant"], row["figure"]) == ("factorized", "parameters")]
    assert [(row["comparison"], row["before"], row["after"]) for row in rows] == [("64,M,128", before, after)]
    text = run("compare", "64,M,128", "--size", "32", "--batch-norm", "--no-latency", "--against", str(path)).stdout
    table = text[text.index("Against") :]
    assert re.search(rf"factorized +parameters +{before:,} +{after:,} +\+0\.51%", table)
    assert re.search(r"layers new +— +2 +new", table)
    assert all(len(line) <= 100 for line in table[table.index("──") :].splitlines())


def test_the_file_against_may_be_the_file_to_be_written(tmp_path: Path) -> None:
    path = str(tmp_path / "base.json")
    for expected in ([], ["batch"]):
        batch = ("--batch", "2") if expected else ()
        against = ("--against", path) if os.path.exists(path) else ()
        assert run(*VGG16, *batch, *against, "--output", path).returncode == 0
    document = json.loads(Path(path).read_text(encoding="utf-8"))
    assert [row["figure"] for row in document["changes"]] == ["comparison", "comparison"]


def test_a_gate_answers_although_the_reader_has_gone() -> None:
    command = [sys.executable, "-m", "vggcalc", *VGG16]
    for condition, status in (("naive.macs > 1", 4), ("naive.macs < 1", 0)):
        read, write = os.pipe()
        os.close(read)
        done = subprocess.run([*command, "--fail-if", condition], stdout=write, stderr=subprocess.PIPE, timeout=600)
        os.close(write)
        assert done.returncode == status
        assert done.stderr.count(b"\n") == (status == 4)


def test_latency_conditions_are_decided_by_what_was_measured() -> None:
    """A call takes more than a nanosecond and less than a minute; four rounds hold no interval."""
    done = run(
        *SMALL, "--processes", "1", "--rounds", "6", "--fail-if", "factorized.latency > 1ns",
        "--fail-if", "factorized.latency > 60s", "--fail-if", "factorized.ratio.latency > 1%",
    )  # fmt: skip
    assert done.returncode == 4, done.stderr
    held = [line for line in done.stderr.splitlines() if " holds: " in line]
    expected = r"7×7 (\S+) on cpu is .*95% interval .* \(this process only\): at least"
    assert [re.search(expected, line)[1] for line in held] == ["factorized.latency", "factorized.ratio.latency"]
    done = run(*SMALL, "--processes", "1", "--rounds", "4", "--fail-if", "factorized.latency > 1ns")
    assert done.returncode == 1
    assert "cannot be decided: 7×7 factorized.latency on cpu has no interval: 4 rounds" in done.stderr
    assert "Latency of 7×7" in done.stdout


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is one")
def test_a_latency_that_could_not_be_measured_does_not_pass() -> None:
    done = run(*SMALL, "--device", "cuda", "--fail-if", "factorized.latency > 60s")
    assert done.returncode == 1
    assert "cannot be decided: 7×7 factorized.latency was not measured" in done.stderr


def test_nothing_of_it_is_imported_unless_asked_for() -> None:
    code = (
        "import sys; sys.argv = ['vggcalc', 'compare', 'A', '--no-latency', '--json', *sys.argv[1:]]\n"
        "from vggcalc.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: print(*sys.modules, file=sys.stderr)"
    )
    for asked, expected in (((), set()), (("--fail-if", "naive.macs < 1"), {"gate.gate", "gate.conditions"})):
        done = subprocess.run([sys.executable, "-c", code, *asked], capture_output=True, text=True, timeout=600)
        loaded = {name.removeprefix("vggcalc.report.") for name in done.stderr.split()}
        assert loaded >= expected
        assert bool(loaded & {"gate.gate", "gate.changes"}) == bool(expected)
        assert not loaded & {"torch", "scipy", "rich"}


def test_each_axis_of_a_receptive_field_can_be_bound() -> None:
    comparison = vggcalc.factorize((3, 5, 7))
    assert vggcalc.gate(comparison, "factorized.receptive_field.depth > 3").passed
    assert not vggcalc.gate(comparison, "factorized.receptive_field.width == 7").passed
    sound = vggcalc.factorize(9, dims=1)
    assert not vggcalc.gate(sound, "naive.receptive_field.length >= 9").passed
    with pytest.raises(InputError, match="height is no axis: there are length"):
        vggcalc.gate(sound, "naive.receptive_field.height > 9")


@pytest.mark.parametrize("into", [None, "stack", "asymmetric"])
def test_a_single_factorization_is_called_by_its_family_and_factorized_alike(into: str | None) -> None:
    comparison = vggcalc.factorize(7, into=into)
    for name in ("factorized", into or "stack"):
        assert parse_condition(f"{name}.macs > 1", [comparison], True).path.variant == comparison.variants[1].name
        assert not vggcalc.gate(comparison, f"{name}.macs > 1").passed
    several = vggcalc.factorize(7, into="stack,asymmetric")
    with pytest.raises(InputError, match="variant 'factorized' is unknown"):
        parse_condition("factorized.macs > 1", [several], True)


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("factorized.macs > 2G", "there is no variant 'factorized' here, where vgg11 is alone: write macs"),
        (
            "factorized.against.macs > 2%",
            "there is no variant 'factorized' here, where vgg11 is alone: write against.macs",
        ),
        ("macs > 2%", "a share of what? Write vgg11.against.macs > 102% for now / earlier"),
        ("mcas > 2G", "figure 'mcas' is unknown: did you mean macs?"),
    ],
)
def test_a_condition_on_a_model_alone_is_told_how_to_be_written(condition: str, message: str) -> None:
    done = run("summary", "vgg11", "--no-latency", "--fail-if", condition)
    assert done.returncode == 2
    assert message in done.stderr
