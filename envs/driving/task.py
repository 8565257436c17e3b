"""What tasks of road worlds share: a network and its cars become N worlds and a scene."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import warp as wp

from proveout.assets.road import RoadNetwork
from proveout.envs.core.presets import ppo_preset
from proveout.envs.core.randomize import Randomization
from proveout.envs.core.task import RandomizationConfig, Task
from proveout.envs.driving.bodies import BodyParameters, one_for_each
from proveout.envs.driving.engine import RoadEngine
from proveout.envs.driving.road import Road
from proveout.envs.driving.scene import scene
from proveout.envs.driving.vehicles.single_track import VehicleParameters

if TYPE_CHECKING:
    from proveout.envs.core.simulation import Simulation

# A task overrides what does not fit it.
_PPO = ppo_preset(
    num_envs=1024, total_timesteps=1_000_000, batch_size=4096, n_epochs=3, log_std_init=-1.0
)


@dataclass(frozen=True, kw_only=True)
class RoadRandomization(RandomizationConfig):
    """Off by default; widen a range to switch one on."""

    traffic_speed: Randomization = Randomization(field="driver_desired_speed", target="driver_.*")
    traffic_headway: Randomization = Randomization(field="driver_time_headway", target="driver_.*")
    wheelbase: Randomization = Randomization(field="vehicle_wheelbase", target="learner")
    steering_rate: Randomization = Randomization(
        field="vehicle_steering_velocity_max", target="learner"
    )
    acceleration: Randomization = Randomization(field="vehicle_acceleration_max")
    friction: Randomization = Randomization(field="friction")
    latency: Randomization = Randomization(
        field="control_latency", operation="set", low=0.0, high=0.0, unit="s"
    )


class RoadTask(Task):
    """A task of one learner among other drivers. The config needs `num_agents`."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"ppo": _PPO}
    # Without reverse gear: braking ends at rest. Friction as of dry asphalt.
    vehicle = VehicleParameters(velocity_min=0.0, friction=1.0)

    @abstractmethod
    def network(self) -> RoadNetwork | Sequence[RoadNetwork]:
        """The roads, shared by all worlds; or several maps, of which `reset` chooses one by writing
        `road.map_of_world[w]`. A picture has them all, so lay them side by side."""

    def bodies(self) -> Sequence[BodyParameters]:
        """Kind and size of every agent, the learner first; all alike unless a task says more."""
        return one_for_each(None, self.config.num_agents)

    def make_engine(self, num_worlds: int, device: wp.Device) -> RoadEngine:
        """N worlds; agent 0 is the learner."""
        return RoadEngine(
            self.network(),
            self.vehicle,
            num_worlds,
            self.config.num_agents,
            self.config.physics_dt,
            device,
            randomized=self.randomizations_of_engine(),
            bodies=self.bodies(),
        )

    def engine_struct(self, sim: Simulation) -> Road:
        """Lanes, agents and drivers."""
        worlds: Any = sim.engine
        road: Road = worlds.struct(self.config.decimation)
        return road

    def scene(self) -> Any:
        """Road, cars, and the camera "view" that follows the learner."""
        bodies = one_for_each(self.bodies(), self.config.num_agents)
        spec = scene(self.network(), bodies, self.vehicle.wheelbase)
        spec.camera("chase").name = "view"
        return spec.compile()
