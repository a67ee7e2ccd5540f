"""What is made of the rounds, on processes that are made up: against numpy, scipy and by hand."""

import random
from collections.abc import Sequence

import numpy
import pytest
from scipy import stats

from vggcalc.errors import WorkerError
from vggcalc.measurement.rounds import ArmPair, Measurements, ProcessRounds, is_narrow
from vggcalc.protocol import CONTROL, Arm, ArmsReady, Rounds
from vggcalc.results import Configuration, LatencyRatio

NAIVE, FACTORIZED = Arm("naive"), Arm("factorized")
NAIVE_BLOCK, FACTORIZED_BLOCK = Arm("naive", "block2"), Arm("factorized", "block2")
ARMS = (NAIVE, FACTORIZED, NAIVE_BLOCK, FACTORIZED_BLOCK, CONTROL)
WHOLE = (NAIVE, FACTORIZED, CONTROL)
CONFIGURATION = Configuration("cpu", "bfloat16", 2, "training", "channels_last", "compiled", True)

#: Of each arm's times, in microseconds.
LEVEL = {NAIVE: 100, FACTORIZED: 60, NAIVE_BLOCK: 40, FACTORIZED_BLOCK: 50, CONTROL: 100}


def made_up(
    seed: int,
    rounds: int,
    arms: tuple[Arm, ...] = ARMS,
    compile_s: Sequence[float | None] | None = None,
    waiting: int = 0,
) -> ProcessRounds:
    """A process with a level of its own and noise; in `waiting` of the first rounds every arm waited."""
    rng = random.Random(seed)
    start = ArmsReady(
        arms,
        tuple(range(1, len(arms) + 1)),
        (1e-3,) * len(arms),
        tuple(compile_s or (None,) * len(arms)),
        "pinned",
    )
    process = ProcessRounds(start, arms)
    own = rng.uniform(0.9, 1.1)
    wall = [tuple(1e-6 * LEVEL[arm] * own * rng.uniform(1, 1.1) for arm in arms) for _ in range(rounds)]
    cpu = [tuple(seconds * (0.5 if i < waiting else 0.95) for seconds in row) for i, row in enumerate(wall)]
    faults = [tuple(float(seed + i) for i in range(len(arms))) for _ in range(rounds)]
    half = rounds // 2
    for part in (slice(half), slice(half, None)):
        process.add(Rounds(tuple(wall[part]), tuple(cpu[part]), tuple(faults[part])))
    return process


def collection(*processes: ProcessRounds, configuration: Configuration = CONFIGURATION) -> Measurements:
    return Measurements(configuration, processes, 7, "budget", 0.25)


def ratio(found: Measurements, arm: Arm = FACTORIZED, compared: int = 1) -> LatencyRatio:
    baseline = Arm("naive", arm.block)
    measured = found.ratio(ArmPair(baseline, arm), ArmPair(NAIVE, CONTROL), compared)
    assert measured is not None
    return measured


def medians(processes: Sequence[ProcessRounds], baseline: Arm, arm: Arm) -> list[float]:
    """Of log(baseline / arm) in each process, by numpy."""
    found = []
    for process in processes:
        table = numpy.array(process.wall)
        column = {name: table[:, i] for i, name in enumerate(process.arms)}
        found.append(float(numpy.median(numpy.log(column[baseline] / column[arm]))))
    return found


def over_processes(processes: Sequence[ProcessRounds], baseline: Arm, arm: Arm, level: float) -> list[float]:
    """Ratio and the ends of its t interval."""
    e = medians(processes, baseline, arm)
    low, high = stats.t.interval(level, len(e) - 1, loc=numpy.mean(e), scale=stats.sem(e))
    return [float(numpy.exp(-x)) for x in (numpy.mean(e), high, low)]


# An arm's own times


def test_times_stand_process_after_process() -> None:
    processes = [made_up(seed, rounds) for seed, rounds in ((1, 6), (2, 9), (3, 7))]
    found = collection(*processes).latency(FACTORIZED)
    assert found is not None
    expected = [row[1] for process in processes for row in process.wall]
    assert list(found.times_s) == expected
    assert len(expected) == 22
    assert found.median_s == numpy.median(expected)
    assert found.iqr_s == pytest.approx(stats.iqr(expected))
    assert found.faults_per_call == 3.0, "1 + 1, 2 + 1 and 3 + 1: the median over all rounds"


def test_a_latency_carries_how_it_was_measured() -> None:
    found = collection(made_up(1, 6)).latency(NAIVE_BLOCK)
    assert found is not None
    for name in Configuration.__struct_fields__:
        assert getattr(found, name) == getattr(CONFIGURATION, name)
    assert found.calls_per_round == 3


@pytest.mark.parametrize("compared", [1, 4])
@pytest.mark.parametrize("rounds", [(30, 30, 30), (6, 51, 9), (31,), (5,)])
def test_a_latency_has_the_interval_of_its_processes(rounds: tuple[int, ...], compared: int) -> None:
    """Student's t of the processes' median log-times, or in one process the exact interval of the median."""
    processes = [made_up(seed, n) for seed, n in enumerate(rounds)]
    found = collection(*processes).latency(FACTORIZED, compared)
    assert found is not None
    assert found.rounds_per_process == rounds
    times = [numpy.log([row[1] for row in process.wall]) for process in processes]
    level = 1 - 0.05 / compared
    if len(rounds) > 1:
        e = [numpy.median(own) for own in times]
        ends = stats.t.interval(level, len(e) - 1, loc=numpy.mean(e), scale=stats.sem(e))
    else:
        ends = stats.quantile_test(times[0], q=0, p=0.5).confidence_interval(level)
    expected = None if numpy.isnan(ends).any() else pytest.approx(tuple(numpy.exp(ends)))
    assert found.ci95 == expected
    assert (found.ci95 is None) == (rounds == (5,))


def test_compile_time_is_the_median_over_processes() -> None:
    seconds = [(3.0, 10.0, None), (1.0, 20.0, None), (2.0, None, None)]
    found = collection(*(made_up(i, 6, WHOLE, s) for i, s in enumerate(seconds)))
    assert [getattr(found.latency(arm), "compile_s", 0) for arm in WHOLE] == [2.0, 15.0, None]


def test_an_arm_that_no_process_timed_has_no_latency_and_no_ratio() -> None:
    found = collection(made_up(1, 6, WHOLE), made_up(2, 6, WHOLE))
    assert found.latency(NAIVE_BLOCK) is None
    assert found.ratio(ArmPair(NAIVE_BLOCK, FACTORIZED_BLOCK), ArmPair(NAIVE, CONTROL), 1) is None


# Ratios


@pytest.mark.parametrize("compared", [1, 4])
@pytest.mark.parametrize("rounds", [(30, 30, 30), (6, 51, 30, 7, 9, 8), (6, 7)])
def test_over_processes_it_is_the_t_interval_of_their_medians(rounds: tuple[int, ...], compared: int) -> None:
    processes = [made_up(seed, n) for seed, n in enumerate(rounds)]
    found = ratio(collection(*processes), compared=compared)
    expected = over_processes(processes, NAIVE, FACTORIZED, 1 - 0.05 / compared)
    assert [found.ratio, *(found.ci95 or ())] == pytest.approx(expected)
    control = over_processes(processes, NAIVE, CONTROL, 0.95)
    assert [found.control_ratio, *(found.control_ci95 or ())] == pytest.approx(control)
    assert found.floor == pytest.approx(max(0.01, abs(control[1] - 1), abs(control[2] - 1)))
    assert (found.basis, found.compared) == ("processes", compared)
    assert (found.processes, found.rounds, found.rounds_per_process) == (len(rounds), min(rounds), rounds)
    assert found.verdict == ("faster" if expected[2] < 1 - found.floor else "unclear")


@pytest.mark.parametrize("compared", [1, 4])
@pytest.mark.parametrize("rounds", [9, 30, 67])
def test_within_one_process_it_is_the_exact_interval_of_its_median(rounds: int, compared: int) -> None:
    process = made_up(5, rounds)
    found = ratio(collection(process), compared=compared)
    table = numpy.array(process.wall)
    d = numpy.log(table[:, 0] / table[:, 1])
    exact = stats.quantile_test(d, q=0, p=0.5).confidence_interval(1 - 0.05 / compared)
    assert found.ratio == pytest.approx(float(numpy.exp(-numpy.median(d))))
    assert found.ci95 == pytest.approx((float(numpy.exp(-exact.high)), float(numpy.exp(-exact.low))))
    assert (found.basis, found.processes, found.rounds_per_process) == ("process", 1, (rounds,))
    assert found.verdict == "faster"


def test_more_comparisons_need_wider_intervals() -> None:
    """Bonferroni: each of k intervals holds 1 − 5% / k, the control's always 95%."""
    processes = [made_up(seed, 30) for seed in range(6)]
    for chosen in (processes, processes[:1]):
        one, four = (ratio(collection(*chosen), compared=k) for k in (1, 4))
        assert one.ci95 is not None
        assert four.ci95 is not None
        assert four.ci95[0] < one.ci95[0] < one.ratio == four.ratio < one.ci95[1] < four.ci95[1]
        assert four.control_ci95 == one.control_ci95


@pytest.mark.parametrize(("rounds", "compared", "held"), [(5, 1, False), (6, 1, True), (6, 2, False), (7, 2, True)])
def test_too_few_rounds_of_one_process_hold_no_interval(rounds: int, compared: int, held: bool) -> None:
    found = ratio(collection(made_up(1, rounds)), compared=compared)
    if held:
        assert (found.basis, found.ci95 is None) == ("process", False)
    else:
        assert (found.basis, found.ci95, found.verdict) == ("none", None, "unclear")
        assert found.ratio == pytest.approx(0.6, rel=0.1), "the ratio is still told"


def test_a_ratio_carries_everything_that_it_was_made_of() -> None:
    """Its own times, the baseline's, the control's and the rounds of each process make it again."""
    processes = [made_up(seed, n) for seed, n in ((1, 6), (2, 9), (3, 7))]
    whole = collection(*processes)
    found, naive, factorized = ratio(whole), whole.latency(NAIVE), whole.latency(FACTORIZED)
    assert naive is not None
    assert factorized is not None
    control = [row[ARMS.index(CONTROL)] for process in processes for row in process.wall]
    assert list(found.control_times_s) == control
    ends = numpy.cumsum(found.rounds_per_process)[:-1]
    for times, told in ((factorized.times_s, found.ratio), (found.control_times_s, found.control_ratio)):
        d = numpy.split(numpy.log(numpy.array(naive.times_s) / numpy.array(times)), ends)
        assert told == pytest.approx(float(numpy.exp(-numpy.mean([numpy.median(e) for e in d]))))
    for name in Configuration.__struct_fields__:
        assert getattr(found, name) == getattr(CONFIGURATION, name)
    assert (found.seed, found.stopped, found.load, found.allocator) == (
        7,
        "budget",
        0.25,
        "pinned",
    )


# Blocks that only the first process timed


def test_blocks_of_the_first_process_claim_no_more_than_that_process() -> None:
    processes = [made_up(1, 30), made_up(2, 30, WHOLE), made_up(3, 30, WHOLE)]
    found = collection(*processes)
    block, whole = ratio(found, FACTORIZED_BLOCK, compared=3), ratio(found)
    assert (block.basis, block.processes, block.rounds_per_process) == ("process", 1, (30,))
    assert (whole.basis, whole.processes, whole.rounds_per_process) == ("processes", 3, (30, 30, 30))
    table = numpy.array(processes[0].wall)
    d = numpy.log(table[:, 2] / table[:, 3])
    exact = stats.quantile_test(d, q=0, p=0.5).confidence_interval(1 - 0.05 / 3)
    assert block.ratio == pytest.approx(float(numpy.exp(-numpy.median(d))))
    assert block.ci95 == pytest.approx((float(numpy.exp(-exact.high)), float(numpy.exp(-exact.low))))
    latency = found.latency(NAIVE_BLOCK)
    assert latency is not None
    assert latency.times_s == tuple(table[:, 2])
    assert block.verdict == "slower"


def test_a_process_without_rounds_is_as_if_it_had_not_been() -> None:
    processes = [made_up(1, 30), made_up(2, 30), made_up(3, 0)]
    assert ratio(collection(*processes)) == ratio(collection(*processes[:2]))
    assert collection(*processes).latency(NAIVE) == collection(*processes[:2]).latency(NAIVE)


# What speaks against believing it


@pytest.mark.parametrize("waiting", [0, 3, 12])
def test_contended_is_the_share_of_timings_that_waited(waiting: int) -> None:
    """Wall time more than a tenth beyond processor time, over all processes and arms."""
    on_one = Configuration("cpu", "float32")
    found = ratio(collection(made_up(1, 12, waiting=waiting), made_up(2, 12), configuration=on_one))
    assert found.contended == pytest.approx(waiting / 24)


@pytest.mark.parametrize("configuration", [Configuration("cuda", "float32"), Configuration("cpu", "float32", 2)])
def test_processor_time_says_nothing_of_accelerators_and_threads(configuration: Configuration) -> None:
    """Two threads use twice the wall time, so that half a wait looks like none."""
    assert ratio(collection(made_up(1, 12), configuration=configuration)).contended is None


# When it is precise enough


def test_narrow_looks_at_width_and_never_at_significance() -> None:
    process = made_up(1, 60)
    pairs = [ArmPair(NAIVE, CONTROL), ArmPair(NAIVE, FACTORIZED)]
    widths = []
    for pair in pairs:
        measured = collection(process).ratio(pair, pairs[0], 1)
        assert measured is not None
        assert measured.ci95 is not None
        widths.append((measured.ci95[1] - measured.ci95[0]) / measured.ratio)
    assert is_narrow(process, pairs, max(widths) * 1.001)
    assert not is_narrow(process, pairs, max(widths) * 0.999), "though faster beyond doubt"


def test_narrow_waits_for_every_arm_that_is_timed() -> None:
    wide = ProcessRounds(ArmsReady(WHOLE, (1,) * 3, (1e-3,) * 3, (None,) * 3, "pinned"), WHOLE)
    rng = random.Random(3)
    rows = tuple((1.0, 1.0, rng.uniform(0.5, 2)) for _ in range(30))
    wide.add(Rounds(rows, rows, rows))
    assert is_narrow(wide, [ArmPair(NAIVE, FACTORIZED)], 0.03)
    assert not is_narrow(wide, [ArmPair(NAIVE, FACTORIZED), ArmPair(NAIVE, CONTROL)], 0.03)
    assert is_narrow(wide, [ArmPair(NAIVE, FACTORIZED), ArmPair(NAIVE_BLOCK, FACTORIZED_BLOCK)], 0.03)


def test_too_few_rounds_are_never_is_narrow() -> None:
    same = ProcessRounds(ArmsReady(WHOLE, (1,) * 3, (1e-3,) * 3, (None,) * 3, "pinned"), WHOLE)
    rows = ((1.0, 1.0, 1.0),) * 5
    same.add(Rounds(rows, rows, rows))
    assert not is_narrow(same, [ArmPair(NAIVE, FACTORIZED)], 1.0)


FITS, SHORT, ZERO = (1e-3, 1e-3, 1e-3), (1e-3, 1e-3), (1e-3, 0.0, 1e-3)


@pytest.mark.parametrize(
    "rounds",
    [Rounds((SHORT,), (FITS,), (FITS,)), Rounds((FITS,), (SHORT,), (FITS,)), Rounds((FITS,), (FITS,), (SHORT,)),
     Rounds((FITS, ZERO), (FITS, FITS), (FITS, FITS))],
)  # fmt: skip
def test_rounds_that_cannot_be_are_refused(rounds: Rounds) -> None:
    """A row that lacks an arm, whichever figure's it is, and a call that took no time."""
    process = ProcessRounds(ArmsReady(WHOLE, (1,) * 3, (1e-3,) * 3, (None,) * 3, "pinned"), WHOLE)
    with pytest.raises(WorkerError, match="do not fit its arms"):
        process.add(rounds)
    assert process.wall == []
    process.add(Rounds((FITS,), (ZERO,), (ZERO,)))
    assert process.wall == [FITS]
