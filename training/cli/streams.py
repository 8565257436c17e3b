"""Standard output for results alone, where somebody reads it by program."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator

Emit = Callable[[str], None]

# What prints to the real standard output, while it is kept for results.
_KEPT: list[Emit] = []


@contextlib.contextmanager
def quiet_stdout(active: bool) -> Iterator[Emit]:
    """Send all that is printed, by libraries and workers too, to standard error while `active`.

    Inside another active one it changes nothing.

    Yields:
        A function that prints text to the real standard output.
    """
    if _KEPT or not active:
        yield _KEPT[-1] if _KEPT else print
        return
    sys.stdout.flush()
    saved = os.dup(1)
    os.dup2(2, 1)

    def emit(text: str) -> None:
        with os.fdopen(os.dup(saved), "w", errors="backslashreplace") as out:
            out.write(text + "\n")

    _KEPT.append(emit)
    try:
        # Of this process too where `sys.stdout` is not what file descriptor 1 is, as in a notebook.
        with contextlib.redirect_stdout(sys.stderr):
            yield emit
    finally:
        _KEPT.clear()
        os.dup2(saved, 1)
        os.close(saved)
