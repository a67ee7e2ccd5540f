"""Linear stacks as one convolution: against torch itself, which runs both in float64."""

import copy
from itertools import pairwise
from math import gcd
from typing import Any

import msgspec
import pytest
import torch
from conftest import pairs
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.func import jacrev

import vggcalc
from vggcalc.errors import InputError
from vggcalc.nets.graph import (
    INPUT,
    Network,
    Node,
    chain,
)
from vggcalc.nets.layers import (
    Add,
    BatchNorm2d,
    Conv2d,
    MaxPool2d,
    ReLU,
)
from vggcalc.nets.shapes import window_extent
from vggcalc.runtime.build import build
from vggcalc.runtime.fuse.fuse import FusedConv2d, fuse


def randomized(module: nn.Module, seed: int = 0) -> nn.Module:
    """In float64, with norms that do something."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        for part in module.modules():
            if isinstance(part, nn.Conv2d):
                nn.init.normal_(part.weight)
                if part.bias is not None:
                    nn.init.normal_(part.bias)
            elif isinstance(part, nn.BatchNorm2d):
                nn.init.normal_(part.running_mean)
                nn.init.uniform_(part.running_var, 0.5, 2)
                if part.affine:
                    nn.init.normal_(part.weight)
                    nn.init.normal_(part.bias)
    return module.double().eval()


@torch.no_grad()
def differing(stack: nn.Module, fused: FusedConv2d, image: Tensor) -> Tensor:
    """For each pixel the largest difference, relative to the stack's largest output."""
    expected, found = stack(image), fused(image)
    assert expected.shape == found.shape
    scale = expected.abs().max().clamp(min=1e-300)  # 0 of a map of nothing but padding
    return (expected - found).abs().amax((0, 1)) / scale


def seen(difference: Tensor) -> tuple[int, int]:
    """How far from the nearer edge the innermost row and the innermost column is that differs throughout."""
    middle = [n // 2 for n in difference.shape]
    lines = difference[:, middle[1]], difference[middle[0]]
    places = [(line > 1e-9).nonzero().flatten().tolist() for line in lines]
    ends = [len(line) - 1 for line in lines]
    rows, columns = (
        max((min(p, end - p) + 1 for p in line), default=0) for line, end in zip(places, ends, strict=True)
    )
    return rows, columns


def inner(difference: Tensor, border: tuple[int, int]) -> Tensor:
    (height, width), (rows, columns) = difference.shape, border
    return difference[rows : max(height - rows, rows), columns : max(width - columns, columns)]


@st.composite
def convolutions(draw: st.DrawFn, channels: int, padded: bool = True, most: int = 7) -> nn.Conv2d:
    groups = draw(st.sampled_from([g for g in range(1, channels + 1) if channels % g == 0]))
    kernel = draw(pairs(1, most))
    padding: Any = draw(pairs(0, 4)) if padded else 0
    stride, dilation = draw(st.just((1, 1)) | pairs(1, 3)), draw(st.just((1, 1)) | pairs(1, 3))
    if padded and stride == (1, 1) and draw(st.integers(0, 3)) == 0:
        if all(d * (k - 1) % 2 == 0 for k, d in zip(kernel, dilation, strict=True)):
            padding = "same"
    elif draw(st.integers(0, 7)) == 0:
        padding = "valid"
    out = groups * draw(st.integers(1, 3))
    return nn.Conv2d(channels, out, kernel, stride, padding, dilation, groups, draw(st.booleans()))


@st.composite
def stacks(draw: st.DrawFn, once: bool = False) -> nn.Sequential:
    """One to four convolutions with what may stand between; with `once` only the first layer pads."""
    channels = draw(st.integers(1, 4))
    layers: list[nn.Module] = []
    for i in range(draw(st.integers(1, 4))):
        conv = draw(convolutions(channels, padded=not (once and i)))
        channels = conv.out_channels
        layers.append(conv)
        between = draw(st.sampled_from(("nothing", "nothing", "norm", "plain norm", "identity", "dropout")))
        if between.endswith("norm"):
            layers.append(nn.BatchNorm2d(channels, eps=0.01, affine=between == "norm"))
        elif between != "nothing":
            layers.append(nn.Identity() if between == "identity" else nn.Dropout(0.3))
    nested = draw(st.integers(0, len(layers)))
    return nn.Sequential(*layers[:nested], nn.Sequential(*layers[nested:]))


def image_for(fused: FusedConv2d, data: st.DataObject) -> Tensor:
    """One whose map has rows and columns beside the border, and a size that no stride need divide."""
    sizes = []
    for axis, border in enumerate(fused.border):
        padding, reach = int(fused.padding[axis]), fused.dilation[axis] * (fused.kernel_size[axis] - 1)
        least = (2 * border + 2) * fused.stride[axis] + reach + 1 - 2 * padding
        sizes.append(max(least, 1) + data.draw(st.integers(0, 5)))
    assume(max(sizes) < 300)
    generator = torch.Generator().manual_seed(1)
    return torch.randn(2, fused.in_channels, *sizes, dtype=torch.float64, generator=generator)


# What it is


@settings(max_examples=150)
@given(stack=stacks(), data=st.data())
def test_a_stack_is_one_convolution_but_for_its_border(stack: nn.Sequential, data: st.DataObject) -> None:
    fused = fuse(randomized(stack))
    difference = differing(stack, fused, image_for(fused, data))
    assert float(inner(difference, fused.border).max()) < 1e-10


@settings(max_examples=80)
@given(stack=stacks(once=True), data=st.data())
def test_a_stack_that_pads_in_its_first_layer_alone_is_one_convolution(
    stack: nn.Sequential, data: st.DataObject
) -> None:
    fused = fuse(randomized(stack))
    assert fused.border == (0, 0)
    assert float(differing(stack, fused, image_for(fused, data)).max()) < 1e-10


@settings(max_examples=60)
@given(data=st.data())
def test_a_sum_of_branches_is_one_convolution(data: st.DataObject) -> None:
    """Before and behind which there are layers; one of which may be the image itself."""
    channels, stride = data.draw(st.integers(1, 3)), data.draw(st.sampled_from(((1, 1), (2, 2), (2, 1))))
    first = Conv2d(2, channels, data.draw(pairs(1, 3)), padding=data.draw(pairs(0, 2)))
    first = msgspec.structs.replace(first, bias=data.draw(st.booleans()))
    nodes, ends = [Node("first", first, (INPUT,))], []
    residual = stride == (1, 1) and data.draw(st.booleans())
    for branch in range(data.draw(st.integers(1, 3))):
        before = "first"
        length = data.draw(st.integers(1, 3))
        for i in range(length):
            dilation = data.draw(pairs(1, 2))
            kernel = tuple(2 * half + 1 for half in data.draw(pairs(0, 2)))
            padding = tuple(d * (k // 2) for d, k in zip(dilation, kernel, strict=True))
            groups = data.draw(st.sampled_from([g for g in range(1, channels + 1) if channels % g == 0]))
            bias = data.draw(st.booleans())
            steps = stride if i == 0 else (1, 1)
            layer = Conv2d(channels, channels, kernel, steps, padding, dilation, groups, bias)
            nodes.append(Node(f"b{branch}.conv{i}", layer, (before,)))
            before = f"b{branch}.conv{i}"
        if data.draw(st.booleans()):
            nodes.append(Node(f"b{branch}.bn", BatchNorm2d(channels), (before,)))
            before = f"b{branch}.bn"
        ends.append(before)
    nodes.append(Node("sum", Add(), (*ends, *(["first"] if residual else ends[:1]))))
    last = Conv2d(channels, 2, data.draw(pairs(1, 3)), padding=data.draw(pairs(0, 2)))
    nodes.append(Node("last", last, ("sum",)))
    stack = randomized(build(Network("branches", (1, 2, 32, 32), tuple(nodes))))
    fused = fuse(stack)
    difference = differing(stack, fused, image_for(fused, data))
    assert float(inner(difference, fused.border).max()) < 1e-10


def branches(*layers: Conv2d, behind: Conv2d | None = None) -> nn.Module:
    nodes = [Node(f"conv{i}", conv, (INPUT,)) for i, conv in enumerate(layers)]
    nodes.append(Node("sum", Add(), tuple(node.name for node in nodes)))
    if behind is not None:
        nodes.append(Node("behind", behind, ("sum",)))
    return build(Network("branches", (1, 2, 40, 40), tuple(nodes)))


@pytest.mark.parametrize(
    ("layers", "kernel", "border"),
    [
        # Centres half a dilation apart: the sum has taps everywhere.
        ((Conv2d(2, 2, 3, 1, 2, 2), Conv2d(2, 2, 2, 1, 1, 2)), 5, 0),
        # Maps that are equal for an even image only.
        ((Conv2d(2, 2, 1, 2), Conv2d(2, 2, 2, 2)), 2, 0),
        ((Conv2d(2, 2, 5, 2), Conv2d(2, 2, 8, 2, 1)), 8, 0),
        # What is padded behind a sum meets what any of its branches sees beyond the edge.
        ((Conv2d(2, 2, 1, bias=False), Conv2d(2, 2, 3, 1, 1, bias=False)), 5, 1),
    ],
)
def test_branches_are_aligned(layers: tuple[Conv2d, ...], kernel: int, border: int) -> None:
    behind = Conv2d(2, 2, 3, padding=1) if border else None
    stack = randomized(branches(*layers, behind=behind))
    fused = fuse(stack)
    assert fused.kernel_size == (kernel, kernel)
    assert fused.border == (border, border)
    image = torch.randn(1, 2, 40, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    difference = differing(stack, fused, image)
    assert seen(difference) == (border, border)
    assert float(inner(difference, fused.border).max()) < 1e-13


@settings(max_examples=60)
@given(stack=stacks(), data=st.data())
def test_its_kernel_is_what_an_impulse_leaves(stack: nn.Sequential, data: st.DataObject) -> None:
    """Every tap, read from the gradient of the middle unit, without a look at how kernels compose."""
    fused = fuse(randomized(stack))
    image = image_for(fused, data).mul_(0)[:1].requires_grad_()
    output = stack(image)
    unit = [n // 2 for n in output.shape[2:]]
    (gradient,) = torch.autograd.grad(output[0, -1, unit[0], unit[1]], image)
    expected = torch.zeros_like(gradient)
    into, out = fused.in_channels // fused.groups, fused.out_channels // fused.groups
    group = (fused.out_channels - 1) // out
    for y in range(fused.kernel_size[0]):
        for x in range(fused.kernel_size[1]):
            row = unit[0] * fused.stride[0] - int(fused.padding[0]) + y * fused.dilation[0]
            column = unit[1] * fused.stride[1] - int(fused.padding[1]) + x * fused.dilation[1]
            if 0 <= row < image.shape[2] and 0 <= column < image.shape[3]:
                expected[0, group * into : (group + 1) * into, row, column] = fused.weight[-1, :, y, x].detach()
    scale = float(expected.abs().max())
    assert float((gradient - expected).abs().max()) <= 1e-10 * scale


@settings(max_examples=25)
@given(stack=stacks(), data=st.data())
@torch.no_grad()
def test_its_jacobian_and_its_offset_are_the_stacks(stack: nn.Sequential, data: st.DataObject) -> None:
    """An affine map is these two: where they are equal, so is what both make of every image."""
    fused = fuse(randomized(stack))
    image = torch.zeros_like(image_for(fused, data)[:1])
    offset = fused(image)
    assume(offset.numel() * image.numel() < 2 * 10**5)
    rows, columns = (slice(border, n - border) for border, n in zip(fused.border, offset.shape[2:], strict=True))
    for found, expected in ((offset, stack(image)), (jacrev(fused)(image), jacrev(stack)(image))):
        assert expected[:, :, rows, columns].numel()
        scale = float(expected.abs().max())
        assert float((found - expected)[:, :, rows, columns].abs().max()) <= 1e-10 * scale


def one_channel(taps: list[float], **options: Any) -> nn.Conv2d:
    conv = nn.Conv2d(1, 1, (1, len(taps)), bias=False, **options)
    conv.weight = nn.Parameter(torch.tensor(taps, dtype=torch.float64).view(1, 1, 1, -1))
    return conv


@pytest.mark.parametrize(
    ("layers", "taps", "numbers"),
    [
        # 1 + 2x and 3 + 4x multiply to 3 + 10x + 8x².
        ([one_channel([1, 2]), one_channel([3, 4])], [3, 10, 8], (3, 1, 0, 1)),
        # With stride 2 the second looks two pixels further: (1 + x)(1 + x²).
        ([one_channel([1, 1], stride=2), one_channel([1, 5])], [1, 1, 5, 5], (4, 2, 0, 1)),
        # Dilation 3 twice is dilation 3 of what plain kernels make; padding adds up.
        (
            [one_channel([1, 2], dilation=3, padding=(0, 3)), one_channel([3, 4], dilation=3, padding=(0, 3))],
            [3, 10, 8],
            (3, 1, 6, 3),
        ),
        # Dilation 2 then 4: (1 + x²)(1 + x⁴), every second pixel.
        ([one_channel([1, 1], dilation=2), one_channel([1, 1], dilation=4)], [1, 1, 1, 1], (4, 1, 0, 2)),
        # A padding behind stride 2 counts twice.
        (
            [one_channel([1, 2], stride=2, padding=(0, 1)), one_channel([1, 0], padding=(0, 1), stride=3)],
            [1, 2, 0, 0],
            (4, 6, 3, 1),
        ),
    ],
)
def test_kernels_multiply_as_polynomials(layers: list[nn.Module], taps: list[float], numbers: tuple[int, ...]) -> None:
    fused = fuse(nn.Sequential(*layers))
    assert fused.weight.flatten().tolist() == taps
    found = fused.kernel_size[1], fused.stride[1], int(fused.padding[1]), fused.dilation[1]
    assert found == numbers
    assert fused.bias is None


@given(data=st.data())
def test_groups_are_as_many_as_nothing_mixes(data: st.DataObject) -> None:
    """Held to what reaches what: products of block-diagonal matrices, searched for the finest blocks."""
    widths = data.draw(st.lists(st.sampled_from((1, 2, 4, 6, 12)), min_size=2, max_size=4))
    layers, reached = [], torch.eye(widths[0])
    for into, out in pairwise(widths):
        common = gcd(into, out)
        groups = data.draw(st.sampled_from([g for g in range(1, common + 1) if common % g == 0]))
        layers.append(nn.Conv2d(into, out, data.draw(pairs(1, 2)), groups=groups))
        reached = torch.block_diag(*[torch.ones(out // groups, into // groups)] * groups) @ reached
    finest = max(
        g
        for g in range(1, widths[0] + 1)
        if widths[0] % g == 0
        and widths[-1] % g == 0
        and not bool(reached[torch.block_diag(*[torch.ones(widths[-1] // g, widths[0] // g)] * g) == 0].any())
    )
    # Layers of one group of one channel each may leave apart by chance what the next mixes at once.
    assert fuse(nn.Sequential(*layers)).groups == finest


# Its border


@pytest.mark.parametrize("layers", range(1, 8))
@pytest.mark.parametrize(("dilation", "stride"), [(1, 1), (2, 1)])
def test_a_stack_of_padded_3x3_has_a_border_of_n_minus_1(layers: int, dilation: int, stride: int) -> None:
    stack = nn.Sequential(*[nn.Conv2d(3, 3, 3, stride, dilation, dilation) for _ in range(layers)])
    fused = fuse(randomized(stack))
    border = dilation * (layers - 1)
    assert fused.border == (border, border)
    image = torch.randn(1, 3, 50, 47, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    difference = differing(stack, fused, image)
    assert seen(difference) == (border, border)
    assert float(inner(difference, fused.border).max()) < 1e-13
    assert fused.kernel_size == (2 * layers + 1,) * 2
    once = copy.deepcopy(stack)
    for i, conv in enumerate(once):
        conv.padding = (dilation * layers,) * 2 if i == 0 else (0, 0)
    assert float(differing(once, fused, image).max()) < 1e-13


KEEPS = {"padding": "same"}

BORDERS = {
    # What is padded behind a bias meets zeros where the one kernel meets the bias; without one nothing.
    "1×7, 7×1": ([nn.Conv2d(2, 2, (1, 7), **KEEPS), nn.Conv2d(2, 2, (7, 1), **KEEPS)], (3, 0)),
    "1×7, 7×1 without bias": (
        [nn.Conv2d(2, 2, (1, 7), bias=False, **KEEPS), nn.Conv2d(2, 2, (7, 1), **KEEPS)],
        (0, 0),
    ),
    "1×1, 5×5, 1×1": (
        [nn.Conv2d(2, 3, 1), nn.Conv2d(3, 3, 5, **KEEPS), nn.Conv2d(3, 2, 1)],
        (2, 2),
    ),
    "1×1, 5×5, 1×1 without bias": (
        [nn.Conv2d(2, 3, 1, bias=False), nn.Conv2d(3, 3, 5, **KEEPS), nn.Conv2d(3, 2, 1)],
        (0, 0),
    ),
    "norm, 3×3": ([nn.BatchNorm2d(2), nn.Conv2d(2, 2, 3, padding=1)], (1, 1)),
    "3×3 depthwise, 1×1": ([nn.Conv2d(2, 2, 3, groups=2, **KEEPS), nn.Conv2d(2, 4, 1)], (0, 0)),
    "3×3 unpadded, 3×3": ([nn.Conv2d(2, 2, 3), nn.Conv2d(2, 2, 3, padding=1)], (1, 1)),
    "3×3, 3×3 with stride 2, 3×3": (
        [nn.Conv2d(2, 2, 3, padding=1), nn.Conv2d(2, 2, 3, 2, 1), nn.Conv2d(2, 2, 3, padding=1)],
        (2, 2),
    ),
    "3×3, 1×1, 3×3 without bias": (
        [
            nn.Conv2d(2, 2, 3, padding=1, bias=False),
            nn.Conv2d(2, 2, 1, bias=False),
            nn.Conv2d(2, 2, 3, padding=1),
        ],
        (1, 1),
    ),
    "5×5 with padding 9, 3×3 unpadded, 3×3 without bias": (
        [
            nn.Conv2d(2, 2, 5, padding=9, bias=False),
            nn.Conv2d(2, 2, 3, bias=False),
            nn.Conv2d(2, 2, 3, padding=1),
        ],
        (0, 0),
    ),
}


@pytest.mark.parametrize("name", BORDERS)
def test_borders_are_as_wide_as_they_are_seen(name: str) -> None:
    layers, border = BORDERS[name]
    stack = nn.Sequential(*layers)
    fused = fuse(randomized(stack))
    image = torch.randn(1, 2, 41, 41, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    difference = differing(stack, fused, image)
    assert fused.border == border
    assert seen(difference) == border
    assert float(inner(difference, border).max()) < 1e-12


def test_the_stripes_of_slak_are_one_cross_shaped_kernel_without_a_border() -> None:
    """51×5 + 5×51 in parallel (arXiv 2207.03620), depthwise."""
    nodes = (
        Node("tall", Conv2d(4, 4, (51, 5), padding=(25, 2), groups=4), (INPUT,)),
        Node("wide", Conv2d(4, 4, (5, 51), padding=(2, 25), groups=4), (INPUT,)),
        Node("sum", Add(), ("tall", "wide")),
    )
    stack = randomized(build(Network("slak", (1, 4, 60, 60), nodes)))
    fused = fuse(stack)
    assert (fused.kernel_size, fused.padding, fused.groups) == ((51, 51), (25, 25), 4)
    assert fused.border == (0, 0)
    assert bool((fused.weight[:, :, :23, :23] == 0).all())
    image = torch.randn(1, 4, 60, 60, dtype=torch.float64)
    assert float(differing(stack, fused, image).max()) < 1e-13


# Factorization and merging


@settings(max_examples=30)
@given(data=st.data())
def test_what_split_makes_fuses_to_what_merge_says(data: st.DataObject) -> None:
    kernel = data.draw(st.sampled_from(range(3, 14, 2)))
    groups = data.draw(st.sampled_from((1, 2, 4)))
    stride, dilation, padding = data.draw(pairs(1, 2)), data.draw(pairs(1, 2)), data.draw(pairs(0, 6))
    bias = data.draw(st.booleans())
    conv = Conv2d(4, 4, (kernel, kernel), stride, padding, dilation, groups, bias)
    parts = vggcalc.split(conv)
    merged = vggcalc.merge(parts)
    assert merged == conv
    stack = build(chain("stack", (1, 4, 64, 64), [("stack", part) for part in parts]))
    fused = fuse(stack)
    assert fused.kernel_size == merged.kernel_size
    assert (fused.stride, fused.padding, fused.dilation) == (merged.stride, merged.padding, merged.dilation)
    assert (fused.in_channels, fused.out_channels, fused.groups) == (4, 4, groups)
    assert (fused.bias is not None) == bias


@given(layers=st.lists(pairs(1, 5), min_size=1, max_size=4), data=st.data())
def test_runs_fuse_to_the_window_that_merge_says(layers: list[tuple[int, int]], data: st.DataObject) -> None:
    dilation = data.draw(pairs(1, 3))
    run = [Conv2d(3, 3, kernel, 1, data.draw(pairs(0, 3)), dilation, bias=False) for kernel in layers]
    run[-1] = msgspec.structs.replace(run[-1], stride=data.draw(pairs(1, 3)))
    merged = vggcalc.merge(run)
    fused = fuse(build(chain("run", (1, 3, 64, 64), [("run", conv) for conv in run])))
    reach = [d * (k - 1) + 1 for k, d in zip(fused.kernel_size, fused.dilation, strict=True)]
    assert tuple(reach) == window_extent(merged)
    assert (fused.stride, fused.padding) == (merged.stride, merged.padding)


# What comes out, and what is refused


def test_the_stack_stays_as_it_is_and_no_random_number_is_drawn() -> None:
    stack = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Conv2d(3, 2, 3, bias=False))
    before, state = copy.deepcopy(stack.state_dict()), torch.get_rng_state()
    fused = fuse(stack)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[key], value) for key, value in stack.state_dict().items())
    assert fused.training
    assert not fuse(stack.eval()).training
    assert all(parameter.requires_grad and parameter.is_leaf for parameter in fused.parameters())
    assert not {p.data_ptr() for p in fused.parameters()} & {p.data_ptr() for p in stack.parameters()}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_it_has_the_dtype_of_the_stack_and_is_composed_in_float64(dtype: torch.dtype) -> None:
    stack = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Conv2d(3, 2, 3)).to(dtype)
    fused = fuse(stack)
    assert {p.dtype for p in fused.parameters()} == {dtype}
    exact = fuse(copy.deepcopy(stack).double())
    assert torch.equal(fused.weight, exact.weight.to(dtype))


def test_a_single_convolution_stays_what_it_is() -> None:
    conv = nn.Conv2d(4, 6, (3, 5), (2, 1), (1, 4), (1, 2), groups=2)
    fused = fuse(conv)
    assert torch.equal(fused.weight, conv.weight)
    assert torch.equal(fused.bias, conv.bias)
    assert str(fused) == f"Fused{str(conv)[:-1]}, border=(0, 0))"
    assert fused.state_dict().keys() == conv.state_dict().keys()
    nn.Conv2d(4, 6, (3, 5), groups=2).load_state_dict(fused.state_dict())
    assert copy.deepcopy(fused).border == fused.border


def test_what_is_fused_can_be_fused_again() -> None:
    stack = nn.Sequential(*[nn.Conv2d(2, 2, 3, padding=1) for _ in range(3)])
    again = fuse(nn.Sequential(fuse(randomized(stack)[:2]), stack[2]))
    assert torch.allclose(again.weight, fuse(stack).weight, rtol=1e-12, atol=1e-12)


def test_on_the_meta_device_there_are_the_shapes_alone() -> None:
    with torch.device("meta"):
        fused = fuse(nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.Conv2d(3, 2, 3, padding=1)))
    assert fused.weight.is_meta
    assert fused.weight.shape == (2, 2, 5, 5)
    assert fused.border == (1, 1)


def test_weights_that_are_computed_are_taken_as_they_are() -> None:
    conv = nn.utils.parametrizations.weight_norm(nn.Conv2d(2, 2, 3))
    with torch.no_grad():
        conv.parametrizations.weight.original0.mul_(2)
    assert torch.equal(fuse(conv).weight, conv.weight)


class Doubled(nn.Conv2d):
    """A Conv2d that does otherwise."""

    def forward(self, image: Tensor) -> Tensor:
        return 2 * super().forward(image)


def hooked() -> nn.Module:
    conv = nn.Conv2d(2, 2, 3)
    conv.register_forward_hook(lambda module, arguments, output: 2 * output)
    return nn.Sequential(conv)


NONLINEARITY = "a stack with a nonlinearity is not one convolution"
ONLY = "only convolutions, batch norms, Identity and dropout, in Sequentials and sums, are fused"
CONV = nn.Conv2d(2, 2, 3)

REFUSED: dict[str, tuple[nn.Module, str]] = {
    "relu": (
        build(chain("c", (1, 2, 9, 9), [("b", Conv2d(2, 2, 3)), ("b", ReLU()), ("b", Conv2d(2, 2, 3))])),
        f"b.relu1 is a ReLU: {NONLINEARITY}",
    ),
    "pool": (
        build(chain("c", (1, 2, 9, 9), [("b", Conv2d(2, 2, 3)), ("b", MaxPool2d())])),
        f"b.pool is a MaxPool2d: {NONLINEARITY}",
    ),
    "first of several": (nn.Sequential(CONV, nn.GELU(), nn.Tanh()), f"1 is a GELU: {NONLINEARITY}"),
    "elu": (nn.Sequential(CONV, nn.Sequential(nn.ELU())), f"1.0 is an ELU: {NONLINEARITY}"),
    "norm": (nn.Sequential(CONV, nn.GroupNorm(1, 2)), f"1 is a GroupNorm: {NONLINEARITY}"),
    "layer norm": (nn.Sequential(nn.LayerNorm(9), CONV), f"0 is a LayerNorm: {NONLINEARITY}"),
    "itself": (nn.ReLU(), f"the stack is a ReLU: {NONLINEARITY}"),
    "linear": (nn.Sequential(CONV, nn.Linear(7, 7)), f"1 is a Linear: {ONLY}"),
    "transposed": (nn.Sequential(nn.ConvTranspose2d(2, 2, 3)), f"0 is a ConvTranspose2d: {ONLY}"),
    "subclass": (nn.Sequential(CONV, Doubled(2, 2, 3)), f"1 is a Doubled: {ONLY}"),
    "lazy": (nn.Sequential(nn.LazyConv2d(2, 3)), f"0 is a LazyConv2d: {ONLY}"),
    "hook": (hooked(), "0 has hooks, which may change what it does: remove them first"),
    "nothing": (nn.Sequential(nn.Identity()), "the stack has no convolution: there is nothing to fuse"),
    "batch statistics": (
        nn.Sequential(CONV, nn.BatchNorm2d(2, track_running_stats=False)),
        "1 is a BatchNorm2d without running statistics: what it does depends on the batch",
    ),
    "reflection": (
        nn.Sequential(nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect")),
        "0 has a padding of reflect: only zeros are fused",
    ),
    "dimensions": (nn.Sequential(CONV, nn.Conv1d(2, 2, 3)), "1 is 1-D, but what comes before it is 2-D"),
    "complex": (
        nn.Conv2d(2, 2, 3, dtype=torch.complex64),
        "the weights are complex64: only real floats are fused",
    ),
    "channels": (nn.Sequential(CONV, nn.Conv2d(3, 2, 3)), "1 takes 3 channels, but 2 come from before it"),
    "strides of a sum": (
        branches(Conv2d(2, 2, 1), Conv2d(2, 2, 1, 2)),
        "sum adds maps of different strides: (1, 1), (2, 2)",
    ),
    "channels of a sum": (
        branches(Conv2d(2, 2, 1), Conv2d(2, 3, 1)),
        "sum adds maps of different channels: 2, 3",
    ),
}


@pytest.mark.filterwarnings("ignore:Lazy modules:UserWarning")
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_one_convolution_is_refused_by_name(name: str) -> None:
    module, message = REFUSED[name]
    with pytest.raises(InputError) as refused:
        fuse(module)
    assert str(refused.value) == message


def test_a_dilated_even_kernel_may_be_padded_to_the_same_size() -> None:
    """Its window is odd: 2·(4 − 1) + 1 = 7."""
    fused = fuse(nn.Conv2d(1, 1, 4, padding="same", dilation=2))
    assert fused.padding == (3, 3)
