"""Modules that are compiled together exist, and are those that a start needs."""

import importlib

import pytest
import warp as wp

from proveout.envs import make_vector
from proveout.envs.core.kernel_modules import load_modules
from proveout.envs.driving.engine import RoadEngine
from proveout.envs.factory.c_engine import CEngine
from proveout.envs.factory.warp_engine import WarpEngine


@pytest.mark.parametrize(
    ("engine", "env_id", "physics"),
    [
        (RoadEngine, "proveout/Highway-v0", "warp"),
        (WarpEngine, "proveout/Reach-v0", "warp"),
        (CEngine, "proveout/Reach-v0", "c"),
    ],
)
def test_a_start_needs_every_module_that_its_engine_names(engine, env_id, physics):
    make_vector(env_id, 2, physics=physics, device="cpu", workers=1).close()
    for name in engine.kernel_modules:
        importlib.import_module(name)
        module = wp.get_module(name)
        assert module.kernels, name
        assert module.execs, name


def test_modules_without_kernels_are_passed_over():
    load_modules(("nowhere.at.all", "proveout.envs.core.step_kernels"), wp.get_device("cpu"))
    assert wp.get_module("proveout.envs.core.step_kernels").execs
