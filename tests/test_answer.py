"""The answer, which is the first line of every output; and how much is shown under it."""

import json
import re
from typing import Any

import msgspec
import pytest
from builders import latency, latency_ratio
from hypothesis import given
from hypothesis import strategies as st
from process import invoke

import vggcalc
from vggcalc.pipeline.report import make_report
from vggcalc.report import units
from vggcalc.report.detail import Detail
from vggcalc.report.findings.wording import amount_of
from vggcalc.report.formats import FORMATS, Screen
from vggcalc.report.tables import counted_sections, measured_sections
from vggcalc.report.tables.cells import Table, at_detail
from vggcalc.results import Comparison, Configuration

SEVEN = vggcalc.factorize(7)
CUDA = Configuration("cuda", "float32")


def answer(comparison: Comparison) -> str:
    return make_report("test", (comparison,)).answer


def timed(comparison: Comparison, *measured: dict[str, Any]) -> Comparison:
    """The comparison with those ratios of latencies, of its last variant, in a configuration each."""
    found = tuple(latency_ratio(**({"basis": "processes", "processes": 6} | one)) for one in measured)
    times = tuple(latency(1.0, one.configuration) for one in found)
    variants = tuple(msgspec.structs.replace(variant, latency=times) for variant in comparison.variants)
    ratio = msgspec.structs.replace(comparison.ratios[-1], latency=found)
    return msgspec.structs.replace(comparison, variants=variants, ratios=(*comparison.ratios[:-1], ratio))


FASTER = {"ratio": 0.638, "ci95": (0.635, 0.641), "verdict": "faster"}
SLOWER = {"ratio": 1.25, "ci95": (1.2, 1.3), "verdict": "slower", "configuration": CUDA}


@pytest.mark.parametrize(
    ("comparison", "expected"),
    [
        (SEVEN, "The stack of three 3×3 has 45% fewer weights and does 45% fewer MACs than the 7×7; it was not timed."),
        (
            timed(SEVEN, FASTER),  # 1 / 0.638; 1 / 0.641 and 1 / 0.635
            "The stack of three 3×3 is 1.57 times faster than the 7×7 on this CPU (95% CI 1.56–1.57) and has 45% fewer "
            "weights.",
        ),
        (
            timed(SEVEN, SLOWER),
            "The stack of three 3×3 is slower than the 7×7 on this GPU (0.80 times as fast, 95% CI 0.77–0.83) but has "
            "45% fewer weights.",
        ),
        (
            timed(SEVEN, FASTER, SLOWER),
            "The stack of three 3×3 is 1.57 times faster than the 7×7 on this CPU (95% CI 1.56–1.57) and slower on "
            "this GPU (0.80 times as fast, 95% CI 0.77–0.83) but has 45% fewer weights.",
        ),
        (
            timed(SEVEN, {"ratio": 1.0, "ci95": (0.996, 1.004), "verdict": "same"}),
            "The stack of three 3×3 is as fast as the 7×7 to within 1.0% on this CPU (1.000 times as fast, 95% CI "
            "0.996–1.004) but has 45% fewer weights.",
        ),
        (
            timed(SEVEN, {"ratio": 0.8, "ci95": (0.5, 1.25), "verdict": "unclear", "basis": "process"}),
            "Whether the stack of three 3×3 is faster than the 7×7 on this CPU is unclear (1.25 times as fast, 95% CI "
            "0.80–2.00, in one process); it has 45% fewer weights.",
        ),
        (
            timed(SEVEN, {"ratio": 1.072, "ci95": (1.031, 1.116), "verdict": "unclear", "floor": 0.15}),
            "Whether the stack of three 3×3 is faster than the 7×7 on this CPU is unclear (0.933 times as fast, 95% CI "
            "0.896–0.970; no difference below 15% can be told here); it has 45% fewer weights.",
        ),
        (
            timed(SEVEN, {"ratio": 0.8, "verdict": "unclear", "basis": "none", "rounds": 3}),
            "Whether the stack of three 3×3 is faster than the 7×7 on this CPU is unclear (1.25 times as fast in 3 "
            "rounds, too few for an interval); it has 45% fewer weights.",
        ),
        (
            vggcalc.factorize(7, in_channels=3),
            "The stack of three 3×3 has 7.99 times as many weights and does 8.02 times as many MACs as the 7×7; it was "
            "not timed.",
        ),
        (
            vggcalc.factorize(7, into="asymmetric"),
            "The asymmetric factorization (1×7, 7×1) has 71% fewer weights and does 71% fewer MACs than the 7×7; it "
            "was not timed.",
        ),
        (
            vggcalc.compare("vgg16"),
            "vgg16 factorized has 4.4% fewer weights and does 0.33% fewer MACs than vgg16 naive; it was not timed.",
        ),
        (
            vggcalc.compare("vgg16", "vgg19"),
            "vgg19 has 3.8% more weights and does 27% more MACs than vgg16; it was not timed.",
        ),
        (
            vggcalc.factorize(7, into="dilated,stack"),
            "Of 2 variants dilated does the fewest MACs and has the fewest weights, 82% and 82% fewer than the 7×7 (it "
            "covers 9 of 49 positions of the window); none was timed.",
        ),
        (
            vggcalc.factorize(7, stem=True),
            "None of 8 variants does fewer MACs or has fewer weights than the 7×7; none was timed.",
        ),
        (
            timed(vggcalc.factorize(7, into="dilated,stack"), FASTER),
            "Of 2 variants stack has the largest speed-up: it is 1.57 times faster than the 7×7 on this CPU (95% CI "
            "1.56–1.57); dilated does the fewest MACs, 82% fewer than the 7×7 (it covers 9 of 49 positions of the "
            "window).",
        ),
        (
            vggcalc.summary("vgg16"),
            "vgg16 has 138,357,544 parameters and does 15,470,264,320 MACs for an input of 1×3×224×224; it was not "
            "timed.",
        ),
        (
            vggcalc.summary("vgg16", counter="fvcore"),
            "fvcore reports 15,470,289,408 flops for vgg16, 25,088 more than its 15,470,264,320 MACs.",
        ),
    ],
)  # fmt: skip
def test_the_answer_is_one_sentence(comparison: Comparison, expected: str) -> None:
    assert answer(comparison) == expected


def test_it_is_the_first_line_of_every_format() -> None:
    report = make_report("test", (SEVEN,))
    for detail in Detail:
        screen = Screen(1000, detail=detail)
        assert FORMATS["table"](report, screen).splitlines()[0] == report.answer
        assert FORMATS["markdown"](report, screen).splitlines()[0] == f"- {report.answer}"
    assert json.loads(FORMATS["json"](report, Screen()))["answer"] == report.answer
    page = FORMATS["html"](report, Screen())
    assert page.index(report.answer) < page.index("<table")


@pytest.mark.parametrize(
    "command",
    [
        "factorize 5 7 9 11", "factorize 7 --into all", "compare vgg16", "compare vgg16 vgg19 alexnet",
        "compare googlenet", "compare vgg16 --into stack,asymmetric", "summary vgg16", "summary A B", "factorize 3",
    ],
)  # fmt: skip
def test_the_answer_comes_first(command: str) -> None:
    arguments = [*command.split(), *([] if command == "summary A B" else ["--no-latency"])]
    document = json.loads(invoke(*arguments, "--json").stdout)
    for how in ([], ["--brief"], ["--details"]):
        done = invoke(*arguments, *how)
        assert done.returncode == 0, done.stderr
        first = " ".join(done.stdout.partition("\n\n")[0].split())
        assert first == document["answer"]
        assert first[-1] == "."
        if how == ["--details"]:
            assert "More: --details" not in done.stdout


@pytest.mark.parametrize(
    "comparisons",
    [
        [SEVEN], [timed(SEVEN, FASTER, SLOWER)], [vggcalc.factorize(k) for k in range(3, 23, 2)],
        [vggcalc.factorize(7, into="all")], [vggcalc.compare("googlenet")], [vggcalc.summary("vgg16")],
    ],
)  # fmt: skip
def test_brief_is_at_most_six_rows(comparisons: list[Comparison]) -> None:
    report = make_report("test", comparisons)
    shown = at_detail(counted_sections(report) + measured_sections(report), Detail.BRIEF)
    rows = [len(section.rows) for section in shown if isinstance(section, Table)]
    assert 0 < sum(rows) <= 6
    assert len(rows) == len(shown), "no sentence but the answer"


def test_a_summary_in_brief_is_its_costliest_layers_and_the_total() -> None:
    text = FORMATS["table"](make_report("test", [vggcalc.summary("vgg16")]), Screen(80, detail=Detail.BRIEF))
    names = [line.split()[0] for line in text.splitlines()[6:] if line]
    costliest = ["block1.conv2", "block2.conv2", "block3.conv2", "block3.conv3", "block4.conv2"]
    assert names == [*costliest, "total", "More:"]


@pytest.mark.parametrize("command", ["factorize 7", "compare vgg16", "factorize 7 --into all", "compare vgg16 vgg19"])
def test_the_default_fits_a_screen(command: str) -> None:
    assert len(invoke(*command.split(), "--no-latency").stdout.splitlines()) <= 36


@pytest.mark.parametrize("width", ["40", "80"])
def test_all_details_lack_no_cost(width: str) -> None:
    """Also those that have no room beside the others, every digit of them."""
    text = invoke("factorize", "7", "--into", "all", "--no-latency", "--details", COLUMNS=width).stdout
    for variant in vggcalc.factorize(7, into="all"):
        for key in ("parameters", "macs", "flops", "activations", "training_flops"):
            assert re.search(rf"(^|\s){variant.costs[key]:,}(\s|$)", text), (variant.name, key)


def test_brief_and_details_contradict_each_other() -> None:
    done = invoke("factorize", "7", "--no-latency", "--brief", "--details")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "vggcalc: error: --brief and --details contradict each other\n"


@given(st.integers(1, 10**9), st.integers(1, 10**9))
def test_one_fact_has_one_phrase(before: int, after: int) -> None:
    """A sentence and a table say the same change: in percent below twice as many, as a factor from there on."""
    ratio = after / before
    sentence, cell = amount_of(ratio, "MACs"), units.change(ratio)
    if after == before:
        assert (sentence, cell) == ("as many MACs", "0%")
    elif ratio >= 2:
        number = cell.removesuffix("×")
        assert sentence == f"{number} times as many MACs"
        assert float(number.replace(",", "")) == pytest.approx(ratio, rel=0.005)
    else:
        assert sentence == f"{cell[1:]} {'fewer' if cell[0] == '−' else 'more'} MACs"
        percent = float(cell[1:-1])
        left = min(percent, 100 - percent) if ratio < 1 else percent
        assert percent == pytest.approx(abs(ratio - 1) * 100, abs=max(0.051 * left, 1e-12))
