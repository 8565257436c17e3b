"""The kernels of a control step that every task shares."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import warp as wp

from proveout.envs.core.invalid import Invalid

if TYPE_CHECKING:
    from proveout.envs.core.simulation import Simulation
    from proveout.envs.core.task import Task

wp.set_module_options({"enable_backward": False})

_REDUCE = {"mean": 0, "last": 1, "min": 2, "max": 3, "sum": 4}
_BAD_ACTION = wp.constant(int(Invalid.NON_FINITE_ACTION))
_BAD_REWARD = wp.constant(int(Invalid.NON_FINITE_REWARD))


class StepConstants:
    """Bounds and reductions of a task as device arrays."""

    def __init__(self, task: Task, device: wp.Device) -> None:
        space = task.action_layout.space()
        self.low = wp.array(space.low, dtype=float, device=device)
        self.high = wp.array(space.high, dtype=float, device=device)
        self.num_terms = len(task.reward_terms)
        self.reduce = wp.array(
            np.asarray([_REDUCE[kpi.reduce] for kpi in task.kpis], np.int32),
            dtype=int,
            device=device,
        )
        self.num_kpis = len(task.kpis)
        self.num_drawn = len(task.randomizations)
        self.max_steps = task.max_episode_steps


@wp.kernel
def _begin_kernel(
    # In:
    action_in: wp.array2d[float],
    low: wp.array[float],
    high: wp.array[float],
    # Out:
    action_out: wp.array2d[float],
    last_action_out: wp.array2d[float],
    terminated_out: wp.array[wp.bool],
    bad_start_out: wp.array[int],
    invalid_out: wp.array[int],
    elapsed_out: wp.array[int],
):
    worldid = wp.tid()
    bad = bad_start_out[worldid]
    bad_start_out[worldid] = 0
    for i in range(action_in.shape[1]):
        value = action_in[worldid, i]
        if not wp.isfinite(value):
            bad = bad | _BAD_ACTION
            value = 0.0
        last_action_out[worldid, i] = action_out[worldid, i]
        action_out[worldid, i] = wp.clamp(value, low[i], high[i])
    invalid_out[worldid] = bad
    terminated_out[worldid] = False
    elapsed_out[worldid] = elapsed_out[worldid] + 1


def begin(sim: Simulation) -> None:
    """Clip the actions, note the non-finite ones, count the step."""
    ex, const = sim.exchange, sim._step_kernels
    wp.launch(
        _begin_kernel,
        dim=sim.num_worlds,
        inputs=[ex["action"], const.low, const.high],
        outputs=[
            sim.action, sim.last_action, ex["terminated"], sim._bad_start, ex["invalid_reason"],
            ex["elapsed"],
        ],
        device=sim.device,
    )  # fmt: skip


@wp.kernel
def _finish_kernel(
    # In:
    max_steps: int,
    weights: wp.array2d[float],
    num_terms: int,
    reduce: wp.array[int],
    num_kpis: int,
    num_drawn: int,
    reward_terms_in: wp.array2d[float],
    kpi_in: wp.array2d[float],
    success_in: wp.array[wp.bool],
    elapsed_in: wp.array[int],
    partial_in: wp.array[wp.bool],
    drawn_in: wp.array2d[float],
    observation_in: wp.array2d[float],
    # Out:
    final_observation_out: wp.array2d[float],
    invalid_out: wp.array[int],
    terminated_out: wp.array[wp.bool],
    truncated_out: wp.array[wp.bool],
    reward_out: wp.array[float],
    return_out: wp.array[float],
    steps_out: wp.array[int],
    term_sums_out: wp.array2d[float],
    kpi_sums_out: wp.array2d[float],
    statistics_out: wp.array2d[float],
    statistics_mask_out: wp.array[wp.bool],
    done_out: wp.array[wp.bool],
    episode_out: wp.array[int],
):
    worldid = wp.tid()
    reason = invalid_out[worldid]
    reward = float(0.0)
    for t in range(num_terms):
        reward += weights[worldid, t] * reward_terms_in[worldid, t]
    # The sums too: what an episode's statistics would show.
    finite = wp.isfinite(reward) and wp.isfinite(return_out[worldid] + reward)
    for t in range(num_terms):
        if not wp.isfinite(term_sums_out[worldid, t] + reward_terms_in[worldid, t]):
            finite = False
    for i in range(final_observation_out.shape[1]):
        if not wp.isfinite(final_observation_out[worldid, i]):
            finite = False
    if not finite:
        reason = reason | _BAD_REWARD

    terminated = terminated_out[worldid]
    truncated = (not terminated) and elapsed_in[worldid] >= max_steps
    if reason != 0:
        # An invalid world is cut off without a reward, and its last valid observation stands.
        terminated = False
        truncated = True
        reward = 0.0
        for i in range(final_observation_out.shape[1]):
            final_observation_out[worldid, i] = observation_in[worldid, i]
    invalid_out[worldid] = reason
    terminated_out[worldid] = terminated
    truncated_out[worldid] = truncated
    reward_out[worldid] = reward

    steps = steps_out[worldid] + 1
    steps_out[worldid] = steps
    return_out[worldid] = return_out[worldid] + reward
    for t in range(num_terms):
        term_sums_out[worldid, t] = term_sums_out[worldid, t] + reward_terms_in[worldid, t]
    for k in range(num_kpis):
        value = kpi_in[worldid, k]
        so_far = kpi_sums_out[worldid, k]
        how = reduce[k]
        if how == 0 or how == 4:
            value = so_far + value
        elif how == 2 and steps > 1:
            value = wp.min(so_far, value)
        elif how == 3 and steps > 1:
            value = wp.max(so_far, value)
        kpi_sums_out[worldid, k] = value

    done = terminated or truncated
    done_out[worldid] = done
    counts = done and reason == 0 and not partial_in[worldid]
    statistics_mask_out[worldid] = counts
    if not done:
        return
    episode_out[worldid] = episode_out[worldid] + 1
    statistics_out[worldid, 0] = return_out[worldid]
    statistics_out[worldid, 1] = float(steps)
    statistics_out[worldid, 2] = wp.where(success_in[worldid] and reason == 0, 1.0, 0.0)
    for t in range(num_terms):
        statistics_out[worldid, 3 + t] = term_sums_out[worldid, t] / float(steps)
    for k in range(num_kpis):
        value = kpi_sums_out[worldid, k]
        if reduce[k] == 0:
            value = value / float(steps)
        statistics_out[worldid, 3 + num_terms + k] = value
    for r in range(num_drawn):
        statistics_out[worldid, 3 + num_terms + num_kpis + r] = drawn_in[worldid, r]


def finish(sim: Simulation) -> None:
    """Reward, ends, validity and episode statistics; advances the episode of finished worlds."""
    ex, const = sim.exchange, sim._step_kernels
    wp.launch(
        _finish_kernel,
        dim=sim.num_worlds,
        inputs=[
            const.max_steps, sim.hooks.numbers.weights, const.num_terms, const.reduce,
            const.num_kpis, const.num_drawn, sim.reward_terms, sim.kpi, sim.success,
            ex["elapsed"], sim._partial, sim.drawn, ex["observation"],
        ],
        outputs=[
            ex["final_observation"], ex["invalid_reason"], ex["terminated"], ex["truncated"],
            ex["reward"], sim._episode_return, sim._episode_steps, sim._term_sums, sim._kpi_sums,
            ex["statistics"], ex["statistics_mask"], sim._done, ex["episode"],
        ],
        device=sim.device,
    )  # fmt: skip


@wp.kernel
def _clear_kernel(
    # In:
    mask_in: wp.array[wp.bool],
    blank: wp.array[float],
    # Out:
    action_out: wp.array2d[float],
    command_out: wp.array2d[float],
    success_out: wp.array[wp.bool],
    return_out: wp.array[float],
    steps_out: wp.array[int],
    term_sums_out: wp.array2d[float],
    kpi_sums_out: wp.array2d[float],
):
    worldid = wp.tid()
    if not mask_in[worldid]:
        return
    for i in range(action_out.shape[1]):
        action_out[worldid, i] = 0.0
    for i in range(command_out.shape[1]):
        command_out[worldid, i] = blank[0]
    success_out[worldid] = False
    return_out[worldid] = 0.0
    steps_out[worldid] = 0
    for t in range(term_sums_out.shape[1]):
        term_sums_out[worldid, t] = 0.0
    for k in range(kpi_sums_out.shape[1]):
        kpi_sums_out[worldid, k] = 0.0


def clear_episode(sim: Simulation, mask: wp.array) -> None:
    """Forget action and command of the worlds in the mask, and start their statistics anew."""
    wp.launch(
        _clear_kernel,
        dim=sim.num_worlds,
        inputs=[mask, sim.blank],
        outputs=[
            sim.action, sim.command, sim.success, sim._episode_return, sim._episode_steps,
            sim._term_sums, sim._kpi_sums,
        ],
        device=sim.device,
    )  # fmt: skip


@wp.kernel
def _phase_kernel(
    # In:
    mask_in: wp.array[wp.bool],
    first_step_in: wp.array[int],
    # Out:
    elapsed_out: wp.array[int],
    partial_out: wp.array[wp.bool],
):
    worldid = wp.tid()
    if mask_in[worldid]:
        elapsed_out[worldid] = first_step_in[worldid]
        partial_out[worldid] = first_step_in[worldid] > 0


def start_at_phase(sim: Simulation) -> None:
    """Set the clock of explicitly reset worlds; a shortened first episode is marked partial."""
    ex = sim.exchange
    wp.launch(
        _phase_kernel,
        dim=sim.num_worlds,
        inputs=[ex["reset_mask"], ex["first_step"]],
        outputs=[ex["elapsed"], sim._partial],
        device=sim.device,
    )


@wp.kernel
def _carry_over_kernel(
    # In:
    done_in: wp.array[wp.bool],
    final_observation_in: wp.array2d[float],
    # Out:
    observation_out: wp.array2d[float],
    elapsed_out: wp.array[int],
    partial_out: wp.array[wp.bool],
):
    worldid = wp.tid()
    if done_in[worldid]:
        elapsed_out[worldid] = 0
        partial_out[worldid] = False
        return
    for i in range(observation_out.shape[1]):
        observation_out[worldid, i] = final_observation_in[worldid, i]


def carry_over(sim: Simulation) -> None:
    """The observation of worlds that go on is the one already made; the others start at zero."""
    ex = sim.exchange
    wp.launch(
        _carry_over_kernel,
        dim=sim.num_worlds,
        inputs=[sim._done, ex["final_observation"]],
        outputs=[ex["observation"], ex["elapsed"], sim._partial],
        device=sim.device,
    )


@wp.kernel
def _hold_back_kernel(
    # In:
    mask_in: wp.array[wp.bool],
    # Out:
    observation_out: wp.array2d[float],
    bad_start_out: wp.array[int],
):
    worldid = wp.tid()
    if not mask_in[worldid]:
        return
    bad = int(0)
    for i in range(observation_out.shape[1]):
        if not wp.isfinite(observation_out[worldid, i]):
            observation_out[worldid, i] = 0.0
            bad = _BAD_REWARD
    bad_start_out[worldid] = bad


def hold_back(sim: Simulation, mask: wp.array) -> None:
    """Zero instead of a non-finite number in the first observation of an episode, for the worlds in
    the mask; the episode's first step then tells that it is not valid."""
    wp.launch(
        _hold_back_kernel,
        dim=sim.num_worlds,
        inputs=[mask],
        outputs=[sim.exchange["observation"], sim._bad_start],
        device=sim.device,
    )
