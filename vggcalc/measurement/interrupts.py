"""Ctrl-C while a result is made or written: it waits, so that nothing measured is lost."""

import signal
import threading
from types import FrameType, TracebackType


class Deferred:
    """Within it Ctrl-C is only noted in `came`; what to do about it is decided behind it."""

    def __init__(self) -> None:
        self.came = False

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.came = True

    def __enter__(self) -> "Deferred":
        self._main = threading.current_thread() is threading.main_thread()
        if self._main:  # no other thread may say what signals do, and none gets KeyboardInterrupt
            self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._main:
            signal.signal(signal.SIGINT, self._before)
