"""Which time series a study keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from proveout.envs.core.errors import ConfigError, unknown

_KEYS = ("signals", "rate", "episodes", "only")
ONLY = ("all", "failed", "succeeded", "invalid")
_MOST = 10**9


@dataclass(frozen=True, kw_only=True)
class SeriesRule:
    """What is recorded, how often, and of which rows.

    Attributes:
        signals: As of `proveout.training.rows.series.known_signals`.
        rate: Samples in a second of simulated time [Hz]; 0: every control step.
        episodes: The first so many of each point, policy and seed; 0: all.
        only: "all", "failed" (valid without success), "succeeded" or "invalid" rows of these.
    """

    signals: tuple[str, ...]
    rate: float = 0.0
    episodes: int = 1
    only: str = "all"

    def __post_init__(self) -> None:
        """Check it.

        Raises:
            ConfigError, UnknownNameError: As the message says.
        """
        signals = (self.signals,) if isinstance(self.signals, str) else self.signals
        if not isinstance(signals, list | tuple) or not signals:
            raise ConfigError(f'series: signals is a list, such as ["observation"], got {signals}')
        if not all(isinstance(name, str) for name in signals):
            raise ConfigError(f"series: signals holds texts, got {signals!r}")
        if len(set(signals)) < len(signals):
            raise ConfigError("series: a signal is given twice; give it once")
        object.__setattr__(self, "signals", tuple(signals))
        rate, episodes = self.rate, self.episodes
        if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0.0 <= rate < 1e6:
            raise ConfigError(f"series: rate is a frequency in Hz, 0 for every step, got {rate!r}")
        whole = isinstance(episodes, int) and not isinstance(episodes, bool)
        if not whole or not 0 <= episodes <= _MOST:
            raise ConfigError(f"series: episodes is a whole number, 0 for all, got {episodes!r}")
        if self.only not in ONLY:
            raise unknown("choice of series.only", str(self.only), ONLY)

    @classmethod
    def from_data(cls, data: Any) -> SeriesRule:
        """A rule from a table of a study file.

        Raises:
            ConfigError, UnknownNameError: As the message says.
        """
        if isinstance(data, cls):
            return data
        if not isinstance(data, Mapping):
            raise ConfigError(f"series is a table of signals, rate, episodes, only; got {data!r}")
        for key in data:
            if key not in _KEYS:
                raise unknown("key of series", str(key), _KEYS)
        return cls(**{"signals": (), **data})

    def plain(self) -> dict[str, Any]:
        """As data, from which `from_data` makes it again."""
        return {
            "signals": list(self.signals),
            "rate": float(self.rate),
            "episodes": self.episodes,
            "only": self.only,
        }

    def watched(self, episode: np.ndarray) -> np.ndarray:
        """Which rows are recorded, by their episodes, (n,) bool."""
        return np.ones(len(episode), bool) if not self.episodes else episode < self.episodes

    def kept(self, valid: np.ndarray, success: np.ndarray) -> np.ndarray:
        """Which of the recorded rows are kept, by how they ended, (n,) bool."""
        if self.only == "all":
            return np.ones(len(valid), bool)
        if self.only == "invalid":
            return ~valid
        return valid & (success if self.only == "succeeded" else ~success)
