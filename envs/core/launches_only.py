"""Refuse in a hook what a recorded graph cannot repeat."""

from __future__ import annotations

import contextlib
import os
import re
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import warp as wp

from proveout.envs.core.errors import ConfigError, ProveoutError, unknown
from proveout.envs.core.watch import Watcher, watched

# Methods of a Warp array, and what calling one means; the private ones are where every array with
# memory of its own is made.
_NOT_IN_A_GRAPH = {
    wp.array.numpy: "reads an array on the host",
    wp.array.list: "reads an array on the host",
    wp.array._init_new: "allocates an array",
    wp.array._init_from_data: "uploads values from the host",
}


@contextmanager
def launches_only(where: str) -> Iterator[None]:
    """Refuse what a recorded graph would silently leave out, do once only or do to other worlds.

    A host read, an upload or an allocation happens while the launches are recorded, and never
    again when they are replayed. A copy between arrays of different shapes goes by bytes, across
    the rows of the worlds.

    Args:
        where: What is running, for the message.

    Raises:
        ConfigError: One of them was tried inside the block, or Warp refused a launch.
    """

    def refuse(what: str) -> Watcher:
        def refused(_: Mapping[str, Any]) -> None:
            raise ConfigError(
                f"{where} {what}: its launches are recorded once and replayed, so this would not "
                "happen again in later steps. Allocate in `build`, and compute in kernels"
            )

        return refused

    def check_copy(given: Mapping[str, Any]) -> None:
        target, source = given["dest"], given["src"]
        partly = given["dest_offset"] or given["src_offset"] or given["count"]
        if not partly and tuple(target.shape) != tuple(source.shape):
            raise ConfigError(
                f"{where} copies an array of shape {tuple(source.shape)} onto one of shape "
                f"{tuple(target.shape)}, so rows would go to other worlds; write the columns in a "
                "kernel"
            )

    watchers = {method: refuse(what) for method, what in _NOT_IN_A_GRAPH.items()}
    watchers[wp.copy] = check_copy
    try:
        with watched(watchers):
            yield
    except ProveoutError:
        raise
    except Exception as error:
        told = _of_a_function(error) or f"{where}{_line_of(error)} fails"
        raise ConfigError(f"{told}: {type(error).__name__}: {_innermost(error)}") from error


# Warp's message of each function that it could not translate, the outermost first.
_PARSING = re.compile(r'Error while parsing function "(\w+)" at (\S+?):(\d+)')


def _of_a_function(error: Exception) -> str:
    """Which function of a task's own file Warp could not translate, with the line in that file."""
    for name, path, number in reversed(_PARSING.findall(str(error))):
        if not path.startswith(os.path.dirname(__file__)) and os.path.isfile(path):
            first = _first_line(path, name)
            if first:
                return f"`{name}` ({os.path.basename(path)}, line {first + int(number)})"
    return ""


def _first_line(path: str, name: str) -> int:
    """The line of `def name`, which Warp counts as its line 0 after the decorator; 0 if unclear."""
    with open(path, encoding="utf-8") as file:
        lines = [i for i, line in enumerate(file, 1) if re.match(rf"\s*def {name}\(", line)]
    return lines[0] - 1 if len(lines) == 1 else 0


def _innermost(error: Exception) -> str:
    """What went wrong, without the ways that led there; a column's name with the nearest one."""
    text = str(error)
    if not _PARSING.search(text):
        return text
    text = text.strip().splitlines()[-1].lstrip("; ")
    named = re.search(r"`(\w+)` is not an attribute of '<enum 'columns (.*)'>'", text)
    return str(unknown("column", named[1], named[2].split(", "))) if named else text


def _line_of(error: Exception) -> str:
    """The innermost line of a task that an error passed through, as " (file, line N)"."""
    ours = (os.path.dirname(wp.__file__), os.path.dirname(__file__))
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(ours) and frame.filename != contextlib.__file__
    ]
    if not frames:
        return ""
    return f" ({os.path.basename(frames[-1].filename)}, line {frames[-1].lineno})"
