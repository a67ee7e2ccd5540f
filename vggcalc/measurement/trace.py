"""Tracing a model in a worker, so that whatever its code does cannot harm this process."""

from vggcalc.errors import InputError, WorkerError
from vggcalc.measurement.worker import Worker
from vggcalc.nets.graph import Network
from vggcalc.nets.origins import Origin
from vggcalc.protocol import TracedNetwork, TraceJob

#: A model that is not built and traced in this time is taken to loop for ever.
TRACE_TIMEOUT_S = 120.0


def trace(origin: Origin, inactivity_timeout_s: float = TRACE_TIMEOUT_S) -> Network:
    """The network that `origin` names, traced. Raises `InputError` with one line that says why not."""
    name = origin.attribute if origin.where in ("torchvision", "timm") else origin.source
    try:
        with Worker(TraceJob(origin, name), inactivity_timeout_s) as worker:
            for message in worker.messages():
                if isinstance(message, TracedNetwork):
                    return message.network
    except WorkerError as error:
        reason = str(error)
        raise InputError(reason if name in reason else f"{origin.source} cannot be traced: {reason}") from None
    raise InputError(f"{origin.source} cannot be traced: the worker sent no network")
