"""Every way to factorize, for every kernel from 3 to 31: against torch's own modules and a gradient."""

import math
from itertools import product

import pytest
import torch
from builders import PLANAR, latency, latency_ratio
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import vggcalc
from vggcalc.analysis.reach import coverage
from vggcalc.errors import InputError
from vggcalc.nets.families import FAMILIES, Factorization, factorization_grid, factorized
from vggcalc.nets.layers import Conv1d, Conv2d, Conv3d
from vggcalc.nets.names import PAD_AT
from vggcalc.nets.replacing import Replacing
from vggcalc.runtime.build import build
from vggcalc.runtime.padded import conv_module
from vggcalc.runtime.rewrite import rewrite
from vggcalc.runtime.trace.tracer import trace

KERNELS = range(3, 32)
CASES = [(family, kernel) for family, kernel in product(PLANAR, KERNELS) if kernel % 2 or FAMILIES[family].even]


def module(network: vggcalc.Network) -> nn.Module:
    with torch.device("meta"):
        return build(network)


@pytest.mark.parametrize(("family", "kernel"), CASES)
def test_every_family_is_what_torch_builds(family: str, kernel: int) -> None:
    """Shape, parameters and MACs, for a kernel that widens and for one with a stride."""
    for stride, into, out_of in ((1, 4, 8), (2, 8, 8)):
        padding = None if kernel % 2 else kernel // 2
        comparison = vggcalc.factorize(
            kernel, in_channels=into, out_channels=out_of, size=(41, 38), stride=stride, padding=padding,
            batch=2, into=[family],
        )  # fmt: skip
        naive, made = comparison.variants
        built = module(made.network)
        with torch.device("meta"), FlopCounterMode(display=False) as counter, torch.inference_mode():
            shape = built.eval()(torch.empty(comparison.input_shape)).shape
        assert tuple(shape) == made.output_shape == naive.output_shape
        assert sum(parameter.numel() for parameter in built.parameters()) == made.costs["parameters"]
        assert counter.get_total_flops() == made.costs["flops"]


def gradient(network: vggcalc.Network, size: int) -> torch.Tensor:
    """Which pixels the centre unit's output depends on: all weights positive, no activation."""
    built = build(network).double()
    for parameter in built.parameters():
        nn.init.constant_(parameter, 1.0 if parameter.dim() > 1 else 0.0)
    image = torch.ones(1, network.input_shape[1], size, size, dtype=torch.float64, requires_grad=True)
    output = built(image)
    output[0, :, output.shape[2] // 2, output.shape[3] // 2].sum().backward()
    assert image.grad is not None
    return image.grad[0].sum(0) != 0


@pytest.mark.parametrize(("family", "kernel"), CASES)
def test_a_gradient_sees_the_receptive_field_and_the_pixels(family: str, kernel: int) -> None:
    def compared(size: int) -> vggcalc.Comparison:
        return vggcalc.factorize(
            kernel, in_channels=2, out_channels=2 if family != "bottleneck" else 8, size=size, activation="none",
            padding=None if kernel % 2 else kernel // 2, into=[family],
        )  # fmt: skip

    field = compared(kernel)[family].receptive_field
    assert field is not None
    size = max(field.size) + 10  # room for more than it is said to see
    naive, made = compared(size).variants
    window, seen = gradient(naive.network, size), gradient(made.network, size)
    places = seen.nonzero()
    extent = tuple((places.amax(0) - places.amin(0) + 1).tolist())
    assert made.receptive_field is not None
    assert made.receptive_field.size == extent
    assert made.coverage is not None
    assert (made.coverage.positions, made.coverage.of) == (int((seen & window).sum()), int(window.sum()))
    assert (made.coverage.window == "full") == (made.coverage.positions == made.coverage.of)


@st.composite
def convolutions(draw: st.DrawFn) -> Conv2d:
    kernel = draw(st.integers(2, 13))
    groups = draw(st.sampled_from((1, 1, 2, 4)))
    dilation = draw(st.integers(1, 3))
    return Conv2d(
        groups * draw(st.integers(1, 4)),
        groups * draw(st.integers(1, 4)),
        (kernel, kernel),
        draw(st.tuples(st.integers(1, 4), st.integers(1, 4))),
        draw(st.tuples(st.integers(0, 2 * kernel), st.integers(0, 2 * kernel))),
        (dilation, dilation),
        groups,
        draw(st.booleans()),
    )


@given(
    convolutions(), st.sampled_from(sorted(PLANAR)), st.sampled_from(("last", "first", 1, 2, 3)),
    st.sampled_from(PAD_AT), st.data(),
)  # fmt: skip
@settings(max_examples=400)
def test_every_placement_keeps_the_shape_for_every_size(
    conv: Conv2d, family: str, stride_at: str | int, pad_at: str, data: st.DataObject
) -> None:
    """Whatever can be made puts out what the convolution does, on every map that it takes."""
    try:
        branches = factorized(conv, Factorization(family, stride_at, pad_at=pad_at))
    except InputError:
        return
    window = conv.dilation[0] * (conv.kernel_size[0] - 1) + 1
    least = [max(1, window - 2 * p) for p in conv.padding]
    size = tuple(data.draw(st.integers(n, n + 12)) for n in least)
    with torch.device("meta"):
        image = torch.empty(1, conv.in_channels, *size)
        wanted = conv_module(conv)(image).shape
        for branch in branches:
            made = image
            for layer in branch:
                made = conv_module(layer)(made)
                assert bool(layer.bias) == conv.bias
            assert made.shape == wanted


@given(convolutions(), st.sampled_from(sorted(PLANAR)))
@settings(max_examples=300)
def test_in_the_usual_place_the_stride_changes_no_receptive_field(conv: Conv2d, family: str) -> None:
    """All but large-kernel attention, which may see more, see the kernel's window at the kernel's stride."""
    try:
        branches = factorized(conv, Factorization(family))
    except InputError:
        return
    found = coverage(conv, branches, family)
    assert 0 < found.positions <= found.of == math.prod(conv.kernel_size)
    for branch in branches:
        for axis in (0, 1):
            size, step, before = 1, 1, 0
            for layer in branch:
                size += layer.dilation[axis] * (layer.kernel_size[axis] - 1) * step
                before += layer.padding[axis] * step
                step *= layer.stride[axis]
            window = conv.dilation[axis] * (conv.kernel_size[axis] - 1) + 1
            assert step == conv.stride[axis]
            if family != "stripes":
                assert size - window == 2 * (before - conv.padding[axis])
            if family not in ("large-kernel-attention", "stripes"):
                assert (size, before) == (window, conv.padding[axis])
    if family not in ("dilated", "stripes"):
        assert found.window == "full"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_widens_where_it_takes_widths_between_its_layers(family: str) -> None:
    dims = FAMILIES[family].dims[-1]
    conv = {1: Conv1d, 2: Conv2d, 3: Conv3d}[dims](8, 8, (7,) * dims, padding=(3,) * dims)
    layers = len(factorized(conv, Factorization(family))[0])
    narrow = Factorization(family, widths=(4,) * (layers - 1) + (8,))
    if FAMILIES[family].widens:
        assert [layer.out_channels for layer in factorized(conv, narrow)[0]] == [4] * (layers - 1) + [8]
    else:
        with pytest.raises(InputError, match="no width to choose"):
            factorized(conv, narrow)


def test_what_the_papers_say() -> None:
    def macs(kernel: int, family: str, **arguments: int) -> list[object]:
        comparison = vggcalc.factorize(kernel, into=[family], bias=False, **arguments)
        return [variant.costs["macs"] for variant in comparison.variants]

    # MobileNets, by machinethink.net (TRUTH, section 6)
    assert macs(3, "separable", in_channels=64, out_channels=128, size=112) == [924_844_032, 109_985_792]
    # Inception v2: 5×5 into two 3×3 saves 28%, 3×3 into 1×3 and 3×1 33%
    whole, stack = macs(5, "stack")
    assert stack / whole == pytest.approx(0.72)
    whole, parts = macs(3, "asymmetric")
    assert parts / whole == pytest.approx(2 / 3)

    def parameters(channels: int, family: str) -> object:
        comparison = vggcalc.factorize(
            21, in_channels=channels, out_channels=channels, size=64, bias=False, into=[family]
        )
        return comparison[family].costs["parameters"]

    # VAN makes of a 21×21 a depthwise 5×5, a depthwise 7×7 of dilation 3 and a 1×1
    for channels in (32, 64):
        assert parameters(channels, "large-kernel-attention") == channels * (25 + 49 + channels)
        assert parameters(channels, "separable") == channels * (441 + channels)


def test_the_stem() -> None:
    """TRUTH, section 6: ResNet-C's stem, and the receptive field of every placement."""
    comparison = vggcalc.factorize(
        7, in_channels=3, out_channels=64, stride=2, size=224,
        into=factorization_grid(["stack"], ["first", 1, 2, 3], [(64,), (32,)]),
    )  # fmt: skip
    assert comparison["naive"].costs["macs"] == 118_013_952
    resnet_c = comparison["stack:stride-1:widths-32"]
    assert resnet_c.costs["macs"] == 357_654_528
    sizes = {v.name: v.receptive_field.size[0] for v in comparison.variants if v.receptive_field is not None}
    for widths in (64, 32):
        found = [sizes[f"stack:stride-{at}:widths-{widths}"] for at in ("first", 1, 2, 3)]
        assert found == [7, 11, 9, 7]


@pytest.mark.parametrize("family", [name for name in PLANAR if FAMILIES[name].widens])
@pytest.mark.parametrize(("into", "out_of", "stride"), [(3, 64, 1), (64, 64, 1), (16, 48, 2)])
def test_the_break_even_width_is_where_the_macs_cross(family: str, into: int, out_of: int, stride: int) -> None:
    """One channel fewer than it does fewer MACs than the kernel, one more does more."""

    given = {"in_channels": into, "out_channels": out_of, "size": 32, "stride": stride}

    def change(width: int) -> int:
        comparison = vggcalc.factorize(9, **given, into={"it": Factorization(family, widths=(width,))})
        naive, made = (int(variant.costs["macs"] or 0) for variant in comparison.variants)
        return made - naive

    width = vggcalc.factorize(9, **given, into=[family]).ratios[0].break_even_width
    assert width is not None
    assert change(max(math.floor(width), 1)) <= 0 or width < 1
    assert change(math.ceil(width + 1e-9)) >= 0


@pytest.mark.parametrize("family", PLANAR)
def test_a_rewritten_model_is_what_was_analyzed(family: str) -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 8, 7, stride=2, padding=3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 16, 5, padding=2)
    )
    replacing = Replacing(Factorization(family))
    analyzed = vggcalc.compare(trace(model, (1, 3, 33, 40)), replacing=replacing)["factorized"]
    traced = vggcalc.summary(trace(rewrite(model, replacing, (1, 3, 33, 40)), (1, 3, 33, 40))).variants[0]
    assert traced.costs == analyzed.costs
    assert traced.receptive_field == analyzed.receptive_field
    assert [layer.name for layer in traced.layers] == [layer.name for layer in analyzed.layers]
    assert traced.output_shape == analyzed.output_shape


def test_an_unbeaten_variant_is_marked() -> None:
    """By brute force over the three costs of the table."""
    from vggcalc.analysis.pareto import pareto

    comparison = vggcalc.factorize(7, into=list(PLANAR))
    weighed = {
        v.name: tuple(int(v.costs[key] or 0) for key in ("parameters", "macs", "saved_bytes"))
        for v in comparison.variants
    }
    unbeaten = tuple(
        name
        for name, mine in weighed.items()
        if not any(other != mine and all(map(int.__le__, other, mine)) for other in weighed.values())
    )
    assert pareto(comparison.variants, comparison.ratios) == comparison.pareto == unbeaten
    assert 1 < len(unbeaten) < len(weighed)
    assert vggcalc.factorize(7).pareto == (), "of two there is no choice"
    assert len(vggcalc.factorize(7, into=["stack", "bottleneck"]).variants) == 3
    assert vggcalc.factorize(7, into=["stack", "bottleneck"]).pareto


@pytest.mark.parametrize(
    ("of_two", "unbeaten"), [((0.5, 0.6), ("two", "three")), ((0.5, 0.59), ("two",)), ((0.61, 0.8), ("two", "three"))]
)
def test_of_equal_costs_a_latency_beats_another_where_their_intervals_are_apart(
    of_two: tuple[float, float], unbeaten: tuple[str, ...]
) -> None:
    """The third's is 0.6 to 0.7 of the first's; ends that touch are not apart."""
    from vggcalc.analysis.pareto import pareto

    comparison = vggcalc.factorize(7)
    naive, (ratio,) = comparison["naive"], comparison.ratios
    variants = [replace(naive, name=name, latency=(latency(1.0),)) for name in ("one", "two", "three")]
    intervals = {"two": of_two, "three": (0.6, 0.7)}
    ratios = [replace(ratio, variant=name, latency=(latency_ratio(0.6, ci),)) for name, ci in intervals.items()]
    assert pareto(variants, ratios) == unbeaten
    assert pareto(variants[:2], ratios[:1]) == ()
    assert pareto(variants, []) == ("one", "two", "three")


@pytest.mark.parametrize(
    ("conv", "factorization", "message"),
    [
        (Conv2d(8, 8, (8, 8), padding=3), Factorization("dilated"), "even"),
        (Conv2d(8, 8, (7, 7), groups=8), Factorization("separable"), "depthwise already"),
        (Conv2d(8, 8, (7, 7), groups=8), Factorization("bottleneck"), "no fewer channels"),
        (Conv2d(8, 8, (7, 7)), Factorization("stripes"), "padding of at least 1"),
        (Conv2d(8, 8, (7, 1)), Factorization("asymmetric"), "lies along one axis"),
        (Conv2d(8, 8, (7, 7)), Factorization("separable", widths=(8, 8)), "no width to choose"),
        (Conv2d(8, 8, (7, 7), 2), Factorization("stack", stride_at=4), "stride_at 4 is no layer: there are 3"),
    ],
)
def test_what_cannot_be_made_says_why(conv: Conv2d, factorization: Factorization, message: str) -> None:
    with pytest.raises(InputError, match=message):
        factorized(conv, factorization)


def test_what_cannot_be_made_is_left_out_of_many_and_refused_alone() -> None:
    comparison = vggcalc.factorize(8, padding=3, into=["stack", "separable"])
    assert [one.variant for one in comparison.infeasible] == ["stack"]
    assert [variant.name for variant in comparison.variants] == ["naive", "separable"]
    with pytest.raises(InputError, match="even"):
        vggcalc.factorize(8, padding=3, into=["stack"])
