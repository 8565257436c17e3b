"""Notice calls of given Python functions in this thread, without changing the functions."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any

# Takes the arguments of a call by name; what it raises is raised where the function was called.
Watcher = Callable[[Mapping[str, Any]], None]


@contextmanager
def watched(functions: Mapping[Callable[..., Any], Watcher]) -> Iterator[None]:
    """Tell watchers of every call of their functions inside the block, before it begins.

    Python's profiling hook is each thread's own, so that other threads, which may use the same
    functions for something else, notice nothing. A profiler that was active, such as an outer
    block of this kind, is told too.

    Args:
        functions: Python functions (not built-in ones) and who is told of their calls.
    """
    by_code: dict[CodeType, Watcher] = {f.__code__: w for f, w in functions.items()}

    before = sys.getprofile()

    def notice(frame: FrameType, event: Any, argument: Any) -> None:
        if event == "call":
            watcher = by_code.get(frame.f_code)
            if watcher is not None:
                watcher(frame.f_locals)
        if before is not None:
            before(frame, event, argument)

    sys.setprofile(notice)
    try:
        yield
    finally:
        sys.setprofile(before)
