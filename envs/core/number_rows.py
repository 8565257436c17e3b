"""A config struct and reward weights for every world, on the device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import warp as wp

from proveout.envs.core.finite import is_finite
from proveout.envs.core.number_groups import WEIGHTS
from proveout.envs.core.randomize import OPERATIONS

if TYPE_CHECKING:
    from proveout.envs.core.task import Task

wp.set_module_options({"enable_backward": False})


class NumberRows:
    """A config struct and reward weights for every world, written when its episode begins.

    Args:
        task: The task.
        struct: Of its config's numbers, see `hooks.numbers_struct`; None for a task without
            functions of one world.
        num_worlds: Worlds N.
        device: Where they live.

    Attributes:
        config: (N,) of the struct; None without one.
        weights: (N, terms).
    """

    def __init__(self, task: Task, struct: Any, num_worlds: int, device: wp.Device) -> None:
        numbers = task.numbers
        self._device = device
        terms = len(task.reward_terms)
        weights = numbers.defaults[len(numbers.names) - terms :].astype(np.float32)
        self.weights = wp.array(
            np.tile(weights, (num_worlds, 1)).reshape(num_worlds, terms), dtype=float, device=device
        )
        self._words_float = wp.zeros((num_worlds, 1), dtype=float, device=device)
        self._words_int = wp.zeros((num_worlds, 1), dtype=int, device=device)
        self.config: wp.array | None = None
        offsets: dict[str, int] = {}
        if struct is not None:
            layout = struct.numpy_dtype()
            rows = np.zeros(num_worlds, dtype=layout)
            offsets = _fill(rows, rows.dtype, task.config)
            self.config = wp.array(rows, dtype=struct, device=device)
            shape = (num_worlds, layout["itemsize"] // 4)
            self._words_float, self._words_int = (
                wp.array(ptr=self.config.ptr, dtype=kind, shape=shape, device=device, copy=False)
                for kind in (float, int)
            )
        # Where each number goes: a word of the config (0: real, 1: whole), or a weight (2).
        kind, place = [], []
        for i, name in enumerate(numbers.names):
            if name.startswith(f"{WEIGHTS}."):
                kind.append(2)
                place.append(i - (len(numbers.names) - terms))
            else:
                kind.append(1 if type(numbers.value(name)) is int else 0)
                place.append(offsets[name])
        self._kind = wp.array(np.array(kind, np.int32), dtype=int, device=device)
        self._place = wp.array(np.array(place, np.int32), dtype=int, device=device)
        self._default = wp.array(numbers.defaults.astype(np.float32), dtype=float, device=device)
        randomized = numbers.randomized
        self._number, self._column, self._operation = (
            wp.array(np.array(values, np.int32), dtype=int, device=device)
            for values in (
                list(randomized),
                [column for _, column in randomized.values()],
                [OPERATIONS[r.operation] for r, _ in randomized.values()],
            )
        )

    def write(self, mask: wp.array, overrides: wp.array) -> None:
        """Launch: the numbers of the worlds in the mask."""
        if self._kind.shape[0]:
            wp.launch(
                _write_kernel,
                dim=mask.shape[0],
                inputs=[mask, overrides, self._default, self._kind, self._place],
                outputs=[self._words_float, self._words_int, self.weights],
                device=self._device,
            )

    def write_drawn(self, mask: wp.array, drawn: wp.array) -> None:
        """Launch: the randomised numbers of the worlds in the mask, after `write`.

        Args:
            mask: (N,). drawn: (N, randomisations).
        """
        if self._number.shape[0]:
            wp.launch(
                _drawn_kernel,
                dim=mask.shape[0],
                inputs=[
                    mask, drawn, self._number, self._column, self._operation, self._default,
                    self._kind, self._place,
                ],
                outputs=[self._words_float, self._words_int, self.weights],
                device=self._device,
            )  # fmt: skip


def _fill(rows: np.ndarray, layout: np.dtype[Any], values: Any) -> dict[str, int]:
    """Write a config, or a group of it, into rows of its struct.

    Returns:
        Where its numbers are, by name: words of four bytes from the beginning of a row.
    """
    offsets: dict[str, int] = {}
    assert layout.names is not None
    assert layout.fields is not None
    for name in layout.names:
        kind, at = layout.fields[name][:2]
        value = getattr(values, name)
        if kind.names is None:
            rows[name] = value
            offsets[name] = at // 4
        else:
            inner = _fill(rows[name], kind, value)
            offsets |= {f"{name}.{n}": at // 4 + offset for n, offset in inner.items()}
    return offsets


@wp.func
def _put(
    worldid: int,
    kind: int,
    at: int,
    value: float,
    words_float_out: wp.array2d[float],
    words_int_out: wp.array2d[int],
    weights_out: wp.array2d[float],
):
    if kind == 0:
        words_float_out[worldid, at] = value
    elif kind == 1:
        words_int_out[worldid, at] = int(wp.round(value))
    else:
        weights_out[worldid, at] = value


@wp.kernel
def _drawn_kernel(
    # In:
    mask_in: wp.array[wp.bool],
    drawn_in: wp.array2d[float],
    number: wp.array[int],
    column: wp.array[int],
    operation: wp.array[int],
    default_in: wp.array[float],
    kind: wp.array[int],
    place: wp.array[int],
    # Out:
    words_float_out: wp.array2d[float],
    words_int_out: wp.array2d[int],
    weights_out: wp.array2d[float],
):
    # A thread a world: in most steps few or none are in the mask.
    worldid = wp.tid()
    if not mask_in[worldid]:
        return
    for i in range(number.shape[0]):
        n = number[i]
        value = drawn_in[worldid, column[i]]
        if operation[i] == 0:
            value = default_in[n] * value
        elif operation[i] == 1:
            value = default_in[n] + value
        _put(worldid, kind[n], place[n], value, words_float_out, words_int_out, weights_out)


@wp.kernel
def _write_kernel(
    # In:
    mask_in: wp.array[wp.bool],
    override_in: wp.array2d[float],
    default_in: wp.array[float],
    kind: wp.array[int],
    place: wp.array[int],
    # Out:
    words_float_out: wp.array2d[float],
    words_int_out: wp.array2d[int],
    weights_out: wp.array2d[float],
):
    worldid = wp.tid()
    if not mask_in[worldid]:
        return
    for i in range(kind.shape[0]):
        value = override_in[worldid, i]
        if not is_finite(value):
            value = default_in[i]
        _put(worldid, kind[i], place[i], value, words_float_out, words_int_out, weights_out)
