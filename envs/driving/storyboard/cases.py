"""All rows of a scenario, run in batches: what became of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from proveout.assets.files.errors import ScenarioError
from proveout.assets.opendrive.road_map import RoadMap, load_road
from proveout.assets.scenario.rows import Rows
from proveout.assets.scenario.structures import Group, Structures
from proveout.envs.driving.storyboard.arrays import Ended
from proveout.envs.driving.storyboard.batch import Batch

STOPPED, COLLISION, NOT_JUDGED, INVALID = "stopped", "collision", "not judged", "invalid"
OUTCOMES = (STOPPED, COLLISION, NOT_JUDGED, INVALID)
"""What may become of a case: it comes to its stop trigger; the ego hits somebody; it holds what is
not run, or does not end in time; it cannot begin, or go on."""
_CHECK = 50  # physics steps between two looks at what has ended


@dataclass(frozen=True)
class Case:
    """What became of a row.

    Attributes:
        row: Its number.
        outcome: One of `OUTCOMES`.
        time: Since the start [s] at which it ended.
        partner: Whom the ego hit; empty: nobody.
        impact_speed: Of the ego, less the partner's along its axis [m/s]; NaN: no collision.
        reason: Of what is invalid or not judged.
    """

    row: int
    outcome: str
    time: float
    partner: str
    impact_speed: float
    reason: str


def run_rows(
    rows: Rows,
    numbers: Sequence[int] | None = None,
    *,
    dt: float = 0.02,
    most_seconds: float = 60.0,
    worlds: int = 4096,
    device: Any = "cpu",
    ego: str | None = None,
    progress: Callable[[int, float], None] | None = None,
) -> list[Case]:
    """Run rows of a scenario, from their start to their end.

    Args:
        rows: From `load_rows`.
        numbers: Which of them; None: all that are within the constraints.
        dt: Physics step [s].
        most_seconds: A case that has not ended so long after the last time that a condition waits
            for is not judged.
        worlds: Most rows at a time.
        device: Where they run.
        ego: Name of the entity that is tested; None: "Ego", or the first.
        progress: Told how many more cases are done, and how many seconds of them were simulated.

    Returns:
        Cases by their row.

    Raises:
        ScenarioError: The scenario has no road file or no such entity, or no row of it can begin.
    """
    maps: dict[Path, RoadMap] = {}
    cases: list[Case] = []
    for group in _groups(rows, numbers, worlds):
        done = _run_group(group, maps, dt, most_seconds, device, ego)
        cases += done
        if progress is not None:
            progress(len(done), sum(case.time for case in done))
    if cases and all(case.outcome == INVALID for case in cases):
        raise ScenarioError(f"{cases[0].reason} No row of {rows.path} can run.")
    return sorted(cases, key=lambda case: case.row)


def columns_of(rows: Rows, cases: Sequence[Case]) -> dict[str, list[Any]]:
    """Return cases as columns, with the parameters that differ by row in front as "param.NAME"."""
    values = [rows.row(case.row) for case in cases]
    out: dict[str, list[Any]] = {
        f"param.{name}": [value[name] for value in values] for name in sorted(rows.varied)
    }
    return out | {f.name: [getattr(case, f.name) for case in cases] for f in fields(Case)}


def _groups(rows: Rows, numbers: Sequence[int] | None, worlds: int) -> Iterator[Group]:
    structures = Structures(rows)
    if numbers is None:
        yield from structures.groups(worlds)
        return
    for first in range(0, len(numbers), worlds):
        some = list(numbers[first : first + worlds])
        each = [rows.columns(number, 1) for number in some]
        columns = {name: np.concatenate([one[name] for one in each]) for name in rows.varied}
        yield from structures.split(columns, np.array(some))


def _run_group(
    group: Group, maps: dict[Path, RoadMap], dt: float, most_seconds: float, device: Any,
    ego: str | None,
) -> list[Case]:  # fmt: skip
    road_file = group.structure.road_file
    if road_file is None:
        raise group.structure.road_network.place.error("it names no road file; add a LogicFile.")
    if road_file not in maps:
        maps[road_file] = load_road(road_file, surface=False)
    batch = Batch(
        group.structure, group.frame, maps[road_file], dt=dt, device=device, ego=ego
    )  # fmt: skip
    names = batch.start.names
    if batch.unsupported:
        reason = batch.unsupported[0]
        return [Case(int(row), NOT_JUDGED, 0.0, "", np.nan, reason) for row in group.rows]
    fine = np.array([not fault for fault in batch.faults])
    over = batch.last_time + most_seconds
    now = 0.0
    while (fine & (batch.ended == Ended.NOT) & (over > now)).any():
        batch.step(_CHECK)
        now += _CHECK * dt
    ended, steps = batch.ended, batch.story.ended_step.numpy()
    partner, impact = batch.story.partner.numpy(), batch.story.impact_speed.numpy()
    finite = np.isfinite(batch.engine.agents.x.numpy()).all(1)
    cases = []
    for k, row in enumerate(group.rows):
        outcome, at, other, speed, reason = NOT_JUDGED, float(steps[k]) * dt, "", np.nan, ""
        if batch.faults[k]:
            outcome, at, reason = INVALID, 0.0, batch.faults[k]
        elif not finite[k]:
            outcome, reason = INVALID, "an entity is nowhere: its place is not finite"
        elif ended[k] == Ended.STOPPED:
            outcome = STOPPED
        elif ended[k] == Ended.COLLIDED:
            outcome, other, speed = COLLISION, names[partner[k] - 1], float(impact[k])
        elif ended[k] == Ended.NO_LANE:
            outcome, reason = INVALID, "an action changes into a lane that is not there"
        else:
            at, reason = float(over[k]), f"it has not come to its end in {over[k]:g} s"
        cases.append(Case(int(row), outcome, at, other, speed, reason))
    return cases
