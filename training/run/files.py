"""Reading and writing in a run directory, which may have come from anywhere."""

from __future__ import annotations

from pathlib import Path

from proveout.assets.files.atomic import read_regular
from proveout.envs.core.errors import RunError


def cannot_write(path: Path, error: OSError) -> RunError:
    """Return what to tell when a file of a run could not be written."""
    return RunError(
        f"{path} cannot be written ({error.strerror or error}): make room, or mend the folder; "
        "what was saved before is whole."
    )


def refuse_link(path: Path) -> None:
    """Raise RunError if a path within a run is a symbolic link, which could lead anywhere."""
    if path.is_symlink():
        raise RunError(
            f"{path} is a symbolic link, which could lead out of the run; put what it stands for "
            "in its place."
        )


def refuse_other(path: Path, *, folder: bool) -> None:
    """Raise RunError if there is a link, a pipe, a device or the like under a name of a run."""
    refuse_link(path)
    if path.exists() and not (path.is_dir() if folder else path.is_file()):
        kind = "folder" if folder else "regular file"
        raise RunError(f"{path} is not a {kind}; take it away, or put the run's own in its place.")


def read_bounded(path: Path, limit: int) -> bytes:
    """Return a regular file's bytes.

    Raises:
        RunError: unreadable, no regular file, or larger than `limit` [bytes].
    """
    try:
        data = read_regular(path, limit)
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror or error}.") from error
    if len(data) > limit:
        raise RunError(f"{path} is larger than {limit // 2**20} MiB, too large.")
    return data
