"""Errors of the bridge to Stable-Baselines3."""

from proveout.assets.files.errors import ProveoutError


class BridgeError(ProveoutError, TypeError):
    """An environment that cannot be bridged, or a wrapper that would be bypassed or double."""
