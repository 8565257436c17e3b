"""Files that are there whole or not at all, whatever kills the process; reading what is a file."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path in the same folder that becomes `path` when the block ends well.

    The suffix is kept, as some writers choose their format by it.
    """
    path = Path(path)
    with _temporary_beside(path) as temporary:
        yield temporary
        _sync(temporary)
        os.replace(temporary, path)
        _sync(path.parent)


def write_atomic(path: Path | str, data: bytes | str) -> None:
    """Write a whole file."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)


def write_described(path: Path, data: bytes, card: Path, text: str) -> None:
    """Write a file and the card that describes it.

    Both reach the disk before either gets its name, and an older card goes first: a kill leaves the
    file without a card, never with one that describes another file.
    """
    for target in (path, card):
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder", str(target))
    with _temporary_beside(path) as new_file, _temporary_beside(card) as new_card:
        new_file.write_bytes(data)
        new_card.write_bytes(text.encode())
        _sync(new_file)
        _sync(new_card)
        card.unlink(missing_ok=True)
        _sync(path.parent)
        os.replace(new_file, path)
        os.replace(new_card, card)
        _sync(path.parent)


def read_regular(path: Path | str, limit: int) -> bytes:
    """Return a file's bytes, at most `limit` and one more.

    A named pipe would block and a device can do anything when it is opened: neither is.

    Raises:
        OSError: as for `open`, or not a regular file.
    """
    _require_regular(os.stat(path), path)
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with open(handle, "rb") as file:
        status = os.fstat(handle)
        _require_regular(status, path)  # another one may stand there by now
        return file.read(min(limit, status.st_size) + 1)


def publish_folder(temporary: Path, path: Path) -> None:
    """Give a finished folder its name; the files in it reach the disk first.

    Args:
        temporary: In the same parent folder as `path`.
        path: Does not exist.
    """
    for file in temporary.iterdir():
        _sync(file)
    _sync(temporary)
    os.replace(temporary, path)
    _sync(path.parent)


@contextlib.contextmanager
def _temporary_beside(path: Path) -> Iterator[Path]:
    """Yield an empty file in the same folder, readable by all; it is gone afterwards."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        temporary.chmod(0o644)
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def _require_regular(status: os.stat_result, path: Path | str) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
