"""The other end of a worker process: starting it, calling it, waiting for its replies."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from proveout.envs.core import wire
from proveout.envs.core.errors import ProveoutError, WorkerError


@functools.cache
def _packed(name: str) -> bytes:
    """A call without arguments, as in every step."""
    return wire.pack((name, {}))


class WorkerLink:
    """One other worker process and the pipes to it."""

    def __init__(self, number: int, shared_fd: int) -> None:
        self.number = number
        self.compile_seconds = 0.0
        calls_out, self._calls = os.pipe()
        self._replies, replies_in = os.pipe()
        # The worker ends when this pipe's other end closes, however this process ended.
        lifeline, self._lifeline = os.pipe()
        passed = (shared_fd, calls_out, replies_in, lifeline)
        environment = {**os.environ, wire.WORKER_VARIABLE: str(number)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "proveout.envs.core.worker", *map(str, passed)],
            pass_fds=passed,
            stdin=subprocess.DEVNULL,
            # Whatever a library prints must not end up in the parent's (perhaps JSON) output.
            stdout=sys.__stderr__.fileno() if sys.__stderr__ else subprocess.DEVNULL,
            env=environment,
            # Ctrl-C and Ctrl-Z reach the parent alone, which decides what they mean.
            process_group=0,
        )
        for fd in passed[1:]:
            os.close(fd)
        os.set_blocking(self._calls, False)
        os.set_blocking(self._replies, False)
        self._open = True

    def call(self, name: str, arguments: Mapping[str, Any], timeout: float) -> None:
        """Send a call without waiting for its reply."""
        try:
            packed = wire.pack((name, dict(arguments))) if arguments else _packed(name)
            wire.write(self._calls, packed, time.monotonic() + timeout)
        except TimeoutError as error:
            raise self._hung(timeout) from error
        except OSError as error:
            raise self._lost() from error

    def reply(self, deadline: float, timeout: float) -> Any:
        """Wait for the reply to the oldest call."""
        try:
            kind, value = wire.receive(self._replies, deadline)
        except TimeoutError as error:
            raise self._hung(timeout) from error
        except (EOFError, OSError) as error:
            raise self._lost() from error
        if kind == "error":
            raise value
        if kind == "crash":
            raise WorkerError(f"worker {self.number} failed: {value}")
        return value

    def _hung(self, timeout: float) -> WorkerError:
        return WorkerError(
            f"worker {self.number} (pid {self._process.pid}) has not answered for "
            f"{timeout:.0f} s and was given up; the environment is closed"
        )

    def _lost(self) -> WorkerError:
        try:
            code: int | None = self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            code = None
        how = f"killed by signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        return WorkerError(
            f"worker {self.number} (pid {self._process.pid}) died ({how}); "
            "the environment is closed"
        )

    def hang_up(self) -> None:
        """Close the pipes: the worker ends by itself."""
        if self._open:
            self._open = False
            for fd in (self._calls, self._replies, self._lifeline):
                os.close(fd)

    def wait(self, seconds: float) -> None:
        """Wait for the end of the process, then kill it."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def collect(links: Sequence[WorkerLink], timeout: float) -> list[Any]:
    """One reply of each; an error is raised when all are in, so that the pipes are empty."""
    replies = []
    deadline = time.monotonic() + timeout
    failure: ProveoutError | None = None
    for link in links:
        try:
            replies.append(link.reply(deadline, timeout))
        except WorkerError:
            raise
        except ProveoutError as error:
            failure = error
    if failure is not None:
        raise failure
    return replies
