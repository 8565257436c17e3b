"""Road worlds: single-track vehicles on a lane network, many worlds at once.

A physics step is a list of stages, see `proveout.envs.driving.stages`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import warp as wp

from proveout.assets.road import RoadNetwork, join
from proveout.envs.core.engine import Engine
from proveout.envs.core.errors import ConfigError
from proveout.envs.core.parameter_columns import ParameterColumns, matching
from proveout.envs.core.scene_pose import ScenePose
from proveout.envs.core.task_state import TaskState
from proveout.envs.driving import road_kernels as kernels
from proveout.envs.driving.agents import (
    AgentArrays,
    AgentDerived,
    AgentMemory,
    Commands,
    threads_of_a_world,
)
from proveout.envs.driving.bodies import BodyParameters, body_records, one_for_each
from proveout.envs.driving.drivers.table import DriverKind, DriverTable
from proveout.envs.driving.metrics.collision import latch_collisions
from proveout.envs.driving.parameters import FIELDS, parameter_columns, randomized_tables
from proveout.envs.driving.records import records
from proveout.envs.driving.road import Road
from proveout.envs.driving.roads.grid import lane_grid
from proveout.envs.driving.roads.lanes import lane_arrays
from proveout.envs.driving.scene import heights, scene_state
from proveout.envs.driving.stages import Stages
from proveout.envs.driving.traffic.leaders import survey
from proveout.envs.driving.vehicles.single_track import Vehicle, VehicleParameters


class RoadEngine(Engine):
    """Worlds of `num_agents` vehicles each, on one road network that all worlds share, or on one of
    several.

    Attributes:
        agents: Their arrays, (num_worlds, num_agents) each, see `AgentArrays`.
        commands: What agents of kind EXTERNAL follow; `apply` writes those of the learners.
        leader, follower: (num_worlds, num_agents, 3) agent index, -1 for none; last axis own, left,
            right lane. leader_gap, follower_gap: likewise, bumper to bumper [m].
        time_to_collision: (num_worlds, num_agents), with the leader in the own lane [s].
        map_of_world: (num_worlds,), which of the networks; 0 when an episode begins.
        drivers: kind and parameters of every driver. road: kernel struct of the lanes. grid: of
            where they are.
        stages: What a physics step runs, in order; `stages.add` extends it.
        vehicles: Parameters, (1 or num_worlds, num_agents) `Vehicle`; one row that all worlds share
            unless one of its fields is randomised.
        bodies: Likewise, (1 or num_worlds, num_agents) `Body`.
    """

    kernel_modules = tuple(
        f"proveout.envs.driving.{name}"
        for name in ("road_kernels", "traffic.leaders", "metrics.collision", "agents")
    )

    def __init__(
        self,
        network: RoadNetwork | Sequence[RoadNetwork],
        vehicle: VehicleParameters,
        num_worlds: int,
        num_agents: int,
        physics_dt: float,
        device: wp.Device | str,
        num_learners: int = 1,
        randomized: Sequence[str] = (),
        bodies: Sequence[BodyParameters] | None = None,
    ) -> None:
        self.num_worlds = num_worlds
        self.num_agents = num_agents
        self.num_learners = num_learners
        self.physics_dt = physics_dt
        self.device = wp.get_device(device)
        self._stride = threads_of_a_world(num_agents, self.device)
        self.road = lane_arrays(network, device)
        self.grid = lane_grid(network, device)
        self._network = network if isinstance(network, RoadNetwork) else join(*network)
        self.map_of_world = wp.zeros(num_worlds, dtype=int, device=device)
        self._randomized = randomized_tables(randomized)
        vehicle_rows, body_rows = (
            num_worlds if table in self._randomized else 1 for table in ("vehicle", "body")
        )
        self.vehicles = records(Vehicle, vehicle, (vehicle_rows, num_agents), self.device)
        self.body_parameters = one_for_each(bodies, num_agents)
        self.bodies = body_records(self.body_parameters, body_rows, self.device)
        self.drivers = DriverTable(num_worlds, num_agents, num_learners, device)
        room = (num_worlds, num_agents, self.device)
        self._agents = AgentMemory(AgentArrays, *room, derived=AgentDerived.__annotations__)
        self._commands = AgentMemory(Commands, *room)
        self.agents: AgentArrays = self._agents.instance
        self.commands: Commands = self._commands.instance
        shape = (num_worlds, num_agents)
        self._input_acceleration = wp.zeros(shape, dtype=float, device=device)
        self._input_steering_velocity = wp.zeros(shape, dtype=float, device=device)
        sides = (*shape, 3)
        self.leader = wp.full(sides, -1, dtype=int, device=device)
        self.follower = wp.full(sides, -1, dtype=int, device=device)
        self.leader_gap = wp.full(sides, wp.inf, dtype=float, device=device)
        self.follower_gap = wp.full(sides, wp.inf, dtype=float, device=device)
        self.time_to_collision = wp.full(shape, wp.inf, dtype=float, device=device)
        self._all = wp.full(num_worlds, True, dtype=wp.bool, device=device)
        self.stages = self._own_stages()
        self._kept: dict[str, TaskState] = {}

    def keep(self, name: str, struct: Any, columns: Mapping[str, int] | None = None) -> Any:
        """Room for what a stage remembers: saved with the worlds, zeroed when an episode begins.

        Args:
            name: Of the stage or of what it does, for the saved state.
            struct: A `wp.struct` of arrays with the worlds as first dimension.
            columns: Field -> size of its second dimension, where it has one.

        Returns:
            The struct, for kernels.

        Raises:
            ConfigError: The name is taken, or as `TaskState`.
        """
        if name in self._kept:
            raise ConfigError(f"{name!r} is kept twice by the stages of a road engine")
        kept = TaskState(struct, columns or {}, _no_struct, self.num_worlds, self.device)
        self._kept[name] = kept
        return kept.instance

    def struct(self, decimation: int) -> Road:
        """What kernels of a task see.

        Args:
            decimation: Physics steps in a control step.
        """
        road = Road()
        road.lanes, road.grid, road.agents = self.road, self.grid, self.agents
        road.driver_kind, road.driver = self.drivers.kind, self.drivers.parameters
        road.leader, road.leader_gap = self.leader, self.leader_gap
        road.follower, road.follower_gap = self.follower, self.follower_gap
        road.time_to_collision = self.time_to_collision
        road.vehicles, road.bodies = self.vehicles, self.bodies
        road.map_of_world = self.map_of_world
        road.physics_dt, road.decimation = self.physics_dt, decimation
        return road

    def state(self) -> dict[str, wp.array]:
        """All arrays that determine the future; after writing them call `refresh`."""
        return {
            **self._agents.state,
            **{f"command_{name}": array for name, array in self._commands.state.items()},
            "map_of_world": self.map_of_world,
            "driver_kind": self.drivers.kind,
            "driver_parameters": self.drivers.columns,
            **{
                f"{name}/{field}": array
                for name, kept in self._kept.items()
                for field, array in kept.arrays.items()
            },
        }

    def state_limits(self) -> dict[str, int]:
        """The last lane, the last map and the last kind of driver."""
        return {
            "lane": int(self.road.num_lanes) - 1,
            "map_of_world": self.road.first_lane.shape[0] - 2,
            "driver_kind": max(DriverKind),
        }

    @property
    def command_names(self) -> tuple[str, ...]:
        """Acceleration [m/s^2] and steering angle [rad] of each learner."""
        return tuple(
            f"{what} of learner {k}"
            for k in range(self.num_learners)
            for what in ("acceleration", "steering angle")
        )

    def apply(self, command: wp.array) -> None:
        """Take over commands (num_worlds, 2 * num_learners).

        Columns 2k and 2k + 1: acceleration [m/s^2] and steering angle [rad] of learner k.
        """
        wp.launch(
            kernels.apply_kernel,
            dim=(self.num_worlds, self.num_learners),
            inputs=[command],
            outputs=[self.commands],
            device=self.device,
        )

    def physics(self, first: bool = False) -> None:
        """One physics step of `physics_dt` in every world: its `stages`. Latches `collided` and
        `off_road`, which the first one of a control step clears before."""
        if first:
            self.clear()
        self.stages.run(first)

    def _own_stages(self) -> Stages:
        stages = Stages()
        stages.add("decide", self._decide)
        stages.add("move", self._move)
        stages.add("locate", self._track)
        stages.add("collide", lambda first: self._latch_collisions(self._all))
        return stages

    def _decide(self, first: bool) -> None:
        # The survey has found the leaders of the first step.
        if not first:
            self._launch(
                kernels.look_kernel,
                [self.road, self.bodies, self.agents, self.drivers.kind],
                [self.leader, self.leader_gap],
            )
        self._launch(
            kernels.decide_kernel,
            [
                self.road, self.vehicles, self.agents, self.drivers.kind,
                self.drivers.parameters, self.commands, self.leader, self.leader_gap,
                self.physics_dt,
            ],
            [self._input_acceleration, self._input_steering_velocity],
        )  # fmt: skip

    def _move(self, first: bool) -> None:
        inputs = [self._input_acceleration, self._input_steering_velocity]
        self._launch(kernels.move_kernel, [self.vehicles, *inputs, self.physics_dt], [self.agents])

    def _track(self, first: bool) -> None:
        self._launch(kernels.track_kernel, [self.road, self.bodies], [self.agents])

    def _launch(self, kernel: wp.Kernel, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
        """A kernel over worlds and their agents; its last input is the stride of its threads."""
        wp.launch(
            kernel,
            dim=(self.num_worlds, self._stride),
            inputs=[*inputs, self._stride],
            outputs=outputs,
            device=self.device,
        )

    def refresh(self, mask: wp.array) -> None:
        """Lane positions, derived values, collision flags, leaders and followers of masked worlds.

        A stored lane and arc length serve as the guess, so write them together with x and y. An
        agent on a lane that its world's map does not have is nowhere: its place becomes NaN. Flags
        are only ever set here; `clear` and `reset` clear them.
        """
        inputs = [mask, self.road, self.map_of_world, self.bodies]
        self._launch(kernels.locate_kernel, inputs, [self.agents])
        self._latch_collisions(mask)
        self._survey(mask)

    def after_physics(self, everywhere: wp.array) -> None:
        """Leaders and followers: a physics step leaves the rest as `refresh` would."""
        self._survey(everywhere)

    def _survey(self, mask: wp.array) -> None:
        survey(
            mask,
            self.road,
            self.agents,
            self.bodies,
            self.leader,
            self.leader_gap,
            self.follower,
            self.follower_gap,
            self.time_to_collision,
        )

    def clear(self) -> None:
        """Forget latched collisions and departures."""
        self._agents.blank(self._all, begin="collided")

    def guard(self, invalid: wp.array) -> None:
        """Or NON_FINITE_STATE into invalid (num_worlds,) where any agent's state is not finite."""
        wp.launch(
            kernels.guard_kernel,
            dim=self.num_worlds,
            inputs=[self.agents],
            outputs=[invalid],
            device=self.device,
        )

    def reset(self, mask: wp.array) -> None:
        """Park every agent of the masked worlds, inactive, at zero, with its default driver.

        The task then writes active, x, y, heading, velocity, lane and s of those that take part.
        """
        self._agents.blank(mask)
        self._commands.blank(mask)
        for kept in self._kept.values():
            kept.clear(mask)
        self._launch(
            kernels.reset_kernel,
            [mask, self.drivers.default, self.num_learners],
            [self.map_of_world, self.drivers.kind, self.drivers.parameters],
        )

    @property
    def agent_names(self) -> tuple[str, ...]:
        """What `target` of a randomisation is matched against: "learner" ("learner_0", "learner_1",
        ... of several), then "driver_1", ... with the agent's index."""
        learners = [
            f"learner_{k}" if self.num_learners > 1 else "learner" for k in range(self.num_learners)
        ]
        drivers = (f"driver_{k}" for k in range(self.num_learners, self.num_agents))
        return (*learners, *drivers)

    def parameter_fields(self) -> tuple[str, ...]:
        """Fields that can be set per world."""
        return tuple(FIELDS)

    def parameter(self, field: str, target: str) -> list[ParameterColumns]:
        """See `Engine.parameter`; `target` is matched against whole `agent_names`."""
        tables = {"driver": self.drivers.parameters, "vehicle": self.vehicles, "body": self.bodies}
        return parameter_columns(field, matching(target, self.agent_names), tables)

    def scene_pose(self, worlds: Sequence[int]) -> list[ScenePose]:
        """Cars and camera of the given worlds in `proveout.envs.driving.scene.scene`."""
        state = self._agents.state
        x, y, heading = (state[name].numpy() for name in ("x", "y", "heading"))
        active = state["active"].numpy()
        height = heights(self._network, state["lane"].numpy(), state["s"].numpy())
        centre = np.array([body.rear_axle_to_centre for body in self.body_parameters])
        poses = []
        for w in worlds:
            position, quaternion = scene_state(
                x[w], y[w], heading[w], centre, active[w], height=height[w]
            )
            poses.append(ScenePose(np.zeros(0), position, quaternion))
        return poses

    def _latch_collisions(self, mask: wp.array) -> None:
        latch_collisions(mask, self.agents, self.bodies)


def _no_struct(name: str, kind: Any) -> Any:
    raise ConfigError(f"{name!r}: what a stage keeps are arrays, not a {kind.key}")
