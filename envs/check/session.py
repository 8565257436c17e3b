"""Drive an environment with actions that each world has for itself, and keep what it returns."""

import copy
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import Space
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import concatenate, create_empty_array

from proveout.envs.check.data import host, is_tensor, leaves, rows, same

# Largest relative difference of equal worlds on CUDA, where sums are not in a fixed order, and the
# number of steps for which it is held: contacts then magnify a rounding error.
CUDA_TOLERANCE = 1e-3
CUDA_STEPS = 5


@dataclass
class Step:
    """What one reset or step returned, copied to the host.

    Attributes:
        obs: batched observation.
        reward: None for a reset, as are the next two.
        terminated: see above.
        truncated: see above.
        info: info dict.
        returned: name -> the very objects that the environment returned.
        after: with autoreset disabled, the masked reset that followed an end.
    """

    obs: Any
    reward: Any
    terminated: Any
    truncated: Any
    info: Any
    returned: dict[str, Any]
    after: "Step | None" = None


class Actions:
    """A fixed sequence of sampled actions for each world, whatever the number of worlds."""

    def __init__(self, space: Space, seed: int) -> None:
        """Sample from copies of a single action space, one for each world."""
        self._space = space
        self._seed = seed
        self._sources: list[Space] = []
        self._taken: list[list[Any]] = []

    def at(self, step: int, worlds: int, other: bool = False) -> Any:
        """Return the batched action of a step (from 0), or one that differs in every world."""
        while len(self._sources) < worlds:
            source = copy.deepcopy(self._space)
            source.seed(self._seed * 1_000_003 + len(self._sources))
            self._sources.append(source)
            self._taken.append([])
        for source, taken in zip(self._sources[:worlds], self._taken, strict=False):
            while len(taken) <= step:
                taken.append(source.sample())
        chosen = [self._taken[world][step] for world in range(worlds)]
        if other:
            chosen = [self._other(action) for action in chosen]
        empty: Any = create_empty_array(self._space, worlds)
        return concatenate(self._space, chosen, empty)

    def _other(self, action: Any) -> Any:
        source = copy.deepcopy(self._space)
        source.seed(self._seed)
        for _ in range(100):
            sample = source.sample()
            if not same(host(sample), host(action)):
                return sample
        return action


class Session:
    """An environment being driven.

    Attributes:
        env: the environment.
        num_envs: its number of worlds.
        mode: its declared autoreset mode, None if it declares none.
        actions: the actions it is given.
        tensors: whether it returned torch data, and so takes torch actions.
        action_changed: step at which the environment wrote into the action, None if never.
        reset_trouble: why a masked reset, needed where autoreset is disabled, failed; "" if it did
            not.
    """

    def __init__(self, env: VectorEnv, seed: int, actions: Actions | None = None) -> None:
        """Wrap an environment; actions are sampled with `seed` unless given."""
        self.env = env
        self.num_envs = env.num_envs
        mode = env.metadata.get("autoreset_mode") if isinstance(env.metadata, dict) else None
        self.mode = mode if isinstance(mode, AutoresetMode) else None
        self.actions = actions or Actions(env.single_action_space, seed)
        self.tensors = False
        self._device: Any = None
        self.action_changed: int | None = None
        self.reset_trouble = ""

    @property
    def cuda(self) -> bool:
        """Whether the worlds live on a CUDA device."""
        return str(getattr(self.env, "device", "cpu")).startswith("cuda")

    @property
    def tolerance(self) -> float:
        """Relative difference allowed between equal worlds."""
        return CUDA_TOLERANCE if self.cuda else 0.0

    def horizon(self, steps: int) -> int:
        """Steps for which equal worlds must stay equal."""
        return min(steps, CUDA_STEPS) if self.cuda else steps

    def reset(self, seed: Any = None, mask: np.ndarray | None = None) -> Step:
        """Reset all worlds, or those of a mask."""
        if mask is None:
            obs, info = self.env.reset(seed=seed)
        else:
            try:
                obs, info = self.env.reset(options={"reset_mask": mask.copy()})
            except TypeError:
                if not self.tensors:
                    raise
                obs, info = self.env.reset(options={"reset_mask": self.convert(mask)})
        for _, leaf in leaves(obs):
            if is_tensor(leaf):
                self.tensors, self._device = True, leaf.device
                break
        returned = {"observation": obs, "info": dict(info)}
        return Step(host(obs), None, None, None, host(info), returned)

    def step(self, index: int, other: bool = False) -> Step:
        """Take step `index` of the sequence, or the same step with other actions."""
        action = self.convert(self.actions.at(index, self.num_envs, other))
        before = host(action)
        obs, reward, terminated, truncated, info = self.env.step(action)
        if self.action_changed is None and not same(before, host(action)):
            self.action_changed = index + 1
        values = (obs, reward, terminated, truncated)
        names = ("observation", "reward", "terminated", "truncated")
        returned = dict(zip(names, values, strict=True), info=dict(info))
        copies = [host(value) for value in values]
        step = Step(copies[0], copies[1], copies[2], copies[3], host(info), returned)
        if self.mode is AutoresetMode.DISABLED:
            done = ends(step, self.num_envs)
            if done is not None and done.any():
                step.after = self._reset_finished(done)
        return step

    def rollout(self, steps: int, seed: int) -> list[Step]:
        """Return the reset with a seed and the steps after it, so that element t is step t."""
        return [self.reset(seed=seed), *(self.step(index) for index in range(steps))]

    def convert(self, action: Any) -> Any:
        """Return host data as the environment takes it."""
        if not self.tensors:
            return action
        if isinstance(action, dict):
            return {key: self.convert(value) for key, value in action.items()}
        if isinstance(action, tuple):
            return tuple(self.convert(value) for value in action)
        return sys.modules["torch"].as_tensor(action, device=self._device)

    def _reset_finished(self, done: np.ndarray) -> Step:
        if not self.reset_trouble:
            try:
                return self.reset(mask=done)
            except Exception as error:
                self.reset_trouble = f"{type(error).__name__}: {error}"
        return self.reset()


def ends(step: Step, worlds: int) -> np.ndarray | None:
    """Return terminated | truncated (N,), or None where they do not have that shape."""
    terminated, truncated = np.asarray(step.terminated), np.asarray(step.truncated)
    if terminated.shape != (worlds,) or truncated.shape != (worlds,):
        return None
    return terminated.astype(bool) | truncated.astype(bool)


def final_row(step: Step, world: int) -> Any:
    """Return one world's final observation, None where it is not told or has no such row.

    Both forms are read: one dense batch, and an object array with a row for each finished world.
    """
    final = step.info.get("final_obs")
    if final is None:
        return None
    try:
        return rows(final, world)
    except (IndexError, KeyError, TypeError):
        return None
