"""Errors of the whole package: each message is one sentence that names the thing and the fix."""

import difflib
from collections.abc import Iterable


class ProveoutError(Exception):
    """Base of every error a user can cause; the command line prints it without a traceback."""


class ModelError(ProveoutError):
    """A robot, scene or mesh file is missing or cannot be used."""


class ScenarioError(ProveoutError):
    """A scenario, catalogue or distribution file is missing or cannot be used."""


class UnknownNameError(ProveoutError):
    """A name is not among the known ones."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most like `name`, or None when none is close."""
    matches = difflib.get_close_matches(name, list(known), n=1)
    return matches[0] if matches else None


def unknown(kind: str, name: str, known: Iterable[str]) -> UnknownNameError:
    """Build the error for an unknown name.

    Args:
        kind: What is named, such as "robot".
        name: The name as it was given.
        known: All valid names.
    """
    names = sorted(known)
    match = nearest(name, names)
    if match is not None:
        hint = f"did you mean {match!r}?"
    elif names:
        hint = f"known are {', '.join(names)}."
    else:
        hint = "none is known."
    return UnknownNameError(f"unknown {kind} {name!r}; {hint}")
