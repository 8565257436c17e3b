"""When a point of a study has been run often enough."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import stats

from proveout.envs.core.errors import ConfigError, unknown
from proveout.training.evaluation.statistics import wilson_widths

SUCCESS = "success"
_KEYS = ("widths", "every")
_MOST = 10**9


@dataclass(frozen=True, kw_only=True)
class StopRule:
    """A point ends early when its 95 % intervals are narrow enough.

    Points are looked at after every so many episodes (of each seed), and the first look decides at
    which all intervals are narrow. It sees the first episodes by number, whatever was done first,
    so that the rows of a study are the same on every machine and after every kill.

    An interval at whose width one stops covers the truth a little less often than it says, since
    the data decide when to stop; most where few episodes are looked at first.

    Attributes:
        widths: Outcome -> largest width of its 95 % interval, upper less lower end, in its unit;
            "success" (Wilson) or a figure of the episode (Student's t of the mean).
        every: Episodes between two looks.
    """

    widths: Mapping[str, float] = field(default_factory=dict)
    every: int = 50

    def __post_init__(self) -> None:
        """Check it.

        Raises:
            ConfigError: As the message says.
        """
        if not isinstance(self.widths, Mapping) or not self.widths:
            raise ConfigError(
                "stop: widths is a table of outcomes and widths, such as widths = {success = 0.1}, "
                f"got {self.widths!r}"
            )
        for name, width in self.widths.items():
            fine = isinstance(width, int | float) and not isinstance(width, bool)
            if not fine or not 0.0 < width < np.inf:
                raise ConfigError(f"stop: the width of {name} is a positive number, got {width!r}")
        every = self.every
        if isinstance(every, bool) or not isinstance(every, int) or not 1 <= every <= _MOST:
            raise ConfigError(f"stop: every is a whole number from 1, got {every!r}")

    @classmethod
    def from_data(cls, data: Any) -> StopRule:
        """A rule from a table of a study file.

        Raises:
            ConfigError, UnknownNameError: As the message says.
        """
        if isinstance(data, cls):
            return data
        if not isinstance(data, Mapping):
            raise ConfigError(f"stop is a table with widths and every, got {data!r}")
        for key in data:
            if key not in _KEYS:
                raise unknown("key of stop", str(key), _KEYS)
        return cls(**data)

    def plain(self) -> dict[str, Any]:
        """As data, from which `from_data` makes it again."""
        return {"widths": {k: float(v) for k, v in self.widths.items()}, "every": self.every}

    def episodes_needed(self, known: np.ndarray, values: Mapping[str, np.ndarray]) -> np.ndarray:
        """How many episodes of each point are to be run, as far as can be told.

        Args:
            known: Rows that are done, (points, seeds, episodes) bool.
            values: Outcome -> what rows gave, likewise; NaN: nothing that counts.

        Returns:
            Episodes of each seed, (points,) int: up to the look that decides, or up to the first
            one whose rows are not all done.
        """
        points, _, episodes = known.shape
        looks = np.minimum(np.arange(self.every, episodes + self.every, self.every), episodes)
        at = looks - 1
        done = np.logical_and.accumulate(known.all(axis=1), axis=1)[:, at]
        narrow = np.ones((points, len(looks)), bool)
        for name, width in self.widths.items():
            narrow &= _widths(name, values[name], at) <= width
        decided = ~done | narrow
        decided[:, -1] = True
        return np.asarray(looks[decided.argmax(axis=1)])


def _widths(name: str, values: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Widths of the intervals over the first episodes, (points, looks); infinite without two."""
    filled = np.isfinite(values)
    count = np.cumsum(filled.sum(axis=1), axis=1)[:, at]
    numbers = np.where(filled, values, 0.0)
    total = np.cumsum(numbers.sum(axis=1), axis=1)[:, at]
    if name == SUCCESS:
        return wilson_widths(total, count)
    # Around the mean of all, so that the squares do not cancel.
    centre = total[:, -1:] / np.maximum(count[:, -1:], 1)
    off = np.where(filled, values - centre[:, :, None], 0.0)
    first = np.cumsum(off.sum(axis=1), axis=1)[:, at]
    second = np.cumsum((off**2).sum(axis=1), axis=1)[:, at]
    free = np.maximum(count - 1, 1)
    variance = np.maximum(second - first**2 / np.maximum(count, 1), 0.0) / free
    half = stats.t.ppf(0.975, free) * np.sqrt(variance / np.maximum(count, 1))
    return np.where(count < 2, np.inf, 2.0 * half)
