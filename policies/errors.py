"""Errors of policies and their files."""

from __future__ import annotations

from proveout.assets.files.errors import ProveoutError


class PolicyError(ProveoutError):
    """A policy file that is missing, damaged, of another kind, or does not fit."""
