"""Ctrl-C and SIGTERM while training: finish the update, write a checkpoint, then leave."""

from __future__ import annotations

import contextlib
import signal
import threading
import types
from collections.abc import Iterator

from hmarl.command import Terminated


class Interrupts:
    """Whether a signal asked to stop; a second one stops at once."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def _handle(self, number: int, frame: types.FrameType | None) -> None:
        if self.signal is not None:
            self.leave()
        self.signal = number

    def leave(self) -> None:
        """Raise what the signal stands for."""
        if self.signal is not None:
            raise Terminated if self.signal == signal.SIGTERM else KeyboardInterrupt


@contextlib.contextmanager
def held() -> Iterator[Interrupts]:
    """Inside the block signals are noted rather than raised; the block asks, and leaves when it is ready.

    Outside the main thread, where Python handles no signals, none is ever noted.
    """
    interrupts = Interrupts()
    if threading.current_thread() is not threading.main_thread():
        yield interrupts
        return
    kept = {number: signal.signal(number, interrupts._handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interrupts
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
    interrupts.leave()
