"""What a task keeps of each world from step to step, declared as a struct."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import warp as wp

from proveout.envs.core.errors import ConfigError

wp.set_module_options({"enable_backward": False})

_WORD = 4  # byte


class TaskState:
    """Per-world arrays of a task's struct: allocated, named for the saved state, zeroed at a reset.

    All of them lie in one block of memory, one after the other, so that one launch zeroes them. A
    field that is a struct holds what is the same in all worlds, such as first columns of a layout,
    and is filled once.

    Args:
        struct: A `wp.struct` whose fields are arrays with the worlds as first dimension, or
            structs.
        columns: Field -> size of its second dimension, where it has one.
        fixed: Makes the value of a field that is a struct, from its name and its type.
        num_worlds: Worlds N.
        device: Where they lie.

    Attributes:
        instance: The struct for kernels.
        arrays: Field -> array.

    Raises:
        ConfigError: A field that is neither array nor struct, an array of more than two dimensions,
            or a second one that `columns` does not tell.
    """

    def __init__(
        self,
        struct: Any,
        columns: Mapping[str, int],
        fixed: Callable[[str, Any], Any],
        num_worlds: int,
        device: wp.Device,
    ) -> None:
        self._device = device
        self._num_worlds = num_worlds
        self.instance = struct()
        self.arrays: dict[str, wp.array] = {}
        shapes = {}
        for name, variable in struct.vars.items():
            if isinstance(variable.type, type(struct)):
                setattr(self.instance, name, fixed(name, variable.type))
            else:
                shapes[name] = _shape(name, variable.type, columns, num_worlds)
        sizes = {
            name: int(np.prod(shape)) * wp.types.type_size_in_bytes(struct.vars[name].type.dtype)
            for name, shape in shapes.items()
        }
        # Types of one byte too: every array begins, and every world of it ends, at a whole word.
        padded = {name: -(-size // 16) * 16 for name, size in sizes.items()}
        self._block = wp.zeros(max(1, sum(padded.values()) // _WORD), dtype=int, device=device)
        offset, starts, strides = 0, [], []
        for name, shape in shapes.items():
            dtype = struct.vars[name].type.dtype
            array = wp.array(
                ptr=self._block.ptr + offset, dtype=dtype, shape=shape, device=device, copy=False
            )
            array._owner = self._block  # keeps the memory alive
            self.arrays[name] = array
            setattr(self.instance, name, array)
            words = sizes[name] // num_worlds // _WORD
            starts += [offset // _WORD + i for i in range(words)]
            strides += [words] * words
            offset += padded[name]
        self._starts = wp.array(np.array(starts, np.int32), dtype=int, device=device)
        self._strides = wp.array(np.array(strides, np.int32), dtype=int, device=device)

    def clear(self, mask: wp.array) -> None:
        """Launch: zero everything of the worlds in the mask."""
        words = self._starts.shape[0]
        if words:
            wp.launch(
                _clear_kernel,
                dim=self._num_worlds,
                inputs=[mask, self._starts, self._strides],
                outputs=[self._block],
                device=self._device,
            )


def _shape(name: str, kind: Any, columns: Mapping[str, int], num_worlds: int) -> tuple[int, ...]:
    if not hasattr(kind, "dtype") or kind.ndim not in (1, 2):
        raise ConfigError(
            f"state field {name!r}: wp.array[...], wp.array2d[...] or a struct expected"
        )
    if wp.types.type_size_in_bytes(kind.dtype) % _WORD:
        raise ConfigError(f"state field {name!r}: elements of whole 4-byte words expected, as int")
    if kind.ndim == 1:
        return (num_worlds,)
    if name not in columns:
        raise ConfigError(f"state field {name!r} has two dimensions; tell its columns")
    return (num_worlds, columns[name])


@wp.kernel
def _clear_kernel(
    # In:
    mask_in: wp.array[wp.bool],
    start: wp.array[int],
    stride: wp.array[int],
    # Out:
    block_out: wp.array[int],
):
    # A thread a world: in most steps few or none are in the mask.
    worldid = wp.tid()
    if mask_in[worldid]:
        for word in range(start.shape[0]):
            block_out[start[word] + worldid * stride[word]] = 0
