"""One vocabulary: whatever a table heads, JSON keys or --fail-if names has a line in `vggcalc costs`."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from process import invoke

import vggcalc
from vggcalc.analysis.costs import COSTS
from vggcalc.pipeline.report import make_report
from vggcalc.report.gate.gate import gate
from vggcalc.report.tables import counted_sections, measured_sections
from vggcalc.report.tables.cells import Table
from vggcalc.results import Comparison
from vggcalc.results.vocabulary import COST_DEFINITIONS, DEFINITIONS

ALL = [one for definitions in DEFINITIONS.values() for one in definitions]
MEASURED = sorted((Path(__file__).parent / "data/schema").glob("*.json"))

#: Columns of shapes and of the kernel that a variant is equal to: what a row is of, not what it costs.
LABELS = {"output", "input", "dilation"}

#: Headings where there is little room.
SHORT = {"params": "parameters", "weights/pair": "weights per channel pair"}


def test_every_cost_has_a_line() -> None:
    assert list(COSTS) == list(COST_DEFINITIONS)
    assert list(vggcalc.factorize(7)["naive"].costs) == list(COST_DEFINITIONS)
    assert len({one.heading for one in COST_DEFINITIONS.values()}) == len(COST_DEFINITIONS)


def comparisons() -> Iterator[Comparison]:
    yield vggcalc.factorize(7)
    yield vggcalc.factorize(5, into="all", in_channels=3)
    yield vggcalc.compare("alexnet")
    yield vggcalc.compare("vgg16")
    yield vggcalc.summary("vgg16")
    for path in MEASURED:
        yield from vggcalc.load_all(path)


def test_every_column_of_figures_has_a_line() -> None:
    headings, seen = {one.heading for one in ALL}, set()
    found = list(comparisons())
    for comparison in [*found, None]:
        report = make_report("test", found[:2] if comparison is None else [comparison])
        names = {variant.name for one in report.comparisons for variant in one}
        for section in counted_sections(report) + measured_sections(report):
            for column in section.columns if isinstance(section, Table) else ():
                title = re.sub(r"^Δ | (×|before|after)$", "", column.title)
                if column.right and title not in names | LABELS:
                    seen.add(SHORT.get(title, title))
    assert seen <= headings
    assert {"parameters", "RF", "median", "95% interval", "interior error"} <= seen


def test_a_condition_is_read_by_its_name(tmp_path: Path) -> None:
    comparison = vggcalc.factorize(7)
    comparison.save(tmp_path / "earlier.json")
    names = {one.condition.replace("NAME", "macs") for one in ALL} - {""}
    wanted = [f"factorized.{name} > 0" for name in sorted(names)]
    assert len(gate(wanted, str(tmp_path / "earlier.json"), [comparison], latency=True).conditions) == len(names)


def test_a_condition_that_is_read_has_a_line() -> None:
    """The error for one that is none lists all that there are."""
    with pytest.raises(vggcalc.InputError) as error:
        gate(["factorized.§ > 0"], None, [vggcalc.factorize(7)], latency=True)
    listed = str(error.value).partition("there are ")[2].split(", ")
    more = {"ratio.COST", "ratio.latency", "against.FIGURE"}
    assert set(listed) - more == {one.condition for one in ALL if "." not in one.condition} - {""}


def at(value: Any, key: str) -> Any:
    """What stands in a document at `latency[].median_s`."""
    for part in key.split("."):
        value = value[part.removesuffix("[]")]
        value = value[0] if part.endswith("[]") else value
    return value


def test_every_key_is_there_in_json() -> None:
    """Of a factorized variant that was measured and verified, or of the comparison."""
    seen: set[str] = set()
    for path in MEASURED:
        document = json.loads(path.read_text(encoding="utf-8"))
        for comparison in document["comparisons"]:
            for one in ALL:
                key = one.key.replace("NAME", "macs")
                for where in (*comparison["variants"], comparison, document):
                    try:
                        at(where, key)
                    except (KeyError, IndexError, TypeError):
                        continue
                    seen.add(one.key)
    newer = {"costs.product_macs", "costs.output_bytes", "costs.trainable"}  # than these documents
    fresh = json.loads(vggcalc.factorize(7, into="all").to_json())["comparisons"][0]["variants"][-1]
    seen |= {key for key in (*newer, "coverage.window", "coverage.mixing") if at(fresh, key) is not None}
    assert seen == {one.key for one in ALL}


def test_the_command_prints_every_line_in_every_format() -> None:
    text, markdown = invoke("costs").stdout, invoke("costs", "--format", "md").stdout
    rows = json.loads(invoke("costs", "--json").stdout)
    assert [row["key"] for row in rows] == [one.key for one in ALL]
    for one in ALL:
        assert re.search(rf"^  {re.escape(one.heading)} +\(?{re.escape(one.condition or one.key)}", text, re.MULTILINE)
        assert f"| {one.heading} | `{one.key}` |" in markdown
    assert max(map(len, text.splitlines())) <= 80
