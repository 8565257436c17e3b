"""Rows of one structure as the worlds of one road engine."""

from __future__ import annotations

from typing import Any

import numpy as np
import warp as wp

from proveout.assets.files.errors import ScenarioError
from proveout.assets.opendrive.road_map import RoadMap
from proveout.assets.scenario.scenario import Structure
from proveout.assets.scenario.scope import Frame
from proveout.envs.driving.drivers.table import DriverKind
from proveout.envs.driving.engine import RoadEngine
from proveout.envs.driving.storyboard.arrays import Motion, Script, Story, Values
from proveout.envs.driving.storyboard.flat import Flat
from proveout.envs.driving.storyboard.program import Program, compile_storyboard
from proveout.envs.driving.storyboard.start import Start, start_of
from proveout.envs.driving.vehicles.single_track import VehicleParameters

EGO = "Ego"
"""The entity that is tested, unless another is named; without one of this name, the first."""


class Batch:
    """Rows of one structure, each a world, from their start.

    Args:
        structure: Of the rows.
        frame: Their values.
        road_map: That they drive on.
        dt: Physics step [s].
        device: Where they run.
        ego: Name of the entity that is tested.

    Attributes:
        start: How they begin.
        program: Their storyboard.
        unsupported: What is not run of it, one sentence each.
        last_time: Of each row, the last that a condition waits for [s].
        faults: Of each row what is wrong with its start; empty: nothing.
        engine: The worlds. story, motion: What they remember.

    Raises:
        ScenarioError: The scenario has no entity, or not that one.
    """

    def __init__(
        self, structure: Structure, frame: Frame, road_map: RoadMap, *, dt: float = 0.02,
        device: Any = "cpu", ego: str | None = None,
    ) -> None:  # fmt: skip
        # Made when they are needed: on CUDA they spill registers, unlike those of tasks.
        from proveout.envs.driving.storyboard import machine, motion

        self._kernels = (machine.run_storyboard, motion.move_scripted, machine.watch)
        self.dt, self.rows, self.map = dt, frame.rows, road_map
        self.program: Program = compile_storyboard(structure, frame)
        self.start: Start = start_of(structure, frame, road_map)
        names = self.start.names
        if not names or (ego is not None and ego not in names):
            raise ScenarioError(
                f"{structure.node.place.file} has no entity {ego or EGO!r}; it has "
                f"{', '.join(names) or 'none'}."
            )
        self.ego = names.index(ego) if ego else names.index(EGO) if EGO in names else 0
        flat = Flat(self.program, road_map, dt)
        self._script: Script = flat.script(self.ego, device)
        self.last_time = flat.last_time()
        variables = flat.values()
        self.unsupported = [*map(str, structure.findings), *self.start.unsupported]
        self.unsupported += flat.unsupported
        self.faults = self.start.faults(frame.rows)
        self.engine = RoadEngine(
            road_map.network, VehicleParameters(velocity_min=0.0, friction=1.0), self.rows,
            len(names), dt, device, bodies=self.start.bodies,
        )  # fmt: skip
        elements, conditions = len(self.program.kind), max(1, len(self.program.edge))
        by_element = dict.fromkeys(
            ("state", "seen", "executions", "recent", "fresh", "triggered"), elements
        )
        by_condition = {"last": conditions, "asked": conditions, "ring": flat.ring_total}
        self.story: Story = self.engine.keep("story", Story, by_element | by_condition)
        self.motion: Motion = self.engine.keep(
            "motion", Motion, dict.fromkeys(Motion.__annotations__, len(names))
        )
        self._values: Values = self.engine.keep("values", Values, {"value": variables.shape[1]})
        self.engine.stages.add("storyboard", self._run_storyboard)
        self.engine.stages.add("move", self._move)
        self.engine.stages.add("measure", self._watch)
        everywhere = wp.full(self.rows, True, dtype=wp.bool, device=device)
        self.engine.reset(everywhere)
        self._values.value.assign(np.broadcast_to(variables, self._values.value.shape))
        self._place()
        self.engine.refresh(everywhere)

    def step(self, count: int = 1) -> None:
        """Go on by some physics steps; nothing moves any longer where a world has ended."""
        for _ in range(count):
            self.engine.physics(False)

    @property
    def ended(self) -> np.ndarray:
        """Of each row an `Ended`."""
        return np.asarray(self.story.ended.numpy())

    def _place(self) -> None:
        agents, shape = self.engine.agents, (self.rows, len(self.start.names))
        active, kind = np.zeros(shape, bool), np.full(shape, int(DriverKind.SCRIPTED), np.int32)
        lane = np.zeros(shape, np.int32)
        x, y, heading, speed, arc, d, turn = (np.zeros(shape) for _ in range(7))
        good = np.array([not fault for fault in self.faults])
        for a, name in enumerate(self.start.names):
            place = self.start.places.get(name)
            if place is None:
                continue
            active[:, a] = good
            if name in self.start.driven:
                kind[:, a] = int(DriverKind.IDM)
            x[:, a], y[:, a] = place.x - self.map.origin[0], place.y - self.map.origin[1]
            heading[:, a], speed[:, a] = place.heading, self.start.speed[name]
            lane[:, a], arc[:, a] = np.maximum(place.network_lane, 0), place.arc
            d[:, a], turn[:, a] = place.d, place.turn
        lane[~active] = 0
        state: dict[str, np.ndarray] = {
            "active": active, "x": x, "y": y, "heading": heading, "velocity": speed, "lane": lane,
            "s": arc, "d": d,
        }  # fmt: skip
        for name, value in state.items():
            array = getattr(agents, name)
            array.assign(value if value.dtype.kind in "bi" else value.astype(np.float32))
        path: dict[str, np.ndarray] = {
            "lane": lane, "s": arc, "d": d, "turn": turn.astype(np.float32), "speed": speed,
        }  # fmt: skip
        for name, value in path.items():
            getattr(self.motion, name).assign(value)
        self.engine.drivers.kind.assign(kind)
        self.engine.drivers.set("desired_speed", np.maximum(speed, 0.1))

    def _run_storyboard(self, first: bool) -> None:
        engine = self.engine
        self._launch(
            self._kernels[0],
            [self._script, engine.road, engine.bodies, engine.agents],
            [
                self.story, self.motion, self._values, engine.drivers.kind,
                engine.drivers.parameters,
            ],
        )  # fmt: skip

    def _move(self, first: bool) -> None:
        engine = self.engine
        inputs = [self._script, engine.road, engine.drivers.kind, self.story.ended]
        self._launch(self._kernels[1], inputs, [self.motion, engine.agents])

    def _watch(self, first: bool) -> None:
        self._launch(self._kernels[2], [self._script, self.engine.agents], [self.story])

    def _launch(self, kernel: Any, inputs: list[Any], outputs: list[Any]) -> None:
        wp.launch(kernel, dim=self.rows, inputs=inputs, outputs=outputs, device=self.engine.device)
