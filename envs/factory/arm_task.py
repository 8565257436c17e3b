"""What tasks of one arm share: the arm is read from a model that the config names."""

from __future__ import annotations

from functools import cached_property

from proveout.assets.robot import Robot, load_robot
from proveout.envs.core.errors import ModelError
from proveout.envs.core.task import TaskConfig
from proveout.envs.factory.control.servos import servo_joints
from proveout.envs.factory.engine import Capacities
from proveout.envs.factory.task import ArticulatedTask


class ArmTask(ArticulatedTask):
    """A task of one arm with position servos, and with nothing else that needs constraint rows but
    contacts. The config needs `robot`: its name, or the path of its file; `spec` begins with a copy
    of `robot.spec`.

    Raises:
        UnknownNameError, ModelError: The robot cannot be loaded, has no tool, or its joints up to
            the tool are not the first of the model, each with a position servo, in their order.
    """

    def __init__(self, config: TaskConfig | None = None) -> None:
        super().__init__(config)
        if hasattr(self, "capacities"):  # of contacts; rows are those of the arm at hand
            rows = max(self.capacities.constraints, self.constraint_rows())
            self.capacities = Capacities(contacts=self.capacities.contacts, constraints=rows)

    @cached_property
    def robot(self) -> Robot:
        """The arm, loaded once."""
        robot = load_robot(self.config.robot)
        if "tool" not in robot.frames:
            raise ModelError(f"robot {robot.name} has no tool: add a site named tcp to its file")
        return robot

    @property
    def tool(self) -> str:  # type: ignore[override]
        """Site of its tool."""
        return self.robot.frames["tool"].name

    @cached_property
    def joints(self) -> int:
        """Joints from its base to its tool."""
        return servo_joints(self.model(), self.tool)
