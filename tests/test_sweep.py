"""A sweep's rows are those of `factorize`, whatever the axes; streamed, gone on with, summed up."""

import csv
import io
import json
import re
import subprocess
import tracemalloc
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import islice, product
from pathlib import Path
from typing import Any

import process
import pytest
from builders import PLANAR
from hypothesis import given, settings
from hypothesis import strategies as st

import vggcalc
from vggcalc.analysis.crossover import CROSSOVER_AXES, Crossovers, axis_columns
from vggcalc.analysis.sweep import MOST_POINTS, RATIOS, SWEPT, Batch, Grid, sweep_batches
from vggcalc.errors import InputError
from vggcalc.nets.families import FAMILIES, Factorization, factorization_grid
from vggcalc.nets.graph import chain
from vggcalc.nets.layers import BatchNorm2d, Layer
from vggcalc.nets.vgg import activation
from vggcalc.report.findings.sweep import SweepAnswer
from vggcalc.report.formats.rows import crossover_notes, crossover_table

pytestmark = pytest.mark.usefixtures("warm_workers")

#: In two dimensions.
COLUMNS, POINT = Grid(()).columns, Grid(()).point


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return process.invoke("sweep", *arguments)


#: Enough of the clock for a figure, on a machine of any speed.
ROUNDS = ("--processes", "1", "--rounds", "3", "--budget", "3000")


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


axes = st.lists(st.integers(1, 40), min_size=1, max_size=3, unique=True).map(tuple)
grids = st.builds(
    Grid,
    kernels=st.lists(st.integers(2, 12), min_size=1, max_size=2, unique=True).map(tuple),
    channels=st.lists(st.tuples(st.integers(1, 24), st.integers(1, 24)), min_size=1, max_size=3).map(tuple),
    sizes=st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30)), min_size=1, max_size=3).map(tuple),
    batches=axes,
    strides=st.sampled_from(((1,), (1, 2), (3,))),
    dilations=st.sampled_from(((1,), (2,), (1, 3))),
    groups=st.sampled_from(((1,), (1, 2), (None,), (1, None, 4))),
    factorizations=st.lists(st.sampled_from(sorted(PLANAR)), min_size=1, max_size=4, unique=True).flatmap(
        lambda into: st.sampled_from(
            (
                factorization_grid(into),
                factorization_grid(into, ("first", 1, 2)),
                factorization_grid(into, widths=(None, (4,))),
                factorization_grid(into, widen="last"),
            )
        )
    ),
    padding=st.one_of(st.none(), st.integers(0, 6)),
    bias=st.booleans(),
    batch_norm=st.booleans(),
    activation=st.sampled_from(("relu", "gelu", "silu", "none")),
    dtype=st.sampled_from(("float32", "float16")),
)


def naive_alone(point: dict[str, int], grid: Grid) -> dict[str, object]:
    """The costs of the convolution alone, as a network of its own."""
    kernel, dilation = point["kernel"], point["dilation"]
    padding = grid.padding
    if padding is None:
        assert not (
            dilation * (kernel - 1) % 2 and any(FAMILIES[way.family].even for way in grid.factorizations.values())
        )
        padding = dilation * (kernel - 1) // 2
    conv = vggcalc.Conv2d(
        point["in_channels"], point["out_channels"], (kernel, kernel), (point["stride"],) * 2,
        (padding, padding), (dilation, dilation), point["groups"], grid.bias,
    )  # fmt: skip
    layers: list[Layer] = [conv]
    if grid.batch_norm:
        layers.append(BatchNorm2d(conv.out_channels))
    chosen = activation(grid.activation)
    layers += [] if chosen is None else [chosen]
    shape = (point["batch"], conv.in_channels, point["height"], point["width"])
    network = chain("alone", shape, [("block1", layer) for layer in layers])
    costs = vggcalc.summary(network, dtype=grid.dtype).variants[0].costs
    return {key: costs[key] for key in SWEPT}


@given(grids, st.sampled_from((3, 1024)))
def test_rows_are_those_of_factorize(grid: Grid, most: int) -> None:
    """Every row of every point, in the order of the axes, and nothing for what `factorize` refuses."""
    found = list(sweep_batches(grid, most))
    assert sum(batch.points for batch in found) == len(grid)
    rows = [dict(zip(COLUMNS, row, strict=True)) for batch in found for rows in batch.rows for row in rows]
    wanted = []
    for kernel in grid.kernels:
        for stride in grid.strides:
            for dilation in grid.dilations:
                for into, out_of in grid.channels:
                    for groups in grid.groups:
                        for height, width in grid.sizes:
                            for batch in grid.batches:
                                apart = into if groups is None else groups
                                wanted.append((kernel, stride, dilation, into, out_of, apart, height, width, batch))
    there = {tuple(row[name] for name in POINT) for row in rows}
    at = 0
    for point in wanted:
        named = dict(zip(POINT, point, strict=True))
        try:
            comparison = vggcalc.factorize(
                named["kernel"], in_channels=named["in_channels"], out_channels=named["out_channels"],
                size=(named["height"], named["width"]), batch=named["batch"], stride=named["stride"],
                padding=grid.padding, dilation=named["dilation"], groups=named["groups"], bias=grid.bias,
                batch_norm=grid.batch_norm, activation=grid.activation, into=grid.factorizations, dtype=grid.dtype,
            )  # fmt: skip
        except InputError:
            if point not in there:
                with pytest.raises((InputError, AssertionError)):
                    naive_alone(named, grid)
                continue
            row = rows[at]  # nothing it could become
            at += 1
            assert tuple(row[name] for name in POINT) == point
            assert {key: row[key] for key in SWEPT} == naive_alone(named, grid)
            continue
        for variant in comparison.variants:
            row = rows[at]
            at += 1
            assert tuple(row[name] for name in POINT) == point
            assert row["variant"] == variant.name
            assert {key: row[key] for key in SWEPT} == {key: variant.costs[key] for key in SWEPT}
            assert variant.receptive_field is not None
            assert row["receptive_field"] == variant.receptive_field.size[0]
            assert row["window"] == (variant.coverage.window if variant.coverage else "full")
            naive = comparison["naive"].costs
            assert [row[f"{key}_ratio"] for key in RATIOS] == [variant.costs[key] / naive[key] for key in RATIOS]
    assert at == len(rows)


def test_beyond_64_bits_rows_are_exact() -> None:
    grid = Grid(
        (7,), ((2**20, 2**20 + 1),), ((2**16, 2**15),), (2**10,), factorizations=factorization_grid(list(FAMILIES))
    )
    (batch,) = sweep_batches(grid)
    comparison = grid.comparison(batch.rows[0][0])
    for row, variant in zip(batch.rows[0], comparison.variants, strict=True):
        named = dict(zip(COLUMNS, row, strict=True))
        assert {key: named[key] for key in SWEPT} == {key: variant.costs[key] for key in SWEPT}
    assert max(cost for variant in comparison.variants for cost in variant.costs.values() if cost) > 2**80


def test_a_crossover_is_the_first_value_of_the_last_run() -> None:
    """By hand: below naive at 3, not at 5, and from 7 on."""
    crossovers = Crossovers("kernel", Grid((3, 5, 7, 9)), latency=True)
    fixed = dict.fromkeys(POINT, 1)
    for kernel, ratio, verdict in (
        (3, 0.5, "faster"),
        (5, 1.0, "slower"),
        (7, 0.9, "faster"),
        (9, 0.1, "same"),
    ):
        row = fixed | {"kernel": kernel, "variant": "it", "verdict": verdict}
        crossovers.add(row | {f"{key}_ratio": ratio for key in RATIOS})
    (line,) = crossovers.found()
    assert (line["macs_from"], line["macs_crossover"]) == (7, "won")
    assert (line["latency_from"], line["latency_crossover"]) == (None, "not_to_the_end")
    assert "kernel" not in line


def latency_crossover(verdicts: Sequence[str | None]) -> dict[str, Any]:
    """The line of one variant with these verdicts at 3, 5, 7, …"""
    kernels = tuple(range(3, 3 + 2 * len(verdicts), 2))
    crossovers = Crossovers("kernel", Grid(kernels), latency=True)
    for kernel, verdict in zip(kernels, verdicts, strict=True):
        row = dict.fromkeys(POINT, 1) | {"kernel": kernel, "variant": "it", "verdict": verdict}
        crossovers.add(row | {f"{key}_ratio": 1 for key in RATIOS})
    (line,) = crossovers.found()
    return line


@given(st.lists(st.sampled_from([None, "faster", "slower", "same", "unclear"]), min_size=2, max_size=7))
def test_what_is_unclear_is_neither_won_nor_lost(verdicts: list[str | None]) -> None:
    """Whatever the unclear points really are, what is called won or lost stays so."""
    line = latency_crossover(verdicts)
    state, start = line["latency_crossover"], line["latency_from"]
    assert (start is not None) == (state == "won")
    if None in verdicts:
        assert state == "not_measured"
        return
    possible = list(product(*({True, False} if one == "unclear" else {one == "faster"} for one in verdicts)))
    at_the_end = {wins[-1] for wins in possible}
    anywhere = {any(wins) for wins in possible}
    assert (state == "won") == (at_the_end == {True})
    assert (state == "lost") == (anywhere == {False})
    assert (state == "not_shown") == (at_the_end == {True, False})
    if state == "won":
        shown = verdicts[(start - 3) // 2 :]
        assert set(shown) == {"faster"}
        assert start == 3 or verdicts[(start - 3) // 2 - 1] != "faster"


def test_a_table_says_not_shown_where_every_point_is_unclear() -> None:
    lines = [latency_crossover(["unclear", "unclear"]), latency_crossover(["slower", "same"])]
    table = crossover_table("Crossovers", lines)
    place = [column.title for column in table.columns].index("latency from")
    assert [row.cells[place].text for row in table.rows] == ["not shown", "never"]
    (note,) = crossover_notes(lines)
    assert note.startswith("not shown: at the end of the sweep the intervals do not say which is faster")


@cache
def swept(*arguments: str) -> list[dict[str, str]]:
    """The rows of a sweep, which is made once."""
    return rows_of(run(*arguments, "--format", "csv").stdout)


@pytest.mark.parametrize("axis", CROSSOVER_AXES)
def test_every_axis_can_be_crossed(axis: str) -> None:
    """Against the rows themselves, sorted by that axis."""
    text = "--kernel 3,5,9 --channels 4,16 --size 6,8x9 --batch 1,2 --stride 1,2 --dilation 1,2 --groups 1,4"
    along, sign = axis_columns(Grid(()), axis), CROSSOVER_AXES[axis][1]
    if axis in ("in_channels", "out_channels"):
        text = text.replace("--channels 4,16", "--in-channels 4,16 --out-channels 4,16")
    arguments = (*text.split(), "--into", "stack,bottleneck")
    rows = swept(*arguments)
    lines = rows_of(run(*arguments, "--crossover", axis, "--format", "csv").stdout)
    fixed = [name for name in POINT if name not in along]
    for line in lines:
        mine = [row for row in rows if all(row[name] == line[name] for name in ("variant", *fixed))]
        mine.sort(key=lambda row: [int(row[name]) for name in along])
        start = None
        for row in reversed(mine):
            if not float(row["macs_ratio"]) < 1:
                break
            numbers = [row[name] for name in along]
            start = numbers[0] if len(set(numbers)) == 1 else sign.join(numbers)
        anywhere = any(float(row["macs_ratio"]) < 1 for row in mine)
        state = "won" if start is not None else "not_to_the_end" if anywhere else "lost"
        assert (line["macs_from"] or None, line["macs_crossover"]) == (start, state)
    told = {(line["variant"], *(line[name] for name in fixed)) for line in lines}
    there = {(row["variant"], *(row[name] for name in fixed)) for row in rows if row["variant"] != "naive"}
    assert told == there


def test_formats_hold_the_same_rows() -> None:
    arguments = ("--kernel", "3:7:2", "--channels", "4,8", "--into", "stack,separable")
    by_csv = rows_of(run(*arguments, "--format", "csv").stdout)
    by_json = [json.loads(line) for line in run(*arguments, "--format", "jsonl").stdout.splitlines()]
    assert [{name: str(value) for name, value in row.items()} for row in by_json] == by_csv
    assert len(by_csv) == 3 * 2 * 3
    table = run(*arguments).stdout
    assert "batch 1" in table.partition("kernel")[0]
    assert sum(" naive " in line for line in table.splitlines()) == 6


def test_an_interrupted_sweep_goes_on_and_repeats_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped by Ctrl-C after its first rows, then once more in the middle of a line."""
    arguments = ["--kernel", "3:7:2", "--channels", "1:400", "--size", "7,14", "--into", "stack,stripes"]
    path = tmp_path / "rows.csv"
    whole = run(*arguments, "--format", "csv").stdout

    def first_batches(grid: Grid) -> Iterator[Batch]:
        yield from islice(sweep_batches(grid), 2)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("vggcalc.pipeline.sweep.sweep_batches", first_batches)
        interrupted = run(*arguments, "--output", str(path))
    assert interrupted.returncode == 130
    assert "--resume continues there" in interrupted.stderr
    begun = path.read_text(encoding="utf-8")
    assert 0 < len(begun) < len(whole)
    assert whole.startswith(begun)
    path.write_text(begun[:-7], encoding="utf-8")  # the last line is cut off
    refused = run(*arguments, "--output", str(path))
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "--resume" in refused.stderr
    assert path.read_text(encoding="utf-8") == begun[:-7]
    done = run(*arguments, "--output", str(path), "--resume")
    assert done.returncode == 0
    assert path.read_text(encoding="utf-8") == whole
    again = run(*arguments, "--output", str(path), "--resume")
    assert again.returncode == 0
    assert path.read_text(encoding="utf-8") == whole


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_rows_of_another_sweep_are_left_alone(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"rows.{suffix}"
    assert run("--kernel", "3:9:2", "--output", str(path)).returncode == 0
    before = path.read_text(encoding="utf-8")
    for other in (["--kernel", "5:9:2"], ["--kernel", "3:5:2"], ["--kernel", "3:9:2", "--latency"]):
        refused = run(*other, "--output", str(path), "--resume")
        assert (refused.returncode, refused.stdout) == (2, "")
        assert "is of another sweep" in refused.stderr
        assert len(refused.stderr.splitlines()[-1]) < 200
        assert path.read_text(encoding="utf-8") == before


def test_memory_does_not_grow_with_the_points(tmp_path: Path) -> None:
    """The most that Python holds at a time, for two batches of rows and for six."""

    def peak(sizes: str) -> int:
        tracemalloc.start()
        done = run(
            "--kernel", "7", "--channels", f"1:{MOST_POINTS}", "--size", sizes, "--output", str(tmp_path / "rows.csv")
        )  # fmt: skip
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert (done.returncode, done.stdout) == (0, "")
        (tmp_path / "rows.csv").unlink()
        return most

    few, many = peak("7,14"), peak("7:42:7")
    assert many < few * 1.2


def test_latency_is_measured_under_a_budget_and_never_twice(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    arguments = ("--kernel", "3,5", "--channels", "4", "--size", "8", "--latency", "--output", str(path))
    short = run(*arguments, "--budget", "1e-6")
    assert short.returncode == 1
    assert "the budget of 1e-06 s was spent after 0 rows; --resume continues there" in short.stderr
    assert path.read_text(encoding="utf-8") == ""
    done = run(*arguments, *ROUNDS, "--resume")
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [(row["kernel"], row["variant"]) for row in rows] == [
        (3, "naive"), (3, "stack"), (5, "naive"), (5, "stack"),
    ]  # fmt: skip
    for row in rows:
        assert row["on"] == "cpu"
        assert row["latency_s"] > 0
        assert (row["latency_ratio"] is None) == (row["variant"] == "naive")
        assert row["verdict"] in (None, "faster", "slower", "same", "unclear")
    before = path.read_text(encoding="utf-8")
    again = run(*arguments, *ROUNDS, "--resume", "--crossover", "--format", "jsonl")
    assert again.returncode == 0
    assert path.read_text(encoding="utf-8") == before
    (line,) = [json.loads(line) for line in again.stdout.splitlines()]
    assert line["macs_from"] == 5
    assert "latency_from" in line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--kernel", "7:3"], "'7:3' is an empty range"),
        (["--kernel", "x"], "'x' is no number and no range"),
        (["--kernel", "3:9999999:1"], "more than 1,000,000 numbers"),
        (["--kernel", "0"], "kernel 0 is not positive"),
        (
            ["--kernel", "7", "--in-channels", "1,2", "--out-channels", "3,4", "--crossover", "channels"],
            "in no order",
        ),
        (["--kernel", "7", "--size", "8x100,9x9", "--crossover", "size"], "8×100 and 9×9 are in no order"),
        (["--kernel", "7", "--latency", "--device", "auto"], "name one, such as cpu"),
        (["--kernel", "3,5", "--format", "csv", "--output", "x.svg", "--plot", "./x.svg"], "give two files"),
        (["--kernel", "7", "--crossover", "depth"], "axis 'depth' is unknown: there are kernel, channels"),
        (["--kernel", "7", "--resume"], "give --output FILE too"),
        (["--kernel", "7", "--channels", "4", "--in-channels", "5"], "channels is both ends"),
        (["--kernel", "3:31:2", "--channels", "1:99"], "are no table"),
        (["--kernel", "7", "--output", "rows.txt"], "name it .csv or .jsonl"),
        (["--kernel", "7", "--channels", "0"], "must be at least 1"),
        (["--kernel", "7", "--into", "best"], "family 'best' is unknown"),
        (["--kernel", "7", "--plot", "x.png"], "give more than one --kernel"),
        (["--kernel", "3,5", "--plot", "x.gif"], "must end with .svg, .png or .pdf"),
        (["--kernel", "3,5", "--channels", "1:20", "--plot", "x.png"], "20 are more than 12"),
        (["--kernel", "7", "--widths", "8", "--widen", "last"], "leave out widen"),
    ],
)
def test_wrong_use_gets_one_line(arguments: list[str], message: str) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_what_has_no_rows_says_why() -> None:
    done = run("--kernel", "7", "--size", "3", "--padding", "0", "--format", "csv")
    assert done.returncode == 1
    assert "1 of 1 points are left out, the first because" in done.stderr
    assert "3×3 feature map is smaller than the 7×7 window" in done.stderr
    some = run("--kernel", "7", "--channels", "4,6", "--groups", "3", "--format", "csv")
    assert some.returncode == 0
    assert "1 of 2 points are left out, the first because 3 groups do not divide" in some.stderr
    assert {row["in_channels"] for row in rows_of(some.stdout)} == {"6"}


def test_a_grid_of_one_way_is_what_splitting_says() -> None:
    grid = Grid((7,), factorizations={"mine": Factorization("stack", widths=(8, 8, 64))})
    (batch,) = sweep_batches(grid)
    named: dict[str, Any] = dict(zip(COLUMNS, batch.rows[0][1], strict=True))
    assert named["parameters"] == 64 * 8 * 9 + 8 + 8 * 8 * 9 + 8 + 8 * 64 * 9 + 64


def test_figures_of_a_sweep_are_its_rows(tmp_path: Path) -> None:
    """Each line's, with its numbers; and the file is written beside the rows."""
    plots = pytest.importorskip("vggcalc.report.figures")
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    grid = Grid((3, 5, 7), ((4, 4), (4, 8)), batches=(2,), factorizations=factorization_grid(["stack", "stripes"]))
    lines = plots.Lines("x.svg", 2, 3)
    rows = [dict(zip(COLUMNS, row, strict=True)) for b in sweep_batches(grid) for rows in b.rows for row in rows]
    for row in rows:
        lines.add(row)
    (figure,) = lines.figures()
    canvas = Figure(layout="constrained")
    figure.layout(3.5).draw(canvas)
    assert [axes.get_title() for axes in canvas.axes[::3]] == [
        "4 → 4, 56×56, batch 2\nparameters, log\nscale", "4 → 8, 56×56, batch 2"
    ]  # fmt: skip
    drawn = {line.get_label(): list(line.get_ydata()) for line in canvas.axes[4].get_lines()}
    for name in ("naive", "stack", "stripes"):
        mine = [row["macs"] for row in rows if row["variant"] == name and row["out_channels"] == 8]
        assert drawn[name] == mine
    path = tmp_path / "sweep.svg"
    done = run("--kernel", "3:9:2", "--plot", str(path), "--format", "csv")
    assert done.returncode == 0, done.stderr
    assert len(rows_of(done.stdout)) == 8
    assert "kernel size" in path.read_text(encoding="utf-8")


def test_what_stays_on_paper_is_told_apart_from_what_was_not_measured(tmp_path: Path) -> None:
    """A budget that is spent at once: the crossovers on paper are those of the whole sweep."""
    arguments = ("--kernel", "3,5,7", "--crossover", "--format", "jsonl")
    (paper,) = [json.loads(line) for line in run(*arguments).stdout.splitlines()]
    done = run(*arguments, "--latency", "--budget", "1e-6", "--output", str(tmp_path / "rows.csv"))
    assert done.returncode == 1
    (line,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert line["macs_from"] == paper["macs_from"] == 5
    assert (line["latency_from"], line["latency_crossover"]) == (None, "not_measured")


def test_a_point_of_which_nothing_can_be_made_is_not_measured(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    arguments = [
        "--kernel",
        "5:7",
        "--padding",
        "3",
        "--channels",
        "4",
        "--size",
        "8",
        "--latency",
        *ROUNDS,
    ]
    done = run(*arguments, "--output", str(path))
    assert done.returncode == 0, done.stderr
    rows = rows_of(path.read_text(encoding="utf-8"))
    assert [(row["kernel"], row["variant"]) for row in rows] == [
        ("5", "naive"), ("5", "stack"), ("6", "naive"), ("7", "naive"), ("7", "stack"),
    ]  # fmt: skip
    assert [bool(row["latency_s"]) for row in rows] == [True, True, False, True, True]
    before = path.read_text(encoding="utf-8")
    other = run(*arguments, "--mode", "training", "--output", str(path), "--resume")
    assert (other.returncode, path.read_text(encoding="utf-8")) == (2, before)
    assert "has on 'cpu' where this sweep has 'cpu training'" in other.stderr
    path.write_text("".join(before.splitlines(keepends=True)[:2]), encoding="utf-8")  # half of a point
    again = run(*arguments, "--output", str(path), "--resume")
    assert again.returncode == 0, again.stderr
    assert len(rows_of(path.read_text(encoding="utf-8"))) == 5


def test_a_measured_figure_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    arguments = [
        "--kernel",
        "3",
        "--channels",
        "4",
        "--size",
        "8",
        "--latency",
        *ROUNDS,
        "--output",
        str(path),
    ]
    assert run(*arguments).returncode == 0
    rows = path.read_text(encoding="utf-8").splitlines(keepends=True)
    cells = rows[1].split(",")
    cells[len(COLUMNS) + 1] = "abc"
    path.write_text("".join([rows[0], ",".join(cells), *rows[2:]]), encoding="utf-8")
    done = run(*arguments, "--resume")
    assert (done.returncode, done.stdout) == (2, "")
    assert "has a latency that is none: could not convert string to float: 'abc'" in done.stderr


def test_too_many_lines_are_refused_at_once() -> None:
    done = run("--kernel", "5:7:2", "--channels", "1:1000", "--size", "1:1000", "--crossover", "--format", "csv")
    assert (done.returncode, done.stdout) == (2, "")
    assert "1,000,000 lines are too many for crossovers" in done.stderr


@pytest.mark.parametrize("damage", ["x\ry,", "{", "3,1,1\n", "\n", '"3\n'])
@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_a_damaged_file_is_left_alone(tmp_path: Path, suffix: str, damage: str) -> None:
    path = tmp_path / f"rows.{suffix}"
    assert run("--kernel", "3:5:2", "--output", str(path)).returncode == 0
    damaged = path.read_text(encoding="utf-8") + damage + "\n3\n"
    path.write_text(damaged, encoding="utf-8", newline="")
    done = run("--kernel", "3:9:2", "--output", str(path), "--resume")
    assert (done.returncode, done.stdout) == (2, "")
    assert "is of another sweep, or damaged" in done.stderr
    assert "Traceback" not in done.stderr
    assert path.read_text(encoding="utf-8") == damaged.replace("\r", "\n") or "\r" in damage


def test_parted_points_come_in_their_order_and_in_time() -> None:
    """Groups that divide every third number of channels, and maps of both orientations: no hundred parts."""
    channels = tuple((n, n) for n in range(1, 400))
    grid = Grid(
        (5,), channels, ((28, 56), (56, 28)), groups=(1, 3), factorizations=factorization_grid(["stack", "stripes"])
    )
    found = list(sweep_batches(grid, 10_000))
    assert len(found) == 1
    points = [rows[0][: len(POINT)] for rows in found[0].rows]
    assert points == sorted(points)
    assert found[0].refused is not None
    assert found[0].refused[0] == 2 * sum(n % 3 > 0 for n in range(1, 400))
    assert len(points) + found[0].refused[0] == len(grid)


@given(
    kernels=st.lists(st.sampled_from(range(3, 33, 2)), min_size=1, max_size=5, unique=True).map(sorted),
    channels=st.lists(st.integers(1, 70), min_size=1, max_size=2, unique=True),
    into=st.lists(st.sampled_from(("stack", "asymmetric", "dilated")), min_size=1, max_size=2, unique=True),
)
@settings(max_examples=25, deadline=None)
def test_the_answer_counts_the_points_of_the_rows(kernels: list[int], channels: list[int], into: list[str]) -> None:
    """How many points there are and at how many a variant costs less is what the rows of the library say."""
    rows = list(vggcalc.sweep(kernels, in_channels=channels, into=into))
    options = ("--in-channels", ",".join(map(str, channels)), "--into", ",".join(into))
    done = run("--kernel", ",".join(map(str, kernels)), *options)
    answer = " ".join(done.stdout.partition("\n\n")[0].split())
    points = len(kernels) * len(channels)
    assert answer.startswith(f"Of {points} point{'s' * (points > 1)} ")
    said = {}
    for name in into:
        less = [row["kernel"] for row in rows if row["variant"] == name and row["macs_ratio"] < 1]
        at = "everywhere" if len(less) == points else f"at {len(less)}" if less else "nowhere"
        said[name] = at
        if len(into) > 1:
            assert re.search(rf"\b{name}\b[^.]*?{at}\b", answer)
        if len(channels) == 1 and 0 < len(less) < points and less == kernels[-len(less) :]:
            assert f"{at} (from kernel {less[0]} on)" in answer
    if len(into) == 1:
        assert f"{'the stack' if into == ['stack'] else into[0]} does fewer MACs" in answer
        assert said[into[0]] in answer


def test_the_answer_says_what_was_faster() -> None:
    verdicts = {3: "same", 5: "faster", 7: "slower", 9: "unclear", 11: None}
    answer = SweepAnswer(("kernel", tuple(verdicts)))
    for kernel, verdict in verdicts.items():
        for name in ("naive", "stack"):
            answer.add({"kernel": kernel, "variant": name, "macs_ratio": 1, "parameters_ratio": 1, "verdict": verdict})
    assert answer.sentence().endswith("; of 4 timed it is faster at 1 (kernel 5) and slower at 1 (kernel 7).")
    assert SweepAnswer(None).sentence() == ""


@pytest.mark.parametrize("options", [(), ("--crossover",)])
def test_a_brief_sweep_is_its_answer_and_six_rows(options: tuple[str, ...]) -> None:
    arguments = ("--kernel", "3:31:2", "--in-channels", "3,16,64", "--into", "stack,asymmetric,separable", *options)
    brief, whole = run(*arguments, "--brief").stdout, run(*arguments).stdout
    assert brief.startswith("Of 45 points ")
    assert whole.startswith(brief.partition("\n\n")[0])
    assert len(brief.partition("───\n")[2].rstrip().splitlines()) == 6
    assert run(*arguments, "--brief", "--format", "csv").stdout == run(*arguments, "--format", "csv").stdout
