"""What an engine offers: worlds that take a command, step, and say when they are not valid."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import warp as wp

# Bits of `invalid_reason`: why a world's episode must not be used as a result.
NON_FINITE_STATE = 1
CONTACT_LOST = 2
CONSTRAINT_OVERFLOW = 4
ENGINE_OVERFLOW = 8
NON_FINITE_ACTION = 16
NON_FINITE_REWARD = 32

REASONS = {
    NON_FINITE_STATE: "non-finite state",
    CONTACT_LOST: "contact lost (arena full)",
    CONSTRAINT_OVERFLOW: "constraint list full",
    ENGINE_OVERFLOW: "another buffer of the engine overflowed",
    NON_FINITE_ACTION: "non-finite action",
    NON_FINITE_REWARD: "non-finite observation or reward",
}


def describe_reason(bits: int) -> str:
    """The bits of an invalid reason in words."""
    return ", ".join(text for bit, text in REASONS.items() if bits & bit) or "valid"


def count_reasons(bits: np.ndarray) -> dict[str, int]:
    """How often each reason occurs among `invalid_reason` values, by its words; the present ones.

    A world with two reasons counts under both.
    """
    counts = {text: int(((bits & bit) != 0).sum()) for bit, text in REASONS.items()}
    return {text: count for text, count in counts.items() if count}


@dataclass(frozen=True)
class ParameterColumns:
    """Where a randomised value goes: some components of one per-world array.

    Attributes:
        array: float32 view, shape (num_worlds, elements, components).
        element: Element index of each column, shape (columns,).
        component: Component index of each column, shape (columns,).
        nominal: The model's own value of each column, shape (columns,).
        reference: Model value of the quantity that each column is proportional to, as inertia is
            to mass, shape (columns,); None where the columns are the quantity itself.
        positive: Whether the quantity must stay above zero where the model's is, as a mass.
    """

    array: wp.array
    element: np.ndarray
    component: np.ndarray
    nominal: np.ndarray
    reference: np.ndarray | None = None
    positive: bool = False


@dataclass(frozen=True)
class ScenePose:
    """Where everything in one world's scene is, for a renderer.

    Attributes:
        qpos: Generalised positions of the scene's model, shape (nq,).
        mocap_pos: Mocap body positions [m], shape (nmocap, 3).
        mocap_quat: Mocap body orientations (w, x, y, z), shape (nmocap, 4).
    """

    qpos: np.ndarray
    mocap_pos: np.ndarray
    mocap_quat: np.ndarray


class Worlds(ABC):
    """N worlds of one engine on one device. Every method but the host ones only launches."""

    num_worlds: int
    device: wp.Device

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
        from proveout.envs.core.errors import unknown

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
