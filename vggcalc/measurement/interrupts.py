"""Ctrl-C, SIGTERM and SIGHUP: they end a run alike, and wait while a result is made or written."""

import signal
import sys
from types import FrameType, TracebackType

#: The signals that end a run; Windows has no SIGHUP.
ENDING = tuple(
    number for name in ("SIGINT", "SIGTERM", "SIGHUP") if (number := getattr(signal, name, None)) is not None
)

_received = signal.SIGINT


def signal_exit_status() -> int:
    """128 + the signal that ended the run; that of Ctrl-C if none came."""
    return 128 + _received


def install() -> None:
    """Have every ending signal raise `KeyboardInterrupt`, for a program's main thread.

    One that whoever started us ignores, such as SIGHUP under nohup, stays ignored.
    """
    for number in ENDING:
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, _interrupt)
    sys.unraisablehook = _resend


def _resend(unraisable: "sys.UnraisableHookArgs") -> None:
    """Send a signal again that came within a weak reference's callback or a `__del__`.

    Python would print what is raised there, and go on.
    """
    if issubclass(unraisable.exc_type, KeyboardInterrupt):
        _send_later(_received)
    else:
        sys.__unraisablehook__(unraisable)


def _send_later(number: int) -> None:
    """Send a signal to the main thread, which may wait for something, from another: here it would be raised at once."""
    import threading

    main = threading.main_thread().ident
    if hasattr(signal, "pthread_kill") and main is not None:
        threading.Timer(0.01, signal.pthread_kill, [main, number]).start()
    else:
        threading.Timer(0.01, signal.raise_signal, [number]).start()


def ignore() -> None:
    """Let no ending signal disturb the process while it exits: all that it had to say is said."""
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)
    # CPython ends by SIGINT, whatever the exit status, if the last text that was executed (as for a named tuple) was
    # interrupted, even where that was caught: now another text is the last.
    exec("")


def _interrupt(number: int, frame: FrameType | None) -> None:
    _note(number)
    while frame is not None:
        if frame.f_code is _resend.__code__:  # where it would be lost too
            _send_later(number)
            return
        frame = frame.f_back
    raise KeyboardInterrupt


def _note(number: int) -> None:
    global _received
    _received = signal.Signals(number)


class Deferred:
    """Within it an ending signal is only noted in `came`; what to do about it is decided behind it."""

    def __init__(self) -> None:
        self.came = False
        self._before: dict[int, object] = {}

    def _defer(self, number: int, frame: FrameType | None) -> None:
        _note(number)
        self.came = True

    def __enter__(self) -> "Deferred":
        import threading  # when it is needed: what is imported before `install` delays it

        if threading.current_thread() is threading.main_thread():  # only there are signals handled
            for number in ENDING:
                handler = signal.getsignal(number)
                if callable(handler) and not isinstance(handler, signal.Handlers):
                    self._before[number] = signal.signal(number, self._defer)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
