"""A task whose hooks do what they must not is found, and the fault is named."""

# Warp's stubs give kernel arrays no indexing.
# mypy: disable-error-code="index, misc"

from __future__ import annotations

import functools
import os
from dataclasses import dataclass, field

import pytest
import toy_point
import warp as wp
from toy_point import Term

from proveout.envs.check import check_vector_env
from proveout.envs.core.task import RewardWeights
from proveout.envs.core.vector_env import WarpVectorEnv

wp.set_module_options({"enable_backward": False})


def make(task_class, num_envs=4, workers=1):
    return WarpVectorEnv(task_class(), num_envs, device="cpu", workers=workers)


def check(task_class, steps=130):
    """Episodes of toy/Point-v0 have 20 steps: 130 is in the middle of one."""
    return check_vector_env(functools.partial(make, task_class), steps=steps, task=task_class())


def errors_of(report, name):
    return " ".join(finding.message for finding in report.errors if finding.check == name)


def test_the_correct_task_has_no_finding():
    report = check(toy_point.Point)
    assert report.ok, report.table()
    assert "hooks" in report.passed


@wp.kernel
def _spill_kernel(column: int, array: wp.array2d[float]):
    array[wp.tid(), column] = 7.0


class SpillsReward(toy_point.Point):
    id = "toy/SpillsReward-v0"

    def evaluate(self, sim):
        super().evaluate(sim)
        wp.launch(_spill_kernel, dim=1, inputs=[1], outputs=[sim.reward_terms], device=sim.device)


class SpillsObservation(toy_point.Point):
    id = "toy/SpillsObservation-v0"

    def observe(self, sim, mask, observation):
        super().observe(sim, mask, observation)
        wp.launch(_spill_kernel, dim=1, inputs=[4], outputs=[observation], device=sim.device)


class SpillsState(toy_point.Point):
    """Writes past the end of an array of the engine, far enough to hit something else."""

    id = "toy/SpillsState-v0"

    def reset(self, sim, mask):
        super().reset(sim, mask)
        wp.launch(_spill_kernel, dim=1, inputs=[900], outputs=[sim.engine.place], device=sim.device)


class Crashes(toy_point.Point):
    """Ends whatever process it is tried in."""

    id = "toy/Crashes-v0"

    def control(self, sim):
        os.abort()


@pytest.mark.parametrize(
    ("task_class", "message"),
    [
        (SpillsReward, "`evaluate` (kernel `_spill_kernel`) reads or writes outside an array"),
        (SpillsObservation, "`observe` (kernel `_spill_kernel`) reads or writes outside an array"),
        (SpillsState, "`reset` (kernel `_spill_kernel`) reads or writes outside an array, in dim"),
        (Crashes, "`control` ended its process with signal SIGABRT"),
    ],
)
def test_writing_past_the_end_of_a_row_is_found(task_class, message):
    assert message in errors_of(check(task_class, steps=30), "hooks")


@wp.kernel
def _unmasked_reset_kernel(place: wp.array2d[float]):
    worldid = wp.tid()
    place[worldid, 0] = place[worldid, 0] + 0.001


class UnmaskedReset(toy_point.Point):
    id = "toy/UnmaskedReset-v0"

    def reset(self, sim, mask):
        super().reset(sim, mask)
        wp.launch(
            _unmasked_reset_kernel, dim=sim.num_worlds, outputs=[sim.engine.place],
            device=sim.device,
        )  # fmt: skip


@wp.kernel
def _restart_kernel(place: wp.array2d[float]):
    for i in range(3):
        place[wp.tid(), i] = 0.25


class AlwaysReset(toy_point.Point):
    """Its worlds begin anew in every step, and always alike: nothing ever seems to change."""

    id = "toy/AlwaysReset-v0"

    def reset(self, sim, mask):
        wp.launch(
            _restart_kernel, dim=sim.num_worlds, outputs=[sim.engine.place], device=sim.device
        )


class UnmaskedObserve(toy_point.Point):
    id = "toy/UnmaskedObserve-v0"

    def observe(self, sim, mask, observation):
        super().observe(sim, mask, observation)
        wp.launch(_spill_kernel, dim=1, inputs=[0], outputs=[observation], device=sim.device)


@pytest.mark.parametrize(
    ("task_class", "message"),
    [
        (UnmaskedReset, "`reset` with a mask that names no world changed engine/place"),
        (AlwaysReset, "`reset` with a mask that names no world changed engine/place"),
        (UnmaskedObserve, "`observe` with a mask that names no world changed exchange/observation"),
    ],
)
def test_a_hook_that_ignores_the_mask_is_found(task_class, message):
    assert message in errors_of(check(task_class, steps=30), "hooks")


@wp.kernel
def _count_kernel(count: wp.array[float], reward_terms: wp.array2d[float]):
    worldid = wp.tid()
    count[worldid] = count[worldid] + 1.0
    reward_terms[worldid, Term.place] = count[worldid]


@wp.kernel
def _forget_kernel(mask: wp.array[wp.bool], count: wp.array[float]):
    worldid = wp.tid()
    if mask[worldid]:
        count[worldid] = 0.0


class Unsaved(toy_point.Point):
    """Counts its steps in an array that no saved state holds."""

    id = "toy/Unsaved-v0"

    def build(self, sim):
        self.count = wp.zeros(sim.num_worlds, dtype=float, device=sim.device)

    def evaluate(self, sim):
        wp.launch(
            _count_kernel, dim=sim.num_worlds, outputs=[self.count, sim.reward_terms],
            device=sim.device,
        )  # fmt: skip

    def reset(self, sim, mask):
        super().reset(sim, mask)
        wp.launch(
            _forget_kernel, dim=sim.num_worlds, inputs=[mask], outputs=[self.count],
            device=sim.device,
        )  # fmt: skip


@pytest.mark.parametrize("steps", [40, 130])
def test_state_that_is_not_saved_is_found_whatever_the_length_of_the_rollout(steps):
    assert "reward of world" in errors_of(check(Unsaved, steps), "state_dict")


class Keeping(Unsaved):
    """Counts on through all episodes: nothing sets the count back."""

    id = "toy/Keeping-v0"

    def build(self, sim):
        self.count = sim.array("keeping/count")

    def reset(self, sim, mask):
        toy_point.Point.reset(self, sim, mask)


def test_what_an_episode_leaves_to_the_next_is_found():
    told = errors_of(check(Keeping, steps=30), "hooks")
    assert "What the last episode left in keeping/count shows in the next one (reward term" in told


class Constant(Unsaved):
    """Its array has a number for each world, given once in `build`."""

    id = "toy/Constant-v0"

    def build(self, sim):
        self.count = sim.array("constant/offset")
        self.count.fill_(0.5)

    def evaluate(self, sim):
        wp.launch(
            _offset_kernel, dim=sim.num_worlds, inputs=[self.count],
            outputs=[sim.reward_terms, sim.success], device=sim.device,
        )  # fmt: skip

    def reset(self, sim, mask):
        toy_point.Point.reset(self, sim, mask)


@wp.kernel
def _offset_kernel(
    offset: wp.array[float], reward_terms: wp.array2d[float], success: wp.array[wp.bool]
):
    worldid = wp.tid()
    reward_terms[worldid, Term.place] = offset[worldid]
    success[worldid] = False


def test_a_constant_of_the_task_is_no_left_over():
    report = check(Constant, steps=30)
    assert "hooks" in report.passed, report.table()


@dataclass(frozen=True, kw_only=True)
class FreeConfig(toy_point.PointConfig):
    reward_weights: RewardWeights = field(default_factory=RewardWeights)


class Free(toy_point.Point):
    id = "toy/Free-v0"
    config_class = FreeConfig

    def evaluate(self, sim):
        pass


def test_a_task_without_rewards_or_success_is_told():
    messages = " ".join(finding.message for finding in check(Free, steps=30).warnings)
    assert "no reward terms" in messages
    assert "No kernel is given `sim.success`" in messages
