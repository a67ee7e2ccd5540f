"""Tracing a model in a worker: its code runs there, and whatever it does harms nothing here."""

from vggcalc.jobs import TracedNetwork, TraceJob
from vggcalc.measurement.workers import Worker, WorkerFailed
from vggcalc.spec.layers import Network
from vggcalc.spec.origins import Origin
from vggcalc.spec.words import SpecError

#: A model that is not made and traced in this time is taken to loop for ever.
SILENCE_S = 120.0


def trace(origin: Origin, silence_s: float = SILENCE_S) -> Network:
    """The network that `origin` names, traced. Raises `SpecError` with one line that says why not."""
    name = origin.attribute if origin.where in ("torchvision", "timm") else origin.source
    try:
        with Worker(TraceJob(origin, name), silence_s) as worker:
            for message in worker.messages():
                if isinstance(message, TracedNetwork):
                    return message.network
    except WorkerFailed as error:
        said = str(error)
        raise SpecError(said if name in said else f"{origin.source} cannot be traced: {said}") from None
    raise SpecError(f"{origin.source} cannot be traced: the worker said nothing")
