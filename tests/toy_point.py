"""The smallest task with an engine of its own: points on lines. Its workers start fast."""

# Warp's stubs give kernel arrays no indexing.
# mypy: disable-error-code="index, misc"

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import warp as wp

from proveout.assets.files.layout import Entry, Layout
from proveout.envs.core.columns import columns
from proveout.envs.core.engine import Engine
from proveout.envs.core.errors import ModelError
from proveout.envs.core.rng import STREAM_TASK, random_key, uniform
from proveout.envs.core.scene_pose import ScenePose
from proveout.envs.core.task import RewardWeights, Task, TaskConfig, quantity

wp.set_module_options({"enable_backward": False})

_STREAM_START = wp.constant(STREAM_TASK)


@dataclass(frozen=True, kw_only=True)
class PointWeights(RewardWeights):
    place: float = quantity(1.0, "1/m", "place of the first point")


Term = columns(PointWeights)


@dataclass(frozen=True, kw_only=True)
class PointConfig(TaskConfig):
    """Three points in every world."""

    episode_seconds: float = quantity(1.0, "s", "time after which an episode is truncated")
    broken: bool = quantity(False, "1", "refuse to make worlds")
    reward_weights: PointWeights = field(default_factory=PointWeights)


class PointEngine(Engine):
    """Each point moves by its command in every physics step."""

    def __init__(self, num_worlds, device):
        self.num_worlds, self.device = num_worlds, device
        self.place = wp.zeros((num_worlds, 3), dtype=float, device=device)
        self.speed = wp.zeros((num_worlds, 3), dtype=float, device=device)

    def state(self):
        return {"place": self.place, "speed": self.speed}

    @property
    def command_names(self):
        return ("x", "y", "z")

    def apply(self, command):
        wp.copy(self.speed, command)

    def physics(self, first=False):
        wp.launch(
            _move_kernel, dim=self.place.shape, inputs=[self.speed], outputs=[self.place],
            device=self.device,
        )  # fmt: skip

    def refresh(self, mask):
        del mask

    def guard(self, invalid_reason):
        del invalid_reason

    def reset(self, mask):
        del mask

    def scene_pose(self, worlds):
        nothing = np.zeros((0, 3))
        return [ScenePose(self.place.numpy()[w].copy(), nothing, nothing) for w in worlds]


class Point(Task):
    """Three points on lines; the action is their speed."""

    id = "toy/Point-v0"
    config_class = PointConfig

    def make_layout(self):
        return Layout((Entry("place", (3,), "m", "places"),))

    def make_action_layout(self):
        return Layout((Entry("speed", (3,), "m/s", "speeds", low=-1, high=1),))

    def make_engine(self, num_worlds, device):
        if self.config.broken:
            raise ModelError(f"the model of {self.id} is broken")
        return PointEngine(num_worlds, device)

    def control(self, sim):
        wp.copy(sim.command, sim.action)

    def evaluate(self, sim):
        wp.launch(
            _evaluate_kernel, dim=sim.num_worlds, inputs=[sim.engine.place],
            outputs=[sim.reward_terms, sim.success], device=sim.device,
        )  # fmt: skip

    def reset(self, sim, mask):
        wp.launch(
            _reset_kernel, dim=sim.num_worlds,
            inputs=[mask, sim.seed, sim.world_id, sim.episode],
            outputs=[sim.engine.place, sim.command], device=sim.device,
        )  # fmt: skip

    def observe(self, sim, mask, observation):
        wp.launch(
            _observe_kernel, dim=sim.num_worlds, inputs=[mask, sim.engine.place],
            outputs=[observation], device=sim.device,
        )  # fmt: skip

    def scene(self):
        raise NotImplementedError("points are not drawn")


@wp.kernel
def _move_kernel(speed: wp.array2d[float], place: wp.array2d[float]):
    worldid, i = wp.tid()
    place[worldid, i] = place[worldid, i] + 0.01 * speed[worldid, i]


@wp.kernel
def _evaluate_kernel(
    place: wp.array2d[float], reward_terms: wp.array2d[float], success: wp.array[wp.bool]
):
    worldid = wp.tid()
    reward_terms[worldid, Term.place] = place[worldid, 0]
    success[worldid] = False


@wp.kernel
def _reset_kernel(
    mask: wp.array[wp.bool],
    seed: wp.array[wp.uint64],
    world_id: wp.array[int],
    episode: wp.array[int],
    place: wp.array2d[float],
    command: wp.array2d[float],
):
    worldid = wp.tid()
    if not mask[worldid]:
        return
    key = random_key(seed[worldid], world_id[worldid], episode[worldid], _STREAM_START)
    for i in range(3):
        place[worldid, i] = uniform(key, i, -1.0, 1.0)
        command[worldid, i] = 0.0


@wp.kernel
def _observe_kernel(
    mask: wp.array[wp.bool], place: wp.array2d[float], observation: wp.array2d[float]
):
    worldid = wp.tid()
    if mask[worldid]:
        for i in range(3):
            observation[worldid, i] = place[worldid, i]
