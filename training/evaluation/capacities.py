"""The room that a task's worlds need when a given policy acts in them."""

from __future__ import annotations

from typing import Any

from proveout.envs.factory.capacity import measure_capacities
from proveout.envs.factory.engine import Capacities
from proveout.envs.factory.task import ArticulatedTask
from proveout.training.evaluation.policy_source import Policy, PolicySource, actions_of, load_policy


def policy_capacities(
    task: ArticulatedTask,
    policy: Policy | PolicySource,
    *,
    num_worlds: int = 64,
    episodes: int = 4,
    margin: float = 1.5,
    seed: int = 0,
) -> Capacities:
    """Return the peaks of contacts and constraint rows while a policy acts, times a margin.

    Args:
        task: The task; it is not touched, and may have no `capacities` yet.
        policy: A policy, or where to load it from.
        num_worlds: Worlds.
        episodes: Full episodes of each world.
        margin: Factor on the peaks.
        seed: Of the worlds.

    Raises:
        ConfigError, BadActionError, ModelError: See `measure_capacities`.
        PolicyError, RunError: See `load_policy`.
    """
    if isinstance(policy, PolicySource):
        policy = load_policy(policy, _Face(task))
    loaded = policy
    return measure_capacities(
        task, num_worlds, episodes, margin, seed, lambda seen: actions_of(loaded, seen)
    )


class _Face:
    """What a policy needs to know of a vector environment, of which none can be made yet."""

    def __init__(self, task: Any) -> None:
        self.task, self.config, self.layout = task, task.config, task.layout
        self.single_observation_space = task.layout.space()
        self.single_action_space = task.action_layout.space()

    @property
    def unwrapped(self) -> _Face:
        """As of an environment without wrappers."""
        return self
