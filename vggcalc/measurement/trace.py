"""Tracing models in a worker, so that whatever their code does cannot harm this process."""

from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

from vggcalc.errors import InputError, WorkerError
from vggcalc.measurement import trace_cache
from vggcalc.nets.graph import Network
from vggcalc.nets.origins import REGISTRIES, Origin

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vggcalc.measurement.worker import RunningWorker, StartWorker
    from vggcalc.protocol import ListModels, Message, ModelNames, TracedNetwork, TraceModel

_Answer = TypeVar("_Answer", "TracedNetwork", "ModelNames")

#: A model that is not built and traced in this time is taken to loop for ever.
TRACE_TIMEOUT_S = 120.0


class Tracer:
    """Traces models, one after the other, in one worker, which is started when the first is not in the cache.

    A worker that dies is replaced by another for the next model. Leaving the context ends it.
    """

    def __init__(
        self,
        use_cache: bool = True,
        inactivity_timeout_s: float = TRACE_TIMEOUT_S,
        start_worker: "StartWorker | None" = None,
    ) -> None:
        """With `use_cache` networks of installed packages are read from the cache, and kept there."""
        self._use_cache = use_cache
        self._timeout_s = inactivity_timeout_s
        self._start_worker = start_worker
        self._running = ExitStack()
        self._worker: RunningWorker | None = None
        self._messages: Iterator[Message] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.close()

    def trace(self, origin: Origin) -> Network:
        """The network that `origin` names. Raises `InputError` with one line that says why it cannot be traced."""
        name = origin.attribute if origin.where in REGISTRIES else origin.source
        request = trace_cache.request_for(origin, name) if self._use_cache else None
        found = trace_cache.kept_trace(request) if request is not None else None
        if found is not None:
            return found
        from vggcalc.protocol import TracedNetwork, TraceModel

        traced = self._answer(TraceModel(origin, name), TracedNetwork, name, f"{origin.source} cannot be traced")
        if request is not None and traced.sources is not None:
            trace_cache.keep_trace(request, traced.network, traced.sources)
        return traced.network

    def names(self, package: str) -> tuple[str, ...]:
        """The models in the registry of torchvision or timm. Raises `InputError` where it is not installed."""
        from vggcalc.protocol import ListModels, ModelNames

        return self._answer(ListModels(package), ModelNames, package, package).names

    def _answer(self, request: "ListModels | TraceModel", expected: type[_Answer], name: str, what: str) -> _Answer:
        """What the worker answers. Raises `InputError` with the reason, after `what` where it lacks the `name`."""
        from vggcalc.protocol import NotTraced

        try:
            answer = self._next_message(request)
        except WorkerError as error:
            reason = str(error)
        else:
            if isinstance(answer, expected):
                return answer
            reason = answer.reason if isinstance(answer, NotTraced) else "the worker sent something else"
        raise InputError(reason if name in reason else f"{what}: {reason}")

    def _next_message(self, request: "ListModels | TraceModel") -> "Message":
        """The worker's message to a request. Raises `WorkerError`, after which there is no worker."""
        if self._worker is None or self._messages is None:
            from vggcalc.measurement.worker import Worker
            from vggcalc.protocol import TraceJob

            start = self._start_worker or Worker
            self._worker = self._running.enter_context(start(TraceJob(), self._timeout_s))
            self._messages = self._worker.messages()
        self._worker.send(request)
        try:
            return next(self._messages)
        except (WorkerError, StopIteration) as error:
            self._worker = self._messages = None
            self._running.close()
            raise error if isinstance(error, WorkerError) else WorkerError("the worker ended early") from None


def trace(origin: Origin, inactivity_timeout_s: float = TRACE_TIMEOUT_S, use_cache: bool = True) -> Network:
    """The network that `origin` names, traced. Raises `InputError` with one line that says why not."""
    with Tracer(use_cache, inactivity_timeout_s) as tracer:
        return tracer.trace(origin)
