"""What several machines measured, joined: the verdict of each, where they disagree, and what is refused."""

import csv
import io
from collections.abc import Iterator
from copy import deepcopy
from itertools import permutations
from pathlib import Path
from typing import Any

import msgspec
import pytest
from builders import CPU, latency, latency_ratio
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import vggcalc
from vggcalc.cli.app import cli
from vggcalc.results import Configuration, DeviceInfo, Environment, Report

CUDA = Configuration("cuda", "float32")
TINY = vggcalc.factorize(5, channels=4, size=8)


def machine(cpu: str, *accelerators: str) -> Environment:
    """A machine with that processor and those accelerators."""
    devices = (DeviceInfo("cpu", cpu), *(DeviceInfo("cuda", model) for model in accelerators))
    return Environment("3.11", "2.13.0", "0.1.5", "Linux", cpu, "AVX2", 4, 0.1, devices)


def measured(
    ratio: float,
    ci95: tuple[float, float] | None,
    verdict: str,
    *,
    of: vggcalc.Comparison = TINY,
    on: Environment | None = None,
    configuration: Configuration = CPU,
    **changes: Any,
) -> vggcalc.Comparison:
    """A comparison as one machine measured it: naive takes 1 ms, the other `ratio` ms."""
    figures = {"verdict": verdict, "basis": "processes", "processes": 3, "rounds_per_process": (9, 9, 9)} | changes
    found = latency_ratio(ratio, ci95, configuration, **figures)
    naive, other = of.variants
    replace = msgspec.structs.replace
    return replace(
        of,
        variants=(
            replace(naive, latency=(latency(1e-3, configuration),)),
            replace(other, latency=(latency(ratio * 1e-3, configuration),)),
        ),
        ratios=(replace(of.ratios[0], latency=(found,)),),
        environment=on or machine("Chip"),
    )


FAST = measured(0.6, (0.58, 0.62), "faster")
SAME = measured(1.0, (0.995, 1.005), "same")
SLOW = measured(1.2, (1.15, 1.25), "slower")


def sentences(fleet: vggcalc.Fleet) -> list[str]:
    """The findings, as they stand in the document."""
    document = msgspec.json.decode(fleet.to_json(), type=Report)
    assert document.fleet is not None
    return [finding.text for finding in document.fleet.findings]


def test_of_a_fleet_is_said_on_how_many_machines() -> None:
    fast = [measured(ratio, (ratio - 0.02, ratio + 0.02), "faster") for ratio in (0.57, 0.61)]
    said = sentences(vggcalc.join([*fast, FAST, SAME], hosts=["a", "b", "c", "d"]))
    assert said[0] == "factorized is faster than naive on 3 of 4 machines (a, b and c); on d it is as fast within 1.0%."
    assert said[1].startswith("The machines disagree about factorized: its speed-up is 1.75× on a and")  # 1 / 0.57
    assert " 1.000× on d, 69% or more apart by the nearer ends" in said[1]  # 0.995 / 0.59
    everywhere = sentences(vggcalc.join([*fast], hosts=["a", "b"]))
    assert everywhere[0] == "factorized is faster than naive on both machines."
    unclear = sentences(vggcalc.join([SLOW, measured(1.1, (0.9, 1.3), "unclear")], hosts=["a", "b"]))
    assert unclear[0] == "factorized is slower than naive on 1 of 2 machines (a); on b that is unclear."
    assert everywhere[1].startswith("No two machines are shown to differ")


@given(
    st.lists(
        st.tuples(st.floats(0.1, 10), st.floats(0, 0.5), st.floats(0.01, 0.3)), min_size=2, max_size=5, unique=True
    )
)
def test_machines_disagree_where_their_intervals_are_apart(machines: list[tuple[float, float, float]]) -> None:
    """And by the nearer ends, farther than either's A/A; every ratio and verdict stays the machine's own."""
    files = [
        measured(ratio, (ratio * (1 - reach), ratio * (1 + reach)), "unclear", floor=floor)
        for ratio, reach, floor in machines
    ]
    files = [  # no two measurements share their times
        msgspec.structs.replace(
            one, variants=(one.variants[0], msgspec.structs.replace(one.variants[1], latency=(latency(1e-3 + i),)))
        )
        for i, one in enumerate(files)
    ]
    names = [str(i) for i in range(len(files))]
    (found,) = vggcalc.join(files, hosts=names).ratios
    ratios = [one.ratios[0].latency[0] for one in files]
    assert [one.ratio for one in found.measured] == ratios
    apart = {}
    for i, j in permutations(range(len(machines)), 2):
        (low, reach, floor), (high, other_reach, other_floor) = machines[i], machines[j]
        beyond = high * (1 - other_reach) / (low * (1 + reach))
        if beyond > 1 + max(floor, other_floor):
            apart[str(i), str(j)] = beyond
    assert {(one.lower, one.higher): one.beyond for one in found.disagreements} == apart
    assert [one.beyond for one in found.disagreements] == sorted(apart.values(), reverse=True)
    for name in names:
        other, times = found.farthest_from(name)
        mine = [value for pair, value in apart.items() if name in pair]
        assert (other is None) == (not mine)
        assert times is None or max(times, 1 / times) == pytest.approx(max(mine))


def test_an_interval_of_one_process_says_nothing_of_its_machine() -> None:
    weak = measured(1.2, (1.15, 1.25), "slower", basis="process", processes=1)
    fleet = vggcalc.join([FAST, weak], hosts=["a", "b"])
    assert not fleet.ratios[0].disagreements
    assert sentences(fleet) == [
        "factorized is faster than naive on 1 of 2 machines (a); on b it is slower.",
        "On b the verdict rests on one process: another run may say otherwise.",
    ]


@pytest.mark.parametrize(
    ("ci95", "verdict", "said"),
    [
        ((0.975, 0.985), "same", "on a it is as fast within 3.0%"),
        ((0.96, 0.965), "faster", "is faster than naive"),
        ((0.96, 0.985), "unclear", "unclear"),
    ],
)
def test_a_verdict_of_one_process_is_by_the_floor_of_one_process(
    ci95: tuple[float, float], verdict: str, said: str
) -> None:
    """Also where the document is of a version that had no such floor, and called all three faster."""
    one = measured(0.98, ci95, "faster", basis="process", processes=1, floor=0.01, control_ci95=(0.999, 1.001))
    fleet = vggcalc.join([one, SLOW], hosts=["a", "b"])
    found = fleet.ratios[0].on("a")
    assert found is not None
    assert found.ratio.floor == 0.03
    assert found.ratio.verdict == verdict
    assert said in sentences(fleet)[0]
    (unchanged,) = FAST.ratios[0].latency
    again = vggcalc.join([FAST, SLOW], hosts=["a", "b"]).ratios[0].on("a")
    assert again is not None
    assert again.ratio == unchanged


def test_a_machine_without_a_configuration_was_not_measured_there() -> None:
    gpu = measured(0.5, (0.49, 0.51), "faster", configuration=CUDA, on=machine("Chip", "Card"))
    fleet = vggcalc.join([SLOW, gpu])
    assert [one.name for one in fleet.machines] == ["Chip", "Chip + Card"]
    assert [ratio.configuration for ratio in fleet.ratios] == [CPU, CUDA]
    assert sentences(fleet)[0] == (
        "5×5 on cpu: factorized is slower than naive on Chip; it was not measured on Chip + Card."
    )
    assert "not measured" in str(fleet)
    assert [one.name for one in vggcalc.join([FAST, SLOW]).machines] == ["Chip", "Chip-2"]


def test_every_format_has_each_machine(tmp_path: Path) -> None:
    for name, one in (("a", FAST), ("b", SLOW)):
        one.save(tmp_path / f"{name}.json")
    files = [str(tmp_path / "a.json"), str(tmp_path / "b.json")]

    def run(*arguments: str) -> str:
        done = CliRunner().invoke(cli, ["join", *files, "--host", "laptop", "--host", "pi<3", *arguments])
        assert done.exit_code == 0, done.output
        return done.stdout

    table = run()
    assert table.startswith("factorized is faster than naive on 1 of 2 machines (laptop); on pi<3 it is\nslower.\n")
    assert "5×5, factorized against naive on cpu, input 1×4×8×8, float32" in table.splitlines()
    assert "laptop 1.00 ms 600 µs 1.67× 1.61–1.72 faster" in " ".join(table.split())  # 1 / 0.6, 1 / 0.62, 1 / 0.58
    row = "| pi&lt;3 | 1.00 ms | 1.20 ms | 0.83× | 0.80–0.87 | slower | 46% below laptop |"  # 0.62 / 1.15
    assert row in run("--format", "md")
    page = run("--format", "html")
    assert "pi&lt;3" in page
    assert "pi<3" not in page
    rows = list(csv.DictReader(io.StringIO(run("--format", "csv"))))
    assert [(row["machine"], row["verdict"], row["differs_from"]) for row in rows] == [
        ("laptop", "faster", "pi<3"),
        ("pi<3", "slower", "laptop"),
    ]
    assert float(rows[1]["differs_by"]) == pytest.approx(1.15 / 0.62) == 1 / float(rows[0]["differs_by"])
    document = msgspec.json.decode(run("--json"), type=Report)
    assert document.fleet is not None
    assert document.fleet.ratios == vggcalc.join(files, hosts=["laptop", "pi<3"]).ratios
    assert [one.file for one in document.fleet.machines] == files


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        (vggcalc.factorize(7, channels=4, size=8), "one is of 5×5, the other of 7×7"),
        (vggcalc.factorize(5, channels=4, size=9), "input of 5×5: 1×4×8×8 in one, 1×4×9×9 in the other"),
        (vggcalc.factorize(5, channels=4, size=8, dtype="float16"), "of 5×5: float32 in one, float16 in the other"),
        (
            vggcalc.factorize(5, channels=4, size=8, into="separable"),
            "variants of 5×5: naive, factorized in one, naive, separable in the other",
        ),
        (vggcalc.factorize(5, channels=4, size=8, dilation=2), "has other arguments or inputs"),
    ],
)
def test_what_is_not_the_same_question_is_refused(
    other: vggcalc.Comparison, difference: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    FAST.save("a.json")
    measured(1.2, (1.15, 1.25), "slower", of=other).save("b.json")
    done = CliRunner().invoke(cli, ["join", "a.json", "b.json"])
    assert done.exit_code == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("vggcalc: error: a.json and b.json do not compare the same: ")
    assert difference in line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.json"], "two machines or more, not 1"),
        (["a.json", "a.json"], "a.json and a.json hold the same measurement"),
        (["a.json", "paper.json"], "paper.json compares no latencies"),
        (["a.json", "joined.json"], "joined.json is joined already, of a.json, b.json"),
        (["a.json", "none.json"], "none.json: No such file"),
        (["a.json", "text.json"], "text.json is no JSON output of vggcalc"),
        (["a.json", "b.json", "--host", "x"], "2 machines have 1 name: give one for each"),
        (["a.json", "b.json", "--host", "x", "--host", "x"], "two machines are named x"),
        (["a.json", "b.json", "--output", "b.json"], "would overwrite what is read"),
    ],
)
def test_what_cannot_be_joined_is_one_line(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    FAST.save("a.json")
    SLOW.save("b.json")
    TINY.save("paper.json")
    vggcalc.join(["a.json", "b.json"]).save("joined.json")
    Path("text.json").write_text("hello", encoding="utf-8")
    done = CliRunner().invoke(cli, ["join", *arguments])
    assert done.exit_code == 2
    (line,) = done.stderr.splitlines()
    assert message in line


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths to everything in a document."""
    yield path
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*path, key))


DOCUMENT = msgspec.json.decode(SLOW.to_json())
PLACES = [place for place in places(DOCUMENT) if place]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(PLACES), st.sampled_from([None, 0, -1, 1e300, "", "naive", [], {}, [0, 0], [2, 1]]))
def test_a_damaged_document_is_one_line(tmp_path: Path, place: tuple[Any, ...], value: Any) -> None:
    FAST.save(tmp_path / "a.json")
    damaged = inside = deepcopy(DOCUMENT)
    for key in place[:-1]:
        inside = inside[key]
    inside[place[-1]] = value
    (tmp_path / "b.json").write_bytes(msgspec.json.encode(damaged))
    done = CliRunner().invoke(cli, ["join", str(tmp_path / "a.json"), str(tmp_path / "b.json")])
    assert done.exit_code in (0, 2), done.exception
    assert len(done.stderr.splitlines()) == (done.exit_code == 2)


@pytest.mark.parametrize("ends", [[0, 1.1], [-1, 1.1], [1.2, 1.1], [1.1, 1.1]])
def test_an_interval_has_ends_above_zero_in_order(tmp_path: Path, ends: list[float]) -> None:
    FAST.save(tmp_path / "a.json")
    damaged = deepcopy(DOCUMENT)
    damaged["comparisons"][0]["ratios"][0]["latency"][0]["ci95"] = ends
    (tmp_path / "b.json").write_bytes(msgspec.json.encode(damaged))
    done = CliRunner().invoke(cli, ["join", str(tmp_path / "a.json"), str(tmp_path / "b.json")])
    assert (done.exit_code, "95% interval that is none" in done.stderr) == ((0, False) if ends[0] == 1.1 else (2, True))


def test_in_python_a_wrong_type_says_what_is_right() -> None:
    wrong: Any = "a.json"
    with pytest.raises(TypeError, match="a list of paths or comparisons"):
        vggcalc.join(wrong)
    with pytest.raises(TypeError, match="it takes a path"):
        vggcalc.join([3, wrong])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="hosts 'ab'"):
        vggcalc.join([FAST, SLOW], hosts="ab")
