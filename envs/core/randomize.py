"""Domain randomisation: declared in a task's config, drawn in the reset kernel, reported."""

from __future__ import annotations

import math
from dataclasses import MISSING, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import warp as wp

from proveout.envs.core.coerce import coerce_fields
from proveout.envs.core.errors import ConfigError
from proveout.envs.core.finite import is_finite
from proveout.envs.core.rng import normal, random_key, uniform

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proveout.envs.core.parameter_columns import ParameterColumns

wp.set_module_options({"enable_backward": False})

OBSERVATION_NOISE = "observation_noise"
CONTROL_LATENCY = "control_latency"
CONFIG = "config."

_LONGEST_DELAY = 1001  # commands

OPERATIONS = {"scale": 0, "add": 1, "set": 2}
_DISTRIBUTIONS = {"uniform": 0, "loguniform": 1, "normal": 2}


def _hidden(default: Any = MISSING) -> Any:
    """A field whose flag works, and which `--help` leaves out: a task has many randomisations."""
    return field(default=default, metadata={"hidden": True})


def _shown(default: float, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True, kw_only=True)
class Randomization:
    """One number drawn anew for every world and episode.

    Attributes:
        field: What is changed: a field of the engine (`body_mass`, `joint_damping`,
            `geom_friction`, `geom_size`, `actuator_gain` of articulated worlds;
            `driver_time_headway`, `vehicle_wheelbase`, `friction` and more of road worlds), a
            number of the task's config that can differ from world to world (`config.gap`,
            `config.reward_weights.reached`), `control_latency` [s], or `observation_noise`
            (standard deviation of white noise on observation entries, in the entry's unit).
        target: Regular expression on the names that are changed (bodies, joints, geoms,
            actuators, agents, observation entries); all of them share the drawn number.
        operation: The drawn number multiplies, is added to, or replaces the model's own value, or
            that of the config; whole numbers of a config are rounded.
        distribution: `normal` is centred on the middle of the range with a standard deviation of
            a quarter of its width, and clipped to the range.
        low: Lower end of the range.
        high: Upper end of the range.
        strong: Lower and upper end at the level "strong" of a task's randomisation; empty: the
            same as ever.
        unit: Unit of the drawn number.
        enabled: False switches it off.

    A range that changes nothing (1 to 1 for `scale`, 0 to 0 otherwise) switches it off.
    """

    field: str = _hidden()
    target: str = _hidden(".*")
    operation: Literal["scale", "add", "set"] = _hidden("scale")
    distribution: Literal["uniform", "loguniform", "normal"] = _hidden("uniform")
    low: float = _shown(1.0, "lower end of the range")
    high: float = _shown(1.0, "upper end of the range")
    strong: tuple[float, ...] = _hidden(())
    unit: str = _hidden("1")
    enabled: bool = _hidden(True)

    def __post_init__(self) -> None:
        coerce_fields(self)
        if len(self.strong) not in (0, 2):
            raise ConfigError(
                f"randomisation of {self.field}: strong has a lower and an upper end, got "
                f"{list(self.strong)}"
            )
        for low, high in ((self.low, self.high), self.strong or (self.low, self.high)):
            if low > high:
                raise ConfigError(
                    f"randomisation of {self.field}: low <= high expected, got {low} and {high}"
                )
            if self.distribution == "loguniform" and low <= 0.0:
                raise ConfigError(
                    f"randomisation of {self.field}: loguniform needs low > 0, got {low}"
                )
            if self.field in (OBSERVATION_NOISE, CONTROL_LATENCY) and (
                low < 0.0 or self.operation != "set"
            ):
                raise ConfigError(
                    f"randomisation of {self.field}: needs operation 'set' and low >= 0, got "
                    f"{self.operation!r} and {low}"
                )

    @property
    def number(self) -> str | None:
        """The number of the config that is randomised, None for any other field."""
        return self.field.removeprefix(CONFIG) if self.field.startswith(CONFIG) else None

    def check_limits(
        self, told: str, columns: Sequence[ParameterColumns], ends: tuple[float, float]
    ) -> None:
        """Refuse values that are none of the quantity's, such as a negative mass.

        Args:
            told: What asks for the values, for the message.
            columns: Where they go.
            ends: Smallest and largest value.

        Raises:
            ConfigError: The model's value and the changed one are of opposite sign, or a quantity
                that must stay positive becomes zero; or something is taken away from a quantity
                that is known only after a reset.
        """
        for place in columns:
            if place.reference is not None:
                continue  # follows the quantity itself
            if place.at_reset and self.operation == "add" and ends[0] < 0.0:
                raise ConfigError(
                    f"{told}: add {ends[0]:g} may turn the sign of {self.field}, which the task "
                    "writes itself; use scale or set"
                )
            nominal = place.nominal
            for end in ends:
                with np.errstate(over="ignore"):
                    changed = {
                        "scale": nominal * np.float32(end),
                        "add": nominal + np.float32(end),
                        "set": np.full_like(nominal, end),
                    }[self.operation]
                bad = (nominal * changed < 0.0) | ((nominal == 0.0) & (changed < 0.0))
                if place.positive:
                    bad |= (nominal > 0.0) & ~(changed > 0.0)
                if bad.any():
                    i = int(np.flatnonzero(bad)[0])
                    why = "turns the sign of" if changed[i] else "leaves nothing of"
                    raise ConfigError(
                        f"{told}: {self.operation} {end:g} {why} {self.field}, "
                        f"{nominal[i]:g} becomes {changed[i]:g}"
                    )

    @property
    def active(self) -> bool:
        """Whether it changes anything."""
        if not self.enabled:
            return False
        neutral = 1.0 if self.operation == "scale" else 0.0
        if self.operation == "set" and self.field not in (OBSERVATION_NOISE, CONTROL_LATENCY):
            return True
        return not (self.low == neutral and self.high == neutral)


@wp.kernel
def _draw_kernel(
    # In:
    mask_in: wp.array[wp.bool],
    seed_in: wp.array[wp.uint64],
    world_id_in: wp.array[int],
    episode_in: wp.array[int],
    override_in: wp.array2d[float],
    column: int,
    stream: int,
    distribution: int,
    low: float,
    high: float,
    # Out:
    value_out: wp.array2d[float],
):
    worldid = wp.tid()
    if not mask_in[worldid]:
        return
    value = override_in[worldid, column]
    if not is_finite(value):
        key = random_key(seed_in[worldid], world_id_in[worldid], episode_in[worldid], stream)
        if distribution == 0:
            value = uniform(key, column, low, high)
        elif distribution == 1:
            value = wp.exp(uniform(key, column, wp.log(low), wp.log(high)))
        else:
            middle = 0.5 * (low + high)
            value = wp.clamp(middle + 0.25 * (high - low) * normal(key, column), low, high)
    value_out[worldid, column] = value


@wp.kernel
def _write_kernel(
    # In:
    mask_in: wp.array[wp.bool],
    value_in: wp.array2d[float],
    column: int,
    operation: int,
    element_in: wp.array[int],
    component_in: wp.array[int],
    nominal_in: wp.array[float],
    reference_in: wp.array[float],
    at_reset: bool,
    # Out:
    parameter_out: wp.array3d[float],
):
    worldid, entry = wp.tid()
    if not mask_in[worldid]:
        return
    value = value_in[worldid, column]
    nominal = nominal_in[entry]
    if at_reset:
        nominal = parameter_out[worldid, element_in[entry], component_in[entry]]
    result = nominal * value
    if operation != 0:
        base = nominal
        if reference_in:
            base = reference_in[entry]
        changed = value
        if operation == 1:
            changed = base + value
        result = changed
        if reference_in:
            # A quantity that is zero gives no proportion; what follows it keeps its value.
            result = nominal
            if base != 0.0:
                result = nominal * changed / base
    parameter_out[worldid, element_in[entry], component_in[entry]] = result


@dataclass(frozen=True)
class BoundRandomization:
    """A randomisation tied to the arrays that it changes.

    Args:
        randomization: What is declared.
        column: Its column in the arrays of drawn values and overrides.
        columns: Where the value goes; empty for noise and latency, which read it directly.
    """

    randomization: Randomization
    column: int
    columns: tuple[ParameterColumns, ...]
    device: wp.Device
    _indices: list[tuple[wp.array, wp.array, wp.array, wp.array | None]] = field(
        default_factory=list
    )

    def __post_init__(self) -> None:
        def upload(values: np.ndarray, dtype: type) -> wp.array:
            return wp.array(values, dtype=dtype, device=self.device)

        for place in self.columns:
            reference = place.reference
            self._indices.append(
                (
                    upload(place.element, int),
                    upload(place.component, int),
                    upload(place.nominal, float),
                    None if reference is None else upload(reference, float),
                )
            )

    def launch(
        self,
        mask: wp.array,
        seed: wp.array,
        world_id: wp.array,
        episode: wp.array,
        override: wp.array,
        value: wp.array,
        stream: int,
    ) -> None:
        """Draw a value for every world in the mask and write it where it belongs, but for what the
        task's `reset` may write: see `launch_after_reset`."""
        r = self.randomization
        num_worlds = mask.shape[0]
        wp.launch(
            _draw_kernel,
            dim=num_worlds,
            inputs=[
                mask, seed, world_id, episode, override, self.column, stream,
                _DISTRIBUTIONS[r.distribution], r.low, r.high,
            ],
            outputs=[value],
            device=self.device,
        )  # fmt: skip
        self._write(mask, value, at_reset=False)

    def launch_after_reset(self, mask: wp.array, value: wp.array) -> None:
        """Change what the task's `reset` has left by the values that `launch` has drawn."""
        self._write(mask, value, at_reset=True)

    def _write(self, mask: wp.array, value: wp.array, at_reset: bool) -> None:
        for place, indices in zip(self.columns, self._indices, strict=True):
            if place.at_reset == at_reset:
                wp.launch(
                    _write_kernel,
                    dim=(mask.shape[0], len(place.element)),
                    inputs=[
                        mask, value, self.column, OPERATIONS[self.randomization.operation],
                        *indices, at_reset,
                    ],
                    outputs=[place.array],
                    device=self.device,
                )  # fmt: skip


@wp.kernel
def _noise_kernel(
    # In:
    mask_in: wp.array[wp.bool],
    seed_in: wp.array[wp.uint64],
    world_id_in: wp.array[int],
    episode_in: wp.array[int],
    elapsed_in: wp.array[int],
    value_in: wp.array2d[float],
    column: int,
    stream: int,
    entry_in: wp.array[int],
    # Out:
    observation_out: wp.array2d[float],
):
    worldid, i = wp.tid()
    if not mask_in[worldid]:
        return
    entry = entry_in[i]
    key = random_key(
        seed_in[worldid], world_id_in[worldid], episode_in[worldid], stream + 256 * column
    )
    draw = elapsed_in[worldid] * observation_out.shape[1] + entry
    noise = value_in[worldid, column] * normal(key, draw)
    observation_out[worldid, entry] = observation_out[worldid, entry] + noise


def add_noise(
    mask: wp.array,
    seed: wp.array,
    world_id: wp.array,
    episode: wp.array,
    elapsed: wp.array,
    value: wp.array,
    column: int,
    stream: int,
    entries: wp.array,
    observation: wp.array,
) -> None:
    """White noise on observation entries; the same numbers however often a step is observed."""
    wp.launch(
        _noise_kernel,
        dim=(mask.shape[0], entries.shape[0]),
        inputs=[mask, seed, world_id, episode, elapsed, value, column, stream, entries],
        outputs=[observation],
        device=observation.device,
    )


@wp.kernel
def _push_kernel(
    # In:
    command_in: wp.array2d[float],
    # Out:
    history_out: wp.array3d[float],
):
    worldid, i = wp.tid()
    for back in range(history_out.shape[1] - 1):
        h = history_out.shape[1] - 1 - back
        history_out[worldid, h, i] = history_out[worldid, h - 1, i]
    history_out[worldid, 0, i] = command_in[worldid, i]


@wp.kernel
def _delay_kernel(
    # In:
    history_in: wp.array3d[float],
    value_in: wp.array2d[float],
    column: int,
    age: float,
    control_dt: float,
    # Out:
    applied_out: wp.array2d[float],
):
    worldid, i = wp.tid()
    waiting = (value_in[worldid, column] - age) / control_dt
    # The small number keeps a latency of exactly n steps from being rounded up to n + 1.
    h = wp.clamp(int(wp.ceil(waiting - 1.0e-4)), 0, history_in.shape[1] - 1)
    applied_out[worldid, i] = history_in[worldid, h, i]


@wp.kernel
def _fill_kernel(
    # In:
    mask_in: wp.array[wp.bool],
    command_in: wp.array2d[float],
    # Out:
    history_out: wp.array3d[float],
):
    worldid, i = wp.tid()
    if mask_in[worldid]:
        command = command_in[worldid, i]
        # In the first run it is the mark of a command that only `control` writes.
        if not is_finite(command):
            command = 0.0
        for h in range(history_out.shape[1]):
            history_out[worldid, h, i] = command


class CommandDelay:
    """Control latency: each physics step applies the command that is old enough.

    Args:
        num_worlds: Worlds.
        command_size: Numbers in a command.
        max_latency: Longest latency [s].
        control_dt: Time between two commands [s].
        column: Column of the drawn latencies.
        device: Where it runs.
    """

    def __init__(
        self,
        num_worlds: int,
        command_size: int,
        max_latency: float,
        control_dt: float,
        column: int,
        device: wp.Device,
    ) -> None:
        depth = math.ceil(max_latency / control_dt - 1e-6) + 1
        if depth > _LONGEST_DELAY:
            raise ConfigError(
                f"a latency of {max_latency:g} s is {depth - 1} control steps; at most "
                f"{_LONGEST_DELAY - 1} commands are remembered"
            )
        self.history = wp.zeros((num_worlds, depth, command_size), dtype=float, device=device)
        self.applied = wp.zeros((num_worlds, command_size), dtype=float, device=device)
        self._control_dt = control_dt
        self._column = column
        self._device = device

    def push(self, command: wp.array) -> None:
        """Launch: remember the command of this control step."""
        wp.launch(_push_kernel, dim=command.shape, inputs=[command], outputs=[self.history],
                  device=self._device)  # fmt: skip

    def select(self, value: wp.array, age: float) -> None:
        """Launch: the commands to apply `age` seconds after the latest one was given."""
        wp.launch(
            _delay_kernel,
            dim=self.applied.shape,
            inputs=[self.history, value, self._column, age, self._control_dt],
            outputs=[self.applied],
            device=self._device,
        )

    def fill(self, mask: wp.array, command: wp.array) -> None:
        """Launch: forget older commands of the worlds in the mask."""
        wp.launch(_fill_kernel, dim=command.shape, inputs=[mask, command], outputs=[self.history],
                  device=self._device)  # fmt: skip
