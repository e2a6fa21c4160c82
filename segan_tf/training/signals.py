"""Signals that ask a run to stop."""

import signal
from types import FrameType, TracebackType
from typing import Any

EXIT_STATUS = 128 + signal.SIGTERM  # of a run that was told to stop


class StopSignals:
    """Notes SIGTERM and SIGINT, which otherwise end the process.

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
        for number in (signal.SIGTERM, signal.SIGINT):
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
