"""Who may use an environment: one thread at a time, in the process that made it."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from proveout.envs.core.errors import ClosedError, InUseError
from proveout.envs.core.one_at_a_time import ONE_AT_A_TIME

_Method = TypeVar("_Method", bound=Callable[..., Any])


class Use:
    """The right to use something that has one state and perhaps other processes.

    Args:
        forks: Whether a forked child gets a whole copy of its own, as with worlds in this process's
            memory. Worker processes and CUDA devices are shared instead.
    """

    def __init__(self, forks: bool) -> None:
        self._forks = forks
        self._process = os.getpid()
        self._lock = threading.RLock()
        self._user: threading.Thread | None = None
        self.closed = False

    @property
    def is_makers(self) -> bool:
        """Whether this process made it."""
        return os.getpid() == self._process

    @contextmanager
    def once(self) -> Iterator[None]:
        """One use; uses of the same thread may lie within each other.

        Raises:
            ClosedError: It is closed.
            InUseError: Another thread uses it, or this is a forked child of the maker.
        """
        if self.closed:
            raise ClosedError("the environment is closed; make a new one")
        if not (self._forks or self.is_makers):
            raise InUseError(
                f"this environment belongs to process {self._process}, from which this one was "
                "forked, and so do its worlds; make one in this process, or use workers=1 on the "
                "CPU"
            )
        if not self._lock.acquire(blocking=False):
            user = self._user
            raise InUseError(
                f"thread {threading.current_thread().name} uses an environment that thread "
                f"{user.name if user else 'of before the fork'} is using; an environment serves "
                "one thread at a time: guard it with a lock, or make one for each thread"
            )
        before, self._user = self._user, threading.current_thread()
        try:
            with ONE_AT_A_TIME:
                yield
        finally:
            self._user = before
            self._lock.release()


def exclusive(method: _Method) -> _Method:
    """A method that is one use of `self._use`."""

    @functools.wraps(method)
    def used(self: Any, *args: Any, **kwargs: Any) -> Any:
        with self._use.once():
            return method(self, *args, **kwargs)

    return used  # type: ignore[return-value]
