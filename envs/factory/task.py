"""What tasks of articulated worlds share: one MjSpec becomes N worlds and a scene."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import mujoco
import warp as wp

from proveout.envs.core.errors import ModelError, ProveoutError
from proveout.envs.core.presets import ppo_preset
from proveout.envs.core.task import Task
from proveout.envs.factory import places
from proveout.envs.factory.arm import Arm, make_arm
from proveout.envs.factory.c_engine import CEngine
from proveout.envs.factory.engine import ArticulatedEngine, Capacities
from proveout.envs.factory.warp_engine import WarpEngine

if TYPE_CHECKING:
    from proveout.envs.core.simulation import Simulation

# A task overrides what does not fit it.
_PPO = ppo_preset(
    num_envs=512, total_timesteps=1_200_000, batch_size=2048, n_epochs=5, log_std_init=-0.5
)
# For tasks that handle parts, of which a training begins as a clone of the expert.
HANDLING = {
    "ppo": ppo_preset(
        num_envs=256, total_timesteps=2_000_000, batch_size=2048, n_epochs=5, log_std_init=-1.0,
        n_steps=32, net_arch=(256, 256), normalize_observations=True,
    )
}  # fmt: skip


class ArticulatedTask(Task):
    """A task whose worlds are a MuJoCo model, stepped by MuJoCo Warp or, with the same hooks, by
    MuJoCo C.

    `capacities` are the room that MuJoCo Warp needs, measured once with `proveout capacities ENV`
    and stored here.
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"ppo": _PPO}
    capacities: Capacities
    engines = ("warp", "c")
    warp_engine: ClassVar[type[WarpEngine]] = WarpEngine
    # Field of the state struct -> name in the model, where they differ; see `factory.places`.
    places: ClassVar[Mapping[str, str]] = {}
    # Fields of the model that its functions write at a reset, such as "joint_friction".
    writes: ClassVar[tuple[str, ...]] = ()
    # Site at the end of a chain of hinges; None for a model that is no arm.
    tool: ClassVar[str | None] = None

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

    def constraint_rows(self) -> int:
        """Rows of one world without contacts at most: limits, dry friction and equalities."""
        model = self.model()
        # Six rows for a weld, three for a connection, one for the coupling of two joints.
        rows = {mujoco.mjtEq.mjEQ_WELD: 6, mujoco.mjtEq.mjEQ_CONNECT: 3}
        equalities = sum(rows.get(mujoco.mjtEq(int(kind)), 1) for kind in model.eq_type)
        limits = model.jnt_limited.sum() + model.tendon_limited.sum()
        written = "joint_friction" in (*self.writes, *self.randomizations_of_engine())
        dry = model.nv if written else (model.dof_frictionloss > 0.0).sum()
        friction = dry + (model.tendon_frictionloss > 0.0).sum()
        return int(limits + friction) + equalities

    def make_engine(self, num_worlds: int, device: wp.Device) -> ArticulatedEngine:
        """N worlds, with room for the randomised fields."""
        fields = (self.randomizations_of_engine(), self.writes)
        if self.physics == "c":
            return CEngine(self.model(), num_worlds, device, *fields)
        if not hasattr(self, "capacities"):
            raise ModelError(
                f"{type(self).__name__} has no capacities: start with Capacities(contacts=32, "
                "constraints=128) and let `proveout capacities` measure them"
            )
        return self.warp_engine(self.model(), num_worlds, self.capacities, device, *fields)

    def engine_struct(self, sim: Simulation) -> Arm:
        """The arm, with the tool at the site `tool`."""
        engine: Any = sim.engine
        return make_arm(engine.host_model, engine.model, engine.data, self.tool, sim.device)

    def place(self, sim: Simulation, name: str, kind: Any) -> Any:
        """A part of the model by its name; see `proveout.envs.factory.places`."""
        if not places.is_place(kind):
            return super().place(sim, name, kind)
        engine: Any = sim.engine
        try:
            return places.find(engine.host_model, kind, self.places.get(name, name))
        except ProveoutError as error:
            raise type(error)(f"{self.id}: state field {name!r}: {error}") from error

    def scene(self) -> Any:
        """The model with everything that is drawn."""
        return self.model(visual=True)
