"""Rewriting a model in a worker: its weights read, replaced and written there."""

from collections.abc import Callable

from vggcalc.errors import InputError, WorkerError
from vggcalc.measurement.worker import StartWorker, Worker
from vggcalc.nets.fitting import Fitting
from vggcalc.nets.graph import Network
from vggcalc.nets.origins import Origin
from vggcalc.nets.replacing import Replacing
from vggcalc.protocol import FittingLayer, RewriteJob
from vggcalc.results.fitted import RewrittenModel

#: A fit of the largest kernels may take long, and says nothing meanwhile.
REWRITE_TIMEOUT_S = 3600.0


def rewrite_model(
    network: Network,
    origin: Origin | None,
    replacing: Replacing,
    weights: str | None,
    save: str,
    fit: bool,
    fitting: Fitting,
    code: str | None = None,
    fit_on: str | None = None,
    note: Callable[[str], None] = lambda text: None,
    start_worker: StartWorker = Worker,
) -> RewrittenModel:
    """What became of a model, as `RewriteJob` has it; `note` is called with which layer is being replaced.

    Raises `InputError` with one line that says why nothing became of it.
    """
    job = RewriteJob(network, origin, replacing, weights, save, fit, fitting, code, fit_on)
    try:
        with start_worker(job, REWRITE_TIMEOUT_S) as worker:
            for message in worker.messages():
                if isinstance(message, RewrittenModel):
                    return message
                if isinstance(message, FittingLayer):
                    note(f"replacing {message.name}, {message.number} of {message.of}")
    except WorkerError as error:
        raise InputError(str(error)) from None
    raise InputError("the worker rewrote no model")
