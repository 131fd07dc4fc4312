"""Ctrl-C while training: it lands between steps, so that no model is left half updated."""

from __future__ import annotations

import signal
import threading
from typing import Any, Self


class Interrupts:
    """A context in which Ctrl-C waits for the end of the running step. Pressed again, it ends the step at once.

    A step is what runs between `within = "step"` and `deliver()`. Only where Ctrl-C raises KeyboardInterrupt by
    Python's own handler, in the main thread: another handler is left alone.
    """

    def __init__(self) -> None:
        self.waiting = False  # Ctrl-C was pressed, and training goes on
        self.within = ""  # "step", or "undo" where no second one may break in
        self.ours = False

    def __enter__(self) -> Self:
        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._pressed)
            self.ours = True
        return self

    def __exit__(self, *_: object) -> None:
        if self.ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            self.ours = False

    def _pressed(self, number: int, frame: Any) -> None:
        raises = not self.within or (self.within == "step" and self.waiting)
        self.waiting = True  # also where it raises: Python drops what is raised in a destructor
        if raises:
            raise KeyboardInterrupt

    def deliver(self) -> None:
        """End the step: KeyboardInterrupt if Ctrl-C was pressed in it."""
        self.within = ""
        if self.waiting:
            self.waiting = False
            raise KeyboardInterrupt
