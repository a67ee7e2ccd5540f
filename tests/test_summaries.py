"""The table of a summary: modules down to a depth, equal ones folded, sorted, cut; always adding up to the total."""

import re
from collections import OrderedDict
from functools import cache
from math import prod
from pathlib import Path

import process
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import vggcalc
from vggcalc.analysis.costs import COSTS
from vggcalc.analysis.modules import SCREEN_ROWS, SummaryOptions, summarize_modules
from vggcalc.cli.app import cli
from vggcalc.pipeline.report import make_report
from vggcalc.report.formats import FORMATS, Screen
from vggcalc.results import Comparison, ModuleSummary, Variant

IMAGE = (1, 3, 32, 32)


class Residual(nn.Module):
    def __init__(self, channels: int, kernel: int = 3) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, kernel, padding=kernel // 2, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(channels, channels, kernel, padding=kernel // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(self.relu(self.norm1(self.conv1(x))))


class Stages(nn.Module):
    """Of the first stage all blocks are equal; in the second the last has larger kernels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.stage1 = nn.Sequential(*[Residual(8) for _ in range(12)])
        self.down = nn.Conv2d(8, 16, 2, 2)
        self.stage2 = nn.Sequential(Residual(16), Residual(16), Residual(16, 5))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stage2(self.down(self.stage1(self.stem(x))))
        return self.head(self.pool(x).flatten(1))


def transformer() -> nn.Module:
    layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
    return nn.TransformerEncoder(layer, 12, enable_nested_tensor=False)


STAGES = Stages()


@cache
def variant_of(model: str) -> Variant:
    """Of a published network, or of `STAGES`, traced."""
    return (vggcalc.summary(STAGES, IMAGE) if model == "stages" else vggcalc.summary(model)).variants[0]


def modules_of(comparison: Comparison) -> ModuleSummary:
    assert comparison.modules is not None
    return comparison.modules


def names(modules: ModuleSummary) -> list[str]:
    return [f"{row.name} ×{row.count}" if row.count > 1 else row.name for row in modules.rows]


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["stages", "vgg16_bn", "googlenet"]).map(variant_of),
    st.none() | st.integers(1, 6),
    st.lists(st.sampled_from(sorted(COSTS)), max_size=3, unique=True).map(tuple),
    st.none() | st.sampled_from(sorted(COSTS)),
    st.none() | st.integers(1, 40),
    st.booleans(),
)
def test_the_rows_and_the_others_add_up_to_the_total(
    variant: Variant, depth: int | None, columns: tuple[str, ...], sort: str | None, top: int | None, all_rows: bool
) -> None:
    options = SummaryOptions(depth=depth, columns=columns, sort=sort, top=top, all_rows=all_rows)
    found = summarize_modules(variant, options)
    rows = [*found.rows, *([found.others] if found.others else [])]
    assert sorted(name for row in rows for name in row.layers) == sorted(layer.name for layer in variant.layers)
    for key, cost in COSTS.items():
        if cost.total is not None:
            assert cost.total([row.costs[key] for row in rows]) == variant.costs[key]  # type: ignore[arg-type, misc]
    if top is not None:
        assert len(found.rows) <= top
    if sort is not None:
        values = [row.costs[sort] or 0 for row in found.rows]
        assert values == sorted(values, reverse=True)
        if found.others is not None and top is not None and found.others.count > found.costless:
            assert len(found.rows) == top
    if all_rows:
        assert found.costless == 0
        assert all(row.count == 1 for row in found.rows)


def parameters_of(*paths: str) -> int:
    return sum(prod(one.shape) for path in paths for one in STAGES.get_submodule(path).parameters())


def test_a_module_has_the_parameters_of_all_that_is_inside() -> None:
    found = modules_of(vggcalc.summary(STAGES, IMAGE, depth=2))
    assert names(found) == ["stem", "stage1.0–11 ×12", "down", "stage2.0–1 ×2", "stage2.2", "head"]
    assert [row.costs["parameters"] for row in found.rows] == [
        parameters_of(*paths)
        for paths in (["stem"], ["stage1"], ["down"], ["stage2.0", "stage2.1"], ["stage2.2"], ["head"])
    ]
    shallow = modules_of(vggcalc.summary(STAGES, IMAGE, depth=1))
    assert names(shallow) == ["stem", "stage1", "down", "stage2", "head"]
    assert [row.costs["macs"] for row in shallow.rows if row.name == "stage1"] == [12 * 2 * 32 * 32 * 9 * 8 * 8]


def test_layers_of_equal_modules_are_folded_too() -> None:
    found = modules_of(vggcalc.summary(STAGES, IMAGE, depth=3))
    assert "stage1.0–11.conv1 ×12" in names(found)
    assert "stage2.2.conv1" in names(found)
    (row,) = [row for row in found.rows if row.name == "stage1.0–11.conv1"]
    assert row.layers == tuple(f"stage1.{i}.conv1" for i in range(12))
    assert row.costs["parameters"] == 12 * 9 * 8 * 8


def test_what_is_not_equal_or_not_numbered_in_a_row_stays_apart() -> None:
    widths = nn.Sequential(*[nn.Conv2d(3, 3, kernel, padding=kernel // 2) for kernel in (3, 3, 5, 3)])
    assert names(modules_of(vggcalc.summary(widths, IMAGE, depth=1))) == ["0–1 ×2", "2", "3"]
    frozen = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1))
    frozen[1].requires_grad_(False)
    assert names(modules_of(vggcalc.summary(frozen, IMAGE, depth=1))) == ["0", "1"]


def test_small_networks_show_their_layers_and_large_ones_fit_a_screen() -> None:
    small = modules_of(vggcalc.summary("vgg16"))
    assert [row.name for row in small.rows] == [
        layer.name for layer in vggcalc.summary("vgg16").variants[0].layers if layer.parameters
    ]
    large = modules_of(vggcalc.summary(STAGES, IMAGE))
    assert len(large.rows) <= SCREEN_ROWS
    found = modules_of(vggcalc.summary(transformer(), (1, 20, 32)))
    assert len(found.rows) <= SCREEN_ROWS
    assert "layers.0–11.linear1 ×12" in names(found)


def test_a_flat_network_of_many_layers_is_shown_whole() -> None:
    flat = nn.Sequential(*[nn.Conv2d(3, 3, 1 + 2 * (i % 2), padding=i % 2) for i in range(2 * SCREEN_ROWS)])
    assert len(modules_of(vggcalc.summary(flat, IMAGE)).rows) == 2 * SCREEN_ROWS


def test_rows_without_a_cost_that_is_shown_are_left_out() -> None:
    by_default = modules_of(vggcalc.summary("64,M,128"))
    assert [row.name for row in by_default.rows] == ["block1.conv1", "block2.conv1"]
    assert by_default.others is not None
    assert by_default.others.count == by_default.costless == 3
    saved = modules_of(vggcalc.summary("64,M,128", columns=["saved_bytes"]))
    assert [row.name for row in saved.rows] == [
        layer.name for layer in vggcalc.summary("64,M,128").variants[0].layers if layer.saved_bytes
    ]
    everything = modules_of(vggcalc.summary("64,M,128", all_rows=True))
    assert everything.others is None
    assert len(everything.rows) == 5


def test_an_unknown_cost_is_a_cost() -> None:
    """What has no formula is never left out, and what it is added to is a lower bound."""

    class Fourier(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.fft.rfft2(x).abs()

    found = modules_of(vggcalc.summary(nn.Sequential(nn.Conv2d(3, 4, 3), Fourier()), IMAGE, depth=1))
    assert [row.name for row in found.rows] == ["0", "1"]
    assert "macs" in found.rows[1].partial
    layers = modules_of(vggcalc.summary(nn.Sequential(nn.Conv2d(3, 4, 3), Fourier()), IMAGE))
    assert [row.costs["macs"] for row in layers.rows if not row.costs["macs"]] == [None]


def test_the_bytes_of_outputs_are_those_that_modules_put_out() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(1800, 10))
    put_out: list[int] = []
    for module in model:
        if not isinstance(module, nn.Flatten):
            module.register_forward_hook(lambda module, arguments, output: put_out.append(output.nbytes))
    model.eval()(torch.zeros(IMAGE))
    for module in model:
        module._forward_hooks.clear()
    assert vggcalc.summary(model, IMAGE).output_bytes == sum(put_out)


@pytest.mark.parametrize("format_", ["table", "markdown", "html"])
def test_every_format_for_people_shows_these_rows_and_columns(format_: str) -> None:
    options = ["--depth", "1", "--columns", "macs,saved_bytes", "--sort", "saved_bytes", "--top", "2"]
    text = CliRunner().invoke(cli, ["summary", "vgg11", "--no-latency", *options, "--format", format_]).stdout
    shown = (
        text.partition("<table")[2].partition("</table>")[0] if format_ == "html" else text.partition("vgg11, input")[2]
    )
    assert re.findall(r"(block\d|classifier|others|total)\b", shown)[:4] == ["block1", "block2", "others", "total"]
    assert "parameters" not in shown.partition("others")[0]
    assert "saved activations" in shown


def test_a_table_says_what_it_leaves_out() -> None:
    text = " ".join(str(vggcalc.summary(STAGES, IMAGE, depth=2, top=2)).split())
    assert "Modules down to depth 2 of 3; ×N: N equal modules, with the costs of all N; 2 others without" in text
    assert "4 others beyond the first 2 by MACs. More: --depth, --all-rows." in text
    assert "More:" not in str(vggcalc.summary("64,M,128", all_rows=True))


def test_documents_have_the_rows_beside_every_layer(tmp_path: Path) -> None:
    comparison = vggcalc.summary("vgg11", depth=1, top=1)
    comparison.save(tmp_path / "vgg11.json")
    read = vggcalc.load(tmp_path / "vgg11.json")
    assert read.modules == comparison.modules
    assert len(read.variants[0].layers) == len(comparison.variants[0].layers)
    assert len(comparison.to_csv("module").splitlines()) == 1 + 2  # the header, the one and the others
    assert len(comparison.to_csv().splitlines()) == 1 + len(read.variants[0].layers)


def test_resnet50_to_depth_2_fits_a_screen() -> None:
    pytest.importorskip("torchvision")
    lines = process.invoke("summary", "torchvision:resnet50", "--depth", "2", "--no-latency").stdout.splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 80
    figures = [re.findall(r"  ([\d,]+)", line)[-2:] for line in lines if re.match(r"layer\d\.|conv1|bn1|fc", line)]
    totals = [sum(int(one.replace(",", "")) for one in column) for column in zip(*figures, strict=True)]
    assert totals == [25_557_032, 4_089_184_256]  # torchvision's metadata; MACs by torch's counter


@pytest.mark.parametrize(("dims", "kernel", "window"), [(1, "k3", "k2"), (2, "3×3", "2×2"), (3, "3×3×3", "2×2×2")])
def test_kinds_are_said_alike_in_every_dimension(dims: int, kernel: str, window: str) -> None:
    lines = str(vggcalc.summary("64,64,M", dims=dims, batch_norm=True, all_rows=True)).splitlines()
    kinds = {cells[0]: cells[1] for line in lines if len(cells := re.split(r"  +", line)) > 2}
    assert (kinds["block1.conv1"], kinds["block1.pool"]) == (kernel, f"{window} max-pool")
    assert "batch norm" in kinds.values()
    assert kinds["block1"] == f"{kernel} ×2"


def test_a_first_input_that_is_not_used_still_has_its_shape() -> None:
    class Second(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return self.conv(y)

    comparison = vggcalc.summary(Second(), (torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 9, 9)))
    assert comparison.variants[0].network.input_shape == (1, 3, 8, 8)
    assert "1×3×8×8" in comparison.to_html()


@pytest.mark.parametrize("width", [60, 80, 100])
def test_long_names_never_make_a_table_wider_than_the_screen(width: int) -> None:
    """A name shows its end, which tells it from its neighbours; JSON and Markdown have all of it."""
    name = "_".join(["encoder"] * 12)
    model = nn.Sequential(OrderedDict([(name, nn.Conv2d(3, 64, 7)), ("head", nn.Conv2d(64, 8, 3))]))
    comparison = vggcalc.summary(model, (1, 3, 32, 32))
    text = FORMATS["table"](make_report("summary", [comparison]), Screen(width))
    assert max(map(len, text.splitlines())) <= width
    assert re.search(r"^…\w*encoder ", text, re.MULTILINE)
    assert name in comparison.to_markdown().replace("\\", "")
