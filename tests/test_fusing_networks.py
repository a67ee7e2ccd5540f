"""Networks with their linear parts as one convolution each: published blocks in plain torch, held to themselves."""

import warnings
from collections.abc import Callable, Sequence

import pytest
import torch
from test_fusing import differing, inner, randomized
from torch import Tensor, conv2d, nn

import vggcalc
from vggcalc.runtime.fuse.fuse import FusedConv2d
from vggcalc.runtime.padded import PaddedConv1d


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def convolutions(module: nn.Module) -> list[nn.Conv2d]:
    return [part for part in module.modules() if isinstance(part, nn.Conv2d)]


def image(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def error(module: nn.Module, fused: nn.Module, x: Tensor) -> float:
    """The largest difference, relative to the module's largest output."""
    expected, found = module(x), fused(x)
    assert expected.shape == found.shape
    return float((expected - found).abs().max() / expected.abs().max())


# The blocks, as their papers have them


def conv_norm(into: int, out: int, kernel: int, padding: int | None = None, **options: int) -> nn.Sequential:
    """A convolution without bias and its norm; without a padding the feature map keeps its size."""
    dilation = options.get("dilation", 1)
    padding = dilation * (kernel - 1) // 2 if padding is None else padding
    conv = nn.Conv2d(into, out, kernel, padding=padding, bias=False, **options)  # type: ignore[arg-type]
    return nn.Sequential(conv, nn.BatchNorm2d(out))


class RepVGGBlock(nn.Module):
    """Ding et al. 2021, figure 4: 3×3 and 1×1 with a norm each, and where the shape stays a norm alone."""

    def __init__(self, into: int, out: int, stride: int) -> None:
        super().__init__()
        self.dense = conv_norm(into, out, 3, stride=stride)
        self.point = conv_norm(into, out, 1, stride=stride)
        self.identity = nn.BatchNorm2d(into) if into == out and stride == 1 else None
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        total = self.dense(x) + self.point(x)
        if self.identity is not None:
            total = total + self.identity(x)
        activated: Tensor = self.relu(total)
        return activated


class RepVGGA0(nn.Module):
    """Tables 2 and 3 of the paper: 1, 2, 4, 14 and 1 layers, 48, 48, 96, 192 and 1280 wide."""

    def __init__(self) -> None:
        super().__init__()
        blocks, into = [], 3
        for width, layers in ((48, 1), (48, 2), (96, 4), (192, 14), (1280, 1)):
            for i in range(layers):
                blocks.append(RepVGGBlock(into, width, 1 if i else 2))
                into = width
        self.stages = nn.Sequential(*blocks)
        self.classifier = nn.Linear(into, 1000)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.stages(x).mean((2, 3)))
        return logits


class Branches(nn.Module):
    """Branches of one input, added, in front of a ReLU."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(sum(branch(x) for branch in self.branches))  # type: ignore[arg-type]


def replknet(channels: int) -> Branches:
    """Ding et al. 2022, section 3: a depthwise 31×31 with a 5×5 beside it."""
    return Branches(*(conv_norm(channels, channels, k, groups=channels) for k in (31, 5)))


def unireplknet(channels: int) -> Branches:
    """Ding et al. 2024, section 3.2: a depthwise 13×13, and dilated 5×5, 7×7 and 3×3s beside it."""
    kernels = ((13, 1), (5, 1), (7, 2), (3, 3), (3, 4), (3, 5))
    return Branches(*(conv_norm(channels, channels, k, groups=channels, dilation=d) for k, d in kernels))


def dbb(into: int, out: int, kernel: int, pads_first: bool) -> Branches:
    """Ding et al. 2021, "Diverse Branch Block", figure 2: k×k, 1×1, 1×1 then k×k, and 1×1 then an average.

    The paper pads with what the first norm makes of a zero, which is a padding of the 1×1: `pads_first`.
    """
    pad = kernel // 2
    first, then = (pad, 0) if pads_first else (0, pad)
    return Branches(
        conv_norm(into, out, kernel),
        conv_norm(into, out, 1),
        nn.Sequential(conv_norm(into, into, 1, first), conv_norm(into, out, kernel, then)),
        nn.Sequential(conv_norm(into, out, 1, first), nn.AvgPool2d(kernel, 1, then), nn.BatchNorm2d(out)),
    )


# What they become


def test_repvgg_a0_has_8_million_parameters_less_its_branches() -> None:
    """The paper's table 4: 9.11 M in training become 8.31 M."""
    network = randomized(RepVGGA0())
    assert parameters(network) == 9_108_968  # torch's own count
    fused = vggcalc.fuse(network, (1, 3, 64, 64))
    weights, biases = (3 * 48 + 48 * 48 * 2 + 48 * 96 + 96 * 96 * 3 + 96 * 192 + 192 * 192 * 13 + 192 * 1280), 48 * 3
    biases += 96 * 4 + 192 * 14 + 1280
    assert parameters(fused) == 9 * weights + biases + 1281 * 1000
    assert f"{parameters(fused) / 1e6:.2f}" == "8.31"
    assert [conv.kernel_size for conv in convolutions(fused)] == [(3, 3)] * 22
    assert not any(isinstance(part, nn.BatchNorm2d) for part in fused.modules())
    assert error(network, fused, image(2, 3, 96, 80)) < 1e-12, "of another size and batch too"


@pytest.mark.parametrize(
    ("block", "kernel", "size"),
    [
        pytest.param(replknet(4), 31, 40, id="RepLKNet"),
        pytest.param(unireplknet(4), 13, 20, id="UniRepLKNet"),
        pytest.param(dbb(3, 6, 3, pads_first=True), 3, 12, id="DBB"),
        pytest.param(dbb(4, 8, 5, pads_first=True), 5, 12, id="DBB of 5×5"),
        pytest.param(RepVGGBlock(4, 4, 1), 3, 9, id="RepVGG"),
        pytest.param(RepVGGBlock(4, 6, 2), 3, 9, id="RepVGG at stride 2"),
    ],
)
def test_a_block_of_branches_is_one_convolution(block: nn.Module, kernel: int, size: int) -> None:
    channels = convolutions(block)[0].in_channels
    module = randomized(block)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fused = vggcalc.fuse(module, (1, channels, size, size))
    (one,) = convolutions(fused)
    assert type(one) is nn.Conv2d, "which needs nothing of this package"
    assert one.kernel_size == (kernel, kernel)
    assert one.groups == convolutions(block)[0].groups
    assert one.bias is not None
    assert error(module, fused, image(2, channels, size + 3, size)) < 1e-12


def test_branches_that_pad_between_are_left_and_told_or_differ_at_the_border_alone() -> None:
    module = randomized(dbb(3, 6, 3, pads_first=False))
    with pytest.warns(vggcalc.FusingWarning, match="a border of 1×1 positions, where a layer pads zeros"):
        exact = vggcalc.fuse(module, (1, 3, 12, 12))
    assert error(module, exact, image(2, 3, 12, 12)) < 1e-12
    assert 1 < len(convolutions(exact)) < len(convolutions(module))
    fused = vggcalc.fuse(module, (1, 3, 12, 12), exact=False)
    (one,) = convolutions(fused)
    assert isinstance(one, FusedConv2d)
    assert one.border == (1, 1)
    difference = differing(module, fused, image(2, 3, 12, 12))  # type: ignore[arg-type]
    assert float(inner(difference, (1, 1)).max()) < 1e-12
    assert float(difference.max()) > 1e-3


@pytest.mark.parametrize("axes", [1, 3])
def test_branches_in_one_and_three_dimensions_are_one_convolution(axes: int) -> None:
    conv, norm, pool = ((nn.Conv1d, nn.BatchNorm1d, nn.AvgPool1d), (nn.Conv3d, nn.BatchNorm3d, nn.AvgPool3d))[axes // 2]
    causal = [PaddedConv1d(3, 3, 3)] if axes == 1 else []
    for one in causal:
        one.sides = (2,), (0,)
    module = Branches(
        nn.Sequential(conv(3, 3, 5, padding=2), norm(3)),
        nn.Sequential(conv(3, 3, 3, padding=2, dilation=2), norm(3)),
        nn.Sequential(conv(3, 3, 1, padding=1), pool(3, 1), norm(3)),
        *causal,
    )
    for part in module.modules():
        if isinstance(part, norm):
            nn.init.uniform_(part.running_var, 0.5, 2)
            nn.init.normal_(part.running_mean)
    module.double().eval()
    shape = (1, 3, *(12, 13, 14)[:axes])
    fused = vggcalc.fuse(module, shape)
    (found,) = (part for part in fused.modules() if isinstance(part, nn.Conv1d | nn.Conv2d | nn.Conv3d))
    assert found.kernel_size == (5,) * axes
    assert error(module, fused, image(*shape)) < 1e-12


# Whole networks


class Residual(nn.Module):
    """A norm behind a convolution, twice, the second before an addition of something else."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels)
        self.conv2, self.bn2 = nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        activated: Tensor = self.relu(self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x))))) + x)
        return activated


class Steered(nn.Module):
    """Its code reads a value, so that no graph can be written of it, but of its block."""

    def __init__(self) -> None:
        super().__init__()
        self.block, self.norm = RepVGGBlock(4, 4, 1), nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.block(x)
        return made if float(x.sum()) < 0 else self.norm(made)


class Arithmetic(nn.Module):
    """A depthwise 5×5, a pointwise layer and a kernel of its own, put together as `run` says."""

    def __init__(self, run: Callable[["Arithmetic", Tensor], Tensor]) -> None:
        super().__init__()
        self.wide, self.point = nn.Conv2d(4, 4, 5, padding=2, groups=4), nn.Conv2d(4, 4, 1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.kernel, self.bias = nn.Parameter(torch.randn(4, 4, 3, 3)), nn.Parameter(torch.randn(4))
        self.gamma, self.scale = nn.Parameter(torch.randn(4)), nn.Parameter(torch.randn(4, 1, 1))
        self.mask = nn.Parameter(torch.randn(9, 9))
        self.run = run

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.run(self, x))


#: With how many convolutions each is once fused, and how many other layers stay between its input and the ReLU.
ARITHMETIC: dict[str, tuple[Callable[[Arithmetic, Tensor], Tensor], int, int]] = {
    "a layer scale": (lambda m, x: m.wide(x) * m.scale, 1, 0),
    "a vector as a layer scale": (lambda m, x: m.point(x).mul(m.gamma.reshape(1, -1, 1, 1)), 1, 0),
    "a vector of numbers, indexed": (lambda m, x: m.gamma[:, None, None] * m.norm(m.wide(x)), 1, 0),
    "a difference": (lambda m, x: m.wide(x).view_as(x) - m.point(x), 2, 2),
    "a difference of branches": (lambda m, x: conv2d(x, m.kernel) - m.point(x)[..., 1:-1, 1:-1], 2, 2),
    "a difference of two sizes of kernel": (lambda m, x: conv2d(x, m.kernel, padding=1) - m.point(x), 1, 0),
    "numbers": (lambda m, x: 1 - m.norm(m.point(x) / 3 + 0.5) * 2, 1, 0),
    "an offset for each channel": (lambda m, x: m.point(x) - m.scale, 1, 0),
    "a convolution by a function": (lambda m, x: m.norm(conv2d(x, m.kernel, m.bias, 2, "valid")), 1, 0),
    "a factor for each position": (lambda m, x: m.point(x) * m.mask, 1, 1),
    "the inverse of a feature map": (lambda m, x: m.gamma.view(-1, 1, 1) / m.point(x), 1, 1),
}


@pytest.mark.parametrize("case", ARITHMETIC)
def test_factors_offsets_and_differences_are_part_of_a_convolution(case: str) -> None:
    run, number, others = ARITHMETIC[case]
    module = randomized(Arithmetic(run)).double().eval()
    fused, x = vggcalc.fuse(module, (1, 4, 9, 9)), image(2, 4, 9, 9)
    assert error(module, fused, x) < 1e-12
    layers = [node.layer for node in vggcalc.trace(fused, (1, 4, 9, 9)).nodes]
    assert sum(isinstance(layer, vggcalc.Conv2d) for layer in layers) == number
    assert len(layers) >= number + 1 + others
    if not others:
        assert len(layers) == 2


def test_a_plain_chain_is_fused_where_it_stands() -> None:
    module = randomized(nn.Sequential(Residual(4), nn.Dropout(0.5), Residual(4)))
    fused = vggcalc.fuse(module, (1, 4, 9, 9))
    assert isinstance(fused, nn.Sequential)
    assert isinstance(fused[0], Residual), "its class stays"
    assert isinstance(fused[0].bn1, nn.Identity)
    assert type(fused[0].conv2) is nn.Conv2d
    assert error(module, fused, image(2, 4, 11, 9)) < 1e-12
    assert parameters(fused) == parameters(module) - 4 * 2 * 4
    assert isinstance(module[0].bn1, nn.BatchNorm2d), "and the module is left as it was"


def test_what_no_graph_shows_is_left_and_what_it_holds_is_fused() -> None:
    module = randomized(Steered())
    fused = vggcalc.fuse(module, (1, 4, 9, 9))
    assert isinstance(fused, Steered)
    assert len(convolutions(fused)) == 1
    for sign in (1, -1):
        assert error(module, fused, sign * image(2, 4, 9, 9).abs()) < 1e-12


def test_a_chain_that_would_cost_more_as_one_stays_a_chain() -> None:
    """MobileNetV2's: a depthwise convolution before a 1×1, and one 1×1 to few channels before one to many."""
    separable = [conv_norm(8, 8, 3, groups=8), conv_norm(8, 16, 1)]
    module = randomized(nn.Sequential(*separable, nn.ReLU(), conv_norm(16, 4, 1), conv_norm(4, 24, 1)))
    fused = vggcalc.fuse(module, (1, 8, 9, 9))
    assert [(conv.kernel_size, conv.in_channels, conv.out_channels) for conv in convolutions(fused)] == [
        ((3, 3), 8, 8), ((1, 1), 8, 16), ((1, 1), 16, 4), ((1, 1), 4, 24),
    ]  # fmt: skip
    assert error(module, fused, image(2, 8, 9, 9)) < 1e-12


class Shared(nn.Module):
    """Its convolution is called twice, each time before a norm of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.one, self.two = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.two(self.conv(torch.relu(self.one(self.conv(x))))))


class Read(nn.Module):
    """What stands between the convolution and its norm is read by another too."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        made = self.conv(x)
        return torch.sigmoid(made) * self.norm(made)


class Overwritten(nn.Module):
    """The input is changed in place between its two readers, by what `change` does to it."""

    def __init__(self, change: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.one, self.two, self.change = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 1), change

    def forward(self, x: Tensor) -> Tensor:
        x = x * 2
        before = self.one(x)
        self.change(x)
        added: Tensor = before + self.two(x)
        return added


class Flagged(nn.Module):
    """With arguments that are no tensors, which have defaults."""

    def __init__(self) -> None:
        super().__init__()
        self.block, self.norm = unireplknet(4), nn.BatchNorm2d(4)

    def forward(self, x: Tensor, mask: Tensor | None = None, halve: bool = False) -> Tensor:
        made: Tensor = self.block(x) + self.norm(x)
        made = made if mask is None else made * mask
        return made / 2 if halve else made


class UnderTwoNames(nn.Module):
    """`+=` changes what another name stands for too."""

    def __init__(self, before: nn.Module) -> None:
        super().__init__()
        self.before, self.conv, self.norm = before, nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        first = x + 0
        second = self.before(first)
        second += self.norm(self.conv(second))
        second *= 2
        return first - 3 * second


OVERWRITING: list[Callable[[Tensor], object]] = [
    nn.ReLU(inplace=True),
    lambda x: x.mul_(3),
    lambda x: x.flatten(1).relu_(),
    lambda x: x[:, :2].mul_(3),
    lambda x: x.detach().zero_(),
    lambda x: x.chunk(2, 1)[1].zero_(),
    lambda x: torch.mul(x, 3, out=x),
]


@pytest.mark.parametrize(
    "module",
    [
        *(Shared(), Read(), Flagged(), Residual(4)),
        *map(Overwritten, OVERWRITING),
        *(UnderTwoNames(nn.Identity()), UnderTwoNames(nn.Dropout())),
    ],
    ids=lambda module: type(module).__name__,
)
def test_the_output_stays_whatever_the_code_does(module: nn.Module) -> None:
    module = randomized(module)
    fused = vggcalc.fuse(module, (1, 4, 16, 16))
    assert error(module, fused, image(2, 4, 17, 16)) < 1e-12


def test_timms_repvgg_a0_has_as_many_parameters_fused_as_timm_makes_of_it() -> None:
    timm = pytest.importorskip("timm")
    network = timm.create_model("repvgg_a0").eval()
    fused = vggcalc.fuse(network, (1, 3, 64, 64))
    assert parameters(fused) == parameters(timm.utils.model.reparameterize_model(network)) == 8_309_384
    x = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert error(network, fused, x) < 1e-4


def test_hooks_stay_with_what_they_are_on() -> None:
    module = randomized(nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)))
    module[0].register_forward_hook(lambda part, args, output: 2 * output)
    fused = vggcalc.fuse(module, (1, 4, 9, 9))
    assert error(module, fused, image(2, 4, 9, 9)) < 1e-12


def test_what_it_is_made_of_decides_dtype_and_mode() -> None:
    module = RepVGGBlock(4, 4, 1).to(torch.bfloat16).train()
    fused = vggcalc.fuse(module, (1, 4, 9, 9))
    assert {parameter.dtype for parameter in fused.parameters()} == {torch.bfloat16}
    assert not any(part.training for part in fused.modules())
    assert module.training


def test_its_trace_costs_what_it_is() -> None:
    """A fused network is a module as any other: here beside its own unfused self."""
    module = RepVGGBlock(4, 4, 1)
    found = vggcalc.compare(module, vggcalc.fuse(module, (1, 4, 9, 9)), inputs=(1, 4, 9, 9), names=("train", "deploy"))
    assert found["deploy"].macs == 9 * 9 * 4 * 4 * 9
    assert found["train"].macs == 9 * 9 * 4 * 4 * 10
    assert found["deploy"].parameters == 4 * 4 * 9 + 4


WRONG: Sequence[tuple[str, type[Exception], str]] = [
    ("vggcalc.fuse(3, (1, 3, 8, 8))", TypeError, "a torch.nn.Module"),
    ("vggcalc.fuse(Residual(4), (1, 3, 8, 8))", ValueError, "Residual cannot be run for inputs"),
    ("vggcalc.fuse(Residual(4), (1, 4, 8, 8), exact=1)", TypeError, "True or False"),
    ("vggcalc.fuse(Residual(4))", ValueError, "is a Residual"),
]


@pytest.mark.parametrize(("call", "kind", "said"), WRONG, ids=[call for call, _, _ in WRONG])
def test_what_cannot_be_fused_is_said(call: str, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=said):
        eval(call)
