"""The effective receptive field: its energies by laws that are known, its intervals, and what is refused."""

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from math import prod
from statistics import fmean, stdev

import msgspec
import numpy as np
import pytest
import torch
from builders import ClockedWorker
from conftest import SPATIAL, networks
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from process import invoke
from scipy.stats import t
from torch import nn

import vggcalc
from vggcalc.analysis.comparison import analyze
from vggcalc.errors import WorkerError
from vggcalc.measurement.effective import Found, centre_units, effective_field, effective_fields
from vggcalc.measurement.host import Host
from vggcalc.measurement.limits import TORCH_BYTES
from vggcalc.measurement.worker import RunningWorker
from vggcalc.nets.graph import Network
from vggcalc.protocol import EnergyJob, GradientEnergy, Message, NoEnergy, Subject
from vggcalc.results import EffectiveReceptiveField, Variant
from vggcalc.runtime.check.energy import energy_by_side, gradient_energies

pytestmark = pytest.mark.usefixtures("warm_workers")


def looked_at(variant: Variant, samples: int = 4, seed: int = 0) -> list[GradientEnergy]:
    """The energies of a network that is built, in this process."""
    centres = centre_units(variant)
    subject = Subject(variant.name, variant.network, None, tuple(centres))
    by_layer = {target.layer: centre for target, centre in centres.items()}
    return list(gradient_energies(subject, by_layer, samples, seed))


def field_of(variant: Variant, samples: int = 4, seed: int = 0) -> EffectiveReceptiveField:
    found = effective_field(variant, looked_at(variant, samples, seed), seed)
    assert isinstance(found, EffectiveReceptiveField)
    return found


def convolved(times: int) -> list[float]:
    """The paths through so many layers of 3 from each position: 1, 3, 6, 7, 6, 3, 1 over 27."""
    paths = np.ones(1)
    for _ in range(times):
        paths = np.convolve(paths, np.ones(3) / 3)
    return list(paths)


def within(along: Sequence[float], dims: int) -> list[float]:
    """The share of a law that is a product over axes within each square around its middle."""
    middle = len(along) // 2
    return [sum(along[middle - reach : middle + reach + 1]) ** dims for reach in range(middle + 1)]


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_a_stack_spreads_its_energy_as_its_paths_do(dims: int) -> None:
    """With independent weights the expected energy at a position is the number of paths to it (Luo et al., section 2).

    One convolution spreads it evenly. The seed is fixed, so four standard errors are no chance.
    """
    comparison = vggcalc.factorize(7, dims=dims, channels=8, size=9 if dims == 3 else 11, activation="none")
    for name, law in (("naive", [1 / 7] * 7), ("factorized", convolved(3))):
        samples = [one.shares for one in looked_at(comparison[name], 40)]
        for side, expected in enumerate(within(law, dims)):
            found = [shares[side] for shares in samples if shares is not None]
            assert abs(fmean(found) - expected) <= 4 * stdev(found) / 40**0.5 + 1e-12, (name, side)


class Averaging(nn.Module):
    """So many 3×3 of one channel with weights that are all the same."""

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(nn.Conv2d(1, 1, 3, padding=1, bias=False) for _ in range(layers)))
        for parameter in self.parameters():
            nn.init.constant_(parameter, 0.5)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.layers(image)
        return result


@pytest.mark.parametrize("layers", [1, 6])
def test_a_module_has_its_own_weights(layers: int) -> None:
    """Of equal ones the gradient is known: it is binomial along each axis, and the same in every input."""
    module = Averaging(layers)
    found = vggcalc.effective_receptive_field(vggcalc.summary(module, (1, 1, 15, 15)), samples=3)
    (variant,) = found
    assert variant.effective is not None
    energy = np.square(convolved(layers))
    law = within(list(energy / energy.sum()), 2)
    assert variant.effective.shares == pytest.approx(law, rel=1e-5)
    assert variant.effective.sides == tuple(range(1, 2 * layers + 2, 2))
    for share, held in ((0.5, variant.effective.half), (0.95, variant.effective.most)):
        expected = next(1 + 2 * reach for reach, one in enumerate(law) if one >= share)
        assert held.side == expected
        assert held.ci95 == (expected, expected)
    assert (variant.effective.weights, variant.effective.samples) == ("model", 3)


def test_a_deep_stack_approaches_a_gaussian() -> None:
    """Energies of n layers of 3 have a variance of n · 2/3 along each axis: half of it lies within 0.6745 σ."""
    stack = vggcalc.factorize(41, dims=1, channels=8, size=81, activation="none")["factorized"]
    found = field_of(stack, 30)
    sigma = (20 * 2 / 3) ** 0.5
    for quantile, held in ((0.6745, found.half), (1.96, found.most)):
        assert abs(held.side - 2 * quantile * sigma) <= 3
    assert found.theoretical == (41,)
    assert found.most.side < 41


@settings(max_examples=40)
@given(networks(True, (*SPATIAL, "act"), size=(12, 20), layers=(1, 6)), st.integers(0, 2**50))
def test_no_energy_is_outside_of_the_theoretical_field(network: Network, seed: int) -> None:
    variant = analyze(network, "it")
    assume(centre_units(variant))
    found = effective_field(variant, looked_at(variant, 2, seed), seed)
    if isinstance(found, str):
        assert "gradient is 0 everywhere" in found
        return
    assert list(found.shares) == sorted(found.shares)
    assert found.shares[-1] == pytest.approx(1)
    if found.theoretical is not None:
        assert found.sides[-1] <= max(found.theoretical)
    assert found.half.side <= found.most.side <= found.sides[-1]
    for held in (found.half, found.most):
        assert held.ci95 is None or held.ci95[0] <= held.side <= held.ci95[1]


@given(
    st.integers(1, 3).flatmap(
        lambda dims: st.tuples(
            st.lists(st.integers(1, 7), min_size=dims, max_size=dims),
            st.lists(st.integers(-2, 14), min_size=dims, max_size=dims),
        )
    ),
)
def test_a_square_holds_what_is_in_it(places: tuple[list[int], list[int]]) -> None:
    """Each position belongs to the smallest square around the centre that reaches its farther edge."""
    shape, halves = places
    centre = tuple(half / 2 for half in halves)
    energy = torch.arange(1.0, 1 + prod(shape)).reshape(shape)
    sides, shares = energy_by_side(energy, centre)
    assert shares is not None
    expected = {
        side: sum(
            float(energy[place])
            for place in np.ndindex(*shape)
            if all(abs(n - middle) + 0.5 <= side / 2 for n, middle in zip(place, centre, strict=True))
        )
        for side in sides
    }
    total = float(energy.sum())
    assert dict(zip(sides, shares, strict=True)) == pytest.approx({side: one / total for side, one in expected.items()})


def test_a_sample_does_not_depend_on_how_many_there_are() -> None:
    variant = vggcalc.factorize(5, channels=4, size=8)["factorized"]
    few, many = (looked_at(variant, samples, 7) for samples in (2, 5))
    assert few == many[:2]
    assert few == looked_at(variant, 2, 7)
    assert few != looked_at(variant, 2, 8)
    assert len({one.shares for one in many}) == 5


def test_the_interval_is_where_those_of_the_shares_cross() -> None:
    variant = vggcalc.factorize(7, channels=4, size=9, activation="none")["naive"]
    layer = variant.layers[-1].name
    shares = [(0.1, 0.40, 0.90, 1.0), (0.2, 0.60, 0.97, 1.0), (0.3, 0.53, 0.99, 1.0)]
    found = effective_field(variant, [GradientEnergy("naive", layer, (1, 3, 5, 7), one) for one in shares], 0)
    assert isinstance(found, EffectiveReceptiveField)
    assert found.shares_ci95 is not None
    for each, mean, ends in zip(zip(*shares, strict=True), found.shares, found.shares_ci95, strict=True):
        reach = t.ppf(0.975, 2) * stdev(each) / 3**0.5
        assert mean == pytest.approx(fmean(each))
        assert ends == pytest.approx((max(mean - reach, 0), min(mean + reach, 1)))
    assert (found.half.side, found.half.ci95) == (3, (3, 5))  # 0.51 ± 0.25 at a side of 3; 0.2 ± 0.25 at 1
    assert (found.most.side, found.most.ci95) == (5, (5, 7))
    (single,) = [GradientEnergy("naive", layer, (1, 3, 5, 7), shares[0])]
    assert isinstance(alone := effective_field(variant, [single], 0), EffectiveReceptiveField)
    assert alone.half.ci95 is alone.shares_ci95 is None
    silent = effective_field(variant, [single, GradientEnergy("naive", layer, (1, 3, 5, 7), None)], 0)
    assert isinstance(silent, EffectiveReceptiveField)
    assert (silent.samples, silent.silent) == (1, 1)


def test_the_unit_is_the_centre_of_the_last_map() -> None:
    vgg = vggcalc.compare("8,8,M,16,16,M", size=32)["factorized"]
    target = next(iter(centre_units(vgg)))
    last = [layer for layer in vgg.layers if len(layer.output_shape) == 4 and prod(layer.output_shape[2:]) > 1][-1]
    assert (target.layer, target.unit) == (last.name, tuple(n // 2 for n in last.output_shape[2:]))


def test_every_format_has_it() -> None:
    question = ("factorize", "5", "--channels", "4", "--size", "8", "--no-latency", "--erf", "--erf-samples", "3")
    document = json.loads(invoke(*question, "--json").stdout)
    found = {variant["name"]: variant["effective"] for variant in document["comparisons"][0]["variants"]}
    assert [one["theoretical"] for one in found.values()] == [[5, 5], [5, 5]]
    assert all(one["samples"] == 3 and one["weights"] == "random" for one in found.values())
    table = invoke(*question).stdout
    assert "Effective receptive field of 5×5, in input positions" in table
    assert "over 3 random inputs" in table.replace("\n", " ")
    stack, kernel = (found[name]["most"]["side"] for name in ("factorized", "naive"))
    assert (
        f"Of the 5×5 positions that a unit sees, the middle {stack}×{stack} hold 95% of its gradient's energy in the "
        f"stack, and the middle {kernel}×{kernel} in the 5×5."
    ) in table.replace("\n", " ")
    rows = list(csv.DictReader(io.StringIO(invoke(*question, "--format", "csv").stdout)))
    sides = {row["variant"]: row["side_95"] for row in rows}
    assert sides == {name: str(one["most"]["side"]) for name, one in found.items()}


class Looking(nn.Module):
    """Reads its words, and so has no gradient of them."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(10, 4)
        self.conv = nn.Conv1d(4, 4, 3, padding=1)

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.conv(self.embed(words).transpose(1, 2))
        return result


def test_what_has_none_says_why() -> None:
    looking, vector = Looking(), nn.Sequential(nn.Flatten(), nn.Linear(16, 4))
    words = vggcalc.summary(looking, torch.zeros(1, 12, dtype=torch.long))
    with (
        pytest.warns(vggcalc.MeasurementWarning, match="no layer puts out a map of the input"),
        pytest.raises(vggcalc.WorkerError, match="no effective receptive field"),
    ):
        vggcalc.effective_receptive_field(words, samples=2)
    flat = vggcalc.summary(vector, (1, 1, 4, 4))
    with (
        pytest.warns(vggcalc.MeasurementWarning, match="no layer puts out a map of the input"),
        pytest.raises(vggcalc.WorkerError),
    ):
        vggcalc.effective_receptive_field(flat, samples=2)
    with pytest.raises(vggcalc.InputError, match="samples 0 is out of range"):
        vggcalc.effective_receptive_field(flat, samples=0)


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 5)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return self.conv(x) + self.conv(y)


def test_a_model_with_several_inputs_has_none_and_one_line_says_so() -> None:
    """Of all variants together: they have the same reason."""
    done = invoke(
        *("compare", f"{__file__}:TwoInputs", "--input", "1x1x9x9", "--input", "1x1x9x9", "--no-latency", "--erf")
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert re.search("no effective receptive field of given, factorized: it takes several inputs: give a module", line)


def test_a_network_that_just_fits_is_looked_at_and_one_byte_less_says_what_it_needs() -> None:
    """By hand: 2·2·25 + 2 weights of 4 bytes; the convolution's and the ReLU's map and their gradients, 2·2·36 of 8."""
    kernel = vggcalc.factorize(5, in_channels=2, out_channels=2, size=6)
    comparison = msgspec.structs.replace(kernel, variants=kernel.variants[:1])
    need = TORCH_BYTES + 4 * 102 + 8 * 144
    started: list[int] = []

    def start(job: EnergyJob, inactivity_timeout_s: float) -> RunningWorker:
        started.append(len(job.subjects))
        raise WorkerError("enough")

    def found(free: int | None) -> list[Found]:
        host = Host(free_bytes=lambda: free, start_worker=start)
        return list(effective_fields([comparison], 4, 0, lambda info: None, host, lambda text, left_s: None))

    ((index, name, why),) = found(need - 1)
    assert (index, name, started) == (0, "naive", [])
    assert why == f"needs {need:,} bytes of memory, and {need - 1:,} are free"
    for free in (need, None):
        with pytest.raises(WorkerError, match="enough"):
            found(free)
    assert started == [1, 1]


def test_the_seconds_that_are_left_are_those_of_the_samples_that_are_left() -> None:
    """Each sample takes 2 s; of the second network no gradient can be looked at."""

    class Samples(ClockedWorker):
        def messages(self) -> Iterator[Message]:
            sides, shares = (1, 3, 5, 7), (0.1, 0.5, 0.95, 1.0)
            naive, factorized = self._job.subjects
            for _ in range(3):
                type(self).now += 2.0
                yield GradientEnergy(naive.name, naive.targets[0].layer, sides, shares)
            type(self).now += 2.0
            yield NoEnergy(factorized.name, "it is 0")

    kernel = vggcalc.factorize(5, in_channels=2, out_channels=2, size=7)
    host = Host(clock=Samples.clock, free_bytes=lambda: None, start_worker=Samples)
    told: list[tuple[str, float | None]] = []
    found = list(
        effective_fields([kernel], 3, 0, lambda info: None, host, lambda text, left_s: told.append((text, left_s)))
    )
    assert [(index, name) for index, name, _ in found] == [(0, "naive"), (0, "factorized")]
    assert isinstance(found[0][2], EffectiveReceptiveField)
    assert found[1][2] == "it is 0"
    assert [left_s for _, left_s in told] == [10.0, 8.0, 6.0], "of six samples"
    assert [text[-6:] for text, _ in told] == ["1 of 3", "2 of 3", "3 of 3"]
