"""What a worker does to trace models, one after the other."""

from collections.abc import Callable
from typing import Any

import msgspec

from vggcalc.nets.origins import Sources
from vggcalc.protocol import ListModels, Message, ModelNames, NotTraced, TracedNetwork, TraceModel
from vggcalc.runtime.load.errors import LoadError
from vggcalc.runtime.load.factories import registered
from vggcalc.runtime.load.load import traced


def trace_models(
    next_line: Callable[[], bytes], send: Callable[[Message], Any], sources: Callable[[], Sources | None]
) -> None:
    """Answer every request; what a model's code raises is the answer to its own, and an empty line is the end."""
    while line := next_line():
        request = msgspec.json.decode(line, type=ListModels | TraceModel)
        try:
            match request:
                case ListModels():
                    send(ModelNames(tuple(registered(request.package))))
                case TraceModel():
                    network = traced(request.origin, request.name)
                    send(TracedNetwork(network, sources()))
        except LoadError as error:
            send(NotTraced(str(error)))
