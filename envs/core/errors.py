"""Errors that a user can act on: one sentence each, naming what is wrong and the fix."""

import gymnasium

from proveout.assets.files.errors import (
    ModelError,
    ProveoutError,
    UnknownNameError,
    nearest,
    unknown,
)

__all__ = [
    "BadActionError",
    "ClosedError",
    "ConfigError",
    "DeviceError",
    "InUseError",
    "ModelError",
    "ProveoutError",
    "RenderError",
    "RunError",
    "StateError",
    "UnknownNameError",
    "WorkerError",
    "nearest",
    "unknown",
]


class BadActionError(ProveoutError, ValueError):
    """Actions have the wrong shape or dtype, or hold a non-finite number."""


class ClosedError(ProveoutError, gymnasium.error.ClosedEnvironmentError):
    """An environment is used after it was closed."""


class ConfigError(ProveoutError, ValueError):
    """A configuration value is out of its range or does not fit the others."""


class DeviceError(ProveoutError):
    """The requested device does not exist or cannot be used."""


class InUseError(ProveoutError):
    """An environment is used by two threads at once, or by a forked child of its process."""


class WorkerError(ProveoutError):
    """A worker process died, hung or failed."""


class RunError(ProveoutError):
    """A run directory is missing, half written or of another kind."""


class RenderError(ProveoutError):
    """Rendering was asked for in a way that cannot be done."""


class StateError(ProveoutError, ValueError):
    """A saved environment state does not fit this environment."""
