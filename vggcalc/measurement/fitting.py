"""One kernel of a file of weights, read and fitted in a worker."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from vggcalc.errors import InputError, WorkerError
from vggcalc.measurement.rewriting import REWRITE_TIMEOUT_S
from vggcalc.measurement.worker import StartWorker, Worker
from vggcalc.nets.fitting import KernelVariants
from vggcalc.protocol import FitJob
from vggcalc.results.fitted import FittedVariant, ReadKernel

#: What finds the variants' weights, one after the other.
FitEach = Callable[[KernelVariants], Iterator[FittedVariant]]


@contextmanager
def kernel_in(
    weights: str, key: str | None, start_worker: StartWorker = Worker
) -> Iterator[tuple[ReadKernel, FitEach]]:
    """What the kernel of that name in the file is, and what fits variants to it, once.

    Raises `InputError` with one line that says why it cannot be read or fitted.
    """
    try:
        with start_worker(FitJob(weights, key), REWRITE_TIMEOUT_S) as worker:
            messages = worker.messages()

            def fit_each(wanted: KernelVariants) -> Iterator[FittedVariant]:
                worker.send(wanted)
                return (message for message in messages if isinstance(message, FittedVariant))

            yield next(message for message in messages if isinstance(message, ReadKernel)), fit_each
    except WorkerError as error:
        raise InputError(str(error)) from None
