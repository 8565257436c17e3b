"""The one place where training meets the registry of environments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class WorldsSpec:
    """Which worlds to make.

    Attributes:
        env_id: Registered id, such as "proveout/Reach-v0".
        config: The task's config dataclass; None: its defaults.
        num_envs: Number of worlds.
        device: "auto", "cpu" or "cuda:N".
        workers: Worker processes on the CPU; None: all cores.
        array_type: "numpy" or "torch".
        phase_spread: 0 to 1: share of an episode over which the first episodes' ends are spread.
        render_worlds: Worlds to draw; empty: no renderer.
    """

    env_id: str
    config: Any = None
    num_envs: int = 1
    device: str = "auto"
    workers: int | None = None
    array_type: str = "numpy"
    phase_spread: float = 0.0
    render_worlds: tuple[int, ...] = ()


def task_ids() -> list[str]:
    """Return the registered ids, sorted."""
    from proveout.envs.core import registry

    return sorted(registry.task_ids())


def task_class(env_id: str) -> Any:
    """Return the task class of an id.

    Raises:
        UnknownNameError: no such id; the message names the nearest one.
    """
    from proveout.envs.core import registry

    return registry.task_class(env_id)


def task_config(env_id: str, data: Mapping[str, Any]) -> Any:
    """Return the task's config from what its `to_dict` gave, as in a manifest."""
    return task_class(env_id).config_class.from_dict(data)


def make_worlds(spec: WorldsSpec) -> Any:
    """Make the vector environment.

    Raises:
        UnknownNameError: no such id.
        ConfigError, DeviceError, WorkerError, ModelError: as the environment says.
    """
    import gymnasium

    task_class(spec.env_id)  # names the nearest id, where Gymnasium only says "not found"
    drawing: dict[str, Any] = {}
    if spec.render_worlds:
        drawing = {"render_mode": "rgb_array", "render_worlds": spec.render_worlds}
    return gymnasium.make_vec(
        spec.env_id,
        num_envs=spec.num_envs,
        vectorization_mode="vector_entry_point",
        config=spec.config,
        device=spec.device,
        workers=spec.workers,
        array_type=spec.array_type,
        phase_spread=spec.phase_spread,
        **drawing,
    )
