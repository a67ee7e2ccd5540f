"""Figures: what is drawn equals the report, can be read, and becomes the same file every time."""

import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from itertools import combinations, cycle, pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import asdict, replace

pytest.importorskip("matplotlib", reason="the extra `plot`")

from builders import CPU, PLANAR, latency, latency_ratio
from builders import report as of
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.legend import Legend
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from process import invoke, run

import vggcalc
from vggcalc.analysis.pareto import pareto
from vggcalc.errors import InputError, OutputError
from vggcalc.measurement.plan import Plan
from vggcalc.measurement.session import MeasurementOutcome
from vggcalc.nets.graph import INPUT, Network, Node
from vggcalc.nets.layers import (
    Add,
    Concat,
    Conv2d,
    MaxPool2d,
)
from vggcalc.pipeline import run as pipeline
from vggcalc.pipeline.emit import ExitStatus
from vggcalc.pipeline.picture import Picture
from vggcalc.report import figures as plots
from vggcalc.report.figures import growth, style, ticks
from vggcalc.results import (
    Comparison,
    Configuration,
    Latency,
    LatencyRatio,
    Report,
    Roof,
)

SIZES = tuple(range(3, 32, 2))
HALF = Configuration("cpu", "bfloat16", threads=2)


def every(kernel: int, **how: int) -> Comparison:
    """One kernel against every family."""
    return vggcalc.factorize(kernel, into=tuple(PLANAR), **how)


def timed(comparison: Comparison, *ways: Configuration, blocks: bool = False) -> Comparison:
    """The same with made-up latencies: variant i takes (i + 1) ms, give or take 10%."""

    def timing(way: Configuration, seconds: float, flops: float) -> Latency:
        ends = (0.9 * seconds, 1.1 * seconds)
        return latency(seconds, way, iqr_s=None, flops_per_s=flops / seconds, roof_share=0.25, ci95=ends)

    def against(way: Configuration, ratio: float) -> LatencyRatio:
        return latency_ratio(ratio, (0.95 * ratio, 1.05 * ratio), way, verdict="slower")

    variants = tuple(
        replace(
            variant,
            latency=tuple(timing(way, 1e-3 * (i + 1), variant.costs["flops"]) for way in ways),
            blocks=tuple(
                replace(block, latency=tuple(timing(way, 2e-4, block.costs["flops"]) for way in ways))
                if blocks and block.kernels
                else block
                for block in variant.blocks
            ),
        )
        for i, variant in enumerate(comparison.variants)
    )
    ratios = tuple(
        replace(ratio, latency=tuple(against(way, i + 2.0) for way in ways))
        for i, ratio in enumerate(comparison.ratios)
    )
    timings = [(one.costs, time) for v in variants for one in (v, *v.blocks) for time in one.latency[:1]]
    peaks = {  # above all that was "measured"
        "flops_per_s": 1.5 * max(costs["flops"] / time.median_s for costs, time in timings),
        "bytes_per_s": 1.5 * max(costs["traffic_bytes"] / time.median_s for costs, time in timings),
    }
    roofs = tuple(Roof(**asdict(way), **peaks, peak_by="a product") for way in ways)
    timed = replace(comparison, variants=variants, ratios=ratios, roofs=roofs)
    return replace(timed, pareto=pareto(timed.variants, timed.ratios))


def save(report: Report, path: str) -> None:
    """Its first figure in a file, or all in a PDF, as --plot writes them."""
    picture = Picture(path)
    try:
        picture.check(plots.figures(report))
        picture.draw(plots.figures(report))
    finally:
        picture.discard()


def drawn(figure: plots.Figure, width: float = style.WIDTH) -> Canvas:
    """The figure, laid out."""
    height, draw = figure.layout(width)
    with style.drawing():
        canvas = Canvas(figsize=(width, height), dpi=200, layout="constrained")
        draw(canvas.subfigures())
        canvas.draw_without_rendering()
    canvas.set_layout_engine("none")  # it stays as it was laid out
    return canvas


def panels(canvas: Canvas) -> list[Axes]:
    return [axes for axes in canvas.subfigs[0].axes if axes.get_label() != "<colorbar>"]


def one_of(report: Report, name: str) -> plots.Figure:
    """The figure of that name."""
    (found,) = [figure for figure in plots.figures(report) if figure.name == name]
    return found


def lines(axes: Axes) -> dict[str, list[tuple[float, float]]]:
    """The points of every named line."""
    named = [line for line in axes.lines if not line.get_label().startswith("_")]
    return {line.get_label(): list(zip(*map(list, line.get_data()), strict=True)) for line in named}


def legend(canvas: Canvas) -> Legend:
    (found,) = canvas.subfigs[0].legends
    return found


def markers(canvas: Canvas) -> dict[str, str]:
    """The marker of every entry of the legend."""
    entries = legend(canvas)
    names = (text.get_text() for text in entries.get_texts())
    return {name: line.get_marker() for name, line in zip(names, entries.get_lines(), strict=True)}


# Over kernel size


def test_costs_over_kernel_size_are_the_reports() -> None:
    comparisons = [every(kernel) for kernel in (3, 5, 7, 11)]
    (figure,) = plots.figures(of(*comparisons))
    found = panels(drawn(figure))
    assert [axes.get_ylabel() for axes in found] == [
        f"{cost}, log scale" for cost in ("parameters", "MACs", "saved activations")
    ]
    assert found[-1].get_xlabel() == "kernel size"
    for axes, key in zip(found, ("parameters", "macs", "saved_bytes"), strict=True):
        expected = {
            variant.name: [
                (size, one[variant.name].costs[key]) for size, one in zip((3, 5, 7, 11), comparisons, strict=True)
            ]
            for variant in comparisons[0].variants
        }
        assert lines(axes) == expected
        assert axes.get_yscale() == "log"


def test_measured_latencies_have_their_intervals() -> None:
    comparisons = [timed(every(kernel), CPU, HALF) for kernel in (5, 7)]
    _, one, two = plots.figures(of(*comparisons))
    assert [one.title, two.title] == [f"Latency over kernel size, {way.label}" for way in (CPU, HALF)]
    absolute, relative = panels(drawn(one))
    names = [variant.name for variant in comparisons[0].variants]
    assert lines(absolute) == {name: [(5, 1e-3 * (i + 1)), (7, 1e-3 * (i + 1))] for i, name in enumerate(names)}
    assert lines(relative) == {name: [(5, i + 2.0), (7, i + 2.0)] for i, name in enumerate(names[1:])}
    bars = [line.get_data() for line in relative.lines if line.get_marker() == "_"]
    assert {(tuple(x), tuple(y)) for x, y in bars} == {
        ((kernel, kernel), (0.95 * (i + 2), 1.05 * (i + 2))) for kernel in (5, 7) for i in range(len(names) - 1)
    }
    assert "naive" in relative.get_ylabel()
    assert "95% interval" in relative.get_ylabel()
    assert [1.0, 1.0] in [list(line.get_ydata()) for line in relative.lines]  # as fast as the baseline


def test_a_variant_that_is_lacking_leaves_a_gap() -> None:
    small, large = every(5), every(7)
    small = replace(small, variants=small.variants[:3])
    (figure,) = plots.figures(of(small, large))
    found = lines(panels(drawn(figure))[0])
    assert [size for size, _ in found["stack"]] == [5, 7]
    assert [size for size, _ in found["stripes"]] == [7]


def test_over_kernels_draws_any_series_and_leaves_out_what_a_logarithm_has_not() -> None:
    panel = plots.Panel("ratio", {"a": [(7, 2.0), (3, 0.5)], "b": [(3, 0.0), (5, 4.0)]}, "ratio")
    figure = plots.over_kernels("costs", "A title", "A caption.", {"": [panel]})
    assert (figure.title, figure.caption) == ("A title", "A caption.")
    assert lines(panels(drawn(figure))[0]) == {"a": [(3, 0.5), (7, 2.0)], "b": [(5, 4.0)]}


# What is seen of the window


def test_the_windows_picture_shows_counts_holes_and_nested_frames() -> None:
    comparison = every(7)
    figure = one_of(of(comparison), "coverage")
    found = dict(zip((variant.name for variant in comparison.variants), panels(drawn(figure)), strict=True))
    row = [1, 3, 6, 7, 6, 3, 1]  # (1 + x + x²)³
    numbers = {
        (text.get_position()[0] + 2.5, text.get_position()[1] + 2.5): int(text.get_text())
        for text in found["stack"].texts
    }
    assert numbers == {(x, y): row[x] * row[y] for x in range(7) for y in range(7)}
    shares = found["stack"].images[0].get_array()
    assert shares.tolist() == [[a * b / 49 for a in row] for b in row]
    frames = [patch for patch in found["stack"].patches if isinstance(patch, Rectangle)]
    thin = {patch.get_bbox().bounds for patch in frames if patch.get_label() == "after a layer"}
    assert thin == {(-1, -1, 3, 3), (-2, -2, 5, 5), (-3, -3, 7, 7)}
    (thick,) = [patch for patch in frames if patch.get_label() == "kernel"]
    assert thick.get_bbox().bounds == pytest.approx((-3, -3, 7, 7), abs=0.5)
    (holes,) = found["dilated"].lines
    assert len(holes.get_xdata()) == 49 - 9
    assert len(found["stripes"].lines[0].get_xdata()) == 49 - comparison["stripes"].coverage.positions
    assert not found["naive"].lines
    assert found["dilated"].get_title("left").splitlines() == ["dilated", "7×7", "9 of 49 positions"]
    assert {axes.get_xlim() for axes in found.values()} == {found["naive"].get_xlim()}  # one scale


# Receptive fields


def test_growth_follows_the_layers_of_a_chain() -> None:
    comparison = vggcalc.compare("vgg19")
    (axes,) = panels(drawn(one_of(of(comparison), "receptive-field")))
    for variant in comparison.variants:
        sizes = [x.receptive_field.size[0] for x in variant.layers if x.type in ("Conv2d", "MaxPool2d")]
        assert lines(axes)[variant.name] == list(enumerate(sizes, 1))
    assert [224, 224] in [list(line.get_ydata()) for line in axes.lines]
    assert "input 224" in [text.get_text() for text in axes.texts]
    assert axes.get_ylabel() == "receptive field"
    (top,) = axes.child_axes
    begins = {"block1": 1, "block2": 4, "block3": 7, "block4": 12, "block5": 17}
    assert dict(zip((text.get_text() for text in top.get_xticklabels()), top.get_xticks(), strict=True)) == begins


def test_depth_is_that_of_the_longest_path() -> None:
    conv, wide = (Conv2d(3, 3, (k, k), padding=(k // 2, k // 2)) for k in (3, 5))
    network = Network(
        "branches",
        (1, 3, 32, 32),
        (
            Node("stem.conv", conv, (INPUT,)),
            Node("one.conv1", conv, ("stem.conv",)),
            Node("one.conv2", wide, ("one.conv1",)),
            Node("short.conv", conv, ("stem.conv",)),
            Node("add", Add(), ("one.conv2", "short.conv")),
            Node("both", Concat(), ("add", "one.conv2")),
            Node("pool", MaxPool2d(), ("both",)),
        ),
    )
    found = growth.growth(vggcalc.summary(network).variants[0])
    assert sorted(found.layers) == [(1, 3), (2, 5), (2, 5), (3, 9), (4, 10)]
    assert found.largest == ((1, 3), (2, 5), (3, 9), (4, 10))
    assert found.begins == ((2, "one"),)


# Roofline


def test_every_layer_stands_on_the_roof_and_what_was_measured_below() -> None:
    comparison = timed(vggcalc.compare("vgg16", size=64), CPU, blocks=True)
    (figure,) = [one for one in plots.figures(of(comparison)) if one.title.startswith("Roofline")]
    (roof,) = comparison.roofs
    canvas = drawn(figure)
    key = markers(canvas)
    for axes, variant in zip(panels(canvas), comparison.variants, strict=True):
        layers = [layer for layer in variant.layers if layer.costs["flops"]]
        expected = {(layer.costs["flops"] / layer.costs["traffic_bytes"], layer.costs["flops"]) for layer in layers}
        points = [line for line in axes.lines if line.get_marker() == "o" and line.get_zorder() == 3]
        assert len(points) == len(layers)
        found = [(line.get_xdata()[0], line.get_ydata()[0], line.get_markersize()) for line in points]
        assert {x for x, _, _ in found} == {x for x, _ in expected}
        assert all(y == min(roof.flops_per_s, roof.bytes_per_s * x) for x, y, _ in found)
        area = {x: size**2 for x, _, size in found if size > 4}  # those that are not held to the least size
        flops = dict(expected)
        scale = {area[x] / flops[x] for x in area if [at for at, _ in expected].count(x) == 1}
        assert max(scale) == pytest.approx(min(scale))
        (star,) = [line for line in axes.lines if line.get_marker() == "*"]
        seconds = variant.latency[0].median_s
        assert star.get_ydata()[0] == pytest.approx(variant.costs["flops"] / seconds)
        assert star.get_xdata()[0] == variant.costs["intensity"]
        blocks = {key[name]: block for block in variant.blocks if (name := block.name) in key}
        assert len(blocks) == sum(bool(block.latency) for block in variant.blocks) == 5
        for marker, block in blocks.items():
            (point,) = [line for line in axes.lines if line.get_marker() == marker and line.get_zorder() == 4]
            assert point.get_xdata()[0] == block.costs["intensity"]
            assert point.get_ydata()[0] == pytest.approx(block.costs["flops"] / block.latency[0].median_s)
        assert axes.get_title("left") == f"{variant.name}: 25% of the roof"
        assert (axes.get_ylabel(), axes.get_xscale(), axes.get_yscale()) == ("FLOP/s, log scale", "log", "log")


def test_a_roofline_needs_a_roof_and_an_inference_and_counts_the_roofs_own_bytes() -> None:
    comparison = vggcalc.compare("vgg16", size=64)

    def titles(one: Comparison) -> list[str]:
        return [figure.title for figure in plots.figures(of(one)) if figure.title.startswith("Roofline")]

    assert titles(comparison) == []
    assert titles(timed(comparison, replace(CPU, mode="training"))) == []
    halved = timed(comparison, HALF)
    assert titles(halved) == ["Roofline of vgg16, cpu bfloat16 2 threads"]
    (figure,) = [one for one in plots.figures(of(halved)) if one.title.startswith("Roofline")]
    for axes, variant in zip(panels(drawn(figure)), halved.variants, strict=True):
        (star,) = [line for line in axes.lines if line.get_marker() == "*"]
        assert star.get_xdata()[0] == pytest.approx(2 * variant.costs["intensity"])


# Costs against MACs


def test_pareto_optimal_variants_are_marked_by_fill_and_bold_names_and_no_line_says_that_two_costs_decide() -> None:
    comparison = timed(every(7), CPU)
    best = set(comparison.pareto)
    assert 1 < len(best) < len(comparison.variants)
    (figure,) = [one for one in plots.figures(of(comparison)) if "against MACs" in one.title]
    canvas = drawn(figure)
    found = panels(canvas)
    assert found[-1].get_xlabel() == "MACs, log scale"
    values: list[Callable[[vggcalc.results.Variant], float]] = [
        lambda variant: variant.costs["parameters"],
        lambda variant: variant.costs["saved_bytes"],
        lambda variant: variant.latency[0].median_s,
    ]
    key = markers(canvas)
    assert list(key) == [variant.name for variant in comparison.variants]
    assert len(set(key.values())) == len(key), "no two variants by one marker"
    for axes, value in zip(found, values, strict=True):
        points = lines(axes)
        expected = {v.name: [(v.costs["macs"], value(v))] for v in comparison.variants}
        assert points == expected
        assert all(
            line.get_linestyle() == "None" or set(line.get_xdata()) == {line.get_xdata()[0]} for line in axes.lines
        )
        named = {line.get_label(): line for line in axes.lines}
        assert {name: named[name].get_marker() for name in key} == key
        assert {name for name in key if named[name].get_markerfacecolor() != "white"} == best
    bold = {text.get_text() for text in legend(canvas).get_texts() if text.get_fontweight() == "bold"}
    assert bold == best
    assert not [one for one in plots.figures(of(vggcalc.factorize(7))) if "against MACs" in one.title]


# Block by block


def test_bars_are_as_long_as_the_costs() -> None:
    comparison = timed(vggcalc.compare("vgg16"), CPU, blocks=True)
    found = panels(drawn(one_of(of(comparison), "blocks")))
    assert [axes.get_title("left") for axes in found] == ["parameters", "MACs", f"time, {CPU.label}"]
    for axes, key in zip(found, ("parameters", "macs"), strict=False):
        blocks = zip(*(variant.blocks for variant in comparison.variants), strict=True)
        assert [bar.get_width() for bar in axes.patches] == [block.costs[key] for pair in blocks for block in pair]
        assert axes.get_xscale() == "linear"
        assert axes.get_xlim()[0] == 0
    assert [text.get_text() for text in found[0].get_yticklabels()] == [
        one.name for one in comparison.variants[0].blocks
    ]


def test_the_architecture_has_a_box_for_each_layer_with_its_kernel_and_channels() -> None:
    comparison = vggcalc.compare("64,M,128@7s2", size=32)
    canvas = drawn(one_of(of(comparison), "architecture"))
    (axes,) = panels(canvas)
    boxes = [patch.get_bbox() for patch in axes.patches if isinstance(patch, Rectangle)]
    texts = {text.get_text(): text.get_position() for text in axes.texts}
    assert len(boxes) == sum(variant.convolutions for variant in comparison.variants) == 6
    assert {"naive", "factorized", "block1\n64×16×16", "block2\n128×8×8", "7×7 /2, 64 → 128"} <= texts.keys()
    inside = {text for text, (x, y) in texts.items() if text and any(box.contains(x, y) for box in boxes)}
    assert inside == {"3×3, 3 → 64", "7×7 /2, 64 → 128", "3×3, 64 → 128", "3×3, 128", "3×3 /2, 128"}


def test_a_sweep_is_small_multiples_with_a_row_for_each_line(tmp_path: Path) -> None:
    path = tmp_path / "f.svg"
    done = invoke("sweep", "--kernel", "3:9:2", "--channels", "16,64,256", "--format", "csv", "--plot", str(path))
    assert (done.returncode, done.stderr) == (0, "")
    root = ElementTree.fromstring(path.read_bytes())
    assert float(root.attrib["height"].removesuffix("pt")) < 1.3 * float(root.attrib["width"].removesuffix("pt"))
    text = "".join(root.itertext())
    assert all(f"{channels} → {channels}, 56×56" in text for channels in (16, 64, 256))
    assert text.count("MACs, log") == 1


def test_a_figure_is_chosen_by_its_name_and_is_as_wide_as_asked(tmp_path: Path) -> None:
    path = tmp_path / "f.svg"
    comparison = vggcalc.compare("vgg11")
    for name in ("blocks", "architecture", "receptive-field"):
        comparison.plot(path, name, width=127)
        root = ElementTree.fromstring(path.read_bytes())
        assert root.attrib["width"] == "360pt"
        assert one_of(of(comparison), name).title in "".join(root.itertext())
    shown = comparison.plot(figure="blocks")
    assert shown is not None
    assert shown._repr_html_().count("<svg") == 1
    two = plots.figures(of(*(timed(every(kernel), CPU, HALF) for kernel in (5, 7))))
    assert [figure.name for figure in two] == ["costs", "latency", "latency-2"]


def test_what_is_not_drawn_is_said(tmp_path: Path) -> None:
    for name, others in (("f.svg", "--figure architecture or receptive-field"), ("f.pdf", None)):
        done = invoke("compare", "8,M,8@5", "--size", "8", "--no-latency", "--json", "--plot", str(tmp_path / name))
        assert done.returncode == 0
        assert others in done.stderr if others else done.stderr == ""


# To be read


def written(draw: Callable[[], Canvas]) -> tuple[Canvas, list[tuple[str, Bbox]]]:
    """What is drawn, every text that reaches the page, and where it stands."""
    found: list[Text] = []
    draw_text = Text.draw
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Text, "draw", lambda text, renderer: (found.append(text), draw_text(text, renderer)))
        canvas = draw()
    return canvas, [(text.get_text(), Text.get_window_extent(text)) for text in found if text.get_text().strip()]


def all_reports() -> dict[str, Report]:
    vgg = vggcalc.compare("vgg19", into=tuple(PLANAR))
    return {
        "15 kernels, all families, measured": of(*(timed(every(kernel), HALF) for kernel in SIZES)),
        "three kernels": of(*(vggcalc.factorize(kernel) for kernel in (7, 31, 101))),
        "7×7, all families, measured": of(timed(every(7), HALF)),
        "31×31, all families": of(every(31)),
        "strided and dilated": of(every(7, stride=2, dilation=2)),
        "two variants": of(timed(vggcalc.factorize(5), CPU)),
        "vgg19, all families, measured": of(timed(vgg, CPU, blocks=True)),
        "vgg19, measured": of(timed(vggcalc.compare("vgg19"), CPU, blocks=True)),
        "googlenet": of(vggcalc.summary("googlenet")),
    }


Canvases = dict[str, tuple[Canvas, list[tuple[str, Bbox]]]]


@pytest.fixture(scope="module")
def canvases() -> Canvases:
    """Every figure, and what is written in it."""
    found = {f"{what}: {figure.title}": figure for what, one in all_reports().items() for figure in plots.figures(one)}
    widths = [180 / 25.4, style.WIDTH, style.WIDTH]  # of a page, for every third
    return {
        what: written(partial(drawn, figure, width))
        for (what, figure), width in zip(found.items(), cycle(widths), strict=False)
    }


def test_no_text_is_clipped_nor_covers_another(canvases: Canvases) -> None:
    for what, (canvas, boxes) in canvases.items():
        page = canvas.bbox.padded(1)
        assert len(boxes) > 3, what
        for text, box in boxes:
            assert page.x0 <= box.x0 <= box.x1 <= page.x1, f"{what}: {text!r} leaves the page"
            assert page.y0 <= box.y0 <= box.y1 <= page.y1, f"{what}: {text!r} leaves the page"
        for (one, a), (two, b) in combinations(boxes, 2):
            wide, high = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
            assert wide < 4 or high < 4, f"{what}: {one!r} and {two!r} cover each other"


def test_series_differ_by_more_than_colour(canvases: Canvases) -> None:
    names = [f"variant {i}" for i in range(11)]
    looks = [(one.marker, str(one.line)) for one in style.styles(names).values()]
    assert len(set(looks)) == len({marker for marker, _ in looks}) == len(names)
    assert len({one.colour for one in style.styles(names).values()}) == len(names)
    for what, (canvas, _) in canvases.items():
        for axes in panels(canvas):
            named = [line for line in axes.lines if not line.get_label().startswith("_")]
            joined = [line for line in named if line.get_linestyle() != "None"]
            dashes = {str(line._dash_pattern) + str(line.get_drawstyle()) for line in joined}
            assert len(dashes) >= min(len(joined), 7), what
            marked = {line.get_marker() for line in axes.lines} - {"None", "", "_"}
            assert len(marked) >= len(named), what


def ticks_of(low: float, high: float, quantity: ticks.Quantity) -> list[str]:
    """What stands on an axis from `low` to `high`."""
    axes = Canvas().subplots()
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    ticks.log_axis(axes.yaxis, quantity)
    assert not axes.yaxis.get_minorticklocs().size
    inside = [tick for tick in axes.yaxis.get_majorticklocs() if low <= tick <= high]
    return axes.yaxis.get_major_formatter().format_ticks(inside)


@pytest.mark.parametrize(
    ("low", "high", "quantity", "expected"),
    [
        (3e3, 4e6, "count", ["10 k", "100 k", "1 M"]),
        (2.1e6, 4.2e6, "count", ["3 M", "4 M"]),
        (1.2e9, 3e9, "count", ["1.5 G", "2 G", "3 G"]),
        (60_000, 5e6, "bytes", ["64 KiB", "256 KiB", "1 MiB", "4 MiB"]),
        (100e-6, 20e-3, "seconds", ["100 µs", "1 ms", "10 ms"]),
        (0.4, 1.3, "ratio", ["0.5", "0.7", "1"]),
        (1, 1e15, "count", ["1", "1 M", "1 T"]),
    ],
)
def test_ticks_are_round_numbers_with_units(
    low: float, high: float, quantity: ticks.Quantity, expected: list[str]
) -> None:
    found = ticks_of(low, high, quantity)
    assert set(expected) <= set(found)
    assert len(found) <= 8


@given(st.floats(1e-9, 1e15), st.floats(1.5, 1e9), st.sampled_from(["count", "bytes", "seconds", "ratio"]))
def test_there_are_ticks_for_any_range(low: float, span: float, quantity: ticks.Quantity) -> None:
    found = ticks_of(low, low * span, quantity)
    assert 2 <= len(found) <= 12
    assert len(set(found)) == len(found)


@given(st.lists(st.integers(1, 200), min_size=1, unique=True), st.floats(0.5, 40))
def test_thinned_places_stand_apart(places: list[int], least: float) -> None:
    kept = ticks.thinned(sorted(places), least)
    assert set(kept) <= set(places)
    assert kept
    assert all(b - a >= least for a, b in pairwise(kept))


# Files


def test_svg_is_the_same_every_time_and_fit_for_a_page() -> None:
    report = of(timed(vggcalc.factorize(7, into=("stack", "stripes")), CPU))
    found = plots.svg(report)
    assert plots.svg(report) == found
    assert [title for title, _, _ in found] == [figure.title for figure in plots.figures(report)]
    ids: list[str] = []
    for title, caption, element in found:
        assert caption.endswith(".")
        assert element.startswith("<svg ")
        assert element.endswith("</svg>")
        root = ElementTree.fromstring(element)
        assert root.attrib["aria-label"] == caption
        own = [node.attrib["id"] for node in root.iter() if "id" in node.attrib]
        ids += own
        assert set(re.findall(r'(?:url\(|href=")#([^)"]+)', element)) <= set(own)
        words = "".join(root.itertext())
        assert "naive" in words
        assert title not in words  # the page has it already
        assert "sans-serif" in element
        assert "<style" not in element
        assert not re.search(r"20\d\d-\d\d-\d\d|<metadata|<\?xml|<!DOCTYPE", element)
    assert len(ids) == len(set(ids))


def test_svg_is_the_same_in_another_process(tmp_path: Path) -> None:
    """Whatever the order of its sets is."""
    command = ("factorize", "5", "--no-latency", "--plot")
    assert run(*command, str(tmp_path / "a.svg"), PYTHONHASHSEED="1").returncode == 0
    assert invoke(*command, str(tmp_path / "b.svg")).returncode == 0
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


@pytest.mark.parametrize(("suffix", "magic"), [("svg", b"<?xml"), ("png", b"\x89PNG"), ("PDF", b"%PDF")])
def test_save_goes_by_the_suffix_and_is_reproducible(tmp_path: Path, suffix: str, magic: bytes) -> None:
    report = of(vggcalc.compare("4,M,4@5", size=8))
    path = tmp_path / f"figures.{suffix}"
    save(report, str(path))
    written = path.read_bytes()
    assert written.startswith(magic)
    save(report, str(path))
    assert path.read_bytes() == written
    assert [one.name for one in tmp_path.iterdir()] == [path.name]
    if suffix == "PDF":
        assert len(re.findall(rb"/Type /Page\b", written)) == len(plots.figures(report)) == 3
        assert b"/CreationDate" not in written
    if suffix == "svg":
        text = "".join(ElementTree.fromstring(written).itertext())
        first, *others = plots.figures(report)
        assert first.title in text
        assert not any(figure.title in text for figure in others)


def test_what_cannot_be_saved_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    report = of(vggcalc.factorize(5))
    for name in ("figures.gif", "figures", ".svg", "-"):
        with pytest.raises(InputError, match=r"must end with \.svg, \.png or \.pdf"):
            save(report, str(tmp_path / name))
    with pytest.raises(InputError, match="nothing to draw"):
        save(of(vggcalc.summary("64")), str(tmp_path / "figures.svg"))
    with pytest.raises(OutputError, match=r"--plot .* cannot be written"):
        save(report, str(tmp_path / "no" / "figures.svg"))
    assert list(tmp_path.iterdir()) == []


def test_the_users_own_settings_change_nothing() -> None:
    import matplotlib

    report = of(vggcalc.factorize(5))
    plain = plots.svg(report)
    with matplotlib.rc_context({"axes.facecolor": "red", "font.size": 30, "svg.fonttype": "path"}):
        assert plots.svg(report) == plain


# The command line


def test_plot_writes_a_file_beside_the_report(tmp_path: Path) -> None:
    path = tmp_path / "figures.svg"
    plain = invoke("factorize", "3", "5", "7", "--no-latency", "--json")
    done = invoke("factorize", "3", "5", "7", "--no-latency", "--json", "--plot", str(path))
    assert (done.returncode, done.stdout, done.stderr) == (0, plain.stdout, "")
    assert "Costs over kernel size" in path.read_text(encoding="utf-8")


def test_plot_draws_what_was_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "figures.svg"
    measured = [timed(vggcalc.factorize(kernel), CPU) for kernel in (5, 7)]
    monkeypatch.setattr(pipeline, "measure_with_progress", outcome(measured))
    done = invoke("factorize", "5", "7", "--plot", str(path), "--figure", "latency")
    assert done.returncode == 0, done.stderr
    text = path.read_text(encoding="utf-8")
    assert "Latency over kernel size, cpu" in text
    assert "95% interval" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("factorize", "7", "--plot", "f.gif"), "--plot f.gif names no kind of picture"),
        (("factorize", "7", "--plot", "no/such/f.svg"), "--plot no/such/f.svg cannot be written"),
        (("factorize", "7", "--plot", "f.svg", "--output", "./f.svg"), "both name f.svg"),
        (("summary", "64", "--no-latency", "--plot", "f.svg"), "nothing to draw"),
        (("factorize", "7", "--plot", "f.svg", "--figure", "coverag"), "did you mean coverage?"),
        (
            ("factorize", "7", "--no-latency", "--plot", "f.svg", "--figure", "costs"),
            "there are coverage, architecture",
        ),
        (("factorize", "7", "--plot", "f.svg", "--width", "9"), "a width of 9 mm is none of a figure: give 60 to 600"),
        (("factorize", "7", "--figure", "coverage"), "give --plot FILE too"),
    ],
)
def test_a_plot_that_cannot_be_is_said_before_anything_is_measured(
    arguments: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = invoke(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


WITHOUT = """
import sys
sys.modules["matplotlib"] = None
sys.argv = ["vggcalc", *sys.argv[1:]]
from vggcalc.cli.main import main
main()
"""


def test_a_missing_matplotlib_names_the_command_before_anything_is_measured(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WITHOUT, "factorize", "7"]
    done = subprocess.run([*command, "--plot", str(tmp_path / "f.png")], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert "pip install matplotlib" in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
    assert subprocess.run([*command, "--no-latency"], capture_output=True).returncode == 0


def test_an_unusable_setting_of_matplotlib_is_no_traceback(tmp_path: Path) -> None:
    done = run("factorize", "7", "--no-latency", "--plot", str(tmp_path / "f.png"), MPLBACKEND="nonsense")
    assert done.returncode == 2
    assert done.stderr.startswith("vggcalc: error: figures need matplotlib, which does not start")


def outcome(comparisons: Sequence[Comparison], **what: bool) -> Callable[..., MeasurementOutcome]:
    return lambda *_: MeasurementOutcome(tuple(comparisons), **what)


def test_what_there_is_is_drawn_when_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paper = [vggcalc.factorize(kernel) for kernel in (5, 7)]
    half = [timed(paper[0], CPU), paper[1]]
    monkeypatch.setattr(pipeline, "measure_with_progress", outcome(half, interrupted=True))
    path = tmp_path / "f.svg"
    picture = Picture(str(path), "latency")
    status = pipeline.measure_and_write("factorize", paper, Plan(), "json", str(tmp_path / "f.json"), picture=picture)
    assert status == ExitStatus.INTERRUPTED
    assert "Latency over kernel size, cpu" in path.read_text(encoding="utf-8")


def test_nothing_drawn_after_measuring_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    paper = [vggcalc.summary("64")]
    monkeypatch.setattr(pipeline, "measure_with_progress", outcome(paper))
    path = tmp_path / "f.svg"
    picture = Picture(str(path))
    try:
        status = pipeline.measure_and_write("summary", paper, Plan(), "json", None, picture=picture)
    finally:
        picture.discard()
    assert status == ExitStatus.INCOMPLETE
    assert "there is nothing to draw" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
