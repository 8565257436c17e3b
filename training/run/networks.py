"""Networks in a zip of Stable-Baselines3, without unpickling anything."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from proveout.envs.core.errors import RunError
from proveout.training.run.files import read_bounded

_MAX_FILE_BYTES = 64 * 2**30


def read_networks(
    path: Path, device: Any, data: bytes | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return networks and optimisers, and single tensors, of a Stable-Baselines3 zip.

    Its pickled part is left alone.

    Args:
        path: Of the zip.
        device: Torch device.
        data: Its bytes, if they have been read already.

    Raises:
        RunError: missing or damaged.
    """
    from stable_baselines3.common.save_util import load_from_zip_file

    file = io.BytesIO(read_bounded(path, _MAX_FILE_BYTES) if data is None else data)
    try:
        _, parameters, variables = load_from_zip_file(file, load_data=False, device=device)
    except Exception as error:  # zipfile, zlib, torch and SB3 raise a dozen kinds
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RunError(f"{path} is missing or damaged ({first}).") from error
    if "policy" not in parameters:
        raise RunError(f"{path} is damaged or no policy: it holds no network.")
    return parameters, variables or {}
