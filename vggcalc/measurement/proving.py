"""Proving in a worker that a factorized kernel without activations is one convolution."""

from collections.abc import Callable, Iterator, Sequence

from vggcalc.jobs import Facts, Proved, ProveJob, Subject
from vggcalc.measurement import memory
from vggcalc.measurement.trial import silence_s
from vggcalc.measurement.workers import Worker
from vggcalc.results import Comparison


def proofs(
    comparisons: Sequence[Comparison], seed: int, note: Callable[[Facts], None]
) -> Iterator[tuple[int, str, Proved]]:
    """For every variant but the baselines the comparison's number, the variant's name and what came of it.

    Raises `WorkerFailed`, after those that were proved before.
    """
    named = {
        f"{index}/{variant.name}": (index, variant)
        for index, comparison in enumerate(comparisons)
        for variant in comparison.variants
        if variant.name != comparison.baseline
    }
    job = ProveJob(
        tuple(Subject(name, variant.network) for name, (_, variant) in named.items()),
        seed,
        memory.free_bytes(),
    )
    with Worker(job, silence_s(variant for _, variant in named.values())) as worker:
        for message in worker.messages():
            match message:
                case Facts():
                    note(message)
                case Proved():
                    index, variant = named[message.subject]
                    yield index, variant.name, message
