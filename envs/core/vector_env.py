"""Gymnasium's vector face of a batch of Warp worlds."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import gymnasium
import numpy as np
import warp as wp
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from proveout.envs.core.coerce import INT32_MAX, real_number, whole_number
from proveout.envs.core.device import resolve_device
from proveout.envs.core.errors import ConfigError, RenderError
from proveout.envs.core.live_page import live_page
from proveout.envs.core.memory import check_memory
from proveout.envs.core.next_episode import EPISODE, merged
from proveout.envs.core.one_at_a_time import ONE_AT_A_TIME
from proveout.envs.core.pool import make_pool
from proveout.envs.core.render import Renderer
from proveout.envs.core.reset_request import ResetRequest
from proveout.envs.core.simulation import Simulation
from proveout.envs.core.step_arrays import step_arrays
from proveout.envs.core.step_told import StepTold
from proveout.envs.core.task import Task, TaskConfig
from proveout.envs.core.use import Use, exclusive


class WarpVectorEnv(VectorEnv):
    """N worlds of a task, stepped together on one device.

    It serves one thread at a time, in the process that made it: what else would mix up its worlds
    raises `InUseError`; after `close` every call raises `ClosedError`.

    Autoreset is SAME_STEP: the step that ends an episode returns the first observation of the
    next one, and `info["final_obs"]` holds the last observation of the old one.

    Args:
        task: The task, with the physics that steps its worlds: see `Task.with_physics`.
        num_envs: Number of worlds N.
        device: "auto" (CUDA if there is one), "cpu" or "cuda:N"; physics "c" has the CPU alone.
        workers: Processes on the CPU; None for all cores. The results do not depend on it.
        array_type: "numpy", or "torch" for tensors on the device. Both are copies that no later
            step overwrites.
        phase_spread: Share of an episode over which the clocks of the first episodes are spread,
            0 to 1, so that worlds do not time out together. Those first episodes are shorter and
            left out of the statistics.
        render_mode: None or "rgb_array".
        render_worlds: Worlds that `render` draws; None for all.
        render_size: Width and height of a frame [pixels].

    `info` of every step, arrays over the worlds:
        final_obs (N, size) and _final_obs (N,): last observation, and where an episode ended.
        episode_statistics: name -> (N,); _episode_statistics (N,): where they count, which leaves
            out invalid worlds and first episodes shortened by `phase_spread`.
        invalid (N,) bool, invalid_reason (N,) int and its mask _invalid_reason (the same as
            invalid): see `proveout.envs.core.invalid`.

    `reset(options=...)` takes
        reset_mask (N,) bool: only these worlds start a new episode.
        parameters: name of a randomisation -> number or (N,) array; replaces its random draws in
            the reset worlds until they are reset explicitly again. NaN leaves a world random.
        config: name of a number of the task's config ("max_increment", "reward_weights.reached")
            -> number or (N,) array, in the reset worlds until they are reset explicitly again. NaN
            leaves a world with the environment's config. Structural fields are refused.
        world_ids, episodes (N,) int: take the random numbers of these worlds and episodes, which
            replays a world of another batch.
    """

    supports_reset_mask = True

    def __init__(
        self,
        task: Task,
        num_envs: int = 1,
        *,
        device: str = "auto",
        workers: int | None = None,
        array_type: Literal["numpy", "torch"] = "numpy",
        phase_spread: float = 0.0,
        render_mode: str | None = None,
        render_worlds: Sequence[int] | None = None,
        render_size: tuple[int, int] = (640, 480),
    ) -> None:
        num_envs = whole_number("num_envs", num_envs, low=1)
        if workers is not None:
            workers = whole_number("workers", workers, low=1)
        phase_spread = real_number("phase_spread", phase_spread, low=0.0, high=1.0)
        self._device = resolve_device(device, task.physics)
        check_memory(task, num_envs, self._device)
        if array_type not in ("numpy", "torch"):
            raise ConfigError(f"array_type must be 'numpy' or 'torch', got {array_type!r}")
        if render_mode not in (None, "rgb_array"):
            raise RenderError(
                f"render_mode of a vector environment is None or 'rgb_array', got {render_mode!r}; "
                "'human' works with a single environment (gymnasium.make)"
            )
        self.task = task
        self.config: Any = task.config
        self.layout = task.layout
        self.action_layout = task.action_layout
        self.statistics = task.statistics
        self.num_envs = num_envs
        self.array_type = array_type
        self.render_mode = render_mode
        self.render_worlds = tuple(range(num_envs) if render_worlds is None else render_worlds)
        if any(not 0 <= world < num_envs for world in self.render_worlds):
            raise RenderError(f"render_worlds must be below {num_envs}, got {self.render_worlds}")
        self.metadata = {
            "autoreset_mode": AutoresetMode.SAME_STEP,
            "render_modes": ["rgb_array"],
            "render_fps": 1.0 / task.config.control_dt,
        }
        self.single_observation_space = task.layout.space()
        self.single_action_space = task.action_layout.space()
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

        with ONE_AT_A_TIME:
            self._pool = make_pool(task, num_envs, self._device, workers)
        self._arrays = step_arrays(self._pool, array_type)
        self._use = Use(forks=isinstance(self._pool, Simulation) and self._device.is_cpu)
        self.workers = self._pool.workers
        self.compile_seconds = self._pool.compile_seconds
        self._phase_spread = phase_spread
        self._no_statistics: dict[str, Any] = dict.fromkeys(name for name, _ in task.statistics)
        self._render_size = render_size
        self._renderer: Renderer | None = None
        self._started = False

    @property
    def device(self) -> str:
        """Name of the device: "cpu" or "cuda:N"."""
        return self._device.alias

    @property
    def fps(self) -> float:
        """Control steps in a second of simulated time [Hz]."""
        return 1.0 / self.config.control_dt

    @property
    def invalid_worlds(self) -> int:
        """Times a world has been invalid since this environment was made."""
        return self._pool.times_invalid()

    @exclusive
    def reset(
        self,
        *,
        seed: int | Sequence[int] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> tuple[Any, dict[str, Any]]:
        """Start new episodes in all worlds, or in those of `options["reset_mask"]`.

        Args:
            seed: One seed for all worlds (their numbers tell them apart) or one for each; begins
                at episode 0. None goes on to the next episode of the same seed.
            options: See the class.

        Returns:
            Observations, shape (N, size), and info.
        """
        asked = ResetRequest(self.num_envs, not self._started, seed, options)
        pool = self._pool
        arrays = self._episodes(asked, self._phase_spread)
        # All of it was right: only now is anything written.
        if asked.seed is not None:
            self._np_random, self._np_random_seed = gymnasium.utils.seeding.np_random(asked.seed)
        for name, values in arrays.items():
            pool.write(name, values)
        pool.reset()
        self._started = True
        return self._arrays.tensor(pool.read("observation")), {}

    @exclusive
    def reset_next(
        self,
        *,
        seed: int | Sequence[int] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        """Say what the next episode of worlds is, which begins when the present one ends.

        It takes what `reset` takes, and changes nothing before. A world for which none waits goes
        on with the next of its own. So rows of a sweep stream through the worlds: give each world
        that has ended an episode the row after the one that it has begun.

        Args:
            seed: As in `reset`. options: Likewise.

        Raises:
            ConfigError, UnknownNameError: As `reset`; nothing has been changed then.
        """
        if not self._started:
            raise gymnasium.error.ResetNeeded("call reset() before reset_next()")
        asked = self._episodes(ResetRequest(self.num_envs, False, seed, options), 0.0)
        waiting = {name: self._pool.read(f"next_{name}") for name in ("waits", *EPISODE)}
        for name, values in merged(asked, waiting).items():
            self._pool.write(name, values)

    def next_waits(self) -> np.ndarray:
        """For which worlds an episode of `reset_next` waits, (N,) bool; a copy."""
        return self._pool.read("next_waits").copy()

    def _episodes(self, asked: ResetRequest, phase_spread: float) -> dict[str, np.ndarray]:
        """What a request means for the arrays of the exchange, all of it found right."""
        read, task = self._pool.read, self.task
        now = {name: read(name) for name in ("seed", "world_id", "episode")}
        arrays = asked.keys(now, phase_spread, task.max_episode_steps)
        arrays["parameter_override"] = asked.overrides(read("parameter_override"), task, self._pool)
        arrays["number_override"] = task.numbers.overrides(
            asked.config, read("number_override"), asked.mask, arrays["parameter_override"]
        )
        return arrays

    @exclusive
    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """One control step of every world.

        Args:
            actions: Floating-point, shape (N, action size); clipped to the action space. A
                non-finite action is an error here; on torch data it makes its world invalid,
                since finding it would stop the device.

        Returns:
            Observations (N, size) float32, rewards (N,) float32, terminated (N,) bool,
            truncated (N,) bool, info.

        Raises:
            BadActionError: Wrong shape or dtype, or a non-finite number.
        """
        if not self._started:
            raise gymnasium.error.ResetNeeded("call reset() before step()")
        (
            observation, final, reward, terminated, truncated, done, reason, invalid, statistics,
            counted,
        ) = self._arrays.step(actions)  # fmt: skip
        # A copy of a dictionary that has its size already.
        by_name = self._no_statistics.copy()
        by_name.update(zip(self._no_statistics, statistics.T, strict=True))
        info = {
            "final_obs": final,
            "_final_obs": done,
            "episode_statistics": by_name,
            "_episode_statistics": counted,
            "invalid": invalid,
            "invalid_reason": reason,
            "_invalid_reason": invalid,
        }
        return observation, reward, terminated, truncated, info

    @exclusive
    def tensors(self) -> dict[str, Any]:
        """The arrays of a step as torch tensors on the device, without a copy.

        A training loop reads them right after `advance` and copies what it keeps: **every later
        step overwrites them**. Names and shapes are those of `proveout.envs.core.exchange`:
        observation, final_observation, reward, terminated, truncated, invalid_reason, statistics,
        statistics_mask.
        """
        return self._arrays.tensors()

    @exclusive
    def advance(self, actions: Any) -> None:
        """A control step whose results are read through `tensors`; nothing is copied or checked.

        Args:
            actions: torch float32 on the device, shape (N, action size). Non-finite ones make
                their worlds invalid.

        Raises:
            ConfigError: The worlds are on CUDA and `array_type` is "numpy": every step would go
                through the host.
        """
        if not self._started:
            raise gymnasium.error.ResetNeeded("call reset() before advance()")
        self._arrays.advance(actions)

    @exclusive
    def launch_step(self, actions: Any) -> None:
        """Launch what `advance` does, kernel by kernel, on Warp's current stream.

        For a CUDA graph that somebody else records, see
        `proveout.training.sb3.tensor.acting_graph.ActingGraph`; only worlds of one process can.

        Args:
            actions: As in `advance`; its memory must stay where it is.
        """
        if not isinstance(self._pool, Simulation):
            raise ConfigError("worlds in worker processes cannot be recorded; use workers=1")
        wp.copy(self._pool.exchange["action"], wp.from_torch(actions.detach()))
        self._pool.launch_step()

    @exclusive
    def state_dict(self) -> dict[str, np.ndarray]:
        """Everything that determines the future of all worlds, as numpy arrays (N, ...)."""
        if not self._started:
            raise gymnasium.error.ResetNeeded("call reset() before state_dict()")
        return self._pool.state_dict()

    @exclusive
    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> Any:
        """Restore `state_dict`, whatever the number of workers.

        Returns:
            The observations, shape (N, size).

        Raises:
            StateError: It does not fit, or holds a number that no world can have, such as a NaN;
                nothing has been changed then.
        """
        self._pool.load_state_dict(state)
        self._started = True
        return self._arrays.tensor(self._pool.read("observation"))

    @exclusive
    def render(self) -> tuple[np.ndarray, ...] | None:
        """One frame (height, width, 3) uint8 for each world of `render_worlds`."""
        if self.render_mode is None:
            raise RenderError("make the environment with render_mode='rgb_array' to render it")
        if self._renderer is None:
            self._renderer = Renderer(
                self.scene(), len(self.render_worlds), self._render_size, self._device
            )
        return self._renderer.render(self._pool.scene_pose(self.render_worlds))

    def view(self, policy: Any = None, *, seed: int = 0, port: int = 0) -> Any:
        """A live page of these worlds, shown inline by a notebook; needs `proveout[view]`.

        Args:
            policy: Anything with `predict`; None: actions of zero.
            seed: Of the worlds, which begin anew and belong to the page until its `close`.
            port: Of the page, on this machine alone; 0 for any that is free.

        Raises:
            RenderError: No page is installed.
        """
        return live_page(self, policy, seed=seed, port=port)

    def scene(self) -> Any:
        """The `mujoco.MjModel` that shows a world of this task."""
        return self.task.scene()

    @exclusive
    def config_rows(self) -> dict[str, np.ndarray]:
        """What each world has of the numbers that can differ: name -> values, (N,)."""
        return self.task.numbers.rows(self._pool.read("number_override"))

    @exclusive
    def scene_pose(self, worlds: Sequence[int]) -> list[Any]:
        """Poses of the given worlds in that scene."""
        return self._pool.scene_pose(worlds)

    @exclusive
    def step_told(self, worlds: Sequence[int]) -> list[StepTold]:
        """What the last control step told of the given worlds: reward terms, KPIs, success."""
        return self._pool.step_told(worlds)

    @exclusive
    def episode_keys(self) -> dict[str, np.ndarray]:
        """What the present episodes' random numbers are keyed by: seed, world_id and episode, and
        `elapsed`, the control steps since they began; each (N,), copies."""
        names = ("seed", "world_id", "episode", "elapsed")
        return {name: self._pool.read(name).copy() for name in names}

    @exclusive
    def bare_physics(self, repeats: int) -> float:
        """Seconds that the physics of `repeats` control steps takes alone, without the rest of a
        step; the same model, worlds and workers. It moves the worlds: reset afterwards."""
        seconds = self._pool.bare_physics(repeats)
        self._started = False
        return seconds

    @exclusive
    def contacts_per_world(self) -> float | None:
        """Mean contacts of a world in the last physics step; None for worlds without contacts."""
        return self._pool.contacts_per_world()

    @exclusive
    def bytes_per_world(self) -> int:
        """Size of the saved state of one world [byte]."""
        state = self._pool.state_dict()
        return sum(value.nbytes for value in state.values()) // self.num_envs

    def close_extras(self, **kwargs: Any) -> None:
        """End the workers and free the renderer."""
        del kwargs
        self._renderer = None
        if not hasattr(self, "_use"):  # it could not be made
            return
        self._use.closed = True
        if self._use.is_makers:
            del self._arrays  # it looks at memory that goes with the workers
            self._pool.close()

    def __del__(self) -> None:
        if not self.closed and hasattr(self, "_use"):
            self.close()


def with_max_episode_steps(config: TaskConfig, max_episode_steps: int | None) -> TaskConfig:
    """The config with the episode length that Gymnasium's `max_episode_steps` asks for."""
    if max_episode_steps is None:
        return config
    steps = whole_number("max_episode_steps", max_episode_steps, low=1, high=INT32_MAX - 1)
    return dataclasses.replace(config, episode_seconds=steps * config.control_dt)
