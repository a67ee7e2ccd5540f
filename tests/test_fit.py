"""From a trained kernel to a family's weights: what is of it is found again, and what is left is what SVD says."""

from itertools import pairwise
from math import prod

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from torch import nn
from torch.nn.functional import conv_transpose2d

import vggcalc
from vggcalc.errors import InputError
from vggcalc.nets.chains import Branches
from vggcalc.nets.families import FAMILIES, Factorization, factorized
from vggcalc.nets.layers import Conv, Conv1d, Conv2d, Conv3d
from vggcalc.runtime.fit.balance import balanced
from vggcalc.runtime.fit.descent import Descent
from vggcalc.runtime.fit.fit import Fit, fit
from vggcalc.runtime.fit.problem import DAMPING, Problem, axes_of_layer, grouped_shape
from vggcalc.runtime.fuse.affine import Affine, added
from vggcalc.runtime.fuse.fuse import fuse, map_of_convolution
from vggcalc.runtime.padded import conv_module

CONVS = {1: Conv1d, 2: Conv2d, 3: Conv3d}


def kernel_of(conv: Conv, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(conv.out_channels, *grouped_shape(conv)[2:], generator=generator, dtype=torch.float64)


def fused_of(branches: Branches, weights: tuple[tuple[torch.Tensor, ...], ...]) -> Affine:
    """What `fuse` makes of the branches with these weights."""
    maps = []
    for branch, own in zip(branches, weights, strict=True):
        chain = nn.Sequential(*map(conv_module, branch)).double()
        with torch.no_grad():
            for layer, weight in zip(chain, own, strict=True):
                layer.weight.copy_(weight)
                layer.bias.zero_()
        maps.append(map_of_convolution(fuse(chain), ""))
    return added([Affine(one.kernel, None, one.axes) for one in maps], "")


def residual(conv: Conv, weight: torch.Tensor, branches: Branches, found: Fit) -> float:
    """The relative distance of `fuse(fit(conv))` from the kernel."""
    own = Affine(-weight.unflatten(0, (conv.groups, -1)), None, axes_of_layer(conv))
    return float(added([own, fused_of(branches, found.weights)], "").kernel.norm() / weight.norm())


def planted(conv: Conv, branches: Branches, seed: int) -> torch.Tensor:
    """A kernel of the convolution that the branches make exactly."""
    weights = tuple(tuple(kernel_of(layer, seed + i) for i, layer in enumerate(branch)) for branch in branches)
    zero = Affine(torch.zeros(grouped_shape(conv), dtype=torch.float64), None, axes_of_layer(conv))
    whole = added([zero, fused_of(branches, weights)], "")
    assert whole.kernel.shape == zero.kernel.shape
    return whole.kernel.flatten(0, 1)


def convolution(dims: int, k: int, channels: tuple[int, int], groups: int, stride: int, dilation: int) -> Conv:
    padding = (dilation * (k // 2),) * dims
    return CONVS[dims](*channels, (k,) * dims, (stride,) * dims, padding, (dilation,) * dims, groups)


@settings(max_examples=30, deadline=None)
@given(
    family=st.sampled_from(["stack", "asymmetric", "separable", "bottleneck", "cp", "dilated-stack"]),
    groups=st.sampled_from((1, 2, 4)),
    scales=st.lists(st.floats(1e-3, 1e3), min_size=8, max_size=8),
    seed=st.integers(0, 99),
)
def test_balanced_layers_compose_to_the_same_and_nothing_between_them_makes_them_smaller(
    family: str, groups: int, scales: list[float], seed: int
) -> None:
    """Whatever scale or mixture stands between two layers and is undone by the second: it is gone."""
    conv = convolution(2, 7, (4, 8), groups if family in ("stack", "asymmetric", "dilated-stack") else 1, 1, 1)
    (chain,) = branches = factorized(conv, Factorization(family))
    drawn = [kernel_of(layer, seed + i) for i, layer in enumerate(chain)]
    first = balanced(drawn, chain)
    wanted, found = fused_of(branches, (tuple(drawn),)).kernel, fused_of(branches, (tuple(first),)).kernel
    assert float((found - wanted).norm()) <= 1e-10 * float(wanted.norm())
    assert squares(first) <= squares(drawn) * (1 + 1e-9)
    norms = [float(one.norm()) for one in first]
    assert norms == pytest.approx([norms[0]] * len(norms), rel=1e-3)

    other = [one * scale for one, scale in zip(drawn, scales, strict=False)]
    other[0] = other[0] / prod(scales[: len(chain)])
    if {layer.groups for layer in chain[:2]} == {1}:
        mixture = torch.randn(len(other[0]), len(other[0]), generator=torch.Generator().manual_seed(seed)).double()
        mixture += 3 * torch.eye(len(mixture)).double()
        other[0] = torch.einsum("oc,cikl->oikl", mixture, other[0])
        other[1] = torch.einsum("ocij,cd->odij", other[1], mixture.inverse())
    assert squares(balanced(other, chain)) == pytest.approx(squares(first), rel=1e-3)


def squares(kernels: list[torch.Tensor]) -> float:
    return sum(float(one.square().sum()) for one in kernels)


@pytest.mark.parametrize("family", ["asymmetric", "separable", "bottleneck", "cp", "dilated", "stripes", "(2+1)d"])
@settings(max_examples=4, deadline=None)
@given(data=st.data())
def test_a_kernel_of_the_family_is_found_again(family: str, data: st.DataObject) -> None:
    dims = data.draw(st.sampled_from(FAMILIES[family].dims))
    groups = data.draw(st.sampled_from((1, 2)))
    k = data.draw(st.sampled_from((3, 5) if dims < 3 else (3,)))
    stride, dilation = data.draw(st.sampled_from((1, 2))), data.draw(st.sampled_from((1, 2)))
    conv = convolution(dims, k, (4, 8), groups, stride, dilation)
    widths = {"bottleneck": (2, 2, 8), "cp": (2 * groups,)}.get(family)
    if family == "separable":
        conv = convolution(dims, k, (4, 8), 1, stride, dilation)
    branches = factorized(conv, Factorization(family, widths=widths))
    weight = planted(conv, branches, data.draw(st.integers(0, 99)))
    found = fit(weight, conv, branches)
    assert residual(conv, weight, branches, found) < 1e-8


@pytest.mark.parametrize("conv", [
    convolution(1, 7, (6, 6), 6, 1, 1),
    convolution(1, 5, (2, 2), 2, 1, 2),
    convolution(2, 5, (3, 3), 3, 2, 1),
    convolution(2, 7, (2, 2), 2, 1, 1),
    convolution(2, 5, (2, 3), 1, 1, 2),
    convolution(3, 5, (1, 1), 1, 1, 1),
])  # fmt: skip
def test_a_stack_is_found_again(conv: Conv) -> None:
    branches = factorized(conv, Factorization("stack"))
    weight = planted(conv, branches, 3)
    assert residual(conv, weight, branches, fit(weight, conv, branches)) < 1e-8


def test_a_stack_is_no_worse_than_ten_descents_of_another_method() -> None:
    """scipy's L-BFGS on the kernel that two transposed convolutions make, with gradients of autograd."""
    conv = Conv2d(2, 2, (7, 7), padding=(3, 3), groups=2)
    weight = kernel_of(conv, 1)
    ends = []
    for own in weight:

        def left(flat: numpy.ndarray, own: torch.Tensor = own) -> tuple[float, numpy.ndarray]:
            layers = torch.tensor(flat.reshape(3, 1, 1, 3, 3), requires_grad=True)
            made = conv_transpose2d(conv_transpose2d(layers[0], layers[1]), layers[2])
            loss = (made[0] - own).square().sum()
            loss.backward()  # type: ignore[no-untyped-call]
            assert layers.grad is not None
            return float(loss.detach()), layers.grad.numpy().ravel()

        starts = numpy.random.default_rng(0).standard_normal((10, 27))
        ends.append(min(minimize(left, start, jac=True, method="L-BFGS-B").fun for start in starts))
    found = fit(weight, conv, factorized(conv, Factorization("stack")))
    assert 1 - found.energy <= sum(ends) / float(weight.square().sum()) * (1 + 1e-3)


LINEAR_AT_THE_END = [("stack", 1), ("stack", 2), ("separable", 1), ("stripes", 1), ("cp", 2)]


@pytest.mark.parametrize(("family", "groups"), LINEAR_AT_THE_END)
def test_slopes_are_divided_by_the_second_derivative_of_the_last_layers(family: str, groups: int) -> None:
    """Of a layer behind which nothing stands it is exact: its block of JᵀJ, which `normal_matrix` has."""
    conv = Conv2d(4, 4, (5, 5), padding=(2, 2), groups=groups)
    weight, branches = kernel_of(conv), factorized(conv, Factorization(family))
    problem = Problem(Affine(weight.unflatten(0, (groups, -1)), None, axes_of_layer(conv)), branches)
    generator = torch.Generator().manual_seed(1)
    at = torch.randn(problem.groups, problem.numbers, generator=generator, dtype=torch.float64)
    divide, square = problem.preconditioned(at), problem.normal_matrix(at)
    ends, end = [], 0
    for branch in branches:
        for layer in branch:
            begin, end = end, end + prod(grouped_shape(layer)) // problem.groups
        ends.append((begin, end, branch[-1]))
    for begin, end, last in ends:
        slope = torch.zeros_like(at)
        slope[:, begin:end] = torch.randn(len(at), end - begin, generator=generator, dtype=torch.float64)
        of_channel = (end - begin) // (last.out_channels // problem.groups)
        assert last.groups == problem.groups
        for block, own, divided in zip(square[:, begin:end, begin:end], slope, divide(slope), strict=True):
            inner = block[:of_channel, :of_channel]  # that of its first channel out
            assert torch.allclose(block, torch.kron(torch.eye(len(block) // of_channel), inner), atol=1e-12)
            damped = inner + DAMPING * inner.diagonal().mean() * torch.eye(of_channel)
            expected = own[begin:end].view(-1, of_channel) @ torch.linalg.inv((1 + DAMPING) * damped)
            expected = expected.flatten() / len(problem.layers)
            assert torch.allclose(divided[begin:end], expected, rtol=1e-8, atol=1e-10)


def test_many_descents_side_by_side_come_to_what_each_comes_to_alone() -> None:
    conv = Conv2d(3, 3, (5, 5), padding=(2, 2))
    branches = factorized(conv, Factorization("stack"))
    problem = Problem(Affine(kernel_of(conv).unsqueeze(0), None, axes_of_layer(conv)), branches)
    starts = torch.randn(3, problem.numbers, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    group = torch.zeros(3, dtype=torch.int64)
    together = Descent(problem, problem.scaled(starts, group), group)
    together.lbfgs(25, 0)
    for start, left in zip(starts, together.left, strict=True):
        alone = Descent(problem, problem.scaled(start[None], group[:1]), group[:1])
        before = float(alone.left)
        alone.lbfgs(25, 0)
        assert float(alone.left) == pytest.approx(float(left), rel=1e-3)
        assert float(alone.left) < before / 2


def test_bottleneck_is_stationary_between_its_first_decompositions_and_all_of_the_energy() -> None:
    """Tucker-2 explains no less than the truncated HOSVD, and no more than the singular values of either unfolding."""
    conv = Conv2d(6, 8, (3, 3), padding=(1, 1))
    weight = kernel_of(conv)
    found = fit(weight, conv, factorized(conv, Factorization("bottleneck", widths=(3, 4, 8))))
    kernel = weight.numpy().reshape(8, 6, 9)
    reads, _, _ = numpy.linalg.svd(kernel.transpose(1, 0, 2).reshape(6, -1), full_matrices=False)
    writes, values, _ = numpy.linalg.svd(kernel.reshape(8, -1), full_matrices=False)
    core = numpy.einsum("oiw,ir,os->srw", kernel, reads[:, :3], writes[:, :4])
    energy = float(weight.square().sum())
    assert (core**2).sum() / energy <= found.energy <= (values[:4] ** 2).sum() / energy


@settings(max_examples=10, deadline=None)
@given(
    into=st.integers(1, 4), out=st.integers(1, 4), groups=st.integers(1, 2), k=st.integers(2, 5),
    width=st.integers(1, 6), seed=st.integers(0, 99),
)  # fmt: skip
def test_asymmetric_leaves_the_smaller_singular_values(
    into: int, out: int, groups: int, k: int, width: int, seed: int
) -> None:
    """For every group its kernel is a matrix of (in, x) against (out, y), of the rank of its width."""
    conv = Conv2d(into * groups, out * groups, (k, k), padding=(k, k), groups=groups)
    weight = kernel_of(conv, seed)
    branches = factorized(conv, Factorization("asymmetric", widths=(width * groups, out * groups)))
    left = 0.0
    for own in weight.numpy().reshape(groups, out, into, k, k):
        values = numpy.linalg.svd(own.transpose(1, 3, 0, 2).reshape(into * k, out * k), compute_uv=False)
        left += float((values[width:] ** 2).sum())
    found = fit(weight, conv, branches)
    energy = float(weight.square().sum())
    assert found.energy == pytest.approx(1 - left / energy, abs=1e-12)
    assert residual(conv, weight, branches, found) ** 2 == pytest.approx(left / energy, abs=1e-12)


@settings(max_examples=10, deadline=None)
@given(dims=st.integers(1, 3), into=st.integers(1, 4), out=st.integers(2, 4), seed=st.integers(0, 99))
def test_separable_leaves_all_but_the_first_singular_value_of_each_channel(
    dims: int, into: int, out: int, seed: int
) -> None:
    conv = convolution(dims, 3, (into, out), 1, 1, 1)
    weight = kernel_of(conv, seed)
    matrices = weight.numpy().reshape(out, into, -1).transpose(1, 0, 2)
    left = (numpy.linalg.svd(matrices, compute_uv=False)[:, 1:] ** 2).sum()
    found = fit(weight, conv, factorized(conv, Factorization("separable")))
    assert found.energy == pytest.approx(1 - left / float(weight.square().sum()), abs=1e-12)


def test_dilated_and_stripes_explain_what_they_see() -> None:
    conv = Conv2d(3, 4, (7, 7), padding=(3, 3))
    weight = kernel_of(conv)
    energy = float(weight.square().sum())
    sees = weight[:, :, ::3, ::3]
    assert fit(weight, conv, factorized(conv, Factorization("dilated"))).energy == pytest.approx(
        float(sees.square().sum()) / energy
    )
    corners = weight[:, :, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert fit(weight, conv, factorized(conv, Factorization("stripes"))).energy == pytest.approx(
        1 - float(corners.square().sum()) / energy
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_little_slope_is_left_and_no_more_energy_than_of_zero_weights(family: str) -> None:
    """Closed forms are stationary to rounding. A descent is not: it ends when it comes no farther, near such a point.

    The largest slope is 0.07 to 0.26 where it begins, for a kernel of norm 1.
    """
    conv = (Conv3d if FAMILIES[family].dims == (3,) else Conv2d)(2, 2, 5, padding=2)
    weight, branches = kernel_of(conv), factorized(conv, Factorization(family))
    found = fit(weight, conv, branches)
    assert residual(conv, weight, branches, found) ** 2 == pytest.approx(1 - found.energy, abs=1e-12)
    assert 0 < found.energy <= 1
    size = float(weight.norm())
    problem = Problem(Affine((weight / size).unflatten(0, (1, -1)), None, axes_of_layer(conv)), branches)
    shares = [size ** (1 / len(branch)) for branch in branches for _ in branch]
    flat = [one for branch in found.weights for one in branch]
    at = problem.weights([one / share for one, share in zip(flat, shares, strict=True)])
    _, slope = problem.gradient(at, torch.arange(problem.groups))
    descended = "stack" in family or family in ("cp", "large-kernel-attention")
    assert float(slope.abs().max()) < (1e-3 if descended else 1e-6)


def test_a_wider_factorization_explains_no_less() -> None:
    conv = Conv2d(4, 4, (5, 5), padding=(2, 2))
    weight = kernel_of(conv)
    energies = [
        fit(weight, conv, factorized(conv, Factorization("asymmetric", widths=(width, 4)))).energy
        for width in range(1, 22)
    ]
    assert all(b >= a - 1e-12 for a, b in pairwise(energies))
    assert energies[-1] == pytest.approx(1)


@pytest.mark.parametrize("conv", [Conv1d(3, 2, 3, padding=1), Conv2d(2, 3, (3, 3), padding=1)])
def test_a_cp_decomposition_of_a_higher_rank_explains_no_less(conv: Conv) -> None:
    weight = kernel_of(conv)
    fits = [fit(weight, conv, factorized(conv, Factorization("cp", widths=(rank,)))) for rank in range(1, 4)]
    assert all(b.energy >= a.energy - 1e-6 for a, b in pairwise(fits))


@pytest.mark.parametrize(("conv", "rank"), [(Conv2d(4, 8, (3, 3), padding=1), 3), (Conv1d(5, 4, 7, padding=3), 4)])
def test_a_cp_decomposition_is_no_worse_than_ten_of_another_package(conv: Conv, rank: int) -> None:
    tensorly, decomposition = (pytest.importorskip(f"tensorly{part}") for part in ("", ".decomposition"))
    weight = kernel_of(conv)
    kernel, ends = weight.numpy(), []
    for seed in range(10):
        found = decomposition.parafac(kernel, rank, n_iter_max=300, tol=1e-9, init="random", random_state=seed)
        ends.append(float(((tensorly.cp_to_tensor(found) - kernel) ** 2).sum()))
    ours = fit(weight, conv, factorized(conv, Factorization("cp", widths=(rank,))))
    assert 1 - ours.energy <= min(ends) / float((kernel**2).sum()) * (1 + 1e-6)


def test_kernels_that_cannot_be_fitted_are_refused_and_zeros_are_found() -> None:
    conv = Conv2d(2, 2, (5, 5), padding=(2, 2))
    branches = factorized(conv)
    with pytest.raises(InputError, match=r"shape \(2, 2, 3, 3\), and that of the convolution \(2, 2, 5, 5\)"):
        fit(torch.zeros(2, 2, 3, 3), conv, branches)
    with pytest.raises(InputError, match="not finite"):
        fit(torch.full((2, 2, 5, 5), float("nan")), conv, branches)
    found = fit(torch.zeros(2, 2, 5, 5), conv, branches)
    assert found.energy == 1
    assert not fused_of(branches, tuple(tuple(w.double() for w in branch) for branch in found.weights)).kernel.any()


@pytest.mark.parametrize("family", ["asymmetric", "stripes", "bottleneck"])
def test_rewrite_carries_the_weights_over(family: str) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 7, stride=2, padding=3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3, padding=1))
    options = {"widths": 21} if family == "asymmetric" else {}
    small = vggcalc.rewrite(model, (2, 3, 16, 16), into=family, fit=True, **options)
    (one,) = small.fitted
    assert (one.name, one.kernels[0], one.nonlinear) == ("0", (7, 7), False)
    data = torch.randn(2, 3, 16, 16)
    if family == "asymmetric":  # as wide as the kernel's matrix: nothing is lost
        assert one.energy == pytest.approx(1)
        assert one.output_error < 1e-4
        assert torch.allclose(small.eval()(data), model.eval()(data), atol=1e-4)
    assert torch.equal(small[2].weight, model[2].weight)
    other = vggcalc.rewrite(model, (2, 3, 16, 16), into=family, **options)
    other.load_state_dict(small.state_dict())
    assert torch.equal(other.eval()(data), small.eval()(data))
    optimizer = torch.optim.SGD(small.parameters(), 1e-3)
    before = small.train()(data).square().sum()
    before.backward()
    assert all(parameter.grad is not None for parameter in small.parameters())
    optimizer.step()
    assert small(data).square().sum() < before


@pytest.mark.parametrize(("family", "stride"), [("stack", 1), ("stack", 2), ("separable", 1), ("asymmetric", 2)])
def test_what_pads_first_and_has_nothing_between_is_the_network_that_it_was(family: str, stride: int) -> None:
    """A kernel that is of the family, in a network whose maps are mostly edge; otherwise the edges differ."""
    torch.manual_seed(0)
    conv = Conv2d(2, 2, (5, 5), stride, (2, 2))
    model = nn.Sequential(
        *(nn.Conv2d(1, 2, 3, padding=1), nn.BatchNorm2d(2), nn.GELU()),
        *(nn.Conv2d(2, 2, 5, stride, 2), nn.BatchNorm2d(2), nn.GELU()),
    ).eval()
    with torch.no_grad():
        model[1].running_mean.normal_()
        model[3].weight.copy_(planted(conv, factorized(conv, Factorization(family)), 1))
        images = torch.randn(3, 1, 7, 7)
        small = vggcalc.rewrite(model, images.shape, into=family, fit=True, pad_at="first", between="nothing")
        assert torch.allclose(small(images), model(images), atol=1e-5)
        assert [type(part) for part in small[3] if not isinstance(part, nn.Conv2d)] == []
        assert not small.fitted[0].nonlinear
        usual = vggcalc.rewrite(model, images.shape, into=family, fit=True)
        assert usual.fitted[0].nonlinear
        assert not torch.allclose(usual(images), model(images), atol=1e-2)


def test_a_module_that_is_itself_a_convolution_is_replaced() -> None:
    model = nn.Conv2d(3, 3, 5, padding=2)
    small = vggcalc.rewrite(model, (1, 3, 8, 8), into="asymmetric", widths=15, fit=True)
    assert [layer.kernel_size for layer in small] == [(1, 5), (5, 1)]
    data = torch.randn(1, 3, 8, 8)
    assert torch.allclose(small(data), model(data), atol=1e-4), "15 is the rank of its kernel's matrix"


def test_activations_between_the_layers_are_said_to_be_new() -> None:
    model = nn.Sequential(nn.Conv2d(2, 2, 5, padding=2, bias=False), nn.ReLU())
    small = vggcalc.rewrite(model, (1, 2, 8, 8), into="asymmetric", widths=10, fit=True)
    (one,) = small.fitted
    assert one.nonlinear
    assert one.energy == pytest.approx(1)
    assert one.output_error > 0.01


def test_rewrite_says_what_cannot_be_fitted() -> None:
    model = nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), nn.Conv2d(2, 2, 5, padding=2))
    with pytest.raises(InputError, match="merge goes the other way"):
        vggcalc.rewrite(model, (1, 2, 8, 8), merge=True, fit=True)
    with torch.no_grad():
        model[1].weight[0, 0, 0, 0] = float("inf")
    with pytest.raises(InputError, match=r"^1: the kernel has numbers that are not finite"):
        vggcalc.rewrite(model, (1, 2, 8, 8), fit=True)
