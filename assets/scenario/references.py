"""Names in a storyboard: of entities, variables, parameters, monitors and its own elements."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

from proveout.assets.files.errors import nearest
from proveout.assets.scenario.conditions import StoryboardElementStateCondition
from proveout.assets.scenario.entities import Entities, EntitySelection, ScenarioObject
from proveout.assets.scenario.finding import Finding
from proveout.assets.scenario.schema import Element
from proveout.assets.scenario.storyboard import (
    Act,
    Action,
    Event,
    Maneuver,
    ManeuverGroup,
    Story,
    Storyboard,
)

# Field -> what it names.
_FIELDS = {
    "entity_ref": "entity", "master_entity_ref": "entity", "variable_ref": "variable",
    "parameter_ref": "parameter", "monitor_ref": "monitor",
}  # fmt: skip
_ELEMENTS: Mapping[str, type[Element]] = {
    "act": Act, "action": Action, "event": Event, "maneuver": Maneuver,
    "maneuverGroup": ManeuverGroup, "story": Story,
}  # fmt: skip


def walk(item: object) -> Iterator[Element]:
    """Yield an element and all that it holds."""
    if isinstance(item, Element):
        yield item
        for spec in dataclasses.fields(item):
            yield from walk(getattr(item, spec.name))
    elif isinstance(item, tuple):
        for part in item:
            yield from walk(part)


def check_references(
    entities: Entities, storyboard: Storyboard, declared: Mapping[str, frozenset[str]]
) -> list[Finding]:
    """Check that what a storyboard refers to is there.

    Args:
        entities: Who takes part.
        storyboard: What happens.
        declared: Names of variables, parameters and monitors, by "variable" and so on.

    Returns:
        Elements of the storyboard that conditions wait for and that are not there.

    Raises:
        ScenarioError: A name is unknown.
    """
    parts = list(walk(storyboard))
    known = dict(declared)
    known["entity"] = frozenset(
        one.name for one in walk(entities) if isinstance(one, ScenarioObject | EntitySelection)
    )
    for part in [*walk(entities), *parts]:
        for spec in dataclasses.fields(part):
            kind = _FIELDS.get(spec.name)
            name = getattr(part, spec.name) if kind else None
            if kind is None or not name:
                continue  # an empty name is that of nobody, such as of no trailer
            if name.lstrip("$") not in known[kind] and name not in known[kind]:
                match = nearest(name, known[kind])
                others = ", ".join(sorted(known[kind])[:12])
                hint = f"did you mean {match}?" if match else f"known are {others or 'none'}."
                raise part.place.error(f"unknown {kind} {name!r}; {hint}")
    return list(_waited_for(parts))


def _waited_for(parts: list[Element]) -> Iterator[Finding]:
    names = {
        kind: {getattr(part, "name", "") for part in parts if isinstance(part, cls)}
        for kind, cls in _ELEMENTS.items()
    }
    for part in parts:
        if not isinstance(part, StoryboardElementStateCondition):
            continue
        # A name may be told apart by those around it: "story::act::group".
        name = part.storyboard_element_ref.rsplit("::", 1)[-1]
        if name not in names[part.storyboard_element_type]:
            yield Finding(
                part.place,
                f"there is no {part.storyboard_element_type} {part.storyboard_element_ref!r}, so "
                f"that the condition never holds",
            )
