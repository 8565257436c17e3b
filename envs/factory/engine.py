"""Articulated worlds: N copies of one MuJoCo model, whatever steps them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import mujoco
import numpy as np
import warp as wp

from proveout.envs.core.coerce import whole_number
from proveout.envs.core.engine import Engine
from proveout.envs.core.errors import ModelError, unknown
from proveout.envs.core.invalid import Invalid
from proveout.envs.core.parameter_columns import ParameterColumns, matching
from proveout.envs.core.scene_pose import ScenePose
from proveout.envs.factory import articulated_kernels as kernels
from proveout.envs.factory.refresh import frames, refresh_kinematics


@dataclass(frozen=True, kw_only=True)
class Capacities:
    """How much room a task's worlds need; measured by `measure_capacities`, checked at run time.

    Attributes:
        contacts: Contacts of a world on average; the arena is shared by all worlds.
        constraints: Constraint rows of one world at most.

    Raises:
        ConfigError: A number that is not whole, or below zero.
    """

    contacts: int
    constraints: int

    def __post_init__(self) -> None:
        for name in ("contacts", "constraints"):
            number = whole_number(f"capacities: {name}", getattr(self, name), low=0)
            object.__setattr__(self, name, number)


@dataclass(frozen=True)
class _Field:
    """A randomised field: the model arrays it changes and what its names are."""

    arrays: tuple[str, ...]
    kind: Any  # mujoco.mjtObj of the names
    components: tuple[tuple[int, ...], ...]  # for each array
    positive: bool = False  # zero is no value of it


_FIELDS = {
    # A body's inertia scales with its mass: the shape stays, the density changes.
    "body_mass": _Field(
        ("body_mass", "body_inertia"), mujoco.mjtObj.mjOBJ_BODY, ((0,), (0, 1, 2)), positive=True
    ),
    # Dry friction: the largest force or torque that holds a joint that does not move.
    "joint_friction": _Field(("dof_frictionloss",), mujoco.mjtObj.mjOBJ_JOINT, ((0,),)),
    "joint_damping": _Field(("dof_damping",), mujoco.mjtObj.mjOBJ_JOINT, ((0,),)),
    "geom_friction": _Field(("geom_friction",), mujoco.mjtObj.mjOBJ_GEOM, ((0,),)),
    # Linear and angular velocity of a surface, as of a belt: none that the model has none of.
    "surface_velocity": _Field(
        ("geom_surfacevel",), mujoco.mjtObj.mjOBJ_GEOM, ((0, 1, 2, 3, 4, 5),)
    ),
    # The shape stays: all sizes, and the bounds of the broad phase, keep their proportions.
    "geom_size": _Field(
        ("geom_size", "geom_rbound", "geom_aabb"),
        mujoco.mjtObj.mjOBJ_GEOM,
        ((0, 1, 2), (0,), (0, 1, 2, 3, 4, 5)),
        positive=True,
    ),
    # kp of a position servo is in the gain and, negative, in the bias; kv only in the bias.
    "actuator_gain": _Field(
        ("actuator_gainprm", "actuator_biasprm"), mujoco.mjtObj.mjOBJ_ACTUATOR, ((0,), (1, 2))
    ),
}


class ArticulatedEngine(Engine):
    """N worlds of one compiled model, in the arrays of MuJoCo Warp; subclasses step them.

    Args:
        model: The compiled model; its time step is the physics step.
        num_worlds: Worlds.
        capacities: Room for contacts and constraints in the arrays.
        device: Where they run.
        randomized: Fields that are set per world (see `parameter_fields`); they must be known
            before the graph is recorded, since their arrays are allocated per world.
        written: Fields that the task's functions write at a reset, likewise.

    Attributes:
        host_model: The compiled model.
        model, data: MuJoCo Warp's, whose arrays the kernels of a task read and write.
        has_contacts: Whether anything can touch.

    Raises:
        ModelError: MuJoCo Warp cannot run the model.
    """

    kernel_modules: ClassVar[tuple[str, ...]] = (
        "proveout.envs.factory.articulated_kernels",
        "proveout.envs.factory.refresh",
    )

    def __init__(
        self,
        model: Any,
        num_worlds: int,
        capacities: Capacities,
        device: wp.Device,
        randomized: Sequence[str] = (),
        written: Sequence[str] = (),
    ) -> None:
        import mujoco_warp

        self.num_worlds = num_worlds
        self.device = device
        self.host_model = model
        batched: dict[str, int] = {}
        for name in (*randomized, *written):
            if name not in _FIELDS:
                raise unknown("field of articulated worlds", name, self.parameter_fields())
            if name in randomized and name in written:
                raise ModelError(f"{name} is written by the task, so it cannot be randomised")
            batched.update(dict.fromkeys(_FIELDS[name].arrays, num_worlds))
        if "geom_size" in batched:
            batched["body_inertia"] = num_worlds
        if "body_mass" in batched:
            batched["body_subtreemass"] = num_worlds
        try:
            with wp.ScopedDevice(device):
                self.model = mujoco_warp.put_model(model, batch_sizes=batched)
                self.data = mujoco_warp.make_data(
                    model,
                    nworld=num_worlds,
                    naconmax=max(1, capacities.contacts) * num_worlds,
                    njmax=max(1, capacities.constraints),
                )
        except (NotImplementedError, ValueError) as error:
            raise ModelError(f"MuJoCo Warp cannot run this model: {error}") from error
        self._batched = batched
        self._written = {
            array: getattr(self.model, array) for name in written for array in _FIELDS[name].arrays
        }
        self._frames = frames(self.model, self.data)
        self._reason = wp.zeros(num_worlds, dtype=int, device=device)
        self._qpos0 = wp.array(model.qpos0.astype(np.float32), dtype=float, device=device)
        # Of `data.overflow`: a full constraint list, and others.
        self._overflow_bits = (0, 0)
        self._nominal = kernels.nominal_bodies(model, device)
        disabled = model.opt.disableflags & (
            mujoco.mjtDisableBit.mjDSBL_CONTACT | mujoco.mjtDisableBit.mjDSBL_CONSTRAINT
        )
        self.has_contacts = not disabled and self.model.nxn_geom_pair_filtered.size > 0

    def state(self) -> dict[str, wp.array]:
        """Integration state and warm start; what a step computes anew is left out."""
        d = self.data
        names = (
            "time", "qpos", "qvel", "act", "ctrl", "qacc_warmstart", "qfrc_applied",
            "xfrc_applied", "mocap_pos", "mocap_quat",
        )  # fmt: skip
        arrays = {name: getattr(d, name) for name in names}
        held = {name: array for name, array in arrays.items() if array.size > 0}
        return {**held, **{f"model/{name}": array for name, array in self._written.items()}}

    @property
    def command_names(self) -> tuple[str, ...]:
        """The model's actuators."""
        actuator = mujoco.mjtObj.mjOBJ_ACTUATOR
        names = (mujoco.mj_id2name(self.host_model, actuator, i) for i in range(self.host_model.nu))
        return tuple(name or f"actuator {i}" for i, name in enumerate(names))

    def refresh(self, mask: wp.array) -> None:
        """Poses of bodies, joints, geoms and sites from qpos."""
        refresh_kinematics(self._frames, mask)

    def guard(self, invalid_reason: wp.array) -> None:
        """Overflows and warnings of this control step, and non-finite states."""
        # The bits of an overflow stay set until they are cleared: once a control step is enough.
        kernels.guard(
            self.data, self._overflow_bits, Invalid.NON_FINITE_STATE, Invalid.CONSTRAINT_OVERFLOW,
            Invalid.ENGINE_OVERFLOW, self._reason, invalid_reason,
        )  # fmt: skip

    def reset(self, mask: wp.array) -> None:
        """qpos0, everything else zero; the engine's own reset would also clear other worlds."""
        kernels.reset_state(self.data, self._qpos0, self._reason, mask)

    def parameter_fields(self) -> tuple[str, ...]:
        """Fields that can be set per world."""
        return tuple(_FIELDS)

    def parameter(self, field: str, target: str) -> list[ParameterColumns]:
        """See `Engine.parameter`; `target` is matched against whole names."""
        if field not in _FIELDS:
            raise unknown("randomisation field", field, self.parameter_fields())
        spec = _FIELDS[field]
        elements = self._matching(spec.kind, target)
        first = _float_view(getattr(self.model, spec.arrays[0])).numpy()[0, :, 0]
        columns = []
        for name, components in zip(spec.arrays, spec.components, strict=True):
            array = getattr(self.model, name)
            view = _float_view(array)
            width = view.shape[2]
            pairs = [(e, c) for e in elements for c in components if c < width]
            flat = view.numpy()[0]
            # Everything but the quantity itself follows it in proportion.
            itself = name == spec.arrays[0]
            columns.append(
                ParameterColumns(
                    array=view,
                    element=np.array([e for e, _ in pairs], dtype=np.int32),
                    component=np.array([c for _, c in pairs], dtype=np.int32),
                    nominal=np.array([flat[e, c] for e, c in pairs], dtype=np.float32),
                    reference=(
                        None if itself else np.array([first[e] for e, _ in pairs], np.float32)
                    ),
                    positive=spec.positive,
                )
            )
        return columns

    def _matching(self, kind: Any, target: str) -> list[int]:
        m = self.host_model
        counts = {
            mujoco.mjtObj.mjOBJ_BODY: m.nbody,
            mujoco.mjtObj.mjOBJ_JOINT: m.njnt,
            mujoco.mjtObj.mjOBJ_GEOM: m.ngeom,
            mujoco.mjtObj.mjOBJ_ACTUATOR: m.nu,
        }
        names = [mujoco.mj_id2name(m, kind, i) or "" for i in range(counts[kind])]
        # The world, body 0, has neither mass nor inertia.
        first = 1 if kind == mujoco.mjtObj.mjOBJ_BODY else 0
        found = [first + i for i in matching(target, names[first:])]
        if kind == mujoco.mjtObj.mjOBJ_JOINT:
            found = [dof for joint in found for dof in range(m.nv) if m.dof_jntid[dof] == joint]
        return found

    def after_randomize(self, mask: wp.array) -> None:
        """Subtree masses, and inertias of resized bodies. The constraint regularisation
        (invweight0) keeps its nominal value: MuJoCo uses it as a scale, no physical constant."""
        if "body_mass" in self._batched:
            kernels.subtree_mass(self.model, mask)
        if "geom_size" in self._batched:
            kernels.size_inertia(self.model, self._nominal, mask)

    def scene_pose(self, worlds: Sequence[int]) -> list[ScenePose]:
        """The state itself: scene and simulation have the same joints and mocap bodies."""
        qpos = self.data.qpos.numpy()
        mocap_pos, mocap_quat = self.data.mocap_pos.numpy(), self.data.mocap_quat.numpy()
        return [
            ScenePose(qpos[w].copy(), mocap_pos[w].copy(), mocap_quat[w].copy()) for w in worlds
        ]


def _float_view(array: wp.array) -> wp.array:
    """A float32 view (worlds, elements, components) of an array of scalars or vectors, of two or
    more dimensions."""
    worlds, elements = array.shape[:2]
    width = int(np.prod(array.shape[2:])) * wp.types.type_size(array.dtype)
    view = wp.array(
        ptr=array.ptr,
        dtype=wp.float32,
        shape=(worlds, elements, width),
        device=array.device,
        copy=False,
    )
    view._owner = array  # keeps the memory alive
    return view
