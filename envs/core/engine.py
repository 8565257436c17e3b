"""What an engine offers: worlds that take a command, step, and say when they are not valid."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar

import warp as wp

from proveout.envs.core.errors import unknown
from proveout.envs.core.parameter_columns import ParameterColumns
from proveout.envs.core.scene_pose import ScenePose


class Engine(ABC):
    """N worlds of one engine on one device. Every method but the host ones only launches."""

    num_worlds: int
    device: wp.Device
    # Python modules whose kernels every start needs: they are compiled together.
    kernel_modules: ClassVar[tuple[str, ...]] = ()

    @property
    @abstractmethod
    def command_names(self) -> tuple[str, ...]:
        """What each number of one world's command drives, in order."""

    @abstractmethod
    def state(self) -> dict[str, wp.array]:
        """All arrays that determine the future, each with the worlds as leading dimension."""

    def state_limits(self) -> dict[str, int]:
        """Largest value of the arrays of `state` that are indices from 0."""
        return {}

    @abstractmethod
    def apply(self, command: wp.array) -> None:
        """Launch: take over the commands, shape (num_worlds, len(command_names))."""

    @abstractmethod
    def physics(self, first: bool = False) -> None:
        """Launch: one physics step of every world.

        Args:
            first: It is the first of a control step: derived quantities are those of the present
                state, as nothing has moved since `refresh` or `after_physics`.
        """

    def control_step(
        self, substeps: int, command: Callable[[int], wp.array | None] | None = None
    ) -> None:
        """Launch: the physics of one control step of every world.

        Args:
            substeps: Physics steps in it.
            command: Launches what makes the commands from a substep on, and returns them; None
                where they stay as they are. Without it, physics runs bare.
        """
        for substep in range(substeps):
            given = None if command is None else command(substep)
            if given is not None:
                self.apply(given)
            self.physics(first=substep == 0 and command is not None)

    @abstractmethod
    def refresh(self, mask: wp.array) -> None:
        """Launch: derived quantities (poses, lane positions), at least for the mask."""

    def after_physics(self, everywhere: wp.array) -> None:
        """Launch: what `refresh` does for all worlds, as far as `physics` has not done it.

        Args:
            everywhere: A mask that names all worlds.
        """
        self.refresh(everywhere)

    @abstractmethod
    def guard(self, invalid_reason: wp.array) -> None:
        """Launch: or the reason bits of what went wrong in this control step, then forget it."""

    @abstractmethod
    def reset(self, mask: wp.array) -> None:
        """Launch: the model's own initial state for the worlds in the mask."""

    def parameter(self, field: str, target: str) -> list[ParameterColumns]:
        """Where a randomised field lives; `UnknownNameError` for one the engine does not have."""
        raise unknown("randomisation field", field, self.parameter_fields())

    def parameter_fields(self) -> tuple[str, ...]:
        """Names of the fields that can be randomised."""
        return ()

    def after_randomize(self, mask: wp.array) -> None:
        """Launch: constants that depend on randomised fields, for the worlds in the mask."""
        del mask

    @abstractmethod
    def scene_pose(self, worlds: Sequence[int]) -> list[ScenePose]:
        """Host: the poses of the given worlds in the scene of `Task.scene`."""

    def contacts_per_world(self) -> float | None:
        """Host: mean number of contacts in the last physics step; None without contacts."""
        return None
