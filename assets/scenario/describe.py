"""What a scenario holds, for people and for programs: parameters, entities, storyboard, gaps."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Sequence
from typing import Any

from proveout.assets.scenario.conditions import Trigger
from proveout.assets.scenario.entities import ScenarioObject, Vehicle
from proveout.assets.scenario.rows import Rows
from proveout.assets.scenario.scenario import Structure
from proveout.assets.scenario.schema import Element
from proveout.assets.scenario.scope import Value
from proveout.assets.scenario.storyboard import Act, Event, ManeuverGroup, Storyboard
from proveout.assets.scenario.types import to_text


def describe(rows: Rows, structure: Structure) -> dict[str, Any]:
    """Return what a scenario holds as plain data."""
    scenario = rows.scenario
    return {
        "file": str(rows.path),
        "scenario": os.path.normpath(scenario.path),
        "version": ".".join(str(number) for number in structure.version),
        "road_file": os.path.normpath(structure.road_file) if structure.road_file else None,
        "rows": rows.size,
        "parameters": [
            {
                "name": p.name, "type": p.kind, "default": p.text, "varied": p.name in rows.varied,
                "constraints": [[f"{c.rule} {c.value}" for c in group] for group in p.groups],
            }
            for p in scenario.parameters.values()
        ],
        "variables": [
            {"name": v.name, "type": v.variable_type, "value": v.value.text}
            for v in structure.variables
        ],
        "entities": [_entity(one) for one in structure.entities.objects],
        "storyboard": list(_storyboard(structure.storyboard)),
        "unsupported": [
            {
                "file": str(f.place.file), "line": f.place.line, "element": f.place.element,
                "reason": f.reason,
            }
            for f in structure.findings
        ],
    }  # fmt: skip


def table(told: dict[str, Any]) -> str:
    """Return a description as text."""
    lines = [
        f"{told['scenario']}: OpenSCENARIO {told['version']}, {told['rows']} "
        f"row{'s' * (told['rows'] != 1)}",
        f"road: {told['road_file'] or 'none'}",
    ]
    if told["parameters"]:
        lines += ["", "parameters"]
        rows = [
            (
                p["name"], p["type"], "varied" if p["varied"] else p["default"],
                " or ".join(", ".join(group) for group in p["constraints"]),
            )
            for p in told["parameters"]
        ]  # fmt: skip
        lines += _columns(rows)
    if told["variables"]:
        lines += ["", "variables"]
        lines += _columns([(v["name"], v["type"], v["value"]) for v in told["variables"]])
    lines += ["", "entities"]
    lines += _columns(
        [
            (e["name"], e["kind"], e["category"], e["size"], e["controller"])
            for e in told["entities"]
        ]
    )
    lines += ["", "storyboard"]
    lines += [f"  {'  ' * line['depth']}{line['text']}" for line in told["storyboard"]]
    lines += ["", f"not supported: {len(told['unsupported']) or 'nothing'}"]
    lines += [
        f"  {f['file']}, line {f['line']}, <{f['element']}>: {f['reason']}"
        for f in told["unsupported"]
    ]
    return "\n".join(lines)


def _columns(rows: Sequence[tuple[str, ...]]) -> list[str]:
    if not rows:
        return ["  none"]
    widths = [min(44, max(len(row[i]) for row in rows)) for i in range(len(rows[0]))]
    return [
        ("  " + "  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True))).rstrip()
        for row in rows
    ]


def _entity(one: ScenarioObject) -> dict[str, str]:
    thing = one.object
    box = getattr(thing, "bounding_box", None)
    size = ""
    if box is not None:
        d = box.dimensions
        size = " x ".join(_text(v) for v in (d.length, d.width, d.height)) + " m"
    category = thing.vehicle_category if isinstance(thing, Vehicle) else ""
    category = getattr(thing, "pedestrian_category", category)
    category = getattr(thing, "misc_object_category", category)
    return {
        "name": one.name,
        "kind": type(thing).__name__,
        "category": str(category),
        "size": size,
        "controller": ", ".join(c.controller.name for c in one.controllers),
    }


def _storyboard(board: Storyboard) -> Iterator[dict[str, Any]]:
    def line(depth: int, text: str) -> dict[str, Any]:
        return {"depth": depth, "text": text}

    yield line(0, "Init")
    for action in board.init.actions.world:
        yield line(1, summary(action))
    for private in board.init.actions.private:
        yield line(1, private.entity_ref)
        for own in private.actions:
            yield line(2, summary(own))
    for story in board.stories:
        yield line(0, f"Story {story.name}")
        for act in story.acts:
            yield line(1, f"Act {act.name}")
            yield from (line(2, text) for text in _triggers(act))
            for group in act.groups:
                yield line(2, _group(group))
                for maneuver in group.maneuvers:
                    yield line(3, f"Maneuver {maneuver.name}")
                    for event in maneuver.events:
                        yield line(4, _event(event))
                        yield from (line(5, text) for text in _triggers(event))
                        for named in event.actions:
                            yield line(5, f"Action {named.name}: {summary(named.action)}")
    if board.stop_trigger is not None:
        yield line(0, f"stops when {_trigger(board.stop_trigger)}")


def _group(group: ManeuverGroup) -> str:
    actors = ", ".join(ref.entity_ref for ref in group.actors.entities) or "nobody"
    chosen = " and who triggers" if group.actors.select_triggering_entities else ""
    return f"ManeuverGroup {group.name}: {actors}{chosen}, {_times(group.maximum_execution_count)}"


def _event(event: Event) -> str:
    times = event.maximum_execution_count
    count = f", {_times(times)}" if times is not None else ""
    return f"Event {event.name}: {event.priority}{count}"


def _times(count: Value) -> str:
    return "once" if count.constant == 1 else f"{count.text} times"


def _triggers(item: Act | Event) -> Iterator[str]:
    if item.start_trigger is not None:
        yield f"starts when {_trigger(item.start_trigger)}"
    stop = getattr(item, "stop_trigger", None)
    if stop is not None:
        yield f"stops when {_trigger(stop)}"


def _trigger(trigger: Trigger) -> str:
    groups = []
    for group in trigger.groups:
        conditions = []
        for condition in group.conditions:
            edge = "" if condition.condition_edge == "none" else f" {condition.condition_edge}"
            delay = condition.delay
            late = f" after {_text(delay)} s" if delay.constant != 0 else ""
            conditions.append(f"{summary(condition.test)}{edge}{late}")
        groups.append(" and ".join(conditions))
    return " or ".join(groups) or "never"


def summary(item: Element) -> str:
    """Return an element in one line, as Class(attribute=value, Class(...))."""
    parts = []
    for spec in dataclasses.fields(item):
        value = getattr(item, spec.name)
        if spec.name == "place" or value is None or value == () or value == spec.default:
            continue
        if isinstance(value, Element):
            parts.append(summary(value))
        elif isinstance(value, tuple):
            shown = ", ".join(summary(v) for v in value[:3])
            parts.append(f"{shown}, ... {len(value) - 3} more" if len(value) > 3 else shown)
        else:
            parts.append(f"{spec.name.rstrip('_')}={_text(value)}")
    name = type(item).__name__
    return f"{name}({', '.join(parts)})" if parts else name


def _text(value: Any) -> str:
    if isinstance(value, Value):
        return value.text
    return to_text(value) if isinstance(value, bool) else str(value)
