"""The crosscheck's judgement of what was counted, as numbers that a worker might send: no torch is needed."""

from typing import Any

import pytest
import torch
from msgspec.structs import replace
from torch import Tensor, nn
from torch.nn import functional as F

import vggcalc
from vggcalc.measurement.crosscheck import (
    LARGEST_PROBED_MACS,
    LARGEST_RUN_MACS,
    crosscheck,
    feature_map,
    too_large_to_run,
    why_unprobed,
)
from vggcalc.measurement.limits import TORCH_BYTES
from vggcalc.protocol import TorchCounts
from vggcalc.results import LayerResult, Variant

KERNEL = vggcalc.factorize(5, in_channels=2, out_channels=3, size=6, batch=2)["naive"]

#: What is counted of it, and which cost it is held to.
COUNTED = {
    "parameters": "parameters",
    "torch_macs": "macs",
    "torch_training_flops": "training_flops",
    "torch_saved_bytes": "saved_bytes",
    "fvcore_macs": "macs",
    "fvcore_activations": "activations",
}


def counts(variant: Variant, **changes: Any) -> TorchCounts:
    """Every figure as its formula says, but for the changes."""
    figures = {count: variant.costs[cost] for count, cost in COUNTED.items()}
    return TorchCounts(variant.name, **({"uncounted": {}} | figures | changes))


def notes(variant: Variant, *why: str | None, **changes: Any) -> str:
    """What is said of it, the constant notes of an imported module aside."""
    return "; ".join(crosscheck(variant, counts(variant, **changes), *(why or (None,))).notes)


@pytest.mark.parametrize("count", COUNTED)
def test_one_more_or_one_less_disagrees_and_what_was_not_counted_does_not(count: str) -> None:
    assert crosscheck(KERNEL, counts(KERNEL), None).agrees
    for off in (-1, 1):
        wrong = int(KERNEL.costs[COUNTED[count]] or 0) + off
        found = crosscheck(KERNEL, counts(KERNEL, **{count: wrong}), None)
        assert not found.agrees
        assert wrong in (getattr(found, COUNTED[count]).torch, getattr(found, COUNTED[count]).fvcore)
    if count not in ("parameters", "torch_macs"):
        assert crosscheck(KERNEL, counts(KERNEL, **{count: None}), None).agrees


def test_what_was_left_out_is_said() -> None:
    assert notes(KERNEL) == ""
    said = "torch's counter does not divide weight gradients by the groups: it is not asked"
    assert notes(KERNEL, torch_training_flops=None) == said
    assert notes(KERNEL, "too large") == "left out, since fvcore and autograd must run the module: too large"
    said = "the receptive field is not held to a gradient: "
    assert notes(KERNEL, None, "too deep") == said + "too deep"
    assert notes(KERNEL, unprobed="no unit") == said + "no unit"
    assert notes(KERNEL, refused="no rule") == "fvcore cannot run it, so it counts nothing: no rule"
    said = "fvcore has no rule for aten::a ×2, aten::b ×1: it counts nothing for them."
    assert notes(KERNEL, uncounted={"aten::b": 1, "aten::a": 2}) == said
    partial = replace(KERNEL, partial={"macs": ("fft",)})
    said = notes(partial, uncounted={"aten::fft": 1}, torch_macs=1234)
    assert said == (
        "torch counts 1,234 MACs in all, with those of fft, which have no weights: they are not compared"
    ), "what has no figure here is not missed in fvcore's"


def test_padding_in_words_is_nothing_to_fvcore() -> None:
    """Its count is wrong then, and not compared."""
    changes: dict[str, Any] = {"uncounted": {"aten::_convolution_mode": 1}, "fvcore_macs": 0, "fvcore_activations": 0}
    found = crosscheck(KERNEL, counts(KERNEL, **changes), None)
    assert found.agrees
    assert (found.macs.fvcore, found.activations.fvcore) == (None, None)
    assert found.notes == ("fvcore counts a convolution with padding in words as nothing: it is not compared",)
    found = crosscheck(KERNEL, counts(KERNEL, **changes, torch_macs=1), None)
    assert not found.agrees, "torch counts it"


class Products(nn.Module):
    def __init__(self, by_function: int) -> None:
        super().__init__()
        self.head = nn.Linear(4, 4)
        self.weights = nn.ParameterList(nn.Parameter(torch.rand(4, 4)) for _ in range(by_function))

    def forward(self, x: Tensor) -> Tensor:
        x = self.head(x)
        for weight in self.weights:
            x = F.linear(x, weight)
        return x


@pytest.mark.parametrize(("number", "more"), [(0, None), (1, ""), (2, " and 1 more"), (4, " and 3 more")])
def test_products_by_a_function_are_not_compared_with_fvcore(number: int, more: str | None) -> None:
    variant = vggcalc.summary(Products(number), (3, 4)).variants[0]
    found = crosscheck(variant, counts(variant), None)
    assert found.macs.closed_form == 3 * 16 * (1 + number)
    assert (found.macs.fvcore is None) == (more is not None)
    assert found.macs.torch == found.macs.closed_form
    said = [note for note in found.notes if "products of matrices" in note]
    layers = [layer.name for layer in variant.layers if layer.name != "head"]
    wanted = "fvcore counts products of matrices apart from linear layers: it is not compared, because of "
    assert said == ([] if more is None else [f"{wanted}{layers[0]}{more}"])


def test_the_bound_of_what_is_run_is_the_last_that_is() -> None:
    def doing(macs: int) -> Variant:
        return replace(KERNEL, costs=KERNEL.costs | {"macs": macs})

    assert too_large_to_run(doing(LARGEST_RUN_MACS), None) is None
    assert too_large_to_run(doing(LARGEST_RUN_MACS + 1), None) == "100,000,000,001 MACs are more than 100,000,000,000"
    of_two = 2 * LARGEST_PROBED_MACS  # one image is probed
    assert why_unprobed(doing(of_two + 1), None) is None
    assert why_unprobed(doing(of_two + 2), None) == "50,000,000,001 MACs are more than 50,000,000,000"


def test_memory_that_is_just_enough_is_enough() -> None:
    """By hand: 153 weights; the convolution and its ReLU put out 2·3·6·6 each; 2·25 values in each of 6·6 windows."""
    needs = {
        too_large_to_run: TORCH_BYTES + 8 * (153 + 2 * 216),
        why_unprobed: TORCH_BYTES + 12 * 153 + 16 * (2 * 216 + 2 * 1800) // 2,
    }
    for why, need in needs.items():
        assert why(KERNEL, need) is None
        assert f"{need:,}" in str(why(KERNEL, need - 1))


def result(layer: nn.Module, shape: tuple[int, ...], sizes: tuple[int, ...]) -> LayerResult:
    """A traced layer that says it put out this shape, with a map of these sizes in it."""
    found = next(iter(vggcalc.summary(layer, (1, 3, 16, 16)).variants[0].layers))
    assert found.traced is not None
    return replace(found, output_shape=shape, traced=replace(found.traced, spatial_size=sizes))


@pytest.mark.parametrize(
    ("shape", "sizes", "axes", "expected"),
    [
        ((1, 3, 8, 9), (8, 9), 2, (2, (8, 9))),
        ((1, 8, 9, 3), (8, 9), 2, (1, (8, 9))),  # channels last
        ((1, 8, 9), (8, 9), 2, (None, ())),  # which axis are the channels?
        ((1, 3, 4, 8, 9), (8, 9), 2, (None, ())),
        ((1, 3, 8, 9), (9, 8), 2, (None, ())),
        ((1, 3, 8, 9), (8,), 2, (None, ())),
        ((1, 3), (), 0, (None, ())),
        ((1, 8, 3), (8,), 1, (1, (8,))),
    ],
)
def test_a_map_is_found_where_its_place_is_certain(
    shape: tuple[int, ...], sizes: tuple[int, ...], axes: int, expected: tuple[int | None, tuple[int, ...]]
) -> None:
    for layer in (nn.Conv2d(3, 3, 1), nn.Hardswish()):
        assert feature_map(result(layer, shape, sizes), axes) == expected


def test_of_a_map_as_wide_as_its_channels_a_convolution_knows_the_place() -> None:
    square = (1, 8, 8, 8), (8, 8)
    assert feature_map(result(nn.Conv2d(3, 8, 1), *square), 2) == (2, (8, 8))
    assert feature_map(result(nn.Hardswish(), *square), 2) == (None, ())
