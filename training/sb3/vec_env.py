"""A Gymnasium `VectorEnv` with SAME_STEP autoreset as a Stable-Baselines3 `VecEnv`."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv, VectorWrapper
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecEnv, VecMonitor
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvStepReturn

from proveout.envs.core.finished import Endings, Finished, on_host, rows_of
from proveout.envs.core.invalid import Invalid
from proveout.training.sb3.errors import BridgeError
from proveout.training.sb3.tensor.face import TensorFace

# Statistics of an episode that SB3 knows under names of its own.
_RETURN, _LENGTH, _SUCCESS = "return", "length", "success"


class SB3VecEnv(VecEnv):
    """Worlds of one `VectorEnv`, seen by Stable-Baselines3.

    Python touches only the worlds that finish in a step. The info of any other world is an empty
    dict, whatever the environment says in `info`. A finished world's info has

    - `terminal_observation` (O,) and `TimeLimit.truncated`, as SB3's own vector environments;
    - `episode`: `{"r": return, "l": length, "t": seconds since creation}`, so that no `Monitor`
      or `VecMonitor` is needed; left out where the environment says that the episode does not
      count (`_episode_statistics`);
    - `is_success`, and `episode_statistics` (name -> number), if the environment has them;
    - `invalid: True` for a world that the environment's guard threw out. Nothing is learnt from
      that step: its reward is 0 and its terminal observation is the one before the step, so that
      a bootstrapped return is the value already held.

    Observations, rewards and ends are copies that no later step overwrites.

    Attributes:
        env: The vector environment.
        num_invalid: Invalid worlds since creation.
        invalid_reasons: How often each reason was given, by its words.
        num_episodes: Finished episodes that count since creation.
        started: `time.monotonic()` at creation [s].
    """

    def __init__(self, env: VectorEnv) -> None:
        """Take over a vector environment.

        Args:
            env: Autoreset mode SAME_STEP; NumPy or torch arrays (torch on any device: copied to
                the host each step).

        Raises:
            BridgeError: not a `VectorEnv`, or another autoreset mode.
        """
        if isinstance(env, VecEnv):
            raise BridgeError(
                f"{type(env).__name__} is a Stable-Baselines3 VecEnv already; use it as it is."
            )
        if not isinstance(env, VectorEnv):
            raise BridgeError(
                f"{type(env).__name__} is not a gymnasium.vector.VectorEnv; make it with "
                "gymnasium.make_vec, or wrap a single Env in DummyVecEnv."
            )
        mode = env.metadata.get("autoreset_mode")
        if mode != AutoresetMode.SAME_STEP:
            raise BridgeError(
                f"{type(env.unwrapped).__name__} has autoreset mode {mode}; Stable-Baselines3 "
                "needs AutoresetMode.SAME_STEP, or it would learn from the steps that only reset."
            )
        self.env = env
        self.num_invalid = 0
        self.invalid_reasons: Counter[str] = Counter()
        self.num_episodes = 0
        self.closed = False
        self.started = time.monotonic()
        self._torch_device = _torch_device(env)
        self._actions: Any = None
        self._face: TensorFace | None = None
        self._observation: Any = None
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)
        # VecVideoRecorder reads the frame rate here.
        self.metadata = {**env.metadata, "render_modes": self.metadata["render_modes"]}
        self._infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        self._returns = np.zeros(self.num_envs)
        self._lengths = np.zeros(self.num_envs, np.int64)
        self._sums: dict[str, float] = {}
        self._counts: dict[str, int] = {}

    # Stepping

    def reset(self) -> Any:
        """Reset all worlds with the seed and options set before; return observations (N, O)."""
        options = self._options[0]
        if any(each != options for each in self._options):
            raise BridgeError("All worlds are reset together; give set_options one dict for all.")
        observation, _ = self.env.reset(seed=self._seeds[0], options=options or None)
        self._reset_seeds()
        self._reset_options()
        self._returns[:] = 0.0
        self._lengths[:] = 0
        self._observation = _host(observation)
        return self._observation

    def step_async(self, actions: np.ndarray) -> None:
        """Keep the actions (N, A) for `step_wait`."""
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """Step; return observations, rewards (N,) float32, dones (N,) and N infos."""
        actions = self._actions
        if self._torch_device is not None:
            import torch

            actions = torch.as_tensor(actions, device=self._torch_device)
        new, reward, terminated, truncated, info = self.env.step(actions)
        observation = _host(new)
        rewards = np.array(on_host(reward), np.float32)
        finished = Finished(terminated, truncated, info)
        done = np.array(on_host(finished.ended), bool)
        self._returns += rewards
        self._lengths += 1
        # A dict that was handed out is replaced, never cleared: a callback may still hold it.
        infos = self._infos
        for world, old in enumerate(infos):
            if old:
                infos[world] = {}
        if done.any():
            self._finish(finished.take(np.flatnonzero(done)), rewards, info.get("final_info", {}))
        self._observation = observation
        return observation, rewards, done, list(infos)

    def _finish(self, endings: Endings, rewards: np.ndarray, extra: Mapping[str, Any]) -> None:
        """Fill the infos of finished worlds; make the reward of an invalid one 0."""
        if endings.final_observation is None:
            raise BridgeError(
                f"{type(self.env.unwrapped).__name__} ended episodes without info['final_obs']; "
                "SAME_STEP environments must report the observation before the reset."
            )
        worlds, final = endings.worlds, endings.final_observation
        bad = endings.invalid
        if bad.any():
            self.book_invalid(endings.reason[bad])
            rewards[worlds[bad]] = 0.0
            final = _replace(final, bad, rows_of(self._observation, worlds[bad]))
        statistics = endings.statistics or {
            _RETURN: self._returns[worlds],
            _LENGTH: self._lengths[worlds],
        }
        names = list(statistics)
        table = np.stack([values.astype(np.float64) for values in statistics.values()], axis=1)
        self.book(names, table[endings.counts])
        rows = table.tolist()
        seconds = round(time.monotonic() - self.started, 6)
        timed_out, invalid, counts = (
            flags.tolist() for flags in (endings.timed_out, bad, endings.counts)
        )
        for row, world in enumerate(worlds.tolist()):
            told: dict[str, Any] = {
                "terminal_observation": _row(final, row),
                "TimeLimit.truncated": timed_out[row],
            }
            if extra:
                told.update(_unbatch(extra, world))
            if invalid[row]:
                told["invalid"] = True
            if counts[row]:
                values = dict(zip(names, rows[row], strict=True))
                told["episode"] = {
                    "r": values[_RETURN],
                    "l": int(values[_LENGTH]),
                    "t": seconds,
                }
                if _SUCCESS in values:
                    told["is_success"] = values[_SUCCESS] > 0.5
                told["episode_statistics"] = values
            self._infos[world] = told
        self._returns[worlds] = 0.0
        self._lengths[worlds] = 0

    def book_invalid(self, bits: np.ndarray) -> None:
        """Count invalid worlds by their `invalid_reason`, shape (worlds,)."""
        self.num_invalid += len(bits)
        self.invalid_reasons.update(Invalid.count(bits))

    def book(self, names: Sequence[str], rows: np.ndarray) -> None:
        """Count finished episodes that count.

        Args:
            names: Of the statistics. rows: (episodes, statistics).
        """
        self.num_episodes += len(rows)
        for column, name in enumerate(names):
            values = rows[:, column]
            values = values[np.isfinite(values)]
            self._sums[name] = self._sums.get(name, 0.0) + float(values.sum())
            self._counts[name] = self._counts.get(name, 0) + len(values)

    def tensor_face(self) -> TensorFace:
        """The worlds as tensors on their device, for algorithms that need no NumPy in between."""
        if self._face is None:
            self._face = TensorFace(self)
        return self._face

    def drain_statistics(
        self, gather: Callable[[Any], list[Any]] | None = None
    ) -> dict[str, float]:
        """Return the mean of each episode statistic since the last call; empty if none finished.

        Args:
            gather: Returns what the processes of a common training give it; None: only this one.
        """
        own = (self._sums, self._counts)
        sums: dict[str, float] = {}
        counts: dict[str, int] = {}
        for some_sums, some_counts in [own] if gather is None else gather(own):
            for name, total in some_sums.items():
                sums[name] = sums.get(name, 0.0) + total
                counts[name] = counts.get(name, 0) + some_counts[name]
        self._sums, self._counts = {}, {}
        return {name: total / counts[name] for name, total in sums.items() if counts[name]}

    # State

    def state_dict(self) -> dict[str, np.ndarray]:
        """Return the worlds' state and what this class counts.

        Raises:
            BridgeError: the environment has no `state_dict`.
        """
        if not hasattr(self.env, "state_dict"):
            raise BridgeError(f"{type(self.env.unwrapped).__name__} has no state_dict to save.")
        state = {f"env/{name}": value for name, value in self.env.state_dict().items()}
        state["bridge/returns"] = self._returns.copy()
        state["bridge/lengths"] = self._lengths.copy()
        state["bridge/counters"] = np.array([self.num_invalid, self.num_episodes], np.int64)
        reasons = [self.invalid_reasons[reason.words] for reason in Invalid]
        state["bridge/invalid_reasons"] = np.array(reasons, np.int64)
        return state

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        """Restore what `state_dict` returned; pending seeds are dropped."""
        part = {k.removeprefix("env/"): v for k, v in state.items() if k.startswith("env/")}
        unwrapped: Any = self.env
        unwrapped.load_state_dict(part)
        self._returns[:] = state["bridge/returns"]
        self._lengths[:] = state["bridge/lengths"]
        self.num_invalid, self.num_episodes = (int(n) for n in state["bridge/counters"])
        counts = (int(n) for n in state.get("bridge/invalid_reasons", ()))  # older checkpoints
        self.invalid_reasons = Counter(
            {reason.words: count for reason, count in zip(Invalid, counts, strict=False)}
        )
        self._reset_seeds()

    # The rest of the VecEnv interface

    def close(self) -> None:
        """Close the environment; a second call does nothing."""
        if not self.closed:
            self.closed = True
            self.env.close()

    def get_images(self) -> Sequence[np.ndarray | None]:
        """Return one (H, W, 3) uint8 frame for each rendered world."""
        frames: Any = self.env.render()
        return [] if frames is None else list(frames)

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """Return an attribute of the worlds; one of the vector environment is repeated."""
        chosen = self._indices(indices)
        singles = getattr(self.env.unwrapped, "envs", None)
        if singles is not None and hasattr(singles[0], "get_wrapper_attr"):
            return [singles[i].get_wrapper_attr(attr_name) for i in chosen]
        value = getattr(self.env, attr_name)
        return [value for _ in chosen]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set an attribute of the worlds.

        Raises:
            BridgeError: some of the worlds were named, but they are one object.
        """
        chosen = self._indices(indices)
        singles = getattr(self.env.unwrapped, "envs", None)
        if singles is not None:
            for i in chosen:
                setattr(singles[i].unwrapped, attr_name, value)
        elif set(chosen) == set(range(self.num_envs)):
            setattr(self.env.unwrapped, attr_name, value)
        else:
            raise BridgeError(
                f"The worlds of {type(self.env.unwrapped).__name__} are one object; "
                f"'{attr_name}' cannot be set for some of them only."
            )

    def env_method(
        self, method_name: str, *args: Any, indices: VecEnvIndices = None, **kwargs: Any
    ) -> list[Any]:
        """Call a method of each world; one of the vector environment is called once, repeated."""
        chosen = self._indices(indices)
        singles = getattr(self.env.unwrapped, "envs", None)
        if singles is not None and hasattr(singles[0], "get_wrapper_attr"):
            return [singles[i].get_wrapper_attr(method_name)(*args, **kwargs) for i in chosen]
        value = getattr(self.env, method_name)(*args, **kwargs)
        return [value for _ in chosen]

    def env_is_wrapped(
        self, wrapper_class: type[gym.Wrapper], indices: VecEnvIndices = None
    ) -> list[bool]:
        """Say whether the worlds are wrapped; true for `Monitor`, whose statistics are built in.

        Raises:
            BridgeError: asked by a `VecMonitor` that is being put around this environment.
        """
        if wrapper_class is Monitor:
            _refuse_monitor()
            return [True for _ in self._indices(indices)]
        layer: Any = self.env
        found = isinstance(layer, wrapper_class)
        while not found and isinstance(layer, VectorWrapper):
            layer = layer.env
            found = isinstance(layer, wrapper_class)
        return [found for _ in self._indices(indices)]

    def _indices(self, indices: VecEnvIndices) -> list[int]:
        return list(self._get_indices(indices))


def _refuse_monitor() -> None:
    """Raise if the call comes from `VecMonitor.__init__`, through any wrappers between."""
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code is VecMonitor.__init__.__code__:
            raise BridgeError(
                "SB3VecEnv has episode statistics built in and VecMonitor would replace them; "
                "leave VecMonitor out."
            )
        frame = frame.f_back  # type: ignore[assignment]


def _torch_device(env: VectorEnv) -> Any:
    """Return the torch device of an environment of torch arrays, else None."""
    if getattr(env, "array_type", "numpy") != "torch":
        return None
    return str(getattr(env, "device", "cpu"))


def _host(observation: Any) -> Any:
    """Return a copy on the host of an array or of a dict of arrays."""
    if isinstance(observation, Mapping):
        return {name: _host(value) for name, value in observation.items()}
    return np.array(on_host(observation))


def _replace(observation: Any, mask: np.ndarray, rows: Any) -> Any:
    """Return `observation` with the rows under `mask` exchanged."""
    if isinstance(observation, Mapping):
        return {name: _replace(observation[name], mask, rows[name]) for name in observation}
    observation = np.array(observation)
    observation[mask] = rows
    return observation


def _row(observation: Any, row: int) -> Any:
    """Return one row, of its own memory."""
    if isinstance(observation, Mapping):
        return {name: _row(value, row) for name, value in observation.items()}
    return observation[row].copy()


def _unbatch(info: Mapping[str, Any], world: int) -> Iterable[tuple[str, Any]]:
    """Yield what Gymnasium's batched `final_info` says of one world."""
    for name, value in info.items():
        if name.startswith("_") or not on_host(info.get(f"_{name}", np.ones(world + 1)))[world]:
            continue
        if isinstance(value, Mapping):
            yield name, dict(_unbatch(value, world))
        else:
            yield name, value[world]
