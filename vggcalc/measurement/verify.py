"""Verifying in a worker that a factorized kernel without activations is one convolution."""

from collections.abc import Callable, Iterator, Sequence

from vggcalc.measurement.host import Host
from vggcalc.measurement.limits import warm_up_timeout_s
from vggcalc.protocol import Subject, Verified, VerifyJob, WorkerInfo
from vggcalc.results import Comparison


def verifications(
    comparisons: Sequence[Comparison], seed: int, note: Callable[[WorkerInfo], None], host: Host
) -> Iterator[Verified]:
    """The verification of every variant but the baselines.

    Raises `WorkerError`, after those that were verified before.
    """
    variants = [
        (index, variant)
        for index, comparison in enumerate(comparisons)
        for variant in comparison.variants
        if variant.name != comparison.baseline
    ]
    subjects = tuple(Subject(variant.name, variant.network, comparison=index) for index, variant in variants)
    job = VerifyJob(subjects, seed, host.free_bytes())
    with host.start_worker(job, warm_up_timeout_s(variant for _, variant in variants)) as worker:
        for message in worker.messages():
            match message:
                case WorkerInfo():
                    note(message)
                case Verified():
                    yield message
