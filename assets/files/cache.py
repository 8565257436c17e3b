"""Where results that take long are kept between runs."""

import os
from pathlib import Path

VARIABLE = "PROVEOUT_CACHE"


def cache_folder(given: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder: the given one, else $PROVEOUT_CACHE, else proveout in the user's cache.

    It need not exist: who writes makes it, and everything in it can be deleted at any time.
    """
    if given is not None:
        return Path(given)
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named)
    users = os.environ.get("XDG_CACHE_HOME")
    return (Path(users) if users else Path.home() / ".cache") / "proveout"
