"""A small correct vector environment, and the same one with one defect at a time.

A cart on a line is pushed by two thrusters, with noise; it starts at random, fails beyond 1.5 m and
is timed out after 12 to 19 steps. Every random number is counted by (seed, world, episode).
"""

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from proveout.envs.core.rng import host_uniform

START, NOISE, LIMIT = 0, 1, 2  # random streams

# defect -> (check that must find it, word that its message must hold)
DEFECTS = {
    "num_envs_missing": ("construction", "num_envs"),
    "spaces_inconsistent": ("spaces", "observation_space"),
    "mode_missing": ("metadata", "missing"),
    "mode_is_a_string": ("metadata", "SameStep"),
    "action_sample_outside": ("action_space", "outside"),
    "obs_dtype": ("observation", "float64"),
    "obs_shape": ("observation", "shape"),
    "obs_outside": ("observation", "is outside the space in world 1"),
    "obs_list": ("observation", "list"),
    "reset_obs_dtype": ("observation", "the reset has dtype float64"),
    "reward_float64": ("reward", "float64"),
    "reward_list": ("reward", "list"),
    "reward_shape": ("reward", "shape"),
    "terminated_int": ("ends", "terminated"),
    "truncated_shape": ("ends", "truncated"),
    "obs_nan": ("finite", "observation"),
    "reward_inf": ("finite", "reward"),
    "final_obs_nan": ("finite", "final_obs"),
    "final_obs_missing": ("final_obs", "missing"),
    "final_obs_is_reset": ("final_obs", "reset observation"),
    "final_obs_stale": ("final_obs", "previous step"),
    "final_obs_dtype": ("final_obs", "float64"),
    "final_mask_missing": ("final_obs", "_final_obs"),
    "final_mask_truncated_only": ("final_obs", "terminated | truncated"),
    "claims_same_step_does_next_step": ("final_obs", "not reset"),
    "same_step_ignores_next_action": ("autoreset", "ignores the action"),
    "claims_next_step_does_same_step": ("autoreset", "NEXT_STEP"),
    "claims_disabled_does_same_step": ("autoreset", "DISABLED"),
    "info_length": ("info", "rows"),
    "info_mask_missing": ("info", "_distance"),
    "info_mask_int": ("info", "int64"),
    "info_scalar": ("info", "float"),
    "invalid_int": ("invalid", "int64"),
    "invalid_not_truncated": ("invalid", "not truncated"),
    "overwrites_obs": ("overwriting", "observation returned by"),
    "overwrites_reward": ("overwriting", "reward returned by"),
    "overwrites_terminated": ("overwriting", "terminated returned by"),
    "overwrites_final_obs": ("overwriting", "final_obs"),
    "overwrites_info": ("overwriting", "distance"),
    "overwrites_after_ten_steps": ("overwriting", "observation returned by"),
    "writes_into_action": ("overwriting", "action"),
    "seed_ignored": ("seeding", "expected different seeds to differ"),
    "seed_random": ("seeding", "same trajectory"),
    "worlds_alike": ("seeding", "begin alike"),
    "reset_repeats": ("seeding", "without a seed"),
    "seed_list_moves_others": ("seed_list", "only the last"),
    "reset_mask_resets_all": ("reset_mask", "leaves out"),
    "reset_mask_resets_none": ("reset_mask", "did not reset"),
    "reset_mask_restarts_clock": ("reset_mask", "steps later"),
    "state_without_episode": ("state_dict", "load_state_dict"),
    "state_without_clock": ("state_dict", "load_state_dict"),
    "state_without_statistics": ("state_dict", "episode_statistics"),
    "state_aliased": ("state_dict", "copies"),
    "depends_on_num_envs": ("world_count", "4 worlds and 3 worlds"),
    "depends_on_workers": ("workers", "1 worker and 2 workers"),
    "steps_before_reset": ("step_before_reset", "reset()"),
    "action_shape_unchecked": ("bad_actions", "wrong shape"),
    "action_dtype_unchecked": ("bad_actions", "complex"),
    "action_nan_unchecked": ("bad_actions", "NaN"),
    "close_twice_fails": ("close", "second close()"),
    "step_raises": ("observation", "OverflowError"),
}

TORCH_DEFECTS = {
    "device_claimed": ("device", "cuda:1"),
    "reward_on_host": ("device", "ndarray"),
    "overwrites_obs": ("overwriting", "observation returned by"),
    "obs_dtype": ("observation", "float64"),
    "terminated_int": ("ends", "terminated"),
}


class _OutsideBox(spaces.Box):
    """A Box that samples beyond its bounds."""

    def sample(self, *args: Any, **kwargs: Any) -> np.ndarray:
        return super().sample(*args, **kwargs) + np.float32(3.0)


class Cart(VectorEnv):
    """The environment; `defect` names the one thing that is wrong with it, "" for nothing."""

    supports_reset_mask = True

    def __init__(
        self,
        num_envs: int = 4,
        workers: int = 1,
        defect: str = "",
        array_type: str = "numpy",
        object_final_obs: bool = False,
    ) -> None:
        assert not defect or defect in DEFECTS | TORCH_DEFECTS
        self.num_envs = 0 if defect == "num_envs_missing" else num_envs
        self.workers = workers
        self.defect = defect
        self.array_type = array_type
        self.object_final_obs = object_final_obs
        self.device = "cuda:1" if defect == "device_claimed" else "cpu"
        self.metadata = {
            "autoreset_mode": {
                "mode_is_a_string": "SameStep",
                "mode_missing": None,
                "claims_next_step_does_same_step": AutoresetMode.NEXT_STEP,
                "claims_disabled_does_same_step": AutoresetMode.DISABLED,
            }.get(defect, AutoresetMode.SAME_STEP)
        }
        bound = np.array([9.0, 9.0, 1.0], np.float32)
        self.single_observation_space = spaces.Box(-bound, bound, dtype=np.float32)
        box = _OutsideBox if defect == "action_sample_outside" else spaces.Box
        self.single_action_space = box(-1.0, 1.0, (2,), np.float32)
        extra = 1 if defect == "spaces_inconsistent" else 0
        self.observation_space = batch_space(
            self.single_observation_space, max(1, self.num_envs) + extra
        )
        self.action_space = batch_space(spaces.Box(-1.0, 1.0, (2,), np.float32), num_envs)
        self.seeds = np.zeros(num_envs, np.int64)
        self.episode = np.full(num_envs, -1)
        self.clock = np.zeros(num_envs, np.int64)
        self.limit = np.zeros(num_envs, np.int64)
        self.x = np.zeros(num_envs)
        self.v = np.zeros(num_envs)
        self.total = np.zeros(num_envs)
        self.ignore_next = np.zeros(num_envs, bool)
        self.pending = np.zeros(num_envs, bool)
        self.ready = False
        self.held: dict[str, Any] = {}
        self.steps = 0
        self.closings = 0

    def _world(self) -> np.ndarray:
        world = np.arange(self.num_envs)
        if self.defect == "worlds_alike":
            return world * 0
        if self.defect == "depends_on_num_envs":
            return world + self.num_envs
        if self.defect == "depends_on_workers":
            return world % -(-self.num_envs // self.workers)
        return world

    def _uniform(self, stream: int, draw: Any) -> np.ndarray:
        world, draws = self._world(), np.broadcast_to(draw, self.num_envs)
        out = np.empty(self.num_envs)
        for seed in np.unique(self.seeds):
            at = self.seeds == seed
            out[at] = host_uniform(int(seed), world[at], self.episode[at], stream, draws[at])
        return out

    def _start(self, mask: np.ndarray) -> None:
        if self.defect != "reset_repeats":
            self.episode[mask] += 1
        self.clock[mask] = 0
        self.total[mask] = 0.0
        self.x[mask] = self._uniform(START, 0)[mask] - 0.5
        self.v[mask] = 0.0
        self.limit[mask] = (12 + np.floor(8 * self._uniform(LIMIT, 0)))[mask]

    def _obs(self) -> np.ndarray:
        obs = np.stack([self.x, self.v, self.clock / 20.0], axis=1).astype(np.float32)
        return obs[:, :2] if self.defect == "obs_shape" and self.ready else obs

    def _out(self, name: str, value: Any) -> Any:
        """Give data away: a copy, unless the defect is to give the same memory again."""
        if self.defect == f"overwrites_{name}":
            held = self.held.setdefault(name, np.array(value))
            held[...] = value
            value = held
        elif self.defect == "overwrites_after_ten_steps" and name == "obs":
            held = self.held.setdefault(f"{name}{self.steps % 10}", np.array(value))
            held[...] = value
            value = held
        else:
            value = np.array(value)
        if self.array_type == "numpy" or (self.defect, name) == ("reward_on_host", "reward"):
            return value
        return torch.from_numpy(value)

    def reset(self, *, seed: Any = None, options: dict | None = None) -> tuple[Any, dict]:
        mask = np.ones(self.num_envs, bool)
        if options and "reset_mask" in options:
            mask = np.asarray(options["reset_mask"])
            if self.defect == "reset_mask_resets_all":
                mask = np.ones(self.num_envs, bool)
            elif self.defect == "reset_mask_resets_none":
                mask = np.zeros(self.num_envs, bool)
            elif self.defect == "reset_mask_restarts_clock":
                self.limit[:] += 50
        if seed is not None:
            self.episode[mask] = -1
            self.seeds[:] = seed
            if self.defect == "seed_list_moves_others" and np.size(seed) > 1:
                self.seeds[:] = np.sum(seed)
            if self.defect == "seed_ignored":
                self.seeds[:] = 1
            elif self.defect == "seed_random":
                self.seeds[:] = np.random.default_rng().integers(1 << 30)
        self._start(mask)
        self.ignore_next[mask] = self.pending[mask] = False
        self.ready = True
        obs = self._obs()
        return self._out("obs", obs.astype(float) if self.defect == "reset_obs_dtype" else obs), {}

    def _checked(self, actions: Any) -> np.ndarray:
        if self.array_type == "torch":
            if not isinstance(actions, torch.Tensor):
                raise TypeError("Actions must be a torch tensor.")
            actions = actions.numpy()
        shape = (self.num_envs, 2)
        if actions.dtype != np.float32:
            if self.defect != "action_dtype_unchecked":
                raise TypeError(f"Actions have dtype {actions.dtype}, expected float32.")
            actions = actions.real.astype(np.float32)
        if actions.shape != shape:
            if self.defect != "action_shape_unchecked":
                raise ValueError(f"Actions have shape {actions.shape}, expected {shape}.")
            actions = actions[: shape[0], :2]
        if self.defect == "writes_into_action":
            actions *= np.float32(0.5)
        return actions

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict]:
        if not self.ready and self.defect != "steps_before_reset":
            raise RuntimeError("Call reset() before the first step().")
        actions = self._checked(actions)
        defect = self.defect
        self.steps += 1
        if defect == "step_raises" and self.steps == 7:
            raise OverflowError("contacts")
        n = self.num_envs
        previous = self._obs()
        invalid = ~np.isfinite(actions).all(axis=1)
        if defect == "action_nan_unchecked":
            invalid[:] = False
        actions = np.where(invalid[:, None], 0.0, actions).astype(np.float64)
        if defect == "same_step_ignores_next_action":
            actions[self.ignore_next] = 0.0
        self.v = 0.9 * self.v + 0.3 * actions[:, 0] + 0.1 * actions[:, 1]
        self.v += 0.02 * (self._uniform(NOISE, self.clock) - 0.5)
        self.x = self.x + self.v * 0.5
        self.clock += 1
        if defect == "claims_same_step_does_next_step":
            self._start(self.pending)
        reward = (1.0 - np.abs(self.x)).astype(np.float32)
        self.total += reward
        terminated = np.abs(self.x) > 1.5
        truncated = (self.clock >= self.limit) & ~terminated | invalid
        done = terminated | truncated
        final, distance = self._obs(), np.abs(self.x).astype(np.float32)
        statistics = {"return": self.total.astype(np.float32), "length": self.clock.astype("f4")}
        self.ignore_next, self.pending = done.copy(), done.copy()
        if defect != "claims_same_step_does_next_step":
            self._start(done)
        obs = self._obs()
        mask = done.copy()
        if defect == "final_obs_is_reset":
            final = obs.copy()
        elif defect == "final_obs_stale":
            final = previous
        elif defect == "final_obs_dtype":
            final = final.astype(np.float64)
        elif defect == "final_obs_nan":
            final[done] = np.nan
        elif defect == "final_mask_truncated_only":
            mask = truncated.copy()
        late = self.clock > 5
        if defect in ("obs_nan", "obs_outside") and late[1]:
            obs[1, 0] = np.nan if defect == "obs_nan" else -9.5
        elif defect == "reward_inf" and late[2]:
            reward[2] = np.inf
        elif defect == "obs_dtype":
            obs = obs.astype(np.float64)
        elif defect == "reward_float64":
            reward = reward.astype(np.float64)
        elif defect == "reward_shape":
            reward = reward[:, None]
        elif defect == "invalid_not_truncated" and self.clock[0] == 5:
            invalid[0] = True
        info = self._info(final, mask, statistics, distance, invalid)
        ends: list[Any] = [terminated, truncated]
        if defect == "terminated_int":
            ends[0] = terminated.astype(np.int64)
        elif defect == "truncated_shape":
            ends[1] = truncated[: n - 1]
        reward_out, obs_out = self._out("reward", reward), self._out("obs", obs)
        return (
            obs_out.tolist() if defect == "obs_list" else obs_out,
            reward_out.tolist() if defect == "reward_list" else reward_out,
            self._out("terminated", ends[0]),
            self._out("truncated", ends[1]),
            info,
        )

    def _info(
        self,
        final: np.ndarray,
        mask: np.ndarray,
        statistics: dict[str, np.ndarray],
        distance: np.ndarray,
        invalid: np.ndarray,
    ) -> dict[str, Any]:
        defect = self.defect
        everyone = np.ones(self.num_envs, bool)
        info = {
            "final_obs": self._out("final_obs", final),
            "_final_obs": self._out("mask", mask),
            "episode_statistics": {k: self._out(k, v) for k, v in statistics.items()},
            "_episode_statistics": self._out("mask", mask),
            "distance": self._out("info", distance),
            "_distance": self._out("mask", everyone),
            "invalid": self._out("invalid", invalid),
        }
        if self.object_final_obs:
            info["final_obs"] = np.full(self.num_envs, None, dtype=object)
            for world in np.flatnonzero(mask):
                info["final_obs"][world] = final[world]
        if defect == "final_obs_missing":
            del info["final_obs"], info["_final_obs"]
        elif defect == "final_mask_missing":
            del info["_final_obs"]
        elif defect == "info_length":
            info["distance"] = info["distance"][:-1]
        elif defect == "info_mask_missing":
            del info["_distance"]
        elif defect == "info_mask_int":
            info["_distance"] = info["_distance"].astype(np.int64)
        elif defect == "info_scalar":
            info["distance"] = float(distance[0])
        elif defect == "invalid_int":
            info["invalid"] = info["invalid"].astype(np.int64)
        return info

    STATE = ("seeds", "episode", "clock", "limit", "x", "v", "total", "ignore_next", "pending")

    def state_dict(self) -> dict[str, np.ndarray]:
        left_out = {
            "state_without_episode": "episode",
            "state_without_clock": "clock",
            "state_without_statistics": "total",
        }.get(self.defect)
        state = {name: getattr(self, name) for name in self.STATE if name != left_out}
        if self.defect == "state_aliased":
            return state
        return {name: value.copy() for name, value in state.items()}

    def load_state_dict(self, state: dict[str, np.ndarray]) -> None:
        for name, value in state.items():
            getattr(self, name)[:] = value

    def close_extras(self, **kwargs: Any) -> None:
        self.closings += 1

    def close(self, **kwargs: Any) -> None:
        if self.defect == "close_twice_fails" and self.closings:
            raise RuntimeError("already closed")
        self.closings += 1
        super().close(**kwargs)
