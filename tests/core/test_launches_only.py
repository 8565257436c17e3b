"""What a recorded graph would not repeat is refused in a hook, and named."""

from __future__ import annotations

import numpy as np
import pytest
import toy_point
import warp as wp

from proveout.envs.core.errors import ConfigError
from proveout.envs.core.vector_env import WarpVectorEnv


def make(task_class):
    return WarpVectorEnv(task_class(), 4, device="cpu", workers=1)


class Reader(toy_point.Point):
    id = "toy/Reader-v0"

    def control(self, sim):
        self.largest = sim.action.numpy().max()
        super().control(sim)


class Allocator(toy_point.Point):
    id = "toy/Allocator-v0"

    def evaluate(self, sim):
        self.scratch = wp.zeros(sim.num_worlds, dtype=float, device=sim.device)
        super().evaluate(sim)


class Uploader(toy_point.Point):
    id = "toy/Uploader-v0"

    def reset(self, sim, mask):
        super().reset(sim, mask)
        sim.command.assign(np.zeros((sim.num_worlds, 3), np.float32))


@pytest.mark.parametrize(
    ("task_class", "message"),
    [
        (Reader, "`control` reads an array on the host"),
        (Allocator, "`evaluate` allocates an array"),
        (Uploader, "`reset` uploads values from the host"),
    ],
)
def test_what_a_recorded_graph_would_not_repeat_is_refused(task_class, message):
    numpy_before = wp.array.numpy
    with pytest.raises(ConfigError, match=message):
        make(task_class)
    assert wp.array.numpy is numpy_before
