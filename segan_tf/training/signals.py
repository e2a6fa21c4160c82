"""Signals that ask a run to stop."""

import signal
from types import FrameType, TracebackType
from typing import Any

EXIT_STATUS = 128 + signal.SIGTERM  # of a run that was told to stop


class StopSignals:
    """Notes SIGTERM, SIGINT and SIGHUP, which otherwise end the process.

    A SIGHUP that the program was started without (nohup) stays ignored.

    >>> with StopSignals() as stop:
    ...     while not stop.requested:
    ...         make_step()

    Attributes:
      requested: a signal has come.
    """

    def __init__(self) -> None:
        self.requested = False
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> "StopSignals":
        numbers = [signal.SIGTERM, signal.SIGINT]
        if _hears_hang_up():
            numbers.append(signal.SIGHUP)
        for number in numbers:
            self._handlers[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.requested = True


def _hears_hang_up() -> bool:
    """Returns whether SIGHUP exists, which Windows lacks, and is heard."""
    return hasattr(signal, "SIGHUP") and (
        signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
    )
