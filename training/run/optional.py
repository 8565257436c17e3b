"""Packages that only some people have: imported when they are used, with a sentence if missing."""

from __future__ import annotations

import importlib
from typing import Any

from proveout.assets.files.errors import ProveoutError


class MissingPackageError(ProveoutError, ImportError):
    """An optional package is not installed."""


def optional_module(name: str, extra: str, package: str) -> Any:
    """Return a module of an optional package.

    Args:
        name: Of the module, such as "rl_zoo3.train".
        extra: The extra of this project that installs the package.
        package: Its name on PyPI.

    Raises:
        MissingPackageError: the package is not installed; the message says how to install it.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # A module that is missing inside of an installed package is another fault.
        if error.name is None or error.name.split(".")[0] != name.split(".")[0]:
            raise
        raise MissingPackageError(
            f"{package} is not installed; run: pip install 'proveout[{extra}]'"
        ) from error
