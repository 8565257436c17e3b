"""What tasks of articulated worlds share: one MjSpec becomes N worlds and a scene."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import mujoco
import warp as wp

from proveout.envs.core.errors import ModelError
from proveout.envs.core.task import Task
from proveout.envs.factory.worlds import ArticulatedWorlds, Capacities


class ArticulatedTask(Task):
    """A task on MuJoCo Warp.

    `capacities` are measured once with `proveout capacities ENV` and stored here.
    """

    capacities: ClassVar[Capacities]
    worlds_class: ClassVar[type[ArticulatedWorlds]] = ArticulatedWorlds

    @abstractmethod
    def spec(self, *, visual: bool) -> Any:
        """The `mujoco.MjSpec` of a world.

        Args:
            visual: With what is only drawn (visual meshes, markers, lights, camera "view"); the
                joints must be the same either way. Without it physics is faster.
        """

    def model(self, *, visual: bool = False) -> Any:
        """The compiled model with this task's physics time step."""
        spec = self.spec(visual=visual)
        spec.option.timestep = self.config.physics_dt
        try:
            return spec.compile()
        except (ValueError, mujoco.FatalError) as error:
            raise ModelError(f"the model of {self.id} does not compile: {error}") from error

    def make_worlds(self, num_worlds: int, device: wp.Device) -> ArticulatedWorlds:
        """N worlds, with room for the randomised fields."""
        if not hasattr(self, "capacities"):
            raise ModelError(
                f"{type(self).__name__} has no capacities: start with Capacities(contacts=32, "
                "constraints=128) and let `proveout capacities` measure them"
            )
        return self.worlds_class(
            self.model(), num_worlds, self.capacities, device, self.randomizations_of_engine()
        )

    def scene(self) -> Any:
        """The model with everything that is drawn."""
        return self.model(visual=True)
