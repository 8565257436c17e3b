"""Checks on the hooks of one of Proveout's own tasks: they write what is theirs, and only that.

Hooks run in a process of their own, on the CPU, with Warp's bounds checks compiled into every
kernel: what reads or writes outside an array ends that process, and not this one.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any

from proveout.envs.check.report import Recorder
from proveout.envs.core import wire
from proveout.envs.core.errors import WorkerError
from proveout.envs.core.task import Task

# s; a cold compile without optimisation, on a slow machine.
_TIMEOUT = 900.0


def check_hooks(task: Task, seed: int, record: Recorder) -> None:
    """Run the hooks of a task where they can do no harm.

    Args:
        task: Its class and config are used, not itself.
        seed: Of the worlds and the actions.
        record: Where faults are recorded.
    """
    try:
        wire.check_findable(task)
    except WorkerError as error:
        record.skip("hooks", f"{error}.")
        return
    if os.name != "posix":
        record.skip("hooks", "a process that may crash needs a POSIX system.")
        return
    calls_out, calls_in = os.pipe()
    replies_out, replies_in = os.pipe()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "proveout.envs.check.hooks_process", str(calls_out),
             str(replies_in)],
            pass_fds=(calls_out, replies_in), stdin=subprocess.DEVNULL, stdout=said, stderr=said,
            env={**os.environ, wire.WORKER_VARIABLE: "hooks"},
        )  # fmt: skip
        os.close(calls_out)
        os.close(replies_in)
        os.set_blocking(replies_out, False)
        try:
            wire.send(calls_in, (wire.task_reference(task), seed))
            _listen(process, calls_in, replies_out, said, record)
        finally:
            os.close(calls_in)
            os.close(replies_out)
            process.kill()
            process.wait()


def _listen(process: Any, calls: int, replies: int, said: Any, record: Recorder) -> None:
    """Record what the process finds; its end before the last word is a finding too."""
    where = "building the task"
    deadline = time.monotonic() + _TIMEOUT
    while True:
        try:
            kind, *told = wire.receive(replies, deadline)
            wire.send(calls, "heard")
        except TimeoutError:
            record.error("hooks", "hung", f"{where} did not end in {_TIMEOUT:.0f} s.")
            return
        except (EOFError, OSError):
            process.wait()
            said.seek(0)
            text = said.read().decode(errors="replace")
            record.error("hooks", "crash", _crash(where, process.returncode, text))
            return
        if kind == "hook":
            hook, kernel = told
            where = f"`{hook}`" + (f" (kernel `{kernel}`)" if kernel else "")
        elif kind == "error":
            record.error("hooks", *told)
        elif kind == "warning":
            record.warn("hooks", *told)
        else:
            return


def _crash(where: str, code: int, text: str) -> str:
    """What ended the process, in words."""
    outside = re.search(r"Assertion failed: '([^']*)'", text)
    if outside:
        axis = re.search(r"shape\[(\d)\]", outside.group(1))
        which = f", in dimension {axis.group(1)}" if axis else ""
        return (
            f"{where} reads or writes outside an array{which}: in the real arrays that is another "
            "world's row, or memory of something else."
        )
    lines = [line for line in text.splitlines() if line.strip()]
    last = f": {lines[-1].strip()}" if lines else ""
    how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    return f"{where} ended its process with {how}{last}."
