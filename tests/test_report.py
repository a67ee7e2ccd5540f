"""What people read: rendered totals against rendered rows, units, and tables that were looked at."""

import csv
import io
import re
from pathlib import Path

import pytest
from builders import report
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import vggcalc
from vggcalc.pipeline.report import make_report
from vggcalc.report import units
from vggcalc.report.detail import Detail
from vggcalc.report.formats import FORMATS, Screen
from vggcalc.results import Comparison

GOLDEN = Path(__file__).parent / "golden"


def rendered(*comparisons: Comparison, format_: str = "table", width: int = 80) -> str:
    return FORMATS[format_](report(*comparisons), Screen(width))


def cells(line: str) -> list[str]:
    return [cell for cell in re.split(r"  +", line.strip()) if cell]


def column(lines: list[str], heading: str) -> int:
    """Where a right-aligned column ends."""
    header = next(line for line in lines if heading in line)
    return header.index(heading) + len(heading)


def figure(line: str, end: int) -> int | None:
    """The count that ends at that column, if there is one."""
    match = re.search(r"(?:^|\s)([\d,]+)$", line[:end])
    return int(match[1].replace(",", "")) if match else None


MODELS = ["A", "A-LRN", "B", "C", "D", "E", "vgg16_bn", "64,M,128@1,256@7s2,M", "8@9,16@11,M,16@3"]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("heading", "key"), [("parameters", "parameters"), ("MACs", "macs")])
def test_printed_blocks_add_up_to_the_printed_total(model: str, heading: str, key: str) -> None:
    comparison = vggcalc.compare(model)
    lines = rendered(comparison).splitlines()[1:]
    end = column(lines, heading)
    sums = {"naive": 0, "factorized": 0}
    totals: dict[str, int] = {}
    block = ""
    for line in lines[2:]:
        if not line.strip():
            continue
        value = figure(line, end)
        if value is None:
            break
        if not line.startswith(" "):
            block = cells(line)[0]
        variant = next((name for name in (*sums, "both") if re.search(rf"\b{name}\b", line)), "")
        for name in sums if variant == "both" else (variant,):
            if block == "total":
                totals[name] = value
            else:
                sums[name] += value
    assert totals == sums
    assert totals == {name: comparison[name].costs[key] for name in sums}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("all_rows", [False, True])
def test_printed_layers_add_up_to_the_printed_total(model: str, all_rows: bool) -> None:
    """And so do the blocks, which of several rows alone have a line."""
    comparison = vggcalc.summary(model, all_rows=all_rows)
    lines = rendered(comparison).splitlines()[1:]
    for heading in ("parameters", "MACs"):
        end = column(lines, heading)
        layers = [value for line in lines if re.match(r"\S+\.\S+ ", line) and (value := figure(line, end)) is not None]
        blocks = [
            value
            for line in lines
            if re.match(r"(block\d+|classifier) ", line) and (value := figure(line, end)) is not None
        ]
        (total,) = [figure(line, end) for line in lines if line.startswith("total ")]
        assert len(layers) == sum(layer.parameters != 0 or all_rows for layer in comparison.variants[0].layers)
        assert sum(layers) == total
        assert sum(blocks) == total or not all_rows


@pytest.mark.parametrize("kernel", [3, 5, 7, 11, 31])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_printed_stack_adds_up(kernel: int, batch_norm: bool) -> None:
    lines = rendered(vggcalc.factorize(kernel, batch_norm=batch_norm)).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("The stack, layer by layer"))
    stack = lines[start + 1 :]
    for heading in ("parameters", "MACs"):
        end = column(stack, heading)
        rows = [
            value
            for line in stack
            if re.match(r"(conv|bn|relu)\d+ ", line) and (value := figure(line, end)) is not None
        ]
        (total,) = [figure(line, end) for line in stack if line.startswith("total ")]
        assert sum(rows) == total


SHOWN = {
    "factorize-7.txt": (vggcalc.factorize(7), 80, Detail.NORMAL),
    "factorize-7-brief.txt": (vggcalc.factorize(7), 80, Detail.BRIEF),
    "factorize-7-stem.txt": (vggcalc.factorize(7, in_channels=3, stride=2, size=224), 100, Detail.FULL),
    "factorize-7-all.txt": (vggcalc.factorize(7, into="all"), 80, Detail.NORMAL),
    "compare-C.txt": (vggcalc.compare("C"), 80, Detail.NORMAL),
    "compare-vgg16-wide.txt": (vggcalc.compare("vgg16"), 160, Detail.FULL),
    "compare-googlenet.txt": (vggcalc.compare("googlenet"), 80, Detail.NORMAL),
    "compare-three-models.txt": (vggcalc.compare("vgg16", "vgg19", "alexnet"), 80, Detail.NORMAL),
    "summary-A-LRN.txt": (vggcalc.summary("A-LRN", size=64), 120, Detail.NORMAL),
}


@pytest.mark.parametrize("name", SHOWN)
def test_tables_as_they_were_looked_at(name: str, accept: bool) -> None:
    """`pytest --accept` rewrites them: read what changed before it is committed."""
    comparison, width, detail = SHOWN[name]
    text = FORMATS["table"](make_report("test", (comparison,)), Screen(width, detail=detail))
    path = GOLDEN / name
    if accept:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (units.count(137_998_744), "137,998,744"),
        (units.count(None), "—"),
        (units.size(0), "0 B"),
        (units.size(1023), "1023 B"),
        (units.size(1024), "1.00 KiB"),
        (units.size(528 * 2**20), "528 MiB"),
        (units.size(3 * 2**40), "3.00 TiB"),
        (units.duration(0.177), "177 ms"),
        (units.duration(2.5e-6), "2.50 µs"),
        (units.duration(31.4), "31.4 s"),
        (units.change(27 / 49), "−45%"),
        (units.change(17_862_656 / 629_407_744), "−97.2%"),
        (units.change(1.0801), "+8.0%"),
        (units.change(15_470_264_320 / 15_521_644_544), "−0.33%"),
        (units.change(1.0), "0%"),
        (units.change(8.04), "8.04×"),
        (units.times(1.0043), "1.004"),
        (units.times(20.327), "20.3"),
        (units.compact(629_407_744), "629M"),
        (units.compact(999_499), "999k"),
        (units.compact(999_500), "1.00M"),
        (units.compact(512), "512"),
        (units.speedup(0.638), "1.57×"),
        (units.speedup_interval((0.635, 0.641), 9), "1.56–1.57"),
        (units.ratio(27 / 49), "0.5510"),
        (units.ratio(8.04), "8.040"),
        (units.kernels([(3, 3), (3, 3), (1, 1)]), "3×3 ×2, 1×1"),
        (units.axes((7, 7)), "7"),
        (units.axes((7, 5)), "7×5"),
    ],
)
def test_units(said: str, expected: str) -> None:
    assert said == expected


@given(st.floats(1e-9, 1e4))
def test_durations_keep_three_digits(seconds: float) -> None:
    number, unit = units.duration(seconds).split()
    scaled = float(number) * {"s": 1, "ms": 1e-3, "µs": 1e-6}[unit]
    assert scaled == pytest.approx(seconds, rel=0.006, abs=6e-9)


@pytest.mark.parametrize("axes", [("length",), ("height", "width"), ("depth", "height", "width")])
def test_csv_has_a_column_for_each_spatial_axis(axes: tuple[str, ...]) -> None:
    """And its layers add up to its total."""
    made = report(vggcalc.factorize(5, dims=len(axes), size=8, channels=4))
    totals, layers = (
        list(csv.DictReader(io.StringIO(FORMATS["csv"](made, Screen(rows=rows))))) for rows in ("total", "layer")
    )
    assert {f"receptive_field_size_{axis}" for axis in axes} == {key for key in totals[0] if "field_size" in key}
    for variant in ("naive", "factorized"):
        (total,) = (row for row in totals if row["variant"] == variant)
        assert [total[f"receptive_field_size_{axis}"] for axis in axes] == ["5"] * len(axes)
        assert sum(int(row["macs"]) for row in layers if row["variant"] == variant) == int(total["macs"])


def test_a_layer_without_a_receptive_field_adds_no_axes_to_the_csv() -> None:
    pooled = vggcalc.summary(nn.Sequential(nn.Conv1d(1, 2, 9), nn.AdaptiveAvgPool1d(1)), (1, 1, 32))
    columns = pooled.to_csv().partition("\n")[0].split(",")
    assert [one for one in columns if "field_size" in one] == ["receptive_field_size_length"]
