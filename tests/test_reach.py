"""How many paths lead to a unit, and what it covers of a window: against the gradient of torch's convolutions."""

import math
from collections.abc import Sequence

import pytest
import torch
from builders import PLANAR
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

import vggcalc
from vggcalc.analysis.reach import covered_window
from vggcalc.nets.families import Factorization, factorized
from vggcalc.nets.graph import INPUT, Network, Node
from vggcalc.nets.layers import Add, Conv2d
from vggcalc.nets.paths import PathCounts, chain_paths, chain_positions, network_paths, path_counts


def gradient(branches: Sequence[Sequence[Conv2d]]) -> tuple[torch.Tensor, list[int]]:
    """The gradient of a unit of the branches' sum, one channel and all weights 1, and where its position 0 lies.

    The unit lies so far from the borders of the input that its window is inside.
    """
    strides = [math.prod(conv.stride[axis] for conv in branches[0]) for axis in (0, 1)]
    reach = max(
        sum(conv.dilation[axis] * (conv.kernel_size[axis] - 1) + conv.padding[axis] for conv in branch)
        * math.prod(conv.stride[axis] for conv in branch)
        for branch in branches
        for axis in (0, 1)
    )
    units = [reach // stride + 1 for stride in strides]
    size = 2 * reach + 2 * max(strides) + 2
    image = torch.ones(1, 1, size, size, dtype=torch.float64, requires_grad=True)
    total = torch.zeros((), dtype=torch.float64)
    for branch in branches:
        out = image
        for conv in branch:
            weight = torch.ones(1, 1, *conv.kernel_size, dtype=torch.float64)
            out = F.conv2d(out, weight, None, conv.stride, conv.padding, conv.dilation)
        total = total + out[0, 0, units[0], units[1]]
    total.backward()
    assert image.grad is not None
    return image.grad[0, 0], [unit * stride for unit, stride in zip(units, strides, strict=True)]


def equal(found: PathCounts, expected: torch.Tensor, at: Sequence[int]) -> bool:
    """Whether the counts are that gradient, whose unit stands at `at`, and it is 0 elsewhere."""
    top, left = at[0] + found.top, at[1] + found.left
    inside = expected[top : top + found.height, left : left + found.width]
    rows = [list(map(float, row)) for row in found.rows]
    return inside.tolist() == rows and bool(expected.sum() == inside.sum())


axes = st.tuples(st.integers(1, 4), st.integers(1, 4))
layers = st.builds(
    lambda kernel, stride, padding, dilation: Conv2d(1, 1, kernel, stride, padding, dilation, bias=False),
    axes, st.tuples(st.integers(1, 3), st.integers(1, 3)), st.tuples(st.integers(0, 3), st.integers(0, 3)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
)  # fmt: skip


@given(st.lists(layers, min_size=1, max_size=3))
@settings(max_examples=150)
def test_paths_through_a_chain_are_the_gradient(chain: list[Conv2d]) -> None:
    expected, at = gradient([chain])
    assert equal(path_counts([chain_paths(chain)]), expected, at)


@given(st.lists(st.lists(layers, min_size=1, max_size=2), min_size=2, max_size=3))
@settings(max_examples=100)
def test_paths_through_branches_add_up_as_the_gradient_does(branches: list[list[Conv2d]]) -> None:
    """In a network, too. Strides are those of the first branch, so that one unit is the same in all."""
    strides = [conv.stride for conv in branches[0]]
    branches = [
        [
            Conv2d(1, 1, conv.kernel_size, strides[i] if i < len(strides) else 1, conv.padding, conv.dilation)
            for i, conv in enumerate((branch + branches[0])[: len(strides)])
        ]
        for branch in branches
    ]
    expected, at = gradient(branches)
    assert equal(path_counts([chain_paths(branch) for branch in branches]), expected, at)
    nodes = []
    for number, branch in enumerate(branches):
        name = INPUT
        for i, conv in enumerate(branch):
            nodes.append(Node(f"branch{number}.conv{i}", conv, (name,)))
            name = nodes[-1].name
    ends = tuple(f"branch{number}.conv{len(branch) - 1}" for number, branch in enumerate(branches))
    network = Network("branches", (1, 1, 99, 99), (*nodes, Node("add", Add(), ends)))
    assert equal(path_counts(network_paths(network)[INPUT]), expected, at)


@given(
    st.integers(1, 7), st.integers(1, 3), st.integers(1, 2), st.sampled_from(list(PLANAR)),
    st.sampled_from(("last", "first")),
)  # fmt: skip
def test_coverage_counts_the_positions_where_both_gradients_are_not_zero(
    half: int, stride: int, dilation: int, family: str, stride_at: str
) -> None:
    kernel = 2 * half + 1
    conv = Conv2d(8, 8, kernel, stride, half * dilation, dilation)
    try:
        branches = factorized(conv, Factorization(family, stride_at))
    except vggcalc.InputError:
        return
    whole, at = gradient([(conv,)])
    made, made_at = gradient(branches)
    assert equal(path_counts([chain_paths(branch) for branch in branches]), made, made_at)
    whole, made = (
        torch.nn.functional.pad(one, (200 - here[1], 200, 200 - here[0], 200))[:400, :400] != 0
        for one, here in ((whole, at), (made, made_at))
    )
    kind, positions, of = covered_window(conv, branches)
    assert (positions, of) == (int((whole & made).sum()), int(whole.sum()))
    assert of == kernel**2
    assert kind == ("full" if positions == of else "cross" if len(branches) > 1 else "holes")


def test_paths_are_exact_beyond_floats_and_cells_add_up() -> None:
    (branch,) = network_paths(vggcalc.factorize(199)["factorized"].network)[INPUT]
    seen = path_counts([branch])
    assert sum(map(sum, seen.rows)) == 9**99  # every layer has nine taps
    cells = path_counts([(branch[0].per_cell(4), branch[1].per_cell(4))])
    assert sum(map(sum, cells.rows)) == 9**99
    assert cells.at(0, 0) == sum(seen.at(y, x) for y in range(4) for x in range(4))
    assert seen.at(-100, 0) == cells.at(0, 100) == 0


def test_the_largest_kernel_is_covered_wholly() -> None:
    conv = Conv2d(1, 1, 999, 1, 499)
    assert covered_window(conv, factorized(conv, Factorization("stack"))) == ("full", 999**2, 999**2)


@pytest.mark.parametrize(("kernel", "stride", "padding", "dilation"), [(3, 2, 1, 1), (5, 1, 0, 2), (2, 3, 4, 5)])
def test_one_layer_reads_what_its_arguments_say(kernel: int, stride: int, padding: int, dilation: int) -> None:
    rows, columns = chain_positions([Conv2d(1, 1, kernel, stride, padding, dilation)])
    assert rows == columns
    assert rows == {dilation * tap - padding for tap in range(kernel)}
