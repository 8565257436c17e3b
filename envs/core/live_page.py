"""The live page of worlds, by whoever has installed one: the core draws nothing in browsers."""

from __future__ import annotations

import importlib.metadata
from typing import Any

from proveout.envs.core.errors import RenderError

# A function of an environment and a policy, with keywords `seed` and `port`.
ENTRY_POINT_GROUP = "proveout.pages"


def live_page(env: Any, policy: Any, *, seed: int, port: int) -> Any:
    """The page that is installed, for an environment.

    Raises:
        RenderError: None is installed.
    """
    for entry_point in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP):
        return entry_point.load()(env, policy, seed=seed, port=port)
    raise RenderError("no live page is installed; run: pip install 'proveout[view]'")
