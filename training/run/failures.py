"""Which errors a user can mend, and in what words: one sentence each.

Nothing heavy is imported: the command line needs it for every failure.
"""

from __future__ import annotations

import errno
import json
import os
import re
from pathlib import Path

from proveout.assets.files.errors import ProveoutError

_LONGEST_ARGUMENT = 4096  # characters; a path has no more either
_LONGEST_SENTENCE = 2000  # characters
# What a system without room for more says, with or without a file's name.
_ROOM = {
    errno.ENOSPC: "free some space, or write to another disk",
    errno.EDQUOT: "free some space, or write to another disk",
    errno.EFBIG: "raise the limit on file sizes (ulimit -f), or write to another disk",
    errno.EMFILE: "raise the limit on open files (ulimit -n), or use fewer --workers",
    errno.ENFILE: "close other programs, or use fewer --workers",
    errno.ENOMEM: "use fewer worlds (--num-envs) or fewer --workers",
    errno.EAGAIN: "raise the limit on processes (ulimit -u), or use fewer --workers",
}
# RuntimeErrors of Warp and torch, on the CPU and on CUDA.
_NO_MEMORY = re.compile(r"out of memory|failed to allocate|can't allocate memory", re.IGNORECASE)


def mendable(error: BaseException) -> str | None:
    """Return the sentence for an error that a user can mend, or None for a fault of the program."""
    if isinstance(error, ProveoutError):
        return one_sentence(str(error))
    if isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and _NO_MEMORY.search(str(error))
    ):
        detail = one_sentence(str(error))
        told = f"out of memory ({detail})" if detail else "out of memory"
        return f"{told}; use fewer worlds (--num-envs), smaller batches or a smaller network"
    if isinstance(error, OverflowError):
        return one_sentence(f"a number is too large ({error}); give a smaller one")
    if isinstance(error, RecursionError):
        return "the input is nested too deeply; give a flatter one"
    if isinstance(error, UnicodeError):
        return one_sentence(f"a text is not valid Unicode ({error}); give it in UTF-8")
    if isinstance(error, OSError):
        return _of_the_system(error)
    return None


def _of_the_system(error: OSError) -> str | None:
    fix = _ROOM.get(error.errno or 0)
    if error.filename is None and fix is None:
        return None
    name = error.filename2 or error.filename
    told = error.strerror or type(error).__name__
    subject = f"{_text(name)}: {told}" if name is not None else told
    return one_sentence(f"{subject}; {fix}" if fix else subject)


def _text(name: object) -> str:
    """Return a file's name, shortened."""
    text = str(name)
    return text if len(text) <= 300 else f"{text[:100]}...{text[-20:]} ({len(text)} characters)"


def one_sentence(text: str) -> str:
    """Return a message as one printable line of bounded length."""
    line = " ".join(part.strip() for part in text.splitlines() if part.strip())
    line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
    if len(line) > _LONGEST_SENTENCE:
        line = f"{line[: _LONGEST_SENTENCE - 500]} ... {line[-490:]}"
    return line


def one_line(error: BaseException) -> str:
    """Return what an error says as one printable line: a name from a file may hold anything."""
    line = " ".join(str(error).split()) or type(error).__name__
    return "".join(c if c.isprintable() else "?" for c in line)


def check_readable(arguments: list[str]) -> None:
    """Refuse arguments that no name, path or number can be.

    Raises:
        ProveoutError: too long, with a null character, or no valid UTF-8.
    """
    for number, text in enumerate(arguments, 1):
        told = f"argument {number} ({text[:40]!r}{'...' if len(text) > 40 else ''})"
        if len(text) > _LONGEST_ARGUMENT:
            raise ProveoutError(
                f"{told} has {len(text)} characters; give at most {_LONGEST_ARGUMENT}"
            )
        if "\0" in text:
            raise ProveoutError(f"{told} contains a null character; leave it out")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ProveoutError(f"{told} is not valid UTF-8; rename the file") from error


def check_output(path: Path, flag: str) -> None:
    """Refuse a place where no file can be written, before work is spent on what goes there.

    Raises:
        ProveoutError: a folder, a device, or a file in a folder that cannot be written.
    """
    try:
        if path.exists() and not path.is_file():
            kind = "a folder" if path.is_dir() else "no regular file"
            raise ProveoutError(f"{flag} {_text(path)} is {kind}; name a file to write")
        folder = next(parent for parent in path.absolute().parents if parent.exists())
    except OSError as error:
        raise ProveoutError(
            f"{flag} {_text(path)} cannot be written: {error.strerror}; name another file"
        ) from error
    if not folder.is_dir():
        raise ProveoutError(f"{flag} {_text(path)}: {folder} is no folder; name another file")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ProveoutError(
            f"{flag} {_text(path)}: the folder {folder} is not writable; name another file"
        )


def error_object(sentence: str) -> str:
    """Return what `--json` prints for a failure."""
    return json.dumps({"error": sentence})
