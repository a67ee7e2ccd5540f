"""The roofline: nothing is above 100%, whatever was measured, and the ridge decides what bounds a module."""

from collections.abc import Sequence

import msgspec
import pytest
from builders import latency
from hypothesis import example, given
from hypothesis import strategies as st

from vggcalc.measurement.roof import placed, raised
from vggcalc.results import Costs, Roof

#: FLOPs, bytes of traffic, seconds.
Module = tuple[int, int, float]


def costs(flops: int, traffic: int) -> Costs:
    return {"flops": flops, "traffic_bytes": traffic, "training_flops": 3 * flops}


def roof(flops_per_s: float, bytes_per_s: float) -> Roof:
    return Roof(device="cpu", dtype="float32", flops_per_s=flops_per_s, bytes_per_s=bytes_per_s, peak_by="a copy")


def over_all(found: Roof, modules: Sequence[Module]) -> Roof:
    """Raised over every module, as a trial does before it places any."""
    for i, (flops, traffic, seconds) in enumerate(modules):
        found = raised(found, f"module {i}", latency(seconds), costs(flops, traffic))
    return found


def shares(found: Roof, modules: Sequence[Module]) -> list[float]:
    placements = [placed(latency(seconds), costs(flops, traffic), found) for flops, traffic, seconds in modules]
    assert all(placement.roof_share is not None for placement in placements)
    return [placement.roof_share or 0.0 for placement in placements]


rates = st.floats(1e6, 1e15)
modules = st.lists(
    st.tuples(st.integers(1, 10**13), st.integers(1, 10**11), st.floats(1e-7, 1e3)), min_size=1, max_size=8
)


#: Divided and multiplied again, its rate comes out one digit in the last place too low.
ROUNDED = (368_798_545_707, 9_637_523_819, 0.32520503754302726)


@given(rates, rates, modules)
@example(1e30, 10.0, [ROUNDED])
@example(100e9, 10e9, [(22 * 10**9, 2 * 10**9, 0.1)])  # its intensity is just above the ridge, its rate twice
@example(100e9, 10e9, [(10**9, 10**9, 0.01), (22 * 10**9, 2 * 10**9, 0.1), (10**9, 3, 1e-3)])
def test_nothing_is_above_100_percent(flops_per_s: float, bytes_per_s: float, found: list[Module]) -> None:
    """Not by one digit in the last place either: a reader may test for it."""
    for share in shares(over_all(roof(flops_per_s, bytes_per_s), found), found):
        assert 0 <= share <= 1


@given(rates, rates, modules)
def test_raising_goes_up_and_never_down(flops_per_s: float, bytes_per_s: float, found: list[Module]) -> None:
    before = roof(flops_per_s, bytes_per_s)
    after = over_all(before, found)
    assert after.flops_per_s >= before.flops_per_s
    assert after.bytes_per_s >= before.bytes_per_s


@given(rates, rates, modules)
def test_raising_is_no_more_than_was_seen(flops_per_s: float, bytes_per_s: float, found: list[Module]) -> None:
    """Either rate is the calibration's, or that of a module."""
    after = over_all(roof(flops_per_s, bytes_per_s), found)
    arithmetic = [flops_per_s, *(flops / seconds for flops, _, seconds in found)]
    memory = [bytes_per_s, *(traffic / seconds for _, traffic, seconds in found)]
    assert after.flops_per_s <= max(arithmetic) * (1 + 1e-12)
    assert after.bytes_per_s <= max(memory) * (1 + 1e-12)


@given(rates, rates, modules)
def test_raising_keeps_the_names(flops_per_s: float, bytes_per_s: float, found: list[Module]) -> None:
    before = roof(flops_per_s, bytes_per_s)
    after = over_all(before, found)
    unraised = msgspec.structs.replace(
        after, flops_per_s=before.flops_per_s, bytes_per_s=before.bytes_per_s, raised_by=None
    )
    assert unraised == before, "device, dtype and what reached the peak are those of the calibration"
    if after.raised_by is None:
        assert after == before
    else:
        assert after != before
        assert after.raised_by in {f"module {i}" for i in range(len(found))}


def test_a_module_below_the_roof_leaves_it_alone() -> None:
    before = roof(100e9, 10e9)
    assert raised(before, "slow", latency(1.0), costs(50 * 10**9, 10**9)) == before


def test_the_fastest_module_is_the_roof() -> None:
    after = over_all(roof(100e9, 10e9), [(400 * 10**9, 10**9, 1.0), (200 * 10**9, 10**9, 1.0)])
    assert (after.flops_per_s, after.bytes_per_s, after.raised_by) == (400e9, 10e9, "module 0")
    assert shares(after, [(400 * 10**9, 10**9, 1.0), (200 * 10**9, 10**9, 1.0)]) == [1.0, 0.5]


@pytest.mark.parametrize(
    ("flops", "traffic", "bound", "share"),
    [
        (20, 1, "compute", 0.2),  # 20 FLOPs a byte, and the ridge at 10: of 100 a second
        (10, 1, "compute", 0.1),
        (5, 1, "memory", 5 / 50),  # of 5 FLOPs a byte · 10 bytes a second
    ],
)
def test_the_ridge_decides_what_bounds(flops: int, traffic: int, bound: str, share: float) -> None:
    found = placed(latency(1.0), costs(flops, traffic), roof(100.0, 10.0))
    assert found.flops_per_s == flops
    assert found.bound == bound
    assert found.roof_share == pytest.approx(share)


def test_rates_are_amounts_over_seconds() -> None:
    """At a time other than 1 s, where x / t and x · t differ."""
    assert placed(latency(0.25), costs(20, 1), roof(1000.0, 100.0)).flops_per_s == 80.0
    higher = raised(roof(10.0, 1.0), "fast", latency(0.25), costs(20, 1))
    assert (higher.flops_per_s, higher.bytes_per_s) == (80.0, 4.0)


def test_training_has_a_rate_and_no_share() -> None:
    """What training moves no law here tells."""
    before = roof(100.0, 10.0)
    training = latency(1.0, mode="training")
    assert raised(before, "fast", training, costs(10**6, 1)) == before
    found = placed(training, costs(10**6, 1), before)
    assert found.flops_per_s == 3 * 10**6, "training's own FLOPs"
    assert (found.roof_share, found.bound) == (None, None)


def test_a_module_that_moves_nothing_has_no_share() -> None:
    before = roof(100.0, 10.0)
    assert raised(before, "view", latency(1.0), costs(0, 0)) == before
    found = placed(latency(1.0), costs(0, 0), before)
    assert (found.flops_per_s, found.roof_share, found.bound) == (0.0, None, None)


def test_a_module_that_only_moves_has_a_rate_of_0() -> None:
    """Poolings alone: whatever share of nothing that is, it is no more than all of it."""
    before = roof(100.0, 10.0)
    assert raised(before, "pool", latency(1.0), costs(0, 5)) == before
    found = placed(latency(1.0), costs(0, 5), before)
    assert found.flops_per_s == 0
    assert found.roof_share in (None, 0.0)


def test_what_was_measured_stays_as_it_is() -> None:
    before = latency(0.25)
    after = placed(before, costs(10, 1), roof(100.0, 10.0))
    assert msgspec.structs.replace(after, flops_per_s=None, roof_share=None, bound=None) == before, (
        "only the place under the roof is added"
    )
