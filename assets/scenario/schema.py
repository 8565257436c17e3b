"""How classes say what they are in XML, and the reader that fills them.

A class of the standard is a frozen dataclass named as its type there. Its fields say the rest: the
name in snake case is the attribute's in camel case, and the type tells which it is:

    str, bool, Literal[...]   an attribute that belongs to the structure, one for all rows
    Value (Double, Int, ...)  an attribute that may differ by row
    a class                   a child element of that name; A | B: either of them
    tuple[...]                any number of children
    ... | None                may be missing

`At` names it otherwise, `Inside` puts it into a wrapping element.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, TypeVar, dataclass_transform

from proveout.assets.scenario.expression import ExpressionError
from proveout.assets.scenario.finding import Finding
from proveout.assets.scenario.node import Node, Place
from proveout.assets.scenario.scope import Frame, Scope, Value, leaves, reference
from proveout.assets.scenario.standard import SINCE

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class At:
    """Names in XML that a field has instead of its own, one for each class of a choice."""

    names: tuple[str, ...]

    def __init__(self, *names: str) -> None:
        object.__setattr__(self, "names", names)


@dataclass(frozen=True, slots=True)
class Inside:
    """An element around the children of a field."""

    name: str


@dataclass(frozen=True, slots=True)
class Kind:
    """The type of a `Value`."""

    name: str


Double = Annotated[Value, Kind("double")]
Int = Annotated[Value, Kind("int")]
UnsignedInt = Annotated[Value, Kind("unsignedInt")]
Any_ = Annotated[Value, Kind("any")]

# Elements that only wrap others: their children count as those of what is around them.
TRANSPARENT = frozenset(
    {
        "AppearanceAction", "ByValueCondition", "ControlPointPosition", "EntityCondition",
        "GlobalAction", "InfrastructureAction", "LateralAction", "LongitudinalAction",
        "PrivateAction", "RouteRef", "RoutingAction", "TrafficSignalAction", "TrajectoryRef",
    }
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Element:
    """What every class of the standard has.

    Attributes:
        ONE_OF: Fields of which it needs one.
        place: Where it stands.
    """

    ONE_OF: ClassVar[tuple[str, ...]] = ()
    place: Place = field(compare=False, repr=False)


@dataclass(frozen=True, kw_only=True)
class Unsupported(Element):
    """An element that is not read; a finding tells of it."""


@dataclass_transform(frozen_default=True, kw_only_default=True)
def element(cls: type[T]) -> type[T]:
    """Make a frozen dataclass of a class that says what an element of the standard holds."""
    return dataclass(frozen=True, kw_only=True)(cls)


@dataclass(frozen=True, slots=True)
class FieldShape:
    """What a field is in XML.

    Attributes:
        name: Of the field.
        attribute: In XML; None for children.
        kind: "text", "bool", "choice" or a type of `types.TYPES` for an attribute.
        choices: Texts that an attribute may be, for "choice".
        classes: Of children, by their tag.
        inside: The wrapping element.
        many: Any number.
        required: It must be there.
    """

    name: str
    attribute: str | None
    kind: str
    choices: tuple[str, ...]
    classes: dict[str, type]
    inside: str | None
    many: bool
    required: bool


def shape_of(cls: Any) -> tuple[FieldShape, ...]:
    """Return what the fields of a class are in XML."""
    return _shape_of(cls)


@functools.cache
def _shape_of(cls: Any) -> tuple[FieldShape, ...]:
    hints = typing.get_type_hints(cls, include_extras=True)
    fields = [f for f in dataclasses.fields(cls) if f.name != "place"]
    return tuple(_field_shape(f.name, hints[f.name], _optional(f)) for f in fields)


def _optional(spec: dataclasses.Field[Any]) -> bool:
    return spec.default is not dataclasses.MISSING


def _field_shape(name: str, hint: Any, optional: bool) -> FieldShape:
    marks: list[Any] = []
    classes: list[type] = []
    kind, choices, many = "", (), False

    def visit(part: Any) -> None:
        nonlocal kind, choices, many, optional
        origin = typing.get_origin(part)
        if origin is Annotated:
            base, *found = typing.get_args(part)
            marks.extend(found)
            visit(base)
        elif origin in (types.UnionType, typing.Union):
            for option in typing.get_args(part):
                if option is type(None):
                    optional = True
                else:
                    visit(option)
        elif origin is tuple:
            many = True
            visit(typing.get_args(part)[0])
        elif origin is Literal:
            kind, choices = "choice", typing.get_args(part)
        elif part is str:
            kind = "text"
        elif part is bool:
            kind = "bool"
        elif part is Value:
            kind = "value"
        elif part is not Unsupported:
            classes.append(part)

    visit(hint)
    at = next((m for m in marks if isinstance(m, At)), None)
    inside = next((m.name for m in marks if isinstance(m, Inside)), None)
    if kind == "value":
        kind = next(m.name for m in marks if isinstance(m, Kind))
    if kind:
        return FieldShape(
            name, at.names[0] if at else camel(name), kind, choices, {}, None, False, not optional
        )
    tags = at.names if at else tuple(c.__name__ for c in classes)
    by_tag = dict(zip(tags, classes, strict=True))
    return FieldShape(name, None, "", (), by_tag, inside, many, not (optional or many))


def camel(name: str) -> str:
    """Return the attribute's name of a field: "max_speed" is "maxSpeed"."""
    first, *rest = name.rstrip("_").split("_")
    return first + "".join(part.capitalize() for part in rest)


class Reader:
    """Reads classes of the standard from nodes, for one structure.

    Args:
        frame: One row that stands for all with this structure.
        varied: Names of parameters that differ by row.

    Attributes:
        findings: What is not supported.
        depends: Varied parameters on which the structure depends.
    """

    def __init__(self, frame: Frame, varied: frozenset[str]) -> None:
        self.frame = frame
        self.varied = varied
        self.findings: list[Finding] = []
        self.depends: set[str] = set()

    def read(self, cls: type[T], node: Node) -> T:
        """Return an instance of a class.

        Raises:
            ScenarioError: Something that it needs is missing or of another type.
        """
        values: dict[str, Any] = {"place": node.place}
        used_attributes: set[str] = set()
        used_children: set[int] = set()
        children = list(_opened(node))
        for shape in shape_of(cls):
            if shape.attribute is not None:
                used_attributes.add(shape.attribute)
                value = self._attribute(node, shape)
            else:
                value = self._children(node, children, shape, claimed_tags(cls), used_children)
            if value is not None:
                values[shape.name] = value
        self._leftover(node, children, used_attributes, used_children)
        wanted: tuple[str, ...] = getattr(cls, "ONE_OF", ())
        if wanted and not any(name in values for name in wanted):
            raise node.place.error(f"it needs one of {', '.join(map(camel, wanted))}; add it.")
        return cls(**values)

    def text(self, text: str, scope: Scope | None, place: Place) -> str:
        """Return a text of the structure; its parameters are noted as such.

        A text that mixes parameters with words, as no version of the standard has them, is kept
        as it stands and becomes a finding.
        """
        if "$" not in text:
            return text
        try:
            reference(text)
        except ExpressionError as fault:
            self.findings.append(Finding(place, f"{fault}; it is kept as it stands"))
            return text
        self.depends |= leaves([(text, scope)], self.frame.root, self.varied)
        return self.frame.text(text, scope, place)

    def _attribute(self, node: Node, shape: FieldShape) -> Any:
        assert shape.attribute is not None
        text = node.attributes.get(shape.attribute)
        if text is None:
            if shape.required:
                raise node.place.error(f"it needs the attribute {shape.attribute}; add it.")
            return None
        if shape.kind in ("text", "choice", "bool"):
            return self._structural(text, node, shape)
        value = Value(text, shape.kind, node.scope, node.place)
        if text.startswith("$"):
            if shape.kind == "any" and _is_text(text, node.scope):
                # A name where a number could stand too, such as a state of a traffic light.
                return dataclasses.replace(value, constant=self.text(text, node.scope, node.place))
            # Its parameters must exist, and its expression must parse.
            self.frame.value(text, shape.kind, node.scope, node.place)
            return value
        constant = self.frame.value(text, shape.kind, node.scope, node.place)
        return dataclasses.replace(value, constant=constant)

    def _structural(self, text: str, node: Node, shape: FieldShape) -> Any:
        told = self.text(text, node.scope, node.place)
        if shape.kind == "bool":
            if told not in ("true", "false", "1", "0"):
                raise node.place.error(
                    f"attribute {shape.attribute} must be true or false, not {told!r}; correct it."
                )
            return told in ("true", "1")
        if shape.kind == "choice" and told not in shape.choices:
            raise node.place.error(
                f"attribute {shape.attribute} cannot be {told!r}; it is one of "
                f"{', '.join(shape.choices)}."
            )
        return told

    def _children(
        self, node: Node, children: list[Node], shape: FieldShape, claimed: frozenset[str],
        used: set[int],
    ) -> Any:  # fmt: skip
        found: list[Any] = []
        for child in children:
            if shape.inside is None:
                if child.tag in shape.classes:
                    used.add(id(child))
                    found.append(self.read(shape.classes[child.tag], child))
            elif child.tag == shape.inside:
                used.add(id(child))
                found += self._wrapped(child, shape)
        if shape.many:
            return tuple(found)
        if not found:
            unread = self._unread_choice(children, shape, claimed, used)
            if unread is not None:
                return unread
            if shape.required:
                wanted = shape.inside or " or ".join(f"<{tag}>" for tag in list(shape.classes)[:8])
                wanted = wanted if wanted.startswith("<") else f"<{wanted}>"
                raise node.place.error(f"it needs {wanted}; add one.")
            return None
        if len(found) > 1:
            raise node.place.error(
                f"it has {len(found)} of {', '.join(f'<{tag}>' for tag in shape.classes)}; "
                f"leave one."
            )
        return found[0]

    def _wrapped(self, wrapper: Node, shape: FieldShape) -> list[Any]:
        inner = list(_opened(wrapper))
        found: list[Any] = []
        for child in inner:
            if child.tag in shape.classes:
                found.append(self.read(shape.classes[child.tag], child))
            else:
                found.append(self._not_read(child))
        if not found and not shape.many and shape.required:
            raise wrapper.place.error("it is empty; say what it holds.")
        return found

    def _unread_choice(
        self, children: list[Node], shape: FieldShape, claimed: frozenset[str], used: set[int]
    ) -> Unsupported | None:
        """An element in the place of a choice that is none of those read."""
        if len(shape.classes) < 2 or shape.inside is not None:
            return None
        for child in children:
            if id(child) not in used and child.tag not in claimed:
                used.add(id(child))
                return self._not_read(child)
        return None

    def _not_read(self, node: Node) -> Unsupported:
        known = node.tag in SINCE
        reason = "it is not supported" if known else "it is not an element of the standard here"
        self.findings.append(Finding(node.place, reason))
        return Unsupported(place=node.place)

    def _leftover(
        self, node: Node, children: list[Node], attributes: set[str], used: set[int]
    ) -> None:
        for child in children:
            if id(child) not in used and child.tag != "ParameterDeclarations":
                self._not_read(child)
        for name in node.attributes:
            if name not in attributes:
                self.findings.append(Finding(node.place, f"its attribute {name} is not supported"))


def claimed_tags(cls: Any) -> frozenset[str]:
    """Return the tags of all children that a class knows."""
    return _claimed_tags(cls)


@functools.cache
def _claimed_tags(cls: Any) -> frozenset[str]:
    shapes = shape_of(cls)
    tags = {tag for shape in shapes if shape.inside is None for tag in shape.classes}
    return frozenset(
        tags | {shape.inside for shape in shapes if shape.inside} | {"ParameterDeclarations"}
    )


def _opened(node: Node) -> Iterator[Node]:
    """Children, those of transparent elements in their place."""
    for child in node.children:
        if child.tag in TRANSPARENT:
            yield from _opened(child)
        else:
            yield child


def _is_text(text: str, scope: Scope | None) -> bool:
    """Whether an attribute that may be a number is a text, by its parameter or by itself."""
    try:
        parsed = reference(text)
    except ExpressionError:
        return True
    found = scope.find(parsed) if isinstance(parsed, str) and scope is not None else None
    return found is not None and found[1].kind in ("string", "boolean", "dateTime")
