"""A batch of worlds that somebody watches: it steps, tells what happened, and takes commands.

It knows no page: a page, a recording and a test drive it alike. Everything it does to the worlds it
does in the thread that calls `advance` or `work`; other threads leave their commands with `post`.
"""

from __future__ import annotations

import queue
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from proveout.assets.files.errors import ProveoutError
from proveout.envs.core.errors import ConfigError
from proveout.envs.core.finished import Finished
from proveout.envs.core.invalid import Invalid
from proveout.envs.core.scene_pose import ScenePose
from proveout.envs.core.step_told import StepTold
from proveout.training.evaluation.policy_source import actions_of
from proveout.training.view.numbers import NumberTold, numbers_of
from proveout.training.view.trace import Trace

MOST_SHOWN = 64
_TAPE = 4000  # control steps whose actions are kept, for replays
_ENDED = 40  # episodes that are told
AS_FAST_AS_IT_GOES = float("inf")


@dataclass(frozen=True)
class Ended:
    """An episode that is over, and all that replays it.

    Attributes:
        world: Where it ran.
        seed, world_id, episode: Key of its random numbers.
        seconds: Simulated time that it took [s].
        invalid: Why the guard threw it out; empty for a valid one.
        statistics: By name; empty for an invalid one.
        config: Numbers that it had of its own.
        actions: What was done, (steps, action size); empty where the tape was too short.
    """

    world: int
    seed: int
    world_id: int
    episode: int
    seconds: float
    invalid: str
    statistics: Mapping[str, float]
    config: Mapping[str, float]
    actions: np.ndarray

    @property
    def outcome(self) -> str:
        """How it ended, in a few words."""
        if self.invalid:
            return f"invalid: {self.invalid}"
        if not self.statistics:
            return "not counted"
        word = "success" if self.statistics["success"] > 0.5 else "failure"
        return f"{word}, return {self.statistics['return']:.3g}"


@dataclass(frozen=True)
class Frame:
    """What there is to see of the shown worlds, W of them, after a step.

    Attributes:
        worlds: Their numbers, (W,).
        poses: Where everything is, W of them.
        told: Reward terms, KPIs and success, W of them.
        observation: (W, O). action: The last one, (W, A). reward: Of the last step, (W,).
        seconds: Time since their episodes began [s], (W,).
        seed, world_id, episode: Keys of their episodes, (W,).
    """

    worlds: tuple[int, ...]
    poses: list[ScenePose]
    told: list[StepTold]
    observation: np.ndarray
    action: np.ndarray
    reward: np.ndarray
    seconds: np.ndarray
    seed: np.ndarray
    world_id: np.ndarray
    episode: np.ndarray


class Session:
    """Worlds and their policy.

    Args:
        env: A `WarpVectorEnv` with `array_type="numpy"`.
        policy: Anything with `predict`; None: actions of zero.
        seed: Of the worlds.
        remake: Makes another environment and its policy for a changed config; None where the
            environment is somebody else's, whose level of randomisation then stays.

    Attributes:
        shown: Numbers of the worlds that are shown, the first 64 at first.
        focus: The one that is asked.
        paused: Nothing moves.
        speed: Times the speed of the simulated clock; `AS_FAST_AS_IT_GOES`.
        ended: The last episodes that are over: of the shown worlds, and all invalid ones.
        message: What went wrong with the last command; empty when nothing did.
        generation: Counts the environments.
        steps: Control steps so far.
    """

    def __init__(
        self,
        env: Any,
        policy: Any,
        *,
        seed: int = 0,
        remake: Callable[[Any], tuple[Any, Any]] | None = None,
    ) -> None:
        self.paused, self.speed = False, 1.0
        self.message, self.generation, self.steps = "", 0, 0
        self.ended: deque[Ended] = deque(maxlen=_ENDED)
        self.shown: tuple[int, ...] = tuple(range(min(env.num_envs, MOST_SHOWN)))
        self.focus = 0
        self._seed, self._remake = seed, remake
        self._commands: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._due = time.perf_counter()
        self._take(env, policy)

    def _take(self, env: Any, policy: Any) -> None:
        self.env, self.task, self.policy = env, env.task, policy
        self.scene = env.scene()
        self.numbers: dict[str, NumberTold] = {n.name: n for n in numbers_of(env.task)}
        # Those that are moved away from the config, for the shown worlds' next episodes.
        self.changed: dict[str, float] = {}
        self.trace = Trace(env.task)
        self._tape: deque[np.ndarray] = deque(maxlen=_TAPE)
        self._replays: dict[int, list[np.ndarray]] = {}
        self._had = env.config_rows()  # numbers of the worlds in the last step
        self._reward = np.zeros(env.num_envs, np.float32)
        self._action = np.zeros((env.num_envs, env.action_layout.size), np.float32)
        self.restart(self._seed)

    @property
    def can_remake(self) -> bool:
        """Whether the level of randomisation can be changed."""
        return self._remake is not None

    @property
    def control_dt(self) -> float:
        """Simulated time of a step [s]."""
        return float(self.env.config.control_dt)

    # What a page asks for.

    def frame(self) -> Frame:
        """What there is to see now."""
        keys, chosen = self.env.episode_keys(), list(self.shown)
        return Frame(
            self.shown, self.env.scene_pose(chosen), self.env.step_told(chosen),
            self._observation[chosen], self._action[chosen], self._reward[chosen],
            keys["elapsed"][chosen] * self.control_dt,
            *(keys[name][chosen] for name in ("seed", "world_id", "episode")),
        )  # fmt: skip

    def post(self, command: Callable[[], None]) -> None:
        """Leave a command, from any thread; what a user can mend of it goes to `message`."""
        self._commands.put(command)

    # What drives it.

    def work(self) -> float:
        """Do what is asked and, if it is time, one step.

        Returns:
            Seconds until there is something to do again; 0: at once.
        """
        while not self._commands.empty():
            try:
                self._commands.get()()
                self.message = ""
            except ProveoutError as error:
                self.message = str(error)
        now = time.perf_counter()
        if self.paused:
            self._due = now
            return 0.02
        if now < self._due:
            return self._due - now
        self.advance()
        wait = self.control_dt / self.speed
        # What cannot be caught up is let go.
        self._due = max(self._due + wait, time.perf_counter() - 2.0 * wait)
        return max(0.0, self._due - time.perf_counter())

    def advance(self) -> None:
        """One control step of all worlds."""
        env = self.env
        actions = self._actions()
        keys, numbers = env.episode_keys(), env.config_rows()
        self._tape.append(actions)
        self._action = actions
        self._observation, self._reward, terminated, truncated, info = env.step(actions)
        self.steps += 1
        told = env.step_told([self.focus])[0]
        begins = int(keys["elapsed"][self.focus]) == 0
        self._had = numbers
        self.trace.add(told, float(self._reward[self.focus]), self.weights(self.focus), begins)
        finished = Finished(terminated, truncated, info)
        for world in finished.worlds():
            self._replays.pop(int(world), None)
            if finished.invalid[world] or int(world) in self.shown:
                self._tell(int(world), keys, numbers, finished)

    def _actions(self) -> np.ndarray:
        if self.policy is None:
            actions = np.zeros_like(self._action)
        else:
            actions = np.array(actions_of(self.policy, self._observation), np.float32)
        space = self.env.single_action_space
        actions = np.clip(actions, space.low, space.high)
        for world, recorded in self._replays.items():
            if recorded:
                actions[world] = recorded.pop(0)
        return actions

    def _tell(
        self,
        world: int,
        keys: Mapping[str, np.ndarray],
        numbers: Mapping[str, np.ndarray],
        finished: Finished,
    ) -> None:
        steps = int(keys["elapsed"][world]) + 1
        ending = finished.take(np.array([world]))
        own = {
            name: float(values[world])
            for name, values in numbers.items()
            if np.float32(values[world]) != np.float32(self.numbers[name].value)
        }
        whole = steps <= len(self._tape)
        tape = [row[world] for row in list(self._tape)[-steps:]] if whole else []
        self.ended.append(
            Ended(
                world, int(keys["seed"][world]), int(keys["world_id"][world]),
                int(keys["episode"][world]), steps * self.control_dt,
                Invalid(int(ending.reason[0])).words if ending.invalid[0] else "",
                ending.numbers(0) if ending.counts[0] else {}, own,
                np.array(tape, np.float32).reshape(-1, self._action.shape[1]),
            )
        )  # fmt: skip

    def weights(self, world: int) -> np.ndarray:
        """Of the reward terms that a world had in the last step, (terms,)."""
        config = self.env.config.reward_weights
        rows = {f"reward_weights.{term}": term for term in self.task.reward_terms}
        return np.array(
            [
                float(self._had[name][world]) if name in self._had else getattr(config, term)
                for name, term in rows.items()
            ]
        )

    # What can be asked for.

    def restart(self, seed: int) -> None:
        """All worlds begin with episode 0 of a seed."""
        self._observation, _ = self.env.reset(seed=seed, options=self._options(self._everywhere()))
        self._seed = seed
        self._begun(range(self.env.num_envs))

    def begin(self, world: int, seed: int, world_id: int, episode: int) -> None:
        """A world begins an episode of any batch: the one of these three numbers.

        Raises:
            ConfigError: One of them is out of range; nothing has been changed then.
        """
        self._begin(world, seed, world_id, episode, self.changed)

    def replay(self, ended: Ended) -> None:
        """Run an episode again from its start, with the numbers and the actions that it had."""
        if not 0 <= ended.world < self.env.num_envs:
            raise ConfigError(f"world {ended.world} is not there any more; replay a later episode")
        self.look_at(ended.world)
        self._begin(ended.world, ended.seed, ended.world_id, ended.episode, ended.config)
        self._replays[ended.world] = list(ended.actions)

    def _begin(
        self, world: int, seed: int, world_id: int, episode: int, config: Mapping[str, float]
    ) -> None:
        mask = self._only(world)
        keys = self.env.episode_keys()
        seeds = [int(s) for s in keys["seed"]]
        world_ids, episodes = keys["world_id"].astype(np.int64), keys["episode"].astype(np.int64)
        seeds[world], world_ids[world], episodes[world] = seed, world_id, episode
        options = {**self._options(mask, config), "world_ids": world_ids, "episodes": episodes}
        self._observation, _ = self.env.reset(seed=seeds, options=options)
        self._begun([world])

    def _begun(self, worlds: Any) -> None:
        """Whatever these worlds were doing is over."""
        begun = [int(world) for world in worlds]
        for world in begun:
            self._replays.pop(world, None)
        self._action = self._action.copy()
        self._action[begun] = 0.0
        self._reward = self._reward.copy()
        self._reward[begun] = 0.0
        if self.focus in begun:
            self.trace.clear()
        # Their next ones have what is set now, whatever was to come.
        self._wait(begun)

    def set_number(self, name: str, value: float) -> None:
        """Give a number to the next episodes of the shown worlds.

        Raises:
            UnknownNameError: No such number.
            ConfigError: A value that it cannot have; nothing has been changed then.
        """
        before = dict(self.changed)
        default = self.numbers[name].value if name in self.numbers else None
        self.changed.pop(name, None)
        if value != default:
            self.changed[name] = value
        try:
            self._wait(self.shown)
        except ProveoutError:
            self.changed = before
            raise

    def restore_numbers(self) -> None:
        """The next episodes of the shown worlds have the config's numbers again."""
        self.changed = {}
        self._wait(self.shown)

    def begin_now(self) -> None:
        """The shown worlds begin their next episodes at once, with the numbers that are set."""
        mask = self._everywhere()
        mask[:] = False
        mask[list(self.shown)] = True
        self._observation, _ = self.env.reset(options=self._options(mask))
        self._begun(self.shown)

    def set_level(self, level: str) -> None:
        """Change the level of domain randomisation, with worlds that begin anew.

        Raises:
            ConfigError: No such level, or the environment is somebody else's.
        """
        import dataclasses

        if self._remake is None:
            raise ConfigError("this environment's level of randomisation cannot be changed here")
        config = self.env.config
        randomization = dataclasses.replace(config.randomization, level=level)
        made = self._remake(dataclasses.replace(config, randomization=randomization))
        self.close()
        self.generation += 1
        self._take(*made)

    def show(self, worlds: Any) -> None:
        """Show these worlds, in this order.

        Raises:
            ConfigError: None, too many, or one that is not there.
        """
        chosen = tuple(int(world) for world in worlds)
        if not 0 < len(chosen) <= MOST_SHOWN:
            raise ConfigError(f"from 1 to {MOST_SHOWN} worlds can be shown, got {len(chosen)}")
        for world in chosen:
            self._check(world)
        self.shown = chosen
        if self.focus not in chosen:
            self.focus = chosen[0]
            self.trace.clear()
        if self.changed:
            self._wait(chosen)

    def look_at(self, world: int) -> None:
        """Ask this world from now on; it is shown alone if it was not shown."""
        self._check(world)
        if world not in self.shown:
            self.show([world])
        if world != self.focus:
            self.focus = world
            self.trace.clear()

    def _check(self, world: int) -> None:
        if not 0 <= world < self.env.num_envs:
            raise ConfigError(
                f"there is no world {world}; they are numbered from 0 to {self.env.num_envs - 1}"
            )

    def _wait(self, worlds: Any) -> None:
        mask = self._everywhere()
        mask[:] = False
        mask[list(worlds)] = True
        self.env.reset_next(options=self._options(mask))

    def _options(
        self, mask: np.ndarray, config: Mapping[str, float] | None = None
    ) -> dict[str, Any]:
        return {"reset_mask": mask, "config": dict(self.changed if config is None else config)}

    def _everywhere(self) -> np.ndarray:
        return np.ones(self.env.num_envs, bool)

    def _only(self, world: int) -> np.ndarray:
        self._check(world)
        mask = np.zeros(self.env.num_envs, bool)
        mask[world] = True
        return mask

    def close(self) -> None:
        """Close the environment."""
        self.env.close()
