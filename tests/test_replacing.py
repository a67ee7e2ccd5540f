"""Which convolutions of a network are replaced: kernels that cut patches stay, and with if_fewer what would not pay."""

from importlib.util import find_spec
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import vggcalc
from vggcalc.errors import InputError
from vggcalc.nets.replacing import CUTS_PATCHES, Replacing, replace
from vggcalc.report.findings import findings

SHAPE = (1, 3, 56, 56)


def counted(module: nn.Module, shape: tuple[int, ...] = SHAPE) -> int:
    """torch's own count of the MACs, on the meta device."""
    module = module.to("meta").eval().requires_grad_(False)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        module(torch.empty(shape, device="meta"))
    return counter.get_total_flops() // 2


def mixer() -> nn.Sequential:
    """A 7×7 of stride 7 that cuts patches, then a depthwise 9×9, as a ConvMixer has."""
    return nn.Sequential(nn.Conv2d(3, 16, 7, stride=7), nn.GELU(), nn.Conv2d(16, 16, 9, padding=4, groups=16))


def stem() -> nn.Sequential:
    """A ResNet's stem, whose stack costs more, and a 5×5 between few channels, whose stack costs less."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 7, stride=2, padding=3, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 16, 5, padding=2),
    )  # fmt: skip


def stem_replaced(first: bool) -> nn.Module:
    """By hand: the 5×5 as two 3×3, and with `first` the stem as three."""
    stem = [
        nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1), nn.Conv2d(16, 16, 3, stride=2, padding=1)
    ]  # fmt: skip
    whole = [nn.Conv2d(3, 16, 7, stride=2, padding=3)]
    return nn.Sequential(*(stem if first else whole), nn.Conv2d(16, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1))


@pytest.mark.parametrize("into", ["stack", "asymmetric", "separable"])
def test_a_kernel_no_larger_than_its_stride_stays(into: str) -> None:
    compared = vggcalc.compare(mixer(), inputs=SHAPE, into=into)
    assert [(one.name, one.kernel, one.reason) for one in compared.skipped if one.name == "0"] == [
        ("0", (7, 7), CUTS_PATCHES)
    ]
    assert vggcalc.rewrite(mixer(), SHAPE, into=into)[0].kernel_size == (7, 7)


def test_its_stack_alone_is_made_and_costs_what_torch_counts() -> None:
    """Only in a network does it stay: of one kernel the stack is what was asked for."""
    compared = vggcalc.compare(mixer(), inputs=SHAPE)
    kept = nn.Sequential(nn.Conv2d(3, 16, 7, stride=7), *[nn.Conv2d(16, 16, 3, padding=1, groups=16) for _ in range(4)])
    assert compared["given"].macs == counted(mixer())
    assert compared["factorized"].macs == counted(kept)
    alone = vggcalc.factorize(7, in_channels=3, out_channels=16, stride=7, size=56, padding=0)
    stack = [nn.Conv2d(3, 16, 3), nn.Conv2d(16, 16, 3), nn.Conv2d(16, 16, 3, stride=7)]
    assert alone["factorized"].macs == counted(nn.Sequential(*stack))


def test_a_kernel_larger_than_its_stride_along_one_axis_is_replaced() -> None:
    module = nn.Sequential(nn.Conv2d(3, 8, 7, stride=(7, 2), padding=3))
    assert not vggcalc.compare(module, inputs=SHAPE).skipped


def test_a_network_of_tokens_says_it_too() -> None:
    compared = vggcalc.compare("16@7s7p0,32@5", inputs=(1, 3, 56, 56))
    assert [(one.kernel, one.reason) for one in compared.skipped] == [((7, 7), CUTS_PATCHES)]
    assert compared["factorized"].macs == counted(
        nn.Sequential(nn.Conv2d(3, 16, 7, stride=7), nn.Conv2d(16, 32, 3, padding=1), nn.Conv2d(32, 32, 3, padding=1))
    )


def test_a_stem_that_costs_more_is_named_with_the_total_without_it() -> None:
    compared = vggcalc.compare(stem(), inputs=SHAPE)
    assert compared["factorized"].macs == counted(stem_replaced(True))
    (text,) = [one.text for one in findings(compared) if one.code == "costlier"]
    assert text.startswith("Without replacing 0, which adds MACs, factorized would do ")
    assert f"{counted(stem_replaced(False)):,} MACs: --if-fewer macs" in text


@pytest.mark.parametrize(
    ("if_fewer", "replaced"),
    [
        ("macs", ["3"]),  # the stem's stack has 3·16·9 + 2·16·16·9 weights on four times the positions, for 3·16·49
        ("parameters", ["3"]),  # 5,040 for 2,352
        (None, ["0", "3"]),
    ],
)
def test_only_what_lowers_the_cost(if_fewer: str | None, replaced: list[str]) -> None:
    compared = vggcalc.compare(stem(), inputs=SHAPE, if_fewer=if_fewer)
    assert sorted(one.name for one in compared.replaced) == replaced
    assert compared["factorized"].macs == counted(stem_replaced("0" in replaced))
    new = vggcalc.rewrite(stem(), SHAPE, if_fewer=if_fewer)
    assert counted(new) == compared["factorized"].macs
    assert sum(parameter.numel() for parameter in new.parameters()) == compared["factorized"].parameters
    if if_fewer is not None:
        noun = "MACs" if if_fewer == "macs" else "parameters"
        assert [(one.name, one.reason) for one in compared.skipped] == [
            ("0", f"its replacement would have no fewer {noun}")
        ]
        assert not [one for one in findings(compared) if one.code == "costlier"]


def test_the_two_costs_differ() -> None:
    """Of an asymmetric pair the first layer keeps the height: fewer weights, and with a large stride more MACs."""
    module = nn.Sequential(nn.Conv2d(4, 4, 5, stride=4, padding=2, bias=False))
    macs, parameters = (
        vggcalc.compare(module, inputs=(1, 4, 64, 64), into="asymmetric", if_fewer=one) for one in COSTS
    )
    # 4·4·5·64·16 and 4·4·5·16·16, against 4·4·25·16·16: 102,400 for 102,400, which is not fewer; 160 weights for 400
    assert ([one.name for one in macs.skipped], [one.name for one in parameters.replaced]) == (["0"], ["0"])


COSTS = ("macs", "parameters")


def test_batch_norms_count_as_parameters() -> None:
    """A 5×5 of 1 group in 2 channels: 100 weights; two 3×3 are 72 and the batch norm between them 4."""

    def made(channels: int, groups: int) -> nn.Sequential:
        conv = nn.Conv2d(channels, channels, 5, padding=2, groups=groups, bias=False)
        return nn.Sequential(conv, nn.BatchNorm2d(channels))

    few = vggcalc.compare(made(2, 1), inputs=(1, 2, 8, 8), if_fewer="parameters")
    assert [one.costs[1]["parameters"] for one in few.replaced] == [72 + 4]
    # depthwise 25 per channel: two 3×3 are 18 and 2 of the batch norm
    deep = vggcalc.compare(made(2, 2), inputs=(1, 2, 8, 8), if_fewer="parameters")
    assert [one.costs[1]["parameters"] for one in deep.replaced] == [2 * (18 + 2)]


def test_runs_that_would_cost_more_are_not_merged() -> None:
    """Two 3×3 in 8 channels are fewer than their 5×5; 4 → 64 → 4 channels are more."""
    module = nn.Sequential(
        nn.Conv2d(4, 8, 3, padding=1), nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1), nn.MaxPool2d(2),
        nn.Conv2d(8, 64, 3, padding=1), nn.Conv2d(64, 8, 3, padding=1),
    )  # fmt: skip
    shape = (1, 4, 16, 16)
    every = vggcalc.compare(module, inputs=shape, merge=True)
    assert [one.before for one in every.replaced] == [("5", "6"), ("2", "3")]
    some = vggcalc.compare(module, inputs=shape, merge=True, if_fewer="macs")
    assert [one.before for one in some.replaced] == [("5", "6")]
    assert [(one.name, one.reason) for one in some.skipped] == [("2", "its replacement would have no fewer MACs")]
    merged = nn.Sequential(*list(module)[:5], nn.Conv2d(8, 8, 5, padding=2))
    assert some["merged"].macs == counted(merged, shape) == counted(
        vggcalc.rewrite(module, shape, merge=True, if_fewer="macs"), shape
    )  # fmt: skip


def test_a_variant_that_lowers_nothing_is_not_made() -> None:
    """Of several families those stay that lower the cost."""
    compared = vggcalc.compare(stem()[:3], inputs=SHAPE, into="stack,separable", if_fewer="macs")
    assert [variant.name for variant in compared.variants] == ["given", "separable"]
    assert [(one.variant, one.reason) for one in compared.infeasible] == [
        ("stack", "its replacement would have no fewer MACs")
    ]


@pytest.mark.parametrize("wrong", ["flops", "MACs", ""])
def test_another_cost_is_refused(wrong: str) -> None:
    with pytest.raises(InputError, match=f"if_fewer '{wrong}' is unknown"):
        Replacing(if_fewer=wrong)


def test_of_a_wrong_type() -> None:
    with pytest.raises(TypeError, match="if_fewer 3 is of type int"):
        vggcalc.compare("vgg16", if_fewer=3)  # type: ignore[arg-type]


def test_the_names_of_a_run_are_in_the_network_that_stays() -> None:
    network = vggcalc.trace(stem(), SHAPE)
    replaced = replace(network, Replacing(if_fewer="macs"))
    names = {node.name for node in replaced.network.nodes}
    assert {"0", "1", "2"} <= names
    assert "3" not in names


@pytest.mark.skipif(find_spec("torchvision") is None, reason="torchvision not installed")
@pytest.mark.filterwarnings("ignore")
def test_resnet18s_stem() -> None:
    """Its stack of three more than doubles the network: 118,013,952 MACs of the 7×7 become 1,937 million."""
    import torchvision

    shape = (1, 3, 224, 224)
    module: Any = torchvision.models.resnet18()
    compared = vggcalc.compare(module, inputs=shape)
    stack = nn.Sequential(
        nn.Conv2d(3, 64, 3, padding=1), nn.Conv2d(64, 64, 3, padding=1), nn.Conv2d(64, 64, 3, stride=2, padding=1)
    )
    given = counted(torchvision.models.resnet18(), shape)
    assert compared["factorized"].macs == given - 112**2 * 64 * 3 * 49 + counted(stack, shape)
    assert f"{given:,} MACs: --if-fewer macs" in " ".join(one.text for one in findings(compared))
    assert vggcalc.compare(module, inputs=shape, if_fewer="macs")["factorized"].macs == given
