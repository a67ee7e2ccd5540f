"""`measure`, `check`, `verify` and `effective_receptive_field`: what worker processes find out on real modules."""

import os
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import msgspec

from vggcalc.errors import InputError, WorkerError
from vggcalc.library import arguments
from vggcalc.library.models import arguments_for, is_of_this_process, module_of
from vggcalc.measurement.plan import Plan, usable_cpus
from vggcalc.measurement.session import MeasurementOutcome, measure_all
from vggcalc.nets.names import MEMORY_FORMATS, MODES
from vggcalc.nets.origins import Origin
from vggcalc.pipeline.progress import Progress
from vggcalc.results import Comparison


class MeasurementWarning(UserWarning):
    """Something could not be measured, or there is a reason to doubt a measurement."""


def measure(
    comparison: Comparison,
    budget: float | None = None,
    *,
    device: str | Sequence[str] = "auto",
    threads: int | Literal["all"] | Sequence[int] = 1,
    mode: str | Sequence[str] = "inference",
    memory_format: str | Sequence[str] = "contiguous",
    dtype: Any = None,
    compile: bool = False,
    cold: bool = False,
    precision: float = 0.03,
    processes: int | None = None,
    rounds: int | None = None,
    quick: bool = False,
    check: bool = False,
    seed: int = 0,
    allocator: Literal["pinned", "default"] = "pinned",
) -> Comparison:
    """Time the variants in alternation, in fresh worker processes, as `vggcalc compare` does.

    Args:
        comparison: with one variant or several; of `vggcalc.compare`, `factorize` or `summary`.
        budget: seconds in all, the start of the workers included; None for what the claims take, 5 minutes for each
            configuration at the most.
        device: "cpu", "cuda", "mps", …; "auto" is the CPU and an accelerator, where there is one.
        threads: on the CPU; "all" for as many as this process may use.
        mode: "inference" or "training" (forward and backward, without an optimizer's step).
        memory_format: "contiguous" or "channels_last".
        dtype: of the weights and the input; that of the comparison unless given.
        compile: torch.compile's modules beside the eager ones.
        cold: flush the CPU's or device's caches before every call.
        precision: stop when the full width of each interval is this share of its ratio, 0.03 for 3%.
        processes, rounds: the most processes, and the rounds in each; by default as many as the budget allows.
        quick: one process, and 10 s for each configuration, for a claim about this process only.
        check: count again with torch and fvcore first.
        seed: of weights, input and order.
        allocator: "pinned" keeps malloc's thresholds fixed, which moves a ratio more than noise does.

    Returns:
        The comparison with a `latency` for every variant and block, and ratios with 95% intervals.

    Raises:
        TypeError: an argument is of a type that is not accepted.
        InputError: an argument has a value that is not accepted, or a module cannot be sent to a worker.
        WorkerError: nothing could be measured. What could be measured only in part is a `MeasurementWarning`.

    >>> comparison = vggcalc.measure(vggcalc.factorize(7, size=8), budget=1, device="cpu", processes=1)
    >>> comparison.ratio("factorized").latency[0].ratio > 0
    True
    """
    _check_comparison(comparison)
    numbers = (
        ("budget", 30 if budget is None else budget, "seconds, such as 30"),
        ("precision", precision, "0.03 for 3%"),
    )
    for name, share, accepted in numbers:
        if isinstance(share, bool) or not isinstance(share, int | float):
            raise arguments.wrong_type(name, share, accepted)
    arguments.check_flags(compile=compile, cold=cold, quick=quick, check=check)
    _check_seed(seed)
    for name, number, most in (("processes", processes, 100), ("rounds", rounds, 100_000)):
        arguments.check_whole(**{name: number})
        if number is not None and not 1 <= number <= most:
            raise InputError(f"{name} {number} is out of range: give 1 to {most:,}")
    arguments.word("allocator", allocator, ("pinned", "default"))
    if budget is not None and not 0 < budget <= 1e6:
        raise InputError(f"budget {budget!r} is no time: give seconds, more than 0 and at most a million, such as 30")
    if not 0 < precision <= 1:
        raise InputError(f"precision {precision!r} is no share: give the interval's full width, such as 0.03 for 3%")
    plan = Plan(
        check=check,
        devices=_several_words("device", device),
        dtypes=(comparison.dtype,) if dtype is None else (arguments.parse_dtype(dtype),),
        threads=_threads(threads),
        modes=_choices("mode", mode, MODES),
        memory_formats=_choices("memory_format", memory_format, MEMORY_FORMATS),
        executions=("eager", "compiled") if compile else ("eager",),
        cold=cold,
        budget_s=budget,
        quick=quick,
        precision=precision,
        processes=processes,
        rounds=rounds,
        seed=seed,
        pin_allocator=allocator != "default",
    )
    measured = _with_measurements(comparison, plan)
    if not any(variant.latency for variant in measured.variants):
        raise WorkerError(f"nothing of {comparison.name} could be measured: see the warnings")
    return measured


def check(comparison: Comparison) -> Comparison:
    """Count every variant again with torch and fvcore on real modules, and probe a receptive field by its gradient.

    Returns the comparison with a `crosscheck` in every variant; `crosscheck.agrees` says whether all figures are equal.
    Raises `WorkerError` where nothing could be counted.

    >>> vggcalc.check(vggcalc.factorize(5, size=8))["naive"].crosscheck.agrees
    True
    """
    _check_comparison(comparison)
    checked = _with_measurements(comparison, Plan(latency=False, check=True))
    if all(variant.crosscheck is None for variant in checked.variants):
        raise WorkerError(f"nothing of {comparison.name} could be counted: see the warnings")
    return checked


def verify(comparison: Comparison, seed: int = 0) -> Comparison:
    """Compose each factorized kernel without activations into one convolution, and compare both in float64.

    Returns the comparison with a `verification` in every variant but the baseline: the border in which zero padding
    between the layers makes a difference, and the errors beside it. Raises `InputError` for networks.

    >>> vggcalc.verify(vggcalc.factorize(7, size=16))["factorized"].verification.border
    (2, 2)
    """
    _check_comparison(comparison)
    _check_seed(seed)
    if comparison.variants[0].weights_per_channel_pair is None:
        raise InputError(f"verify is for factorized kernels, and {comparison.name} is a network")
    return _with_measurements(comparison, Plan(latency=False, check=False, verify=True, seed=seed))


def effective_receptive_field(comparison: Comparison, samples: int = 20, seed: int = 0) -> Comparison:
    """How the energy of the centre unit's gradient is spread over the input, beside the theoretical receptive field.

    Averaged over `samples` random inputs from `seed`: Luo et al. 2016, arXiv 1701.04128. An imported model has its own
    weights, a network that is built other random ones in each sample. Returns the comparison with an `effective` in
    every variant: `most.side` is that of the square that holds 95% of the energy, with `most.ci95`; `half` is for 50%.
    Raises `WorkerError` where no variant has one.

    >>> found = vggcalc.effective_receptive_field(vggcalc.factorize(7, channels=8, size=15), samples=10)
    >>> found["factorized"].effective.theoretical, found["factorized"].effective.most.side <= 7
    ((7, 7), True)
    """
    _check_comparison(comparison)
    _check_seed(seed)
    arguments.check_whole(samples=samples)
    if not 1 <= samples <= 1000:
        raise InputError(f"samples {samples} is out of range: give 1 to 1,000")
    found = _with_measurements(comparison, Plan(latency=False, check=False, effective_samples=samples, seed=seed))
    if all(variant.effective is None for variant in found):
        raise WorkerError(f"{comparison.name} has no effective receptive field: see the warnings")
    return found


def _check_comparison(comparison: object) -> None:
    if not isinstance(comparison, Comparison):
        raise arguments.wrong_type("comparison", comparison, "what vggcalc.compare, factorize or summary return")


def _check_seed(seed: object) -> None:
    if type(seed) is not int:
        raise arguments.wrong_type("seed", seed, "a whole number")
    if not 0 <= seed <= 2**50:
        raise InputError(f"seed {seed} is out of range: give 0 to 2**50")


def _several_words(name: str, value: str | Sequence[str]) -> tuple[str, ...]:
    words = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, tuple | list) else ()
    if not words or not all(isinstance(word, str) for word in words):
        raise arguments.wrong_type(name, value, "a string or a list of them")
    return tuple(dict.fromkeys(words))


def _choices(name: str, value: str | Sequence[str], accepted: Sequence[str]) -> tuple[Any, ...]:
    return tuple(arguments.word(name, one, accepted) for one in _several_words(name, value))


def _threads(value: int | str | Sequence[int]) -> tuple[int, ...]:
    if value == "all":
        return (usable_cpus(),)
    counts: list[int] = []
    for one in value if isinstance(value, tuple | list) else [value]:
        if type(one) is not int:
            raise arguments.wrong_type("threads", one, 'a whole number or "all"')
        if not 1 <= one <= 9999:
            raise InputError(f"threads {one} is out of range: give 1 to 9999, or all")
        counts.append(one)
    return tuple(counts)


def _with_measurements(comparison: Comparison, plan: Plan) -> Comparison:
    """The comparison with the workers' results, and a warning for what they could not measure."""
    progress = Progress() if sys.stderr.isatty() else None
    try:
        with _with_saved_modules(comparison) as sendable:
            outcome = measure_all(
                [sendable], plan, progress or _no_progress, progress.say if progress else _no_progress
            )
    finally:
        if progress is not None:
            progress.close()
    for line in (*outcome.failures, *outcome.warnings):
        warnings.warn(line, MeasurementWarning, stacklevel=3)
    if outcome.interrupted:
        warnings.warn("interrupted: only what was measured before is there", MeasurementWarning, stacklevel=3)
    return _with_environment(comparison, outcome)


def _no_progress(line: str) -> None:
    """Discard progress messages."""


def _with_environment(before: Comparison, outcome: MeasurementOutcome) -> Comparison:
    (found,) = outcome.comparisons
    origins = {variant.name: variant.origin for variant in before.variants}
    variants = tuple(msgspec.structs.replace(one, origin=origins[one.name]) for one in found.variants)
    from vggcalc.analysis.pareto import pareto

    return msgspec.structs.replace(
        found, variants=variants, pareto=pareto(variants, found.ratios), environment=outcome.environment
    )


@contextmanager
def _with_saved_modules(comparison: Comparison) -> Iterator[Comparison]:
    """The comparison with each module of this process saved to a file, from which a worker loads it."""
    given = [variant.origin for variant in comparison.variants if is_of_this_process(variant.origin)]
    if not given:
        yield comparison
        return
    with tempfile.TemporaryDirectory(prefix="vggcalc-") as folder:
        saved = {origin.source: _save_module(origin, folder) for origin in given if origin is not None}
        yield msgspec.structs.replace(
            comparison,
            variants=tuple(
                msgspec.structs.replace(
                    variant,
                    origin=msgspec.structs.replace(
                        variant.origin,
                        source=saved[variant.origin.source].source,
                        inputs_from=saved[variant.origin.source].inputs_from,
                    ),
                )
                if variant.origin is not None and variant.origin.source in saved
                else variant
                for variant in comparison.variants
            ),
        )


def _save_module(origin: Origin, folder: str) -> Origin:
    """Save the module that the origin stands for, and its inputs, for the worker.

    Returns the origin by which the worker loads it. Raises `InputError` if it cannot be saved.
    """
    import cloudpickle
    import torch

    module = module_of(origin)
    name = origin.attribute
    if module is None:
        raise InputError(
            f"{name} was a module of another process, or nothing holds it any more: keep it in a variable, and "
            "compare it again"
        )
    if getattr(module, "_compiled_call_impl", None) is not None:
        raise InputError(f"{name} was compiled in place, which no worker repeats: give torch.compile(module)")
    path = os.path.join(folder, f"{origin.where.replace(' ', '-')}-{name}.pt")
    if not os.path.exists(path):
        with open(f"{path}.json", "wb") as file:
            file.write(msgspec.json.encode([os.path.abspath(folder) for folder in sys.path]))
        try:
            torch.save(module, path, pickle_module=cloudpickle)  # also of a class that stands in a notebook
            torch.save(arguments_for(origin), f"{path}.inputs.pt")
        except Exception as error:  # pickle raises whatever the module's own code does
            raise InputError(f"{name} cannot be sent to a worker process: {error}") from error
    inputs_from = f"{path}.inputs.pt" if arguments_for(origin) is not None else ""
    return msgspec.structs.replace(origin, source=f"{path}:{name}", inputs_from=inputs_from)
