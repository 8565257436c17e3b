"""The one place where training meets the registry of environments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from proveout.envs.core.errors import ConfigError, ProveoutError, UnknownNameError, nearest
from proveout.training.run.failures import mendable, one_sentence
from proveout.training.run.json_files import dump_json


@dataclass(frozen=True)
class VectorEnvSpec:
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
        physics: What steps the worlds: "warp", or "c" for MuJoCo C.
    """

    env_id: str
    config: Any = None
    num_envs: int = 1
    device: str = "auto"
    workers: int | None = None
    array_type: str = "numpy"
    phase_spread: float = 0.0
    render_worlds: tuple[int, ...] = ()
    physics: str = "warp"


def task_ids() -> list[str]:
    """Return the registered ids, sorted."""
    from proveout.envs.core import registry

    return sorted(registry.task_ids())


def is_task_id(text: str) -> bool:
    """Return whether a text has the form of an id, known or not."""
    from proveout.envs.core import registry

    return registry.is_task_id(text)


def nearest_task(text: str) -> str | None:
    """Return the id that is most like a text, with or without namespace and version, or None."""
    if text.count("/") > 1:
        return None  # a path
    ids = task_ids()
    short = {env_id.partition("/")[2].rpartition("-v")[0].lower(): env_id for env_id in ids}
    match = nearest(text.lower(), short)
    return nearest(text, ids) or (short[match] if match else None)


def task_class(env_id: str) -> Any:
    """Return the task class of an id.

    Raises:
        UnknownNameError: no such id; the message names the nearest one.
    """
    from proveout.envs.core import registry

    return registry.task_class(env_id)


def task_file(env_id: str) -> str | None:
    """Return the file that the user named for this task, or None for an installed one."""
    from proveout.envs.core import registry

    return registry.task_file(env_id)


def described_tasks() -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Return a description of each environment, and what was set aside.

    Returns:
        A dict for each id: id, summary, agents, presets, kpis (name -> unit) and config, all plain
        data; and "task file, plug-in or id -> why" for what cannot be loaded or described.
    """
    from proveout.envs.core import registry

    rows, aside = [], registry.set_aside()
    for env_id in task_ids():
        try:
            rows.append(_described(env_id, registry.task_class(env_id)))
        except Exception as error:  # a class of somebody else, which can be anything
            why = one_sentence(f"{type(error).__name__}: {error}")
            aside[env_id] = f"{registry.task_origin(env_id)}: it cannot be described: {why}"
    return rows, aside


def _described(env_id: str, cls: Any) -> dict[str, Any]:
    config = cls.config_class()
    summary = str(cls.__doc__ or "").strip().splitlines() or [""]
    row = {
        "id": env_id,
        "summary": summary[0],
        "agents": int(cls(config).num_agents),
        "presets": sorted(cls.presets),
        "kpis": {kpi.name: kpi.unit for kpi in cls.kpis},
        "config": config.to_dict(),
    }
    dump_json(row)  # what is no plain data fails here, and not with the whole list
    return row


def run_task_class(run: Any) -> Any:
    """Return the task class of a run.

    Raises:
        UnknownNameError: no such id here; the message names the file that it came from.
    """
    try:
        return task_class(run.env_id)
    except UnknownNameError as error:
        path = run.manifest.get("task_file")
        if path is None:
            raise
        raise UnknownNameError(
            f"{run.folder} was trained on {run.env_id}, which is not known here; its task file "
            f"was {path}: set PROVEOUT_TASKS to it"
        ) from error


def run_config(run: Any) -> Any:
    """Return the task's config with which a run was started, from its manifest.

    Raises:
        UnknownNameError: no such task here.
        RunError: a config that the task refuses; the message names the manifest.
    """
    config_class = run_task_class(run).config_class
    with run.reading("config"):
        return config_class.from_dict(run.manifest["config"])


def make_vector_env(spec: VectorEnvSpec) -> Any:
    """Make the vector environment.

    Raises:
        UnknownNameError: no such id.
        ConfigError: no memory for so many worlds, or as the environment says.
        DeviceError, WorkerError, ModelError: as the environment says.
    """
    import gymnasium

    task_class(spec.env_id)  # names the nearest id, where Gymnasium only says "not found"
    # What environments of other libraries need not know.
    further: dict[str, Any] = {}
    if spec.render_worlds:
        further = {"render_mode": "rgb_array", "render_worlds": spec.render_worlds}
    if spec.physics != "warp":
        further["physics"] = spec.physics
    try:
        return gymnasium.make_vec(
            spec.env_id,
            num_envs=spec.num_envs,
            vectorization_mode="vector_entry_point",
            config=spec.config,
            device=spec.device,
            workers=spec.workers,
            array_type=spec.array_type,
            phase_spread=spec.phase_spread,
            **further,
        )
    except (MemoryError, OverflowError, RuntimeError) as error:
        why = mendable(error)
        if why is None or isinstance(error, ProveoutError):
            raise
        raise ConfigError(
            f"{spec.num_envs} worlds of {spec.env_id} cannot be made: {why}"
        ) from error
