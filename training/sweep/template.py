"""A study file to start from, with every entry explained."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

_TEXT = """\
# A study of {env_id}: run it with `proveout sweep {file}`.
# What is run once is kept: the same command goes on after Ctrl-C or a kill, and after a change of
# this file it runs what is new.

env = "{env_id}"

# expert, pretrained, the folder of a run, or a file (.safetensors, .onnx). Several are compared on
# the same start states.
policies = ["{policy}"]

# Rows of each point, policy and seed; one row is one episode.
episodes = 100
seeds = [0]

# KPIs to keep; empty keeps all:
{kpis}
kpis = []

# true: all points begin in the same states, so that their differences are due to the parameters
# alone. false: each has states of its own, and the intervals of points are independent.
same_starts = false

# Fields of the environment's config, the same in all rows (as --env.episode-seconds of `train`).
[config]
# episode_seconds = {episode_seconds}

# What is varied: numbers and weights of the config (free from world to world), structural fields
# (an environment for each value) and what can be randomised. Numbers of this environment:
{numbers}
# Randomised, by name:
{randomizations}
[parameters.{first}]
low = {low}
high = {high}
count = 5              # a grid; add scale = "log" for a log scale

# [parameters.{second}]
# values = [{value}]  # a list

# [parameters.NAME]
# low = 0.1            # drawn: without `count`; see [sampling]
# high = 2.0
# distribution = "log-uniform"   # uniform, log-uniform; or normal with mean = ..., std = ...
# linked = "together"  # parameters of one group move together
# when = {{ {first} = [{low}] }}   # exists only where another parameter has one of these values

# A point ends early when the 95 % intervals of all these outcomes are narrow enough (width: upper
# less lower end, in the outcome's unit). `episodes` is then the most.
# [stop]
# widths = {{ success = 0.1 }}
# every = 50             # episodes between two looks

# Time series, in series/: what is observed and commanded, the reward, and the state behind them
# (engine/..., task/..., core/...; a wrong name is answered with the nearest).
# [series]
# signals = ["observation", "action", "reward"]
# rate = 10              # Hz of simulated time; 0: every control step
# episodes = 1           # the first so many of each point, policy and seed; 0: all
# only = "all"           # or failed, succeeded, invalid

# For parameters that are drawn: latin-hypercube, sobol, random, or saltelli, from which the report
# has first- and total-order Sobol indices. sobol and saltelli take a power of two of points.
# [sampling]
# method = "latin-hypercube"
# points = 256
# seed = 0
"""


def study_template(task_class: Any, env_id: str, file: str, *, shipped: bool) -> str:
    """A commented study of an environment, in TOML.

    Args:
        task_class: Of the environment.
        env_id: Its id.
        file: Name under which it is written.
        shipped: Whether it has a pretrained policy.
    """
    task = task_class(task_class.config_class())
    config = task.config
    names = [n for n in task.numbers.names if "." not in n] or list(task.numbers.names)
    sized = [n for n, v in zip(task.numbers.names, task.numbers.defaults, strict=True) if v > 0]
    first = next((n for n in sized if n in names), names[0] if names else "decimation")
    others = [n for n in task.numbers.names if n != first] or ["decimation"]
    default = dict(zip(task.numbers.names, task.numbers.defaults.tolist(), strict=True))
    at = default.get(first, config.decimation)
    randomized = list(config.randomization.ranges)
    return _TEXT.format(
        env_id=env_id,
        file=file,
        policy="pretrained" if shipped else "expert",
        kpis=_comment([kpi.name for kpi in task_class.kpis]),
        episode_seconds=config.episode_seconds,
        randomizations=_comment(randomized),
        numbers=_comment(task.numbers.names),
        first=_key(first),
        low=f"{at / 2:.6g}",
        high=f"{at * 2:.6g}",
        second=_key(others[0]),
        value=f"{default.get(others[0], config.decimation):.6g}",
    )


def _comment(names: Sequence[str]) -> str:
    """Names as lines of a comment."""
    return textwrap.fill(
        ", ".join(names) or "none here",
        100,
        initial_indent="#   ",
        subsequent_indent="#   ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _key(name: str) -> str:
    """A name as TOML has it: one with a dot in quotes."""
    return f'"{name}"' if "." in name else name
