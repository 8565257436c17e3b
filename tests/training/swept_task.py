"""A small task for sweeps, whose episodes end at different times.

With the variable PROVEOUT_TASKS naming this file it is registered as "swept/Line-v0".
"""

# Warp's stubs give kernel arrays no indexing.
# mypy: disable-error-code="index, misc"

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import warp as wp

sys.path.insert(0, str(Path(__file__).parents[1]))

from toy_point import Point, PointConfig, PointWeights, Term

from proveout.envs.core.errors import ModelError
from proveout.envs.core.registry import register
from proveout.envs.core.task import Kpi, quantity

wp.set_module_options({"enable_backward": False})

ID = "swept/Line-v0"


@dataclass(frozen=True, kw_only=True)
class LineConfig(PointConfig):
    """Points on lines of a given length."""

    length: float = quantity(1.0, "m", "half of a line", above=0.0, structural=True)
    kind: str = quantity("plain", "1", "which engine: plain, or broken for none")
    reward_weights: PointWeights = field(default_factory=PointWeights)


class LineExpert:
    """Outwards, so that those who start far out are done soon."""

    def predict(self, observations):
        """Return actions (N, 3)."""
        return np.clip(observations * 8.0, -1.0, 1.0).astype(np.float32)


@register(ID)
class Line(Point):
    """Points run to the ends of their lines."""

    config_class = LineConfig
    kpis = (Kpi("place", "m", "last", "where the first is"), Kpi("far", "m", "max", "farthest"))

    @classmethod
    def expert(cls, config):
        return LineExpert()

    def make_engine(self, num_worlds, device):
        if self.config.kind == "broken":
            raise ModelError("there is no engine of this kind")
        return super().make_engine(num_worlds, device)

    def evaluate(self, sim):
        wp.launch(
            _evaluate_kernel, dim=sim.num_worlds,
            inputs=[sim.engine.place, self.config.length],
            outputs=[sim.reward_terms, sim.success, sim.terminated, sim.kpi], device=sim.device,
        )  # fmt: skip


@wp.kernel
def _evaluate_kernel(
    place: wp.array2d[float],
    length: float,
    reward_terms: wp.array2d[float],
    success: wp.array[wp.bool],
    terminated: wp.array[wp.bool],
    kpi: wp.array2d[float],
):
    worldid = wp.tid()
    x = place[worldid, 0]
    reward_terms[worldid, Term.place] = x
    success[worldid] = x > 0.0
    terminated[worldid] = wp.abs(x) > length
    kpi[worldid, 0] = x
    kpi[worldid, 1] = wp.abs(x)
