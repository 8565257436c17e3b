"""State of all agents of all worlds: structure of arrays, each (num_worlds, num_agents).

An array is declared here and nowhere else: what is allocated, saved with the state and blanked when
an episode begins follows from the declaration.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import warp as wp

wp.set_module_options({"enable_backward": False})


class AgentState:
    """What determines the future. Map frame, SI units; the reference point is the rear axle."""

    active: wp.array2d[wp.bool]  # takes part: moves, is seen, collides
    x: wp.array2d[float]  # [m]
    y: wp.array2d[float]  # [m]
    heading: wp.array2d[float]  # [rad]
    velocity: wp.array2d[float]  # [m/s]
    steering: wp.array2d[float]  # [rad]
    acceleration: wp.array2d[float]  # [m/s^2] in the last physics step
    lane: wp.array2d[int]
    s: wp.array2d[float]  # arc length along the lane [m]
    d: wp.array2d[float]  # lateral offset from the lane's centre line, left positive [m]


class AgentFlags:
    """What a control step has seen: latched by its physics steps, part of the saved state."""

    collided: wp.array2d[wp.bool]
    collided_with: wp.array2d[int]  # agent, -1 for none
    off_road: wp.array2d[wp.bool]


class AgentDerived:
    """What follows from the state."""

    centre_x: wp.array2d[float]  # geometric centre of the body [m]
    centre_y: wp.array2d[float]  # [m]
    cos_heading: wp.array2d[float]
    sin_heading: wp.array2d[float]
    cos_error: wp.array2d[float]  # of the heading minus that of the lane
    sin_error: wp.array2d[float]
    station: wp.array2d[float]  # of the rear axle along the road's reference line [m]
    stretch: wp.array2d[float]  # ds / dstation of the lane
    lateral: wp.array2d[float]  # of the body's centre from the reference line [m]
    reach: wp.array2d[float]  # half the lateral extent of the body [m]


@wp.struct
class AgentArrays(AgentState, AgentFlags, AgentDerived):
    """Arrays of all agents, for kernels."""

    # A Warp struct knows its own annotations only.
    __annotations__ = (
        AgentState.__annotations__ | AgentFlags.__annotations__ | AgentDerived.__annotations__
    )


@wp.struct
class Commands:
    """What agents that are driven from outside follow; zero when an episode begins."""

    acceleration: wp.array2d[float]  # [m/s^2]
    steering: wp.array2d[float]  # wanted angle [rad]


# What an array holds when an episode begins, where that is not zero.
_BLANK = {"collided_with": -1}
# Elements between two arrays of a block: at a distance that is a power of two, all of them would
# fall into the same few lines of a processor's cache.
_APART = 80


class AgentMemory:
    """Arrays of a struct as its fields declare them, blank.

    Args:
        struct: A `wp.struct` of arrays (num_worlds, num_agents) of bool, int or float.
        num_worlds: Worlds N.
        num_agents: Agents A of a world.
        device: Where they lie.
        derived: Fields that are no state: `blank` leaves them and `state` does not have them.

    Attributes:
        instance: The struct for kernels.
        state: Field -> array, (N, A), without the derived ones.
    """

    def __init__(
        self,
        struct: Any,
        num_worlds: int,
        num_agents: int,
        device: wp.Device,
        derived: Iterable[str] = (),
    ) -> None:
        self._device = device
        self._num_agents = num_agents
        self._stride = threads_of_a_world(num_agents, device)
        self.instance = struct()
        types: Mapping[str, Any] = {name: v.type.dtype for name, v in struct.vars.items()}
        shape = (num_worlds, num_agents)
        without = set(derived)
        self._kept: dict[Any, list[str]] = {}
        self._blocks: dict[Any, wp.array] = {}
        # One block for each size of an element, so that one launch blanks all of them.
        for kind in (int, wp.bool):
            names = [name for name in types if (types[name] is wp.bool) == (kind is wp.bool)]
            names.sort(key=without.__contains__)
            self._kept[kind] = [name for name in names if name not in without]
            block = wp.zeros(
                (max(1, len(names)), num_worlds * num_agents + _APART), dtype=kind, device=device
            )
            self._blocks[kind] = block
            for i, name in enumerate(names):
                array = wp.array(
                    ptr=block[i].ptr, dtype=types[name], shape=shape, device=device, copy=False
                )
                array._owner = block  # keeps the memory alive
                array.fill_(_BLANK.get(name, 0))
                setattr(self.instance, name, array)
        kept = [name for name in types if name not in without]
        self.state: dict[str, wp.array] = {name: getattr(self.instance, name) for name in kept}
        values = [_BLANK.get(name, 0) for name in self._kept[int]]
        self._blank = wp.array(np.array(values or [0], np.int32), dtype=int, device=device)

    def blank(self, mask: wp.array, begin: str | None = None) -> None:
        """Launch: everything of the worlds in the mask as when an episode begins.

        Args:
            mask: (N,) bool.
            begin: The first field that is blanked, in the order of their declaration; None for all.
        """
        kept = list(self.state)
        left = kept[: kept.index(begin)] if begin else []
        words, flags = (sum(name in left for name in self._kept[kind]) for kind in (int, wp.bool))
        wp.launch(
            _blank_kernel,
            dim=(mask.shape[0], self._stride),
            inputs=[
                mask, self._blank, words, len(self._kept[int]), flags,
                len(self._kept[wp.bool]), self._num_agents, self._stride,
            ],
            outputs=[self._blocks[int], self._blocks[wp.bool]],
            device=self._device,
        )  # fmt: skip


@wp.kernel
def _blank_kernel(
    # In:
    mask_in: wp.array[wp.bool],
    blank: wp.array[int],
    first_word: int,
    num_words: int,
    first_flag: int,
    num_flags: int,
    num_agents: int,
    stride: int,
    # Out:
    words_out: wp.array2d[int],
    flags_out: wp.array2d[wp.bool],
):
    worldid, first = wp.tid()
    if not mask_in[worldid]:
        return
    begin = worldid * num_agents
    for field in range(first_word, num_words):
        value = blank[field]
        for at in range(begin + first, begin + num_agents, stride):
            words_out[field, at] = value
    for field in range(first_flag, num_flags):
        for at in range(begin + first, begin + num_agents, stride):
            flags_out[field, at] = False


def threads_of_a_world(num_agents: int, device: Any) -> int:
    """Threads of a kernel that goes through a world's agents; each takes every so many-th of them.

    On CUDA one for each. On the CPU, where a single thread runs them all anyway, one: calling a
    kernel's body, with its structs as arguments, costs as much as it does for half an agent.
    """
    return 1 if device.is_cpu else num_agents
