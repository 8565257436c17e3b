"""Ctrl-C at a moment when it can be dealt with."""

from __future__ import annotations

import signal
import threading
from typing import Any

# Without the enumerations that `signal.signal` makes of handlers, by way of an exception for each
# that is a function: it is called twice in a step.
_set_handler = getattr(signal.signal, "__wrapped__", signal.signal)


class InterruptsHeld:
    """Let Ctrl-C act only after this block."""

    def __enter__(self) -> None:
        self._came: list[tuple[int, Any]] = []
        self._main = threading.get_ident() == threading.main_thread().ident
        if self._main:
            self._before = _set_handler(signal.SIGINT, self._note)

    def _note(self, number: int, frame: Any) -> None:
        self._came.append((number, frame))

    def __exit__(self, *_: object) -> None:
        if not self._main:
            return
        # None: a handler that Python did not install and cannot put back.
        _set_handler(signal.SIGINT, signal.SIG_DFL if self._before is None else self._before)
        if self._came:
            if callable(self._before):
                self._before(*self._came[0])
            elif self._before != signal.SIG_IGN:
                signal.raise_signal(signal.SIGINT)
