"""Who finished in a step, and does it count: what every reader of a step asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


class Finished:
    """The worlds of a step that ended their episode; N worlds, SAME_STEP autoreset.

    Of any vector environment: what it does not tell (`invalid`, episode statistics) is taken as
    valid and as none. A view: arrays stay what and where they are, NumPy or torch on any device,
    until `take` asks for those of some worlds on the host.
    """

    def __init__(
        self, terminated: Any, truncated: Any, info: Mapping[str, Any], table: Any = None
    ) -> None:
        """Take three of the five parts of what `step` returned.

        Args:
            terminated: (N,) bool.
            truncated: (N,) bool.
            info: Of the step.
            table: All statistics as one array (N, S), if there is one.
        """
        self.terminated, self.truncated = terminated, truncated
        self.table = table
        self._info = info

    @classmethod
    def of_tensors(cls, tensors: Mapping[str, Any], names: Sequence[str]) -> Finished:
        """The same of `WarpVectorEnv.tensors`, or of their copies on the host.

        Of the environment's own tensors it shows the last step, whenever that was.

        Args:
            tensors: As named there.
            names: Of the statistics.
        """
        info = {
            "final_obs": tensors["final_observation"],
            "episode_statistics": dict(zip(names, tensors["statistics"].T, strict=True)),
            "_episode_statistics": tensors["statistics_mask"],
            "invalid_reason": tensors["invalid_reason"],
        }
        return cls(tensors["terminated"], tensors["truncated"], info, tensors["statistics"])

    @property
    def ended(self) -> Any:
        """Worlds whose episode is over, (N,) bool."""
        return self.terminated | self.truncated

    @property
    def timed_out(self) -> Any:
        """Truncated and not terminated, (N,) bool: the last state still has a value."""
        return self.ended ^ self.terminated

    @property
    def invalid(self) -> Any:
        """Worlds that the guard threw out, (N,) bool."""
        if "invalid" in self._info:
            return self._info["invalid"]
        if "invalid_reason" in self._info:
            return self._info["invalid_reason"] != 0
        return self.ended ^ self.ended

    @property
    def reason(self) -> Any:
        """Why a world is invalid: bits of `Invalid`, (N,) int; 0 if it is valid or not told."""
        if "invalid_reason" in self._info:
            return self._info["invalid_reason"]
        return (self.ended ^ self.ended) * 1

    @property
    def counts(self) -> Any:
        """Ended episodes that are results, (N,) bool: valid and, where it is told, whole."""
        if "episode_statistics" in self._info and "_episode_statistics" in self._info:
            return self._info["_episode_statistics"]
        ended = self.ended
        return ended ^ (ended & self.invalid)

    @property
    def statistics(self) -> dict[str, Any]:
        """Episode statistics by name, each (N,), meant where `counts`; empty if none are told."""
        told = self._info.get("episode_statistics", {})
        return {name: values for name, values in told.items() if not name.startswith("_")}

    def worlds(self) -> np.ndarray:
        """Numbers of the worlds that ended, shape (E,)."""
        return np.flatnonzero(on_host(self.ended))

    def take(self, worlds: np.ndarray) -> Endings:
        """What is told of some worlds that ended, on the host.

        Args:
            worlds: Their numbers, shape (E,).
        """
        final = self._info.get("final_obs")
        return Endings(
            worlds=worlds,
            terminated=_flags(self.terminated, worlds),
            timed_out=_flags(self.timed_out, worlds),
            invalid=_flags(self.invalid, worlds),
            reason=on_host(self.reason)[worlds],
            counts=_flags(self.counts, worlds),
            statistics={name: on_host(v)[worlds] for name, v in self.statistics.items()},
            final_observation=None if final is None else rows_of(final, worlds),
        )


@dataclass(frozen=True)
class Endings:
    """E ended episodes on the host.

    Attributes:
        worlds: Numbers of their worlds, shape (E,).
        terminated, timed_out: How they ended, shape (E,) bool.
        invalid: The guard threw the world out, shape (E,) bool.
        reason: Why: bits of `Invalid`, shape (E,) int; 0 where it is valid or not told.
        counts: It is a result, shape (E,) bool.
        statistics: By name, each of shape (E,); what is not told of `counts` means nothing.
        final_observation: Before the reset, shape (E, ...), or a dict of such; None: not told.
    """

    worlds: np.ndarray
    terminated: np.ndarray
    timed_out: np.ndarray
    invalid: np.ndarray
    reason: np.ndarray
    counts: np.ndarray
    statistics: dict[str, np.ndarray]
    final_observation: Any

    def __len__(self) -> int:
        """Return E."""
        return len(self.worlds)

    def numbers(self, row: int) -> dict[str, float]:
        """The statistics of one of them, by name."""
        return {name: float(values[row]) for name, values in self.statistics.items()}


def on_host(array: Any) -> np.ndarray:
    """Return an array on the host; what is there already is not copied."""
    if hasattr(array, "detach"):
        array = array.detach().cpu().numpy()
    return np.asarray(array)


def _flags(array: Any, worlds: np.ndarray) -> np.ndarray:
    return on_host(array)[worlds].astype(bool)


def rows_of(observation: Any, worlds: np.ndarray) -> Any:
    """Return the rows `worlds` of a dense observation, or of Gymnasium's array of objects."""
    if isinstance(observation, Mapping):
        return {name: rows_of(value, worlds) for name, value in observation.items()}
    if hasattr(observation, "detach"):
        import torch

        return on_host(observation[torch.as_tensor(worlds, device=observation.device)])
    if isinstance(observation, np.ndarray) and observation.dtype == object:
        rows = [observation[world] for world in worlds]
        if rows and isinstance(rows[0], Mapping):
            return {name: np.stack([row[name] for row in rows]) for name in rows[0]}
        return np.stack(rows) if rows else np.empty(0)
    return np.asarray(observation)[worlds]
