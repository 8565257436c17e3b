"""What tasks of road worlds share: a network and its cars become N worlds and a scene."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import warp as wp

from proveout.assets.road import RoadNetwork
from proveout.envs.core.errors import ConfigError
from proveout.envs.core.presets import ppo_preset
from proveout.envs.core.task import Task
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


class RoadTask(Task):
    """A task of one learner among other drivers. The config needs `num_agents`."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"ppo": _PPO}
    # Without reverse gear: braking ends at rest.
    vehicle = VehicleParameters(velocity_min=0.0)

    @abstractmethod
    def network(self) -> RoadNetwork:
        """The roads, shared by all worlds."""

    def make_engine(self, num_worlds: int, device: wp.Device) -> RoadEngine:
        """N worlds; agent 0 is the learner."""
        if self.randomizations_of_engine():
            raise ConfigError(f"{self.id}: road worlds have no fields to randomise yet")
        return RoadEngine(
            self.network(),
            self.vehicle,
            num_worlds,
            self.config.num_agents,
            self.config.physics_dt,
            device,
        )

    def engine_struct(self, sim: Simulation) -> Road:
        """Lanes, agents and drivers."""
        worlds: Any = sim.engine
        road: Road = worlds.struct(self.config.decimation)
        return road

    def scene(self) -> Any:
        """Road, cars, and the camera "view" that follows the learner."""
        spec = scene(self.network(), self.config.num_agents, self.vehicle)
        spec.camera("chase").name = "view"
        return spec.compile()
