"""Proving in a worker that a factorized kernel without activations is one convolution."""

from collections.abc import Callable, Iterator, Sequence

from vggcalc.measurement import limits as memory
from vggcalc.measurement.trial import inactivity_timeout_s
from vggcalc.measurement.worker import Worker
from vggcalc.protocol import Subject, Verified, VerifyJob, WorkerInfo
from vggcalc.results import Comparison


def verifications(
    comparisons: Sequence[Comparison], seed: int, note: Callable[[WorkerInfo], None]
) -> Iterator[tuple[int, str, Verified]]:
    """For every variant but the baselines the comparison's number, the variant's name and what came of it.

    Raises `WorkerError`, after those that were verified before.
    """
    named = {
        f"{index}/{variant.name}": (index, variant)
        for index, comparison in enumerate(comparisons)
        for variant in comparison.variants
        if variant.name != comparison.baseline
    }
    job = VerifyJob(
        tuple(Subject(name, variant.network) for name, (_, variant) in named.items()),
        seed,
        memory.free_bytes(),
    )
    with Worker(job, inactivity_timeout_s(variant for _, variant in named.values())) as worker:
        for message in worker.messages():
            match message:
                case WorkerInfo():
                    note(message)
                case Verified():
                    index, variant = named[message.subject]
                    yield index, variant.name, message
