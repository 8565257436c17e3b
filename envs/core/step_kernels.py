"""The kernels of a control step that every task shares."""

from __future__ import annotations

from typing import TYPE_CHECKING

import warp as wp

from proveout.envs.core.episode_statistics import Sums, add_step, forget, stay_finite, tell
from proveout.envs.core.finite import is_finite
from proveout.envs.core.invalid import Invalid
from proveout.envs.core.next_episode import Next, make_next, take_next

if TYPE_CHECKING:
    from proveout.envs.core.simulation import Simulation

wp.set_module_options({"enable_backward": False})

_BAD_ACTION = wp.constant(int(Invalid.NON_FINITE_ACTION))
_BAD_REWARD = wp.constant(int(Invalid.NON_FINITE_REWARD))


@wp.struct
class Told:
    """What a control step does and tells, of all worlds (N).

    Attributes:
        action, last_action, command: See `hooks.Step`.
        blank: What an episode's command begins with, (1,).
        reward_terms, kpi, success: Of this step, as the task wrote them.
        observation: What the next action answers to. final_observation: What this step led to.
        reward: Weighted sum of the terms, (N,).
        elapsed: Control steps since the episode began, (N,).
        terminated, truncated, done: How it ended, (N,); the last one either way.
        reason: Bits of `Invalid`, (N,). invalid: Any of them, (N,).
        times_invalid: Steps in which it was, since the worlds were made, (N,).
        bad_start: Reason that the first observation of an episode gave, (N,).
        max_steps: Control steps of a whole episode.
    """

    action: wp.array2d[float]
    last_action: wp.array2d[float]
    command: wp.array2d[float]
    blank: wp.array[float]
    reward_terms: wp.array2d[float]
    kpi: wp.array2d[float]
    success: wp.array[wp.bool]
    observation: wp.array2d[float]
    final_observation: wp.array2d[float]
    reward: wp.array[float]
    elapsed: wp.array[int]
    terminated: wp.array[wp.bool]
    truncated: wp.array[wp.bool]
    done: wp.array[wp.bool]
    reason: wp.array[int]
    invalid: wp.array[wp.bool]
    times_invalid: wp.array[int]
    bad_start: wp.array[int]
    max_steps: int


class StepKernels:
    """Launches them for one simulation.

    Args:
        sim: Its arrays exist.
    """

    def __init__(self, sim: Simulation) -> None:
        ex, task = sim.exchange, sim.task
        self._sim = sim
        space = task.action_layout.space()
        self._low, self._high = sim.constant(space.low), sim.constant(space.high)
        self._sums = sim.statistics.sums
        told = Told()
        told.action, told.last_action = sim.action, sim.last_action
        told.command, told.blank = sim.command, sim.blank
        told.reward_terms, told.kpi, told.success = sim.reward_terms, sim.kpi, sim.success
        told.observation, told.final_observation = ex["observation"], ex["final_observation"]
        told.reward, told.elapsed = ex["reward"], ex["elapsed"]
        told.terminated, told.truncated, told.done = ex["terminated"], ex["truncated"], ex["done"]
        told.reason, told.invalid = ex["invalid_reason"], ex["invalid"]
        told.times_invalid, told.bad_start = ex["times_invalid"], sim.bad_start
        told.max_steps = task.max_episode_steps
        self._told = told
        self._next = make_next(ex)

    def begin(self) -> None:
        """Clip the actions, note the non-finite ones, count the step."""
        self._launch(_begin_kernel, self._sim.exchange["action"], self._low, self._high, self._told)

    def finish(self) -> None:
        """Reward, ends, validity and episode statistics. Worlds that go on have their observation;
        of finished ones the next episode begins: its key, clock, sums, action and command."""
        weights = self._sim.hooks.numbers.weights
        self._launch(_finish_kernel, weights, self._told, self._sums, self._next)

    def start(self, mask: wp.array) -> None:
        """Begin the episodes of explicitly reset worlds: clock, sums, action and command; a
        shortened first episode is marked partial."""
        first_step = self._sim.exchange["first_step"]
        self._launch(_start_kernel, mask, first_step, self._told, self._sums)

    def hold_back(self, mask: wp.array) -> None:
        """Zero instead of a non-finite number in the first observation of an episode, for the
        worlds in the mask; the episode's first step then tells that it is not valid."""
        self._launch(_hold_back_kernel, mask, self._told)

    def _launch(self, kernel: wp.Kernel, *arguments: object) -> None:
        wp.launch(kernel, dim=self._sim.num_worlds, inputs=list(arguments), device=self._sim.device)


@wp.kernel
def _begin_kernel(
    # In:
    action_in: wp.array2d[float],
    low: wp.array[float],
    high: wp.array[float],
    # In/out:
    told: Told,
):
    worldid = wp.tid()
    bad = told.bad_start[worldid]
    told.bad_start[worldid] = 0
    for i in range(action_in.shape[1]):
        value = action_in[worldid, i]
        if not is_finite(value):
            bad = bad | _BAD_ACTION
            value = 0.0
        told.last_action[worldid, i] = told.action[worldid, i]
        told.action[worldid, i] = wp.clamp(value, low[i], high[i])
    told.reason[worldid] = bad
    told.terminated[worldid] = False
    told.elapsed[worldid] = told.elapsed[worldid] + 1


@wp.func
def _forget_action(told: Told, w: int):
    """As an episode begins."""
    for i in range(told.action.shape[1]):
        told.action[w, i] = 0.0
    for i in range(told.command.shape[1]):
        told.command[w, i] = told.blank[0]
    told.success[w] = False


@wp.kernel
def _finish_kernel(
    # In:
    weights: wp.array2d[float],
    # In/out:
    told: Told,
    sums: Sums,
    upcoming: Next,
):
    worldid = wp.tid()
    reason = told.reason[worldid]
    reward = float(0.0)
    for t in range(sums.num_terms):
        reward += weights[worldid, t] * told.reward_terms[worldid, t]
    # The sums too: what an episode's statistics would show.
    finite = is_finite(reward)
    if not stay_finite(sums, worldid, reward, told.reward_terms):
        finite = False
    for i in range(told.final_observation.shape[1]):
        if not is_finite(told.final_observation[worldid, i]):
            finite = False
    if not finite:
        reason = reason | _BAD_REWARD

    terminated = told.terminated[worldid]
    truncated = (not terminated) and told.elapsed[worldid] >= told.max_steps
    invalid = reason != 0
    if invalid:
        # An invalid world is cut off without a reward, and its last valid observation stands.
        terminated = False
        truncated = True
        reward = 0.0
        for i in range(told.final_observation.shape[1]):
            told.final_observation[worldid, i] = told.observation[worldid, i]
        told.times_invalid[worldid] = told.times_invalid[worldid] + 1
    told.reason[worldid] = reason
    told.invalid[worldid] = invalid
    told.terminated[worldid] = terminated
    told.truncated[worldid] = truncated
    told.reward[worldid] = reward
    add_step(sums, worldid, reward, told.reward_terms, told.kpi)

    done = terminated or truncated
    told.done[worldid] = done
    sums.counted[worldid] = done and (not invalid) and (not sums.partial[worldid])
    if not done:
        for i in range(told.observation.shape[1]):
            told.observation[worldid, i] = told.final_observation[worldid, i]
        return
    tell(sums, worldid, told.success[worldid] and not invalid)
    take_next(upcoming, worldid)
    told.elapsed[worldid] = 0
    sums.partial[worldid] = False
    forget(sums, worldid)
    _forget_action(told, worldid)


@wp.kernel
def _start_kernel(
    # In:
    mask_in: wp.array[wp.bool],
    first_step_in: wp.array[int],
    # Out:
    told: Told,
    sums: Sums,
):
    worldid = wp.tid()
    if not mask_in[worldid]:
        return
    told.elapsed[worldid] = first_step_in[worldid]
    sums.partial[worldid] = first_step_in[worldid] > 0
    forget(sums, worldid)
    _forget_action(told, worldid)


@wp.kernel
def _hold_back_kernel(
    # In:
    mask_in: wp.array[wp.bool],
    # Out:
    told: Told,
):
    worldid = wp.tid()
    if not mask_in[worldid]:
        return
    bad = int(0)
    for i in range(told.observation.shape[1]):
        if not is_finite(told.observation[worldid, i]):
            told.observation[worldid, i] = 0.0
            bad = _BAD_REWARD
    told.bad_start[worldid] = bad
