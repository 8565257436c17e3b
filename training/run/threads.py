"""How many threads torch may have: too many end the process by a segmentation fault."""

from __future__ import annotations

import os

from proveout.envs.core.errors import ConfigError
from proveout.training.run.progress import say


def cores() -> int:
    """Return the number of this machine's cores."""
    return os.cpu_count() or 1


def usable_threads(asked: int) -> int:
    """Return what was asked, or the number of cores, with a word, where that is less.

    A run may go on on a smaller machine than the one that it was started on.
    """
    if asked > cores():
        say(f"torch_threads is {asked}, but this machine has {cores()} core(s): these are used.")
    return min(asked, cores())


def check_threads(asked: int) -> None:
    """Refuse more threads than cores, where the number is part of a result.

    Raises:
        ConfigError: fewer than one, or too many.
    """
    if not 1 <= asked <= cores():
        raise ConfigError(
            f"torch_threads must be from 1 to {cores()}, this machine's cores, got {asked}."
        )
