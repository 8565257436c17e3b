"""Copy, compare and walk the nested NumPy and torch data that environments return."""

import copy
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from gymnasium import Space, spaces


def is_tensor(value: Any) -> bool:
    """Whether the value is a torch tensor, without importing torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def is_array(value: Any) -> bool:
    """Whether the value is a NumPy array or a torch tensor."""
    return isinstance(value, np.ndarray) or is_tensor(value)


def host(tree: Any) -> Any:
    """Return a deep copy with every tensor as a NumPy array."""
    if is_tensor(tree):
        return tree.detach().cpu().numpy().copy()
    if isinstance(tree, np.ndarray):
        if tree.dtype != object:
            return tree.copy()
        out = np.empty(tree.shape, dtype=object)
        for index, value in np.ndenumerate(tree):
            out[index] = host(value)
        return out
    if isinstance(tree, Mapping):
        return {key: host(value) for key, value in tree.items()}
    if isinstance(tree, tuple):
        return tuple(host(value) for value in tree)
    return copy.deepcopy(tree)


def leaves(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (path, leaf) of nested mappings, tuples and object arrays; None is left out."""
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from leaves(value, f"{path}[{key!r}]")
    elif isinstance(tree, tuple):
        for i, value in enumerate(tree):
            yield from leaves(value, f"{path}[{i}]")
    elif isinstance(tree, np.ndarray) and tree.dtype == object:
        for index, value in np.ndenumerate(tree):
            yield from leaves(value, f"{path}[{', '.join(map(str, index))}]")
    elif tree is not None:
        yield path, tree


def space_leaves(space: Space, tree: Any, path: str = "") -> Iterator[tuple[str, Space, Any]]:
    """Yield (path, space, value) side by side; a value is None where the tree has no such part."""
    if isinstance(space, spaces.Dict):
        for key, part in space.spaces.items():
            value = tree.get(key) if isinstance(tree, Mapping) else None
            yield from space_leaves(part, value, f"{path}[{key!r}]")
    elif isinstance(space, spaces.Tuple):
        for i, part in enumerate(space.spaces):
            value = tree[i] if isinstance(tree, tuple | list) and i < len(tree) else None
            yield from space_leaves(part, value, f"{path}[{i}]")
    else:
        yield path, space, tree


def rows(tree: Any, world: int) -> Any:
    """Return one world's part of batched host data."""
    if isinstance(tree, Mapping):
        return {key: rows(value, world) for key, value in tree.items()}
    if isinstance(tree, tuple):
        return tuple(rows(value, world) for value in tree)
    return tree[world]


def same(a: Any, b: Any, tolerance: float = 0.0) -> bool:
    """Whether two host trees are equal (NaN equals NaN), or within a relative `tolerance`."""
    if isinstance(a, Mapping):
        keys = isinstance(b, Mapping) and a.keys() == b.keys()
        return keys and all(same(a[key], b[key], tolerance) for key in a)
    if isinstance(a, tuple):
        return (
            isinstance(b, tuple)
            and len(a) == len(b)
            and all(same(x, y, tolerance) for x, y in zip(a, b, strict=True))
        )
    if a is None or b is None or isinstance(a, str):
        return a is b or (isinstance(a, str) and a == b)
    x, y = np.asarray(a), np.asarray(b)
    if x.shape != y.shape or x.dtype != y.dtype:
        return False
    if x.dtype == object:
        return all(same(p, q, tolerance) for p, q in zip(x.ravel(), y.ravel(), strict=True))
    if np.issubdtype(x.dtype, np.inexact):
        if tolerance:
            return bool(np.allclose(x, y, tolerance, tolerance, equal_nan=True))
        return bool(np.array_equal(x, y, equal_nan=True))
    return bool(np.array_equal(x, y))


def finite(tree: Any) -> bool:
    """Whether every floating-point number of a host tree is finite."""
    return all(
        bool(np.isfinite(leaf).all())
        for _, leaf in leaves(tree)
        if isinstance(leaf, np.ndarray | np.generic) and np.issubdtype(leaf.dtype, np.inexact)
    )
