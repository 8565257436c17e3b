"""How to train, and what may change when a run goes on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from proveout.assets.files.errors import unknown
from proveout.envs.core.errors import ConfigError, RunError
from proveout.envs.core.task import PHYSICS
from proveout.training.evaluation.evaluate import DEFAULT_EPISODES
from proveout.training.run.directory import MANIFEST, Run
from proveout.training.run.failures import one_line


def _option(default: Any, unit: str, text: str) -> Any:
    return field(default=default, metadata={"unit": unit, "help": text})


_RUNS = Path("runs")
# What a training may begin as.
WARM_STARTS = ("expert",)


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How to train."""

    algo: str = _option("ppo", "", "ppo, a2c, sac, td3, tqc, tensor_ppo, tensor_sac or tensor_td3")
    total_timesteps: int | None = _option(
        None, "samples", "over all worlds and ranks; None: the preset's"
    )
    num_envs: int | None = _option(None, "worlds", "of each rank; None: the preset's")
    seed: int = _option(0, "", "of the worlds, the networks and the exploration")
    device: str = _option("auto", "", "auto, cpu or cuda:N, for worlds and networks")
    workers: int | None = _option(
        None, "processes", "of each rank's worlds on the CPU; None: the rank's share of the cores"
    )
    physics: str = _option("warp", "", "warp, or c for MuJoCo C on the CPU")
    # Measured on two busy cores, 128-128 network: minibatch of 2048 in 11 ms with one thread, 65 ms
    # with two, as torch's threads wait for each other while the workers hold the cores.
    torch_threads: int = _option(1, "threads", "of the networks on the CPU")
    hyperparameters: tuple[str, ...] = _option(
        (), "", "key=value of the algorithm or the preset, such as learning_rate=3e-4"
    )
    warm_start: str | None = _option(
        None, "", "expert: first clone the task's scripted expert; None: begin from nothing"
    )
    warm_start_samples: int = _option(
        500_000, "samples", "of the warm start, over all worlds and roll-outs"
    )
    warm_start_rounds: int = _option(
        60, "rounds", "in which the clone acts and the expert corrects it; 0: it only imitates"
    )
    checkpoint_interval: float = _option(30.0, "s", "time between two checkpoints")
    evaluation_episodes: int = _option(
        DEFAULT_EPISODES, "episodes", "of the evaluation at the end; 0: none"
    )
    video: bool = _option(True, "", "write a video at the end")
    runs: Path = _option(_RUNS, "", "folder of the run directories")  # noqa: RUF009

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**32:
            raise ConfigError(f"seed must be from 0 to {2**32 - 1}, got {self.seed}.")
        if not self.checkpoint_interval > 0.0:
            raise ConfigError(
                f"checkpoint_interval must be a positive time in seconds, "
                f"got {self.checkpoint_interval}."
            )
        if self.physics not in PHYSICS:
            raise unknown("physics", self.physics, PHYSICS)
        if self.torch_threads < 1:
            raise ConfigError(f"torch_threads must be at least 1, got {self.torch_threads}.")
        if self.warm_start is not None and self.warm_start not in WARM_STARTS:
            raise unknown("warm start", self.warm_start, WARM_STARTS)
        if self.warm_start_samples < 1:
            raise ConfigError(
                f"warm_start_samples must be at least 1, got {self.warm_start_samples}."
            )
        if self.warm_start_rounds < 0:
            raise ConfigError(
                f"warm_start_rounds must not be negative, got {self.warm_start_rounds}."
            )
        if self.evaluation_episodes < 0:
            raise ConfigError(
                f"evaluation_episodes must not be negative, got {self.evaluation_episodes}."
            )

    @property
    def worlds_device(self) -> str:
        """The device, where "auto" leaves no choice: "cpu" for worlds of MuJoCo C."""
        return "cpu" if (self.physics, self.device) == ("c", "auto") else self.device


@dataclass(frozen=True, kw_only=True)
class ResumeConfig:
    """What may change when a run goes on; None: as it was."""

    total_timesteps: int | None = _option(None, "samples", "new end of the training")
    device: str | None = _option(None, "", "auto, cpu or cuda:N")
    workers: int | None = _option(None, "processes", "of the worlds on the CPU")


def settings_of(run: Run, changes: ResumeConfig) -> TrainConfig:
    """Return the settings in a manifest, with what changes now."""
    data: Mapping[str, Any] = run.manifest["train"]
    interval = data.get("checkpoint_interval", TrainConfig.checkpoint_interval)
    try:
        settings = TrainConfig(
            **{
                **data,
                "hyperparameters": tuple(data["hyperparameters"]),
                # JSON has no infinity.
                "checkpoint_interval": math.inf if interval is None else interval,
                "runs": Path(data["runs"]),
            }
        )
    except (KeyError, TypeError, ConfigError) as error:
        raise RunError(
            f"{run.folder / MANIFEST}: 'train' is damaged or of another release "
            f"({one_line(error)}); train again."
        ) from error
    if changes.device is not None:
        settings = replace(settings, device=changes.device)
    if changes.workers is not None:
        settings = replace(settings, workers=changes.workers)
    return settings
