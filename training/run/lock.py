"""One process works on a run at a time."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import platform
import stat
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

from proveout.envs.core.errors import RunError

LOCK = "run.lock"
_MAX_OWNER_BYTES = 4096
# A file system that has no locks, as some that are mounted over a network.
_WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP)

# Locks go on in a process that is forked off, beyond the death of the one that took them.
_held: set[int] = set()


@contextlib.contextmanager
def working_on(folder: Path) -> Iterator[None]:
    """Keep other processes from working on a run; whatever ends this process ends the lock.

    The file `run.lock` in the folder says who holds it. One that a killed process has left keeps
    nobody out. Where the system or the file system has no locks, a warning says so.

    Raises:
        RunError: another process works on the run (it is named), or the file cannot be written.
    """
    path = folder / LOCK
    try:
        handle = _take(path)
    except BlockingIOError as error:
        raise RunError(
            f"{folder} is being worked on by {_owner(path)}; wait until it has ended, or end it."
        ) from error
    except OSError as error:
        raise RunError(
            f"{path} cannot be written ({error.strerror}), and without it nothing is changed in a "
            "run; make the folder writable, or make room."
        ) from error
    _held.add(handle)
    try:
        yield
    finally:
        if handle in _held:  # not in a process that was forked off
            _held.discard(handle)
            with contextlib.suppress(OSError):
                path.unlink()
            os.close(handle)


def _take(path: Path) -> int:
    """Return an open, locked file with this process's name in it."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    while True:
        handle = os.open(path, flags, 0o644)
        try:
            opened = os.fstat(handle)
            if not stat.S_ISREG(opened.st_mode):
                raise OSError(errno.EINVAL, "it is not a regular file", str(path))
            _lock(handle, path)
            # Its holder removes the file: then another one may have been made since.
            try:
                current = os.stat(path, follow_symlinks=False)
            except FileNotFoundError:
                current = None
            if current is not None and os.path.samestat(opened, current):
                os.ftruncate(handle, 0)
                os.write(handle, json.dumps(_myself()).encode())
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _lock(handle: int, path: Path) -> None:
    """Lock an open file, or warn that it cannot be.

    Raises:
        BlockingIOError: another process holds it.
    """
    try:
        import fcntl
    except ModuleNotFoundError:
        reason = f"{platform.system()} has no file locks that a kill would release"
    else:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise
        except OSError as error:
            if error.errno not in _WITHOUT_LOCKS:
                raise
            reason = f"the file system has no locks ({error.strerror})"
        else:
            return
    warnings.warn(
        f"{path.parent} is not locked: {reason}; let no second process work on this run.",
        stacklevel=2,
    )


def _myself() -> dict[str, object]:
    since = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    return {"pid": os.getpid(), "host": platform.node(), "since": since}


def _owner(path: Path) -> str:
    """Return who holds a lock, in words."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        with path.open("rb") as file:
            told = json.loads(file.read(_MAX_OWNER_BYTES))
        return f"process {told['pid']} on {told['host']} since {told['since']}"
    return "another process"


def _close_in_child() -> None:
    for handle in _held:
        with contextlib.suppress(OSError):
            os.close(handle)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)
