"""Numbers of an agent as one record: a dataclass gives names, defaults and the struct of kernels.

Records lie in arrays, one for each world and agent, or one row that all worlds share.
"""

import dataclasses
from typing import Any

import numpy as np
import warp as wp


def record(dataclass: Any) -> Any:
    """A Warp struct of the fields of a dataclass, each an int or a float as its default is."""
    types = {
        field.name: int if isinstance(field.default, int) else float
        for field in dataclasses.fields(dataclass)
    }
    namespace = {
        "__annotations__": types,
        "__module__": dataclass.__module__,
        "__doc__": dataclass.__doc__,
    }
    return wp.struct(type(f"{dataclass.__name__}Record", (), namespace))


def records(struct: Any, values: Any, shape: tuple[int, ...], device: Any) -> wp.array:
    """An array of records on a device, all of them alike.

    Args:
        struct: From `record`.
        values: An instance of its dataclass.
        shape: Of the array.
        device: Where it lies.
    """
    rows = np.zeros(shape, dtype=struct.numpy_dtype())
    for name in struct.vars:
        rows[name] = getattr(values, name)
    return wp.array(rows, dtype=struct, device=device)


def columns_of(array: wp.array) -> wp.array:
    """The same memory as float32, shape (*array.shape, fields); an int is no number there."""
    view = wp.array(
        ptr=array.ptr,
        dtype=float,
        shape=(*array.shape, len(array.dtype.vars)),
        device=array.device,
        copy=False,
    )
    view._owner = array  # keeps the memory alive
    return view
