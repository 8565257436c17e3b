"""What a task declares and never writes is refused, and named."""

# Warp's stubs give kernel arrays no indexing.
# mypy: disable-error-code="index, misc"

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
import toy_point
import warp as wp

from proveout.assets.files.layout import Entry, Layout
from proveout.envs.core.columns import columns
from proveout.envs.core.errors import ConfigError
from proveout.envs.core.task import Kpi, RewardWeights, quantity
from proveout.envs.core.vector_env import WarpVectorEnv

wp.set_module_options({"enable_backward": False})


def make(task_class):
    return WarpVectorEnv(task_class(), 4, device="cpu", workers=1)


class Forgetful(toy_point.Point):
    """Says it observes a fourth and a fifth number."""

    id = "toy/Forgetful-v0"

    def make_layout(self):
        return Layout(
            (Entry("place", (3,), "m", "places"), Entry("goal", (2,), "m", "never written"))
        )


class HalfForgetful(toy_point.Point):
    id = "toy/HalfForgetful-v0"

    def make_layout(self):
        return Layout((Entry("place", (4,), "m", "three of them are written"),))


@dataclass(frozen=True, kw_only=True)
class MoreWeights(RewardWeights):
    place: float = quantity(1.0, "1/m", "place of the first point")
    effort: float = quantity(-1.0, "1", "never written")


@dataclass(frozen=True, kw_only=True)
class MoreConfig(toy_point.PointConfig):
    reward_weights: MoreWeights = field(default_factory=MoreWeights)


class Unrewarding(toy_point.Point):
    id = "toy/Unrewarding-v0"
    config_class = MoreConfig


class Unmeasured(toy_point.Point):
    id = "toy/Unmeasured-v0"
    kpis = (Kpi("wear", "1", "sum", "never written"),)


@pytest.mark.parametrize(
    ("task_class", "message"),
    [
        (Forgetful, r"`observe` never writes observation 'goal' \(columns 3:5\)"),
        (HalfForgetful, "`observe` never writes column 3 of observation 'place'"),
        (Unrewarding, r"`evaluate` never writes reward term 'effort' \(column 1\)"),
        (Unmeasured, r"`evaluate` never writes KPI 'wear' \(column 0\)"),
    ],
)
def test_what_is_declared_and_never_written_is_refused(task_class, message):
    with pytest.raises(ConfigError, match=message):
        make(task_class)


GAP = (Kpi("gap", "m", "min", "undefined without a neighbour"),)
Gap = columns(GAP)


@wp.kernel
def _undefined_kernel(kpi: wp.array2d[float]):
    worldid = wp.tid()
    kpi[worldid, Gap.gap] = wp.nan


class Undefined(toy_point.Point):
    """Its KPI is undefined in every step, and says so."""

    id = "toy/Undefined-v0"
    kpis = GAP

    def evaluate(self, sim):
        super().evaluate(sim)
        wp.launch(_undefined_kernel, dim=sim.num_worlds, outputs=[sim.kpi], device=sim.device)


def test_a_kpi_may_be_undefined():
    env = make(Undefined)
    env.reset(seed=0)
    env.step(np.zeros((4, 3), np.float32))
    assert env.invalid_worlds == 0
    env.close()
