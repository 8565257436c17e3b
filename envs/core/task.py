"""What a task is: a frozen config with a unit on every field, named rewards, KPIs, and kernels."""

from __future__ import annotations

import copy
import dataclasses
import functools
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import warp as wp

from proveout.assets.files.layout import Layout
from proveout.envs.core.coerce import INT32_MAX, coerce_fields, from_mapping
from proveout.envs.core.errors import ConfigError, unknown
from proveout.envs.core.numbers import Numbers
from proveout.envs.core.randomize import CONTROL_LATENCY, OBSERVATION_NOISE, Randomization

if TYPE_CHECKING:
    from proveout.envs.core.engine import Engine
    from proveout.envs.core.scene_pose import ScenePose
    from proveout.envs.core.simulation import Simulation

MAX_DECIMATION = 1000
# Engines by their names in `--physics`, in words: kernels of ours or of MuJoCo Warp in float32, on
# CPU and CUDA; or MuJoCo's own C library in float64, on the CPU.
PHYSICS = {"warp": "Warp", "c": "MuJoCo C"}
# What a task is asked in a control step.
HOOKS = ("control", "evaluate", "reset", "observe")


def quantity(
    default: Any,
    unit: str,
    text: str,
    *,
    above: float | None = None,
    low: float | None = None,
    high: float | None = None,
    structural: bool = False,
) -> Any:
    """A config field with a unit, a line of help and a range.

    Args:
        default: The default value.
        unit: SI unit, "1" for a pure number.
        text: What the field means; shown by `--help`.
        above: The value must be greater than this.
        low: Smallest value allowed.
        high: Largest value allowed.
        structural: The number shapes arrays, or the model; it is the same in all worlds.

    Raises:
        ConfigError: Unit or text is no text, as when arguments are swapped.
    """
    if not (isinstance(unit, str) and isinstance(text, str)):
        raise ConfigError(
            "quantity(default, unit, text): unit and text are strings, got "
            f"quantity({default!r}, {unit!r}, {text!r})"
        )
    bounds = {"above": above, "low": low, "high": high, "structural": structural or None}
    metadata = {"unit": unit, "help": text, **{k: v for k, v in bounds.items() if v is not None}}
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class RewardWeights:
    """Weights of the reward terms; the field names of a subclass are the terms' names."""

    def __post_init__(self) -> None:
        coerce_fields(self)


@dataclass(frozen=True, kw_only=True)
class RandomizationConfig:
    """Domain randomisation; every other field of a subclass is one `Randomization`."""

    level: Literal["off", "mild", "strong"] = dataclasses.field(
        default="mild",
        metadata={"help": "how wide the ranges are; one that you give yourself stays"},
    )

    def __post_init__(self) -> None:
        coerce_fields(self)

    @property
    def ranges(self) -> dict[str, Randomization]:
        """What is drawn at this level, by name.

        At the level "strong" a randomisation has its range `strong`, if it has one and its own is
        the default; at "off" all are switched off.
        """
        found = {}
        for field in dataclasses.fields(self):
            r = getattr(self, field.name)
            if not isinstance(r, Randomization):
                continue
            if self.level == "off":
                r = dataclasses.replace(r, enabled=False)
            elif self.level == "strong" and r.strong and r == field.default:
                r = dataclasses.replace(r, low=r.strong[0], high=r.strong[1])
            found[field.name] = r
        return found


@dataclass(frozen=True, kw_only=True)
class TaskConfig:
    """What every task can be configured with. Subclasses add fields with `quantity`."""

    control_dt: float = quantity(0.05, "s", "time between two actions")
    decimation: int = quantity(5, "1", "physics steps in one control step")
    episode_seconds: float = quantity(5.0, "s", "time after which an episode is truncated")
    reward_weights: RewardWeights = dataclasses.field(default_factory=RewardWeights)
    randomization: RandomizationConfig = dataclasses.field(default_factory=RandomizationConfig)

    def __post_init__(self) -> None:
        coerce_fields(self)
        for name in ("control_dt", "episode_seconds"):
            value = getattr(self, name)
            if not value > 0.0:
                raise ConfigError(f"{name} must be a positive time in seconds, got {value}")
        if not 1 <= self.decimation <= MAX_DECIMATION:
            raise ConfigError(
                f"decimation must be from 1 to {MAX_DECIMATION}, as every physics step of a "
                f"control step is recorded, got {self.decimation}"
            )
        # One less than the clock can hold: it counts one step on before it is compared.
        steps = self.episode_seconds / self.control_dt
        if not steps < INT32_MAX:
            raise ConfigError(
                f"episode_seconds {self.episode_seconds:g} with control_dt {self.control_dt:g} "
                f"make {steps:.3g} control steps; fewer than {INT32_MAX} can be counted"
            )

    def check(self, holds: bool, message: str) -> None:
        """Raise `ConfigError` with the class's name and a message unless it holds."""
        if not holds:
            raise ConfigError(f"{type(self).__name__}: {message}")

    @property
    def physics_dt(self) -> float:
        """Physics time step [s]."""
        return self.control_dt / self.decimation

    @property
    def max_episode_steps(self) -> int:
        """Control steps in a full episode."""
        return max(1, round(self.episode_seconds / self.control_dt))

    def to_dict(self) -> dict[str, Any]:
        """The config as plain nested data."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TaskConfig:
        """Rebuild a config from `to_dict`; unknown keys raise `UnknownNameError`."""
        config: TaskConfig = from_mapping(cls(), data)
        return config


@dataclass(frozen=True)
class Kpi:
    """A key performance indicator, written every control step and reduced over the episode.

    Attributes:
        name: Its name in the episode statistics.
        unit: SI unit.
        reduce: How the steps of an episode become one number.
        description: What it means.
    """

    name: str
    unit: str
    reduce: Literal["mean", "last", "min", "max", "sum"]
    description: str

    def __post_init__(self) -> None:
        known = ("mean", "last", "min", "max", "sum")
        if self.reduce not in known:
            raise ConfigError(
                f"KPI {self.name!r}: reduce is one of {', '.join(known)}, got {self.reduce!r}"
            )


def predicate(name: str, description: str, when: Literal["ever", "end"] = "ever") -> Kpi:
    """A named question about an episode, such as `grasped`, logged as a KPI.

    The task writes 1 or 0 in every step, as for any KPI; its mean over episodes is the share of
    those in which it held.

    Args:
        name: Its name in the episode statistics.
        description: What it means.
        when: Whether it has to hold at any time, or at the end.

    Raises:
        ConfigError: Another `when`.
    """
    if when not in ("ever", "end"):
        raise ConfigError(f"predicate {name!r}: when is 'ever' or 'end', got {when!r}")
    return Kpi(name, "1", "max" if when == "ever" else "last", description)


class Task(ABC):
    """One task: what the worlds contain, what is observed, commanded and rewarded.

    A task is built once for a process. Its `control`, `evaluate`, `reset` and `observe` are each
    one of two things:

    - a function of one world, `@wp.func def control(w, step, engine, c, s)`; `observe` has `obs`
      besides. `step` is a `hooks.Step`, the engine's struct comes from `engine`, `c` holds the
      numbers of the config, and `s` is a struct of the class `state_class`, which the core
      allocates, saves, and zeroes when an episode begins. The core launches it for every world, or
      for those that are reset.
    - a method that launches kernels of the task's own, as described at each one below. Launches are
      recorded once in a graph and replayed, so that no value may be read on the host in them.
    """

    id: ClassVar[str] = ""
    config_class: ClassVar[type[TaskConfig]] = TaskConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    kpis: ClassVar[tuple[Kpi, ...]] = ()
    # What is observed and commanded, by name; a layout that depends on the config comes from
    # `make_layout` and `make_action_layout` instead.
    observation: ClassVar[Layout | None] = None
    action: ClassVar[Layout | None] = None
    # Struct of per-world arrays that functions of one world keep from step to step.
    state_class: ClassVar[Any] = None
    # Its fields in which NaN or infinity has a meaning; in others a saved state must not hold any.
    undefined: ClassVar[tuple[str, ...]] = ()
    num_agents: int = 1
    # What can step its worlds: keys of `PHYSICS`, the default first.
    engines: ClassVar[tuple[str, ...]] = ("warp",)
    # What steps them; see `with_physics`.
    physics: str = "warp"

    def __init__(self, config: TaskConfig | None = None) -> None:
        self.config: Any = self.config_class() if config is None else config
        if not isinstance(self.config, self.config_class):
            raise ConfigError(
                f"{self.id} takes a {self.config_class.__name__}, "
                f"got a {type(self.config).__name__}"
            )
        # Again, for a subclass whose own `__post_init__` does not call this one.
        TaskConfig.__post_init__(self.config)
        self.layout: Layout = self.make_layout()
        self.action_layout: Layout = self.make_action_layout()

    def with_physics(self, physics: str) -> Self:
        """The same task, whose worlds another engine steps.

        Args:
            physics: A key of `PHYSICS`.

        Raises:
            UnknownNameError: There is no such engine.
            ConfigError: It is none for this task.
        """
        if physics not in PHYSICS:
            raise unknown("physics", physics, PHYSICS)
        if physics not in self.engines:
            raise ConfigError(
                f"{self.id or type(self).__name__} cannot run with physics {physics!r}: its "
                f"worlds are stepped by {' or '.join(map(repr, self.engines))} alone"
            )
        if physics == self.physics:
            return self
        twin = copy.copy(self)
        twin.physics = physics
        return twin

    @property
    def reward_terms(self) -> tuple[str, ...]:
        """Names of the reward terms, in the order of `reward_terms[world, term]`."""
        return tuple(field.name for field in dataclasses.fields(self.config.reward_weights))

    @property
    def randomizations(self) -> tuple[tuple[str, Randomization], ...]:
        """The named randomisations that are switched on."""
        ranges = self.config.randomization.ranges
        return tuple((name, value) for name, value in ranges.items() if value.active)

    def randomizations_of_engine(self) -> tuple[str, ...]:
        """Fields of the engine that are randomised: no config, no noise, no latency."""
        fields = {r.field for _, r in self.randomizations if r.number is None}
        return tuple(sorted(fields - {OBSERVATION_NOISE, CONTROL_LATENCY}))

    @property
    def max_episode_steps(self) -> int:
        """Control steps in a full episode."""
        return self.config.max_episode_steps

    @functools.cached_property
    def functions(self) -> Mapping[str, Any]:
        """The hooks that are functions of one world, by name."""
        hooks = {name: getattr(type(self), name) for name in HOOKS}
        return {name: hook for name, hook in hooks.items() if isinstance(hook, wp.Function)}

    @functools.cached_property
    def numbers(self) -> Numbers:
        """Numbers of the config that can differ from world to world."""
        return Numbers(self)

    @property
    def statistics(self) -> tuple[tuple[str, str], ...]:
        """(name, unit) of every episode statistic, in the order of their columns."""
        return (
            ("return", "1"),
            ("length", "steps"),
            ("success", "1"),
            *((f"reward/{term}", "1/step") for term in self.reward_terms),
            *((kpi.name, kpi.unit) for kpi in self.kpis),
            *((f"randomization/{name}", r.unit) for name, r in self.randomizations),
        )

    def make_layout(self) -> Layout:
        """The observation by name."""
        return self._declared("observation", self.observation)

    def make_action_layout(self) -> Layout:
        """The action by name, with finite bounds."""
        return self._declared("action", self.action)

    def _declared(self, name: str, layout: Layout | None) -> Layout:
        if layout is None:
            raise ConfigError(
                f"{self.id or type(self).__name__} has no `{name}`: give the class a layout"
            )
        return layout

    @abstractmethod
    def make_engine(self, num_worlds: int, device: wp.Device) -> Engine:
        """The engine's worlds of this task."""

    def build(self, sim: Simulation) -> None:  # noqa: B027
        """Allocate the task's own arrays with `sim.array` and keep what its kernels need."""

    def state_columns(self) -> Mapping[str, int]:
        """Sizes of the second dimension of the fields of `state_class` that have one; they may
        depend on the config."""
        return {}

    def place(self, sim: Simulation, name: str, kind: Any) -> Any:
        """The value of a struct in `state_class` that is the same in all worlds.

        Args:
            sim: The simulation.
            name: Of the field.
            kind: The struct.

        Raises:
            ConfigError, UnknownNameError: There is no such thing in the engine.
        """
        raise ConfigError(
            f"{self.id or type(self).__name__}: field {name!r} of its state is a {kind.key}, which "
            "nobody fills"
        )

    def engine_struct(self, sim: Simulation) -> Any:
        """The engine's struct for functions of one world."""
        raise ConfigError(f"{self.id or type(self).__name__}: its engine has no struct for kernels")

    @abstractmethod
    def control(self, sim: Simulation) -> None:
        """Launch: `sim.action` (clipped, finite) to `sim.command`."""

    @abstractmethod
    def evaluate(self, sim: Simulation) -> None:
        """Launch: write `sim.reward_terms`, `sim.success`, `sim.terminated` and `sim.kpi`."""

    @abstractmethod
    def reset(self, sim: Simulation, mask: wp.array) -> None:
        """Launch: a new episode, and its first command, for the worlds in the mask."""

    @abstractmethod
    def observe(self, sim: Simulation, mask: wp.array, observation: wp.array) -> None:
        """Launch: write the rows of the worlds in the mask; the other rows stay as they are."""

    @abstractmethod
    def scene(self) -> Any:
        """Host: the `mujoco.MjModel` that a renderer draws, with a camera named "view"."""

    def scene_pose(self, sim: Simulation, worlds: Sequence[int]) -> list[ScenePose]:
        """Host: poses of the given worlds in `scene`; overridden to move markers of the task."""
        return sim.engine.scene_pose(worlds)

    @classmethod
    def expert(cls, config: TaskConfig) -> Any | None:
        """A scripted policy with `predict(observations) -> actions`, or None."""
        return None
