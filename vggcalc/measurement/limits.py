"""What a worker may take: memory, silence before it is taken for hung, and the seconds of a budget."""

from collections.abc import Callable, Iterable

from vggcalc.nets.names import ITEMSIZE
from vggcalc.results import Comparison, Configuration, Costs, Variant

#: What torch itself takes before it holds any tensor.
TORCH_BYTES = 600_000_000

#: A worker that sends nothing for so long is taken for hung: longer before its arms are warm, when
#: every module runs a few times, and longer for long rounds afterwards.
INACTIVITY_TIMEOUT_S, SLOWEST_MACS_PER_S, SLOW_ROUNDS = 60.0, 1e8, 20

#: No timeout is longer: the queue's wait has a limit of its own.
LONGEST_S = 1e6

#: Reserved of the budget for calibrating the roof and profiling, whichever is less.
PROFILE_SHARE, PROFILE_S = 0.4, 3.0


def whole_cost(costs: Costs, key: str) -> int:
    """A cost that is a whole number."""
    value = costs[key]
    assert isinstance(value, int), key
    return value


def in_dtype(costs: Costs, before: str, after: str) -> Costs:
    """The costs with their bytes in another dtype than the one that they were counted in."""
    scale = ITEMSIZE[after] / ITEMSIZE[before]
    scaled = ("weight_bytes", "traffic_bytes", "peak_activation_bytes", "saved_bytes")
    return costs | {key: int(whole_cost(costs, key) * scale) for key in scaled}


def needed_bytes(comparison: Comparison, configuration: Configuration, blocks: bool) -> int:
    """Memory for all arms at once: the baseline twice, the blocks, and as much again for convolutions' buffers."""
    rows = [in_dtype(variant.costs, comparison.dtype, configuration.dtype) for variant in comparison.variants]
    weights = sum(whole_cost(row, "weight_bytes") for row in (*rows, rows[0]))
    activations = 2 * max(whole_cost(row, "peak_activation_bytes") for row in rows)
    if configuration.mode == "training":
        weights *= 2
        activations += 2 * max(whole_cost(row, "saved_bytes") for row in rows)
    return weights + (weights if blocks else 0) + activations + TORCH_BYTES


def lacking_memory(need: int, free: int | None) -> str | None:
    """That `need` is more than what is free; None where it is not, or nobody reports what is free."""
    return None if free is None or need <= free else f"needs {need:,} bytes of memory, and {free:,} are free"


def warm_up_timeout_s(variants: Iterable[Variant]) -> float:
    """How long a worker may send nothing while it builds, runs or counts these."""
    macs = sum(whole_cost(variant.costs, "macs") for variant in variants)
    return min(INACTIVITY_TIMEOUT_S + macs / SLOWEST_MACS_PER_S, LONGEST_S)


def rounds_timeout_s(round_s: float) -> float:
    """How long a worker may send nothing once its arms are warm, if a round takes about `round_s`."""
    return min(INACTIVITY_TIMEOUT_S + SLOW_ROUNDS * round_s, LONGEST_S)


class Budget:
    """The seconds of one trial. What is spent on compiling comes on top."""

    def __init__(self, budget_s: float, clock: Callable[[], float]) -> None:
        self._budget_s = budget_s
        self._compiling_s = 0.0
        self._clock = clock
        self._began = clock()

    def limit(self, budget_s: float) -> None:
        """Have so many seconds, beside those for compiling."""
        self._budget_s = budget_s

    def add(self, seconds: float) -> None:
        """Allow so many seconds more."""
        self._compiling_s += seconds

    def left_s(self, profile: bool = False) -> float:
        """What is left, less the reserve for profiling where that is still to come."""
        reserve = min(PROFILE_S, PROFILE_SHARE * self._budget_s) if profile else 0.0
        return self._budget_s + self._compiling_s - reserve - (self._clock() - self._began)
