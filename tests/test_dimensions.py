"""One to three dimensions, causal or not: split, merge, coverage, paths and fuse as laws, against torch's modules."""

import re
from math import prod
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from builders import report
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

import vggcalc
from vggcalc.analysis.reach import coverage
from vggcalc.errors import InputError
from vggcalc.nets.families import FAMILIES, Factorization, factorized
from vggcalc.nets.graph import INPUT, chain
from vggcalc.nets.kernel import Kernel
from vggcalc.nets.layers import Conv, Conv1d, Conv2d, Conv3d, Convolution, ReLU, in_axes
from vggcalc.nets.merging import merge
from vggcalc.nets.names import PAD_AT
from vggcalc.nets.paths import chain_paths, network_paths
from vggcalc.nets.replacing import split
from vggcalc.report.figures import figures
from vggcalc.runtime.build import build
from vggcalc.runtime.check.verify import verify
from vggcalc.runtime.fuse.fuse import fuse
from vggcalc.runtime.time.arms import fill

KINDS: tuple[type[Conv], ...] = (Conv1d, Conv2d, Conv3d)


@st.composite
def convolutions(draw: st.DrawFn, odd: bool = True, most: int = 9, groups: bool = True) -> Conv:
    """Any of one to three axes with its own kernel, stride, dilation and padding along each, also none behind one."""
    kind = draw(st.sampled_from(KINDS))
    axes = kind.axes

    def each(least: int, most: int) -> tuple[int, ...]:
        return tuple(draw(st.integers(least, most)) for _ in range(axes))

    kernel = tuple(k - (k % 2 == 0) if odd else k for k in each(1, most if axes < 3 else min(most, 7)))
    assume(max(kernel) > 1)
    dilation = each(1, 2)
    whole = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    style = draw(st.sampled_from(("same", "causal", "any")))
    before = tuple(n // 2 for n in whole) if style != "any" else each(0, 6)
    after: Any = None
    if style == "causal":
        before, after = (whole[0], *before[1:]), (0, *before[1:])
    count = draw(st.sampled_from((1, 1, 2, 4))) if groups else 1
    into, out_of = (count * draw(st.integers(1, 3)) for _ in range(2))
    return kind(into, out_of, kernel, each(1, 3), before, dilation, count, draw(st.booleans()), after)


def output_sizes(conv: Conv, sizes: tuple[int, ...]) -> tuple[int, ...] | None:
    """torch's own: of the input padded by hand."""
    before, after = conv.sides
    padded = [n + p + q for n, p, q in zip(sizes, before, after, strict=True)]
    arguments = msgspec.structs.asdict(conv)
    del arguments["padding_after"]
    try:
        with torch.device("meta"):
            module = getattr(nn, type(conv).__name__)(**arguments | {"padding": 0})
            return tuple(module(torch.empty(1, conv.in_channels, *padded)).shape[2:])
    except RuntimeError:
        return None


def field(layers: tuple[Conv, ...], axis: int) -> tuple[int, int, int]:
    """Araujo et al. 2019: (size, stride, padding in front)."""
    size, stride, padding = 1, 1, 0
    for conv in layers:
        size += conv.dilation[axis] * (conv.kernel_size[axis] - 1) * stride
        padding += conv.padding[axis] * stride
        stride *= conv.stride[axis]
    return size, stride, padding


@settings(max_examples=30)
@given(conv=convolutions(), data=st.data())
def test_a_stack_keeps_shape_receptive_field_and_causality(conv: Conv, data: st.DataObject) -> None:
    layers = split(conv)
    assert len(layers) == max((k - 1) // 2 for k in conv.kernel_size)
    for axis, k in enumerate(conv.kernel_size):
        along = [layer.kernel_size[axis] for layer in layers]
        assert along == [3] * ((k - 1) // 2) + [1] * (len(layers) - (k - 1) // 2)
        assert field(layers, axis) == field((conv,), axis)
        if conv.sides[1][axis] == 0:
            assert all(layer.sides[1][axis] == 0 for layer in layers)
    sizes = tuple(data.draw(st.integers(1, 25)) for _ in range(conv.axes))
    made: tuple[int, ...] | None = sizes
    for layer in layers:
        made = made and output_sizes(layer, made)
    assert made == output_sizes(conv, sizes)


@settings(max_examples=100)
@given(conv=convolutions(), pad_at=st.sampled_from(PAD_AT))
def test_a_stack_merges_into_its_convolution(conv: Conv, pad_at: str) -> None:
    assert merge(split(conv, Factorization(pad_at=pad_at))) == conv


@settings(max_examples=100)
@given(
    conv=convolutions(), family=st.sampled_from(sorted(FAMILIES)) | st.just("stack"),
    stride_at=st.sampled_from(("last", "first")), data=st.data(),
)  # fmt: skip
@example(Conv1d(1, 1, 5, padding=2, bias=False), "stack", "last", None)
def test_what_pads_in_its_first_window_alone_is_one_convolution_at_the_edges_too(
    conv: Conv, family: str, stride_at: str, data: st.DataObject | None
) -> None:
    """`fuse` composes the layers; torch runs both on maps that are all edge.

    A stack's layers may have biases. In other families one may stand before the padding, which has none of it.
    """
    if family != "stack":
        conv = msgspec.structs.replace(conv, bias=False)
    try:
        branches = factorized(conv, Factorization(family, stride_at, pad_at="first"))
    except InputError:
        return
    window = [d * (k - 1) + 1 for d, k in zip(conv.dilation, conv.kernel_size, strict=True)]
    least = [max(1, w - sum(p)) for w, *p in zip(window, *conv.sides, strict=True)]
    sizes = [n + (data.draw(st.integers(0, 4)) if data else 4) for n in least]
    image = torch.randn(1, conv.in_channels, *sizes, dtype=torch.float64)
    for branch in branches:
        stack = build(chain("branch", tuple(image.shape), [(f"conv{i}", layer) for i, layer in enumerate(branch)]))
        with torch.no_grad():
            wanted, found = stack.double()(image), fuse(stack)(image)
        assert torch.allclose(found, wanted, rtol=1e-9, atol=1e-9)


@settings(max_examples=120)
@given(
    conv=convolutions(odd=False), family=st.sampled_from(sorted(FAMILIES)),
    stride_at=st.sampled_from(("last", "first", 1, 2)), pad_at=st.sampled_from(PAD_AT), data=st.data(),
)  # fmt: skip
def test_whatever_can_be_made_keeps_the_shape_for_every_size(
    conv: Conv, family: str, stride_at: str | int, pad_at: str, data: st.DataObject
) -> None:
    if conv.axes not in FAMILIES[family].dims:
        with pytest.raises(InputError, match=rf"^{re.escape(family)} means nothing in {conv.axes}-D: it is for"):
            factorized(conv, Factorization(family, stride_at))
        return
    try:
        branches = factorized(conv, Factorization(family, stride_at, pad_at=pad_at))
    except InputError:
        return
    window = [d * (k - 1) + 1 for d, k in zip(conv.dilation, conv.kernel_size, strict=True)]
    sizes = tuple(
        data.draw(st.integers(max(1, w - sum(pads)), w + 12)) for w, *pads in zip(window, *conv.sides, strict=True)
    )
    for branch in branches:
        made: tuple[int, ...] | None = sizes
        for layer in branch:
            made = made and output_sizes(layer, made)
        assert made == output_sizes(conv, sizes)
        assert (branch[0].in_channels, branch[-1].out_channels) == (conv.in_channels, conv.out_channels)
        assert {layer.bias for layer in branch} == {conv.bias}
    if stride_at == "last":
        covered = coverage(conv, branches, family)
        assert 0 < covered.positions <= covered.of == prod(conv.kernel_size)
        assert covered.window == "full" or family in ("dilated", "stripes")


def seen_by_gradient(network: vggcalc.Network, sizes: tuple[int, ...]) -> Tensor:
    """How many paths lead from each input position to the middle unit: the gradient with all weights 1."""
    built = build(network).double()
    for name, parameter in built.named_parameters():
        nn.init.constant_(parameter, 0.0 if name.endswith("bias") else 1.0)
    image = torch.ones(1, 1, *sizes, dtype=torch.float64, requires_grad=True)
    output = built(image)
    output[(0, 0, *(n // 2 for n in output.shape[2:]))].backward()
    assert image.grad is not None
    return image.grad[0, 0]


@settings(max_examples=30)
@given(
    conv=convolutions(odd=False, most=5, groups=False),
    family=st.sampled_from(("stack", "asymmetric", "stripes", "(2+1)d")),
)
def test_fields_paths_and_coverage_are_those_of_a_gradient(conv: Conv, family: str) -> None:
    conv = msgspec.structs.replace(conv, in_channels=1, out_channels=1)
    try:
        branches = factorized(conv, Factorization(family, widths=None if family == "stripes" else (1,)))
    except InputError:
        return
    window = [d * (k - 1) + 1 for d, k in zip(conv.dilation, conv.kernel_size, strict=True)]
    sizes = tuple(4 * w + 5 for w in window)
    kernel = Kernel(conv.kernel_size, 1, 1, sizes, activation="none", dims=conv.axes)
    network = kernel.network(branches)
    gradient = seen_by_gradient(network, sizes)
    variant = vggcalc.summary(network).variants[0]
    unit = [n // 2 for n in variant.output_shape[2:]]
    expected = torch.zeros(sizes, dtype=torch.float64)
    for terms in network_paths(network)[INPUT]:
        counts = torch.ones((), dtype=torch.float64)
        for axis, paths in enumerate(terms):
            along = torch.zeros(sizes[axis], dtype=torch.float64)
            for position, count in enumerate(paths.counts, paths.first + unit[axis] * conv.stride[axis]):
                along[position] = count
            counts = counts[..., None] * along
        expected += counts
    assert torch.equal(gradient, expected)
    assert variant.receptive_field is not None
    for axis, places in enumerate((gradient != 0).nonzero().T.tolist()):
        first = unit[axis] * conv.stride[axis] - variant.receptive_field.padding[axis]
        assert min(places) == first
        assert max(places) - first + 1 == variant.receptive_field.size[axis]


@settings(max_examples=20)
@given(conv=convolutions(most=5), batch_norm=st.booleans())
def test_what_is_built_is_what_was_counted(conv: Conv, batch_norm: bool) -> None:
    """Shape, parameters and MACs of every convolution and its stack, by torch's own counter."""
    norm = [("a", in_axes("BatchNorm", conv.axes)(conv.out_channels))] if batch_norm else []
    sizes = tuple(2 * d * (k - 1) + 3 for d, k in zip(conv.dilation, conv.kernel_size, strict=True))
    network = split(chain("net", (2, conv.in_channels, *sizes), [("a", conv), *norm, ("a", ReLU())]))
    variant = vggcalc.summary(network).variants[0]
    with torch.device("meta"), FlopCounterMode(display=False) as counter, torch.inference_mode():
        built = build(network).eval()
        assert tuple(built(torch.empty(network.input_shape)).shape) == variant.output_shape
    assert sum(parameter.numel() for parameter in built.parameters()) == variant.parameters
    assert counter.get_total_flops() == variant.flops


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_weights_to_be_timed_are_filled_in_every_dimension(dims: int) -> None:
    """What is built for a latency begins with whatever its memory holds."""
    built = build(vggcalc.factorize(5, dims=dims, channels=4, causal=True, batch_norm=True)["factorized"].network)
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.fill_(float("nan"))
    fill(built, torch.linspace(-1, 1, 100))
    assert all(bool(parameter.isfinite().all()) for parameter in built.parameters())


def random_normal(module: nn.Module) -> nn.Module:
    with torch.random.fork_rng([]), torch.no_grad():
        torch.manual_seed(0)
        for parameter in module.parameters():
            nn.init.normal_(parameter)
    return module.double().eval()


@settings(max_examples=30)
@given(conv=convolutions(most=5))
def test_a_fused_stack_is_the_merged_convolution(conv: Conv) -> None:
    """In float64, but for its border; the fused layer has the arguments of the merged one."""
    layers = split(conv)
    sizes = tuple(9 * d * (k - 1) + 20 for d, k in zip(conv.dilation, conv.kernel_size, strict=True))
    assume(prod(sizes) < 60_000)
    stack = random_normal(build(chain("stack", (1, conv.in_channels, *sizes), [("a", layer) for layer in layers])))
    fused = fuse(stack)
    for found in (fused, merge(layers)):
        spans = zip(found.dilation, found.kernel_size, conv.dilation, conv.kernel_size, strict=True)
        assert all(d * (k - 1) == own_d * (own_k - 1) for d, k, own_d, own_k in spans)
    assert fused.stride == conv.stride
    image = torch.randn(1, conv.in_channels, *sizes, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        difference = (stack(image) - fused(image)).abs().amax((0, 1)) / stack(image).abs().max()
    inner = tuple(slice(b, n - b) for b, n in zip(fused.border, difference.shape, strict=True))
    assert float(difference[inner].max()) < 1e-10
    before, after = conv.sides
    by_hand = functional.pad(image, [n for pair in reversed(list(zip(before, after, strict=True))) for n in pair])
    convolve = getattr(functional, f"conv{conv.axes}d")
    with torch.no_grad():
        own = convolve(by_hand, fused.weight, fused.bias, conv.stride, 0, fused.dilation, fused.groups)
        assert torch.allclose(own, fused(image), rtol=0, atol=1e-12 * float(own.abs().max()))


@pytest.mark.parametrize("conv", [
    Conv1d(4, 6, 7, padding=6, padding_after=0), Conv1d(4, 6, 7, 2, 3), Conv2d(2, 4, (1, 7), padding=(0, 3)),
    Conv3d(2, 4, (3, 5, 7), padding=(1, 2, 3)), Conv3d(2, 2, 5, padding=(4, 2, 2), padding_after=(0, 2, 2), groups=2),
])  # fmt: skip
def test_verify_finds_every_stack_to_be_its_kernel(conv: Conv) -> None:
    sizes = (24, 15, 15)[: conv.axes]
    network = chain("stack", (1, conv.in_channels, *sizes), [("a", layer) for layer in split(conv)])
    found = verify(network)
    assert found.agrees
    assert found.pads_once_error is not None
    assert (found.convolution.kernel_size, found.convolution.sides) == (conv.kernel_size, conv.sides)
    assert all(seen <= most for seen, most in zip(found.border_seen, found.border, strict=True))
    assert any(found.border_seen) == (len(network.nodes) > 1)


# Causal


@pytest.mark.parametrize(
    "family", ["stack", "dilated-stack", "separable-stack", "bottleneck", "large-kernel-attention"]
)
def test_no_output_of_a_causal_factorization_depends_on_a_later_input(family: str) -> None:
    made = vggcalc.factorize(9, dims=1, causal=True, channels=8, size=40, activation="none", into=family)[family]
    built = build(made.network).double().eval()
    sound = torch.randn(1, 8, 40, dtype=torch.float64, requires_grad=True)
    built(sound)[0, :, 20].sum().backward()
    assert sound.grad is not None
    seen = sound.grad[0].abs().sum(0).nonzero().flatten().tolist()
    assert max(seen) == 20
    assert made.receptive_field is not None
    assert made.receptive_field.padding == (made.receptive_field.size[0] - 1,)
    assert made.output_shape == (1, 8, 40)


def test_the_field_of_a_temporal_convolutional_network() -> None:
    """TRUTH: 1 + 2(k − 1)Σd for two causal convolutions of kernel k at each dilation d."""
    layers = [
        ("tcn", Conv1d(4, 4, 3, dilation=d, padding=2 * d, padding_after=0)) for d in (1, 2, 4, 8) for _ in range(2)
    ]
    variant = vggcalc.summary(chain("tcn", (1, 4, 200), list(layers))).variants[0]
    assert variant.receptive_field is not None
    assert variant.receptive_field.size == (1 + 2 * 2 * (1 + 2 + 4 + 8),)
    assert variant.receptive_field.padding == (60,)
    assert variant.output_shape == (1, 4, 200)


def test_video_is_causal_in_time_alone() -> None:
    conv = Kernel(3, dims=3, causal=True).convolution()
    assert conv.sides == ((2, 1, 1), (0, 1, 1))


# Figures of the literature


@pytest.mark.parametrize(("kernel", "dims", "one", "stack"), [
    (5, 3, 125, 54), (7, 3, 343, 81), (5, 1, 5, 6), (7, 1, 7, 9), (15, 1, 15, 21), (7, 2, 49, 27),
])  # fmt: skip
def test_weights_for_each_pair_of_channels(kernel: int, dims: int, one: int, stack: int) -> None:
    comparison = vggcalc.factorize(kernel, dims=dims)
    naive, made = comparison.variants
    assert (naive.weights_per_channel_pair, made.weights_per_channel_pair) == (one, stack)
    more = "more" if stack > one else "fewer"
    text = comparison.to_markdown()
    assert f"weights and the stack {stack}: " in text
    assert f"% {more}." in text


@pytest.mark.parametrize(
    ("into", "out_of", "between"), [(64, 64, 144), (64, 128, 230), (128, 128, 288), (256, 512, 921)]
)
def test_space_then_time_has_the_midplanes_of_the_paper(into: int, out_of: int, between: int) -> None:
    first, second = split(Conv3d(into, out_of, 3, 2, 1), Factorization("2+1d"))
    assert first == Conv3d(into, between, (1, 3, 3), (1, 2, 2), (0, 1, 1))
    assert second == Conv3d(between, out_of, (3, 1, 1), (2, 1, 1), (1, 0, 0))


def test_an_r3d_becomes_an_r2plus1d() -> None:
    """torchvision's r2plus1d_18, layer by layer: within a block it has the midplanes of the block's first layer."""
    video = pytest.importorskip("torchvision").models.video
    clip = (1, 3, 16, 112, 112)
    with torch.device("meta"):
        r3d, r2plus1d = (vggcalc.trace(make(weights=None), clip) for make in (video.r3d_18, video.r2plus1d_18))
    theirs = {layer.name: layer for layer in vggcalc.summary(r2plus1d).variants[0].layers}
    replaced = 0
    for layer in vggcalc.summary(r3d).variants[0].layers:
        if layer.kernel_size != (3, 3, 3):
            continue
        replaced += 1
        assert isinstance(layer.layer, Conv3d)
        first, second = (theirs[f"{layer.name[:-2]}.0.{i}"] for i in (0, 3))
        assert isinstance(first.layer, Convolution)
        # layer4.0.conv2 has the midplanes of layer4.0.conv1, though its own channels give others
        own = layer.name.endswith("conv1.0") or layer.name.split(".")[1] == "1" or layer.name.startswith("layer1")
        made = split(layer.layer, Factorization("(2+1)d", widths=None if own else (first.layer.out_channels,)))
        assert made == (first.layer, second.layer)
    assert replaced == 16


# What users write


def test_every_dimension_can_be_asked_for() -> None:
    assert vggcalc.factorize("1x7").name == "1×7"
    assert vggcalc.factorize((3, 7, 7)).name == "3×7×7"
    assert vggcalc.factorize(7, dims=1).name == "1-D 7"
    assert vggcalc.factorize(5, stride=(1, 2, 2)).variants[0].output_shape == (1, 64, 16, 8, 8)
    with pytest.raises(InputError, match="stripes means nothing in 1-D: it is for 2-D and 3-D kernels"):
        vggcalc.factorize(7, dims=1, into="stripes")
    three = vggcalc.factorize(7, dims=3, into="all")
    assert [variant.name for variant in three] == ["naive", *FAMILIES]
    assert [one.variant for one in vggcalc.factorize(7, dims=1, into="stack,stripes").infeasible] == ["stripes"]


def test_networks_have_dimensions() -> None:
    for dims, size in ((1, (64,)), (3, (8, 16, 16))):
        comparison = vggcalc.compare("8,M,16@5,M", dims=dims, size=size)
        assert comparison.input_shape == (1, 3, *size)
        assert comparison["factorized"].output_shape == (1, 16, *(n // 4 for n in size))
        with torch.device("meta"):
            built = build(comparison["factorized"].network)
            assert built(torch.empty(comparison.input_shape)).shape == comparison["naive"].output_shape
        assert sum(p.numel() for p in built.parameters()) == comparison["factorized"].parameters


def test_files_have_dimensions(tmp_path: Path) -> None:
    file = tmp_path / "video.toml"
    file.write_text('features = [4, "M", "8@3x5x5s1x2x2", "M"]\ndims = 3\nclassifier = [5]\nbatch_norm = true\n')
    network = vggcalc.network(str(file), size=(8, 32, 32))
    with torch.device("meta"):
        built = build(network)
        assert built(torch.empty(network.input_shape)).shape == (1, 5)
    assert [layer.kernel_size for layer in vggcalc.summary(network).variants[0].layers if layer.type == "Conv3d"] == [
        (3, 3, 3), (3, 5, 5),
    ]  # fmt: skip
    assert vggcalc.network(vggcalc.Config("sound", (8,), (1, 400))).input_shape == (1, 1, 400)
    with pytest.raises(InputError, match="size 8×32 is 2-D, and the network 3-D: see dims"):
        vggcalc.network(str(file), size=(8, 32))


@pytest.mark.parametrize(
    ("dims", "family"), [(1, "stack"), (1, "dilated-stack"), (3, "stack"), (3, "(2+1)d"), (3, "stripes")]
)
def test_a_rewritten_model_is_what_was_analyzed(dims: int, family: str) -> None:
    conv, norm, transposed = (getattr(nn, f"{kind}{dims}d") for kind in ("Conv", "BatchNorm", "ConvTranspose"))
    model = nn.Sequential(
        conv(2, 4, 7, stride=2, padding=3), norm(4), nn.ReLU(), conv(4, 8, 5, padding=2), transposed(8, 4, 6, 2)
    )
    shape = (1, 2, *(17, 14, 15)[:dims])
    compared = vggcalc.compare(model, inputs=shape, into=family)
    rewritten = vggcalc.rewrite(model, shape, into=family)
    traced = vggcalc.summary(rewritten, shape).variants[0]
    assert traced.costs == compared[family].costs
    assert [layer.name for layer in traced.layers] == [layer.name for layer in compared[family].layers]
    assert rewritten(torch.rand(shape)).shape == model(torch.rand(shape)).shape
    (skipped,) = compared.skipped
    assert (skipped.name, skipped.reason) == ("4", f"a ConvTranspose{dims}d is not factorized: it is transposed")


def test_a_traced_causal_convolution_becomes_a_causal_stack() -> None:
    class Causal(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv1d(4, 4, 9, dilation=2)

        def forward(self, sound: Tensor) -> Tensor:
            return self.conv(functional.pad(sound, (16, 0)))  # type: ignore[no-any-return]

    model = Causal()
    comparison = vggcalc.compare(model, inputs=(1, 4, 40))
    given, made = comparison.variants
    assert (
        given.receptive_field
        == made.receptive_field
        == vggcalc.factorize(9, dims=1, causal=True, dilation=2).variants[0].receptive_field
    )
    rewritten = vggcalc.rewrite(model, (1, 4, 40)).double()
    sound = torch.rand(1, 4, 40, dtype=torch.float64, requires_grad=True)
    rewritten(sound)[0, :, 30].sum().backward()
    assert sound.grad is not None
    assert max(sound.grad[0].abs().sum(0).nonzero().flatten().tolist()) == 30


@pytest.mark.parametrize("kernel", [(7,), (3, 5, 5)])
def test_what_is_covered_is_drawn_in_every_dimension(kernel: tuple[int, ...], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    comparison = vggcalc.factorize(kernel, channels=4, into="stack,dilated")
    figure = figures(report(comparison))[0]
    name = "k7" if len(kernel) == 1 else "3×5×5"
    assert figure.title == f"Coverage of the {name} window"
    assert ("the first axis are added" in figure.caption) == (len(kernel) == 3)
    comparison.plot(tmp_path / "covered.svg")
    text = (tmp_path / "covered.svg").read_text()
    assert f"{prod(3 if k > 1 else 1 for k in kernel)} of {prod(kernel)} positions" in text


@settings(max_examples=25)
@given(
    dims=st.sampled_from((1, 3)), kernel=st.integers(2, 7), stride=st.integers(1, 2), dilation=st.integers(1, 2),
    causal=st.booleans(), into=st.lists(st.sampled_from(sorted(FAMILIES)), min_size=1, max_size=3, unique=True),
    batch_norm=st.booleans(),
)  # fmt: skip
def test_a_sweep_has_the_figures_of_factorize(
    dims: int, kernel: int, stride: int, dilation: int, causal: bool, into: list[str], batch_norm: bool
) -> None:
    same = {"dims": dims, "causal": causal, "into": into, "batch_norm": batch_norm}
    rows = list(vggcalc.sweep(kernel, channels="2,6", size="9,14", stride=stride, dilation=dilation, **same))  # type: ignore[arg-type]
    for row in rows:
        try:
            one = vggcalc.factorize(
                kernel, channels=row["in_channels"], size=row["length" if dims == 1 else "depth"], stride=stride,
                dilation=dilation, **same,  # type: ignore[arg-type]
            )[row["variant"]]  # fmt: skip
        except InputError:
            assert row["variant"] == "naive"  # no family takes it
            continue
        assert {key: row[key] for key in ("macs", "parameters", "saved_bytes", "flops")} == {
            key: one.costs[key] for key in ("macs", "parameters", "saved_bytes", "flops")
        }
        assert one.receptive_field is not None
        assert row["receptive_field"] == one.receptive_field.size[0]


def test_paths_of_a_chain_are_those_of_its_axes() -> None:
    one, *_ = chain_paths([Conv3d(1, 1, (3, 1, 1)), Conv3d(1, 1, (3, 5, 1), padding=(0, 2, 0))])
    assert one.counts == (1, 2, 3, 2, 1)


@pytest.mark.parametrize("dims", [1, 3])
def test_norms_are_folded_into_convolutions_of_a_class_of_their_own(dims: int) -> None:
    """As torchvision's Conv3DSimple, which inherits all that it does from torch's."""
    conv, norm = getattr(nn, f"Conv{dims}d"), getattr(nn, f"BatchNorm{dims}d")
    simple = type("Simple", (conv,), {})
    model = nn.Sequential(simple(2, 4, 3, padding=1, bias=False), norm(4), nn.ReLU(), simple(4, 2, 3), norm(2)).eval()
    for module in model.modules():
        if isinstance(module, norm):
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.normal_(module.running_mean)
    shape = (1, 2, *(9, 8, 7)[:dims])
    fused = vggcalc.fuse(model, shape)
    kinds = [type(module) for module in fused.modules() if not list(module.children())]
    assert not any(issubclass(kind, norm) for kind in kinds)
    image = torch.rand(shape)
    with torch.no_grad():
        assert torch.allclose(fused(image), model(image), atol=1e-5)


def test_a_stack_in_one_dimension_says_why_it_does_more_macs() -> None:
    """Three layers of 3 have 9 weights for each pair of channels, whatever the channels are; a 7 has 7."""
    findings = vggcalc.compare("8@7", dims=1, inputs=(1, 8, 32)).to_markdown()
    assert "because it has 9 weights for each pair of channels where the kernel has 7" in findings
