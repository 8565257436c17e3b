"""What a study is: environment, policies, space, episodes; from TOML, from Python, from flags."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from proveout.envs.core.errors import ConfigError, unknown
from proveout.training.run.files import read_bounded
from proveout.training.run.json_files import plain
from proveout.training.sweep.kept_series import SeriesRule
from proveout.training.sweep.space import METHODS, Parameter, Space, parameter_from
from proveout.training.sweep.stopping import SUCCESS, StopRule

_MOST_EPISODES = 10**9
_SEED_END = 2**63
_MAX_FILE_BYTES = 2**20
_SAMPLING = ("method", "points", "seed")


@dataclass(frozen=True, kw_only=True)
class Study:
    """A policy, or several, over a space of parameters.

    Attributes:
        env: Registered id, such as "proveout/Reach-v0".
        parameters: Name -> values, or a mapping as in a study file, or `Parameter`s.
        sampling: `method`, `points` and `seed` of parameters that are drawn.
        config: Fields of the environment's config that are not the default, nested.
        policies: "expert", "pretrained", run directories or files; all begin in the same states.
        episodes: Rows of each cell, policy and seed.
        seeds: Of the worlds.
        kpis: Those to keep; empty: all.
        same_starts: All cells begin in the same states, so that differences between cells are
            theirs; otherwise each has states of its own, and their errors are independent.
        stop: A `StopRule` or its data: when a point has rows enough; None: all episodes are run.
        series: A `SeriesRule` or its data: which time series to keep; None: none.
    """

    env: str
    parameters: Any = field(default_factory=dict)
    sampling: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    policies: Sequence[str] = ("pretrained",)
    episodes: int = 100
    seeds: Sequence[int] = (0,)
    kpis: Sequence[str] = ()
    same_starts: bool = False
    stop: Any = None
    series: Any = None
    space: Space = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Check everything that can be checked without the environment.

        Raises:
            ConfigError, UnknownNameError: As the message says.
        """
        if not isinstance(self.env, str):
            raise ConfigError(f"env is the id of an environment, got {self.env!r}")
        _whole("episodes", self.episodes, 1, _MOST_EPISODES)
        for name, least in (("policies", 1), ("seeds", 1), ("kpis", 0)):
            values = getattr(self, name)
            if isinstance(values, str | int) and not isinstance(values, bool):
                values = (values,)
            if not isinstance(values, list | tuple) or len(values) < least:
                raise ConfigError(f"{name} is a list with at least {least} entries, got {values!r}")
            if len(set(map(repr, values))) < len(values):
                raise ConfigError(f"{name}: an entry is given twice; give it once")
            object.__setattr__(self, name, tuple(values))
        for seed in self.seeds:
            _whole("seeds", seed, 0, _SEED_END - 1)
        for name in ("policies", "kpis"):
            for value in getattr(self, name):
                if not isinstance(value, str):
                    raise ConfigError(f"{name} holds texts, got {value!r}")
        if not isinstance(self.same_starts, bool):
            raise ConfigError(f"same_starts is true or false, got {self.same_starts!r}")
        if not isinstance(self.config, Mapping):
            raise ConfigError(f"config is a table of fields, got {self.config!r}")
        if self.stop is not None:
            object.__setattr__(self, "stop", StopRule.from_data(self.stop))
            self._refuse_dropped(self.stop.widths)
        if self.series is not None:
            object.__setattr__(self, "series", SeriesRule.from_data(self.series))
        object.__setattr__(self, "space", self._space())

    def _refuse_dropped(self, names: Mapping[str, float]) -> None:
        for name in names:
            if self.kpis and name not in (*self.kpis, SUCCESS, "return", "length"):
                raise ConfigError(f"stop looks at {name}, which kpis leaves out; name it there")

    def _space(self) -> Space:
        given = self.parameters
        if isinstance(given, Mapping):
            made = tuple(
                value if isinstance(value, Parameter) else parameter_from(str(name), value)
                for name, value in given.items()
            )
        elif isinstance(given, list | tuple) and all(isinstance(p, Parameter) for p in given):
            made = tuple(given)
        else:
            raise ConfigError(f"parameters is a table of names and values, got {given!r}")
        if not isinstance(self.sampling, Mapping):
            raise ConfigError(f"sampling is a table, got {self.sampling!r}")
        for key in self.sampling:
            if key not in _SAMPLING:
                raise unknown("key of sampling", str(key), _SAMPLING)
        method = self.sampling.get("method", "latin-hypercube")
        if not isinstance(method, str):
            raise unknown("sampling method", str(method), METHODS)
        return Space(
            parameters=made,
            method=method,
            points=_whole("sampling points", self.sampling.get("points", 0), 0, _MOST_EPISODES),
            seed=_whole("sampling seed", self.sampling.get("seed", 0), 0, _SEED_END - 1),
        )

    def count(self) -> int:
        """Rows, without making them; at most so many, where parameters depend on others."""
        return self.space.count() * len(self.policies) * len(self.seeds) * self.episodes

    def plain(self) -> dict[str, Any]:
        """As data, from which `from_dict` makes it again."""
        space = self.space
        data: dict[str, Any] = {
            "env": self.env,
            "policies": list(self.policies),
            "episodes": self.episodes,
            "seeds": list(self.seeds),
            "kpis": list(self.kpis),
            "same_starts": self.same_starts,
            "config": plain(self.config),
            "parameters": {parameter.name: parameter.plain() for parameter in space.parameters},
        }
        if self.stop is not None:
            data["stop"] = self.stop.plain()
        if self.series is not None:
            data["series"] = self.series.plain()
        if any(parameter.distribution for parameter in space.parameters):
            data["sampling"] = {"method": space.method, "points": space.points, "seed": space.seed}
        return data

    @property
    def digest(self) -> str:
        """SHA-256 of what it says, in hexadecimal."""
        return digest_of(self.plain())

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Study:
        """A study from data, as of a TOML file.

        Raises:
            ConfigError, UnknownNameError: As the message says; the nearest name is told.
        """
        known = [item.name for item in fields(cls) if item.init]
        for key in data:
            if key not in known:
                raise unknown("entry of a study", str(key), known)
        if "env" not in data:
            raise ConfigError('a study names its environment: env = "proveout/Reach-v0"')
        return cls(**data)

    @classmethod
    def from_file(cls, path: Path | str) -> Study:
        """A study from a TOML file.

        Raises:
            ConfigError, UnknownNameError, RunError: The message names the file.
        """
        path = Path(path)
        try:
            data = tomllib.loads(read_bounded(path, _MAX_FILE_BYTES).decode())
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ConfigError(f"{path} is not TOML: {error}") from error
        try:
            return cls.from_dict(data)
        except ValueError as error:
            raise ConfigError(f"{path}: {error}") from error


def digest_of(data: Any) -> str:
    """SHA-256 of data of JSON's types, whatever the order of keys."""
    text = json.dumps(plain(data), sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _whole(name: str, value: Any, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ConfigError(f"{name}: a whole number from {low} to {high} expected, got {value!r}")
    return value
