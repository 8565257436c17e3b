"""The links and joints of a URDF file: read, bounded, and checked for what cannot be a robot.

Format: https://wiki.ros.org/urdf/XML.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from lxml import etree
from numpy.typing import NDArray

from proveout.assets.files.errors import ModelError
from proveout.assets.files.xml import line_of, read_xml

MAX_LINKS = 2000
MAX_SHAPES = 10_000
_MAX_BYTES = 32 * 2**20
_ONE_AXIS = ("revolute", "continuous", "prismatic")
_KINDS = (*_ONE_AXIS, "fixed", "floating", "planar")


@dataclass(frozen=True, kw_only=True)
class Mimic:
    """A joint that follows another: position = multiplier * other + offset."""

    joint: str
    multiplier: float
    offset: float


@dataclass(frozen=True, kw_only=True)
class UrdfJoint:
    """A joint as the file says it, in rad or m.

    Attributes:
        low: Of its range; infinite where there is none, as is `high`.
        effort: Largest torque or force [N m or N]; 0: not said.
        velocity: Largest speed [rad/s or m/s]; 0: not said.
        element: In the file.
    """

    name: str
    kind: str
    parent: str
    child: str
    low: float
    high: float
    effort: float
    velocity: float
    mimic: Mimic | None
    element: etree._Element


@dataclass(frozen=True, kw_only=True)
class UrdfLink:
    """A link as the file says it.

    Attributes:
        mass: [kg]; None where the file says none, or zero.
        inertia: About the centre of mass, along the axes of the inertial frame [kg m2].
        zero_mass: The file says a mass of zero.
        element: In the file.
    """

    name: str
    mass: float | None
    inertia: NDArray[np.float64]
    zero_mass: bool
    element: etree._Element


@dataclass(kw_only=True)
class UrdfTree:
    """A robot whose joints make a tree.

    Attributes:
        root: The link that no joint carries.
        order: Links, each after its parent.
        carried: The joint that carries each link but the root.
        notes: What was changed or guessed.
    """

    path: Path
    name: str
    links: dict[str, UrdfLink]
    joints: dict[str, UrdfJoint]
    root: str
    order: list[str]
    carried: dict[str, UrdfJoint]
    materials: list[etree._Element]
    notes: list[str] = field(default_factory=list)

    def group(self, link: str) -> str:
        """The link nearest to the root that is rigidly joined to this one."""
        while link in self.carried and self.carried[link].kind == "fixed":
            link = self.carried[link].parent
        return link


def read_urdf(path: Path) -> UrdfTree:
    """Read and check a URDF file.

    Raises:
        ModelError: One sentence with the file and the element: not URDF, too large, a link or joint
            that is twice there or missing, a loop, a joint without limits or axis, a mass that is
            negative, a number that is none.
    """
    root = read_xml(path, "robot file", max_bytes=_MAX_BYTES)
    if root.tag != "robot":
        raise ModelError(f"robot file {path} is not URDF: its root is <{root.tag}>, not <robot>.")
    reader = _Reader(path)
    if len(root.findall("link")) > MAX_LINKS:
        raise ModelError(
            f"robot file {path} has {len(root.findall('link'))} links; give one with at most "
            f"{MAX_LINKS}."
        )
    shapes = sum(len(root.findall(f"link/{kind}")) for kind in ("visual", "collision"))
    if shapes > MAX_SHAPES:
        raise ModelError(
            f"robot file {path} has {shapes} shapes; give one with at most {MAX_SHAPES}."
        )
    links = {link.name: link for link in map(reader.link, reader.unique(root, "link"))}
    if not links:
        raise ModelError(f"robot file {path} has no <link>; a robot has at least one.")
    joints = {joint.name: joint for joint in map(reader.joint, reader.unique(root, "joint"))}
    joints = reader.check_mimics(joints)
    top, order, carried = reader.tree(links, joints)
    return UrdfTree(
        path=path, name=root.get("name") or path.stem, links=links, joints=joints, root=top,
        order=order, carried=carried, materials=root.findall("material"), notes=reader.notes,
    )  # fmt: skip


class _Reader:
    """Reads elements of one file, so that errors can name it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notes: list[str] = []

    def fault(self, element: etree._Element, text: str) -> ModelError:
        return ModelError(f"robot file {self.path}: {line_of(element)} {text}.")

    def unique(self, root: etree._Element, tag: str) -> list[etree._Element]:
        """Elements of a tag, whose names must differ."""
        found: dict[str, etree._Element] = {}
        for element in root.findall(tag):
            name = element.get("name")
            if not name:
                raise self.fault(element, "has no name; give it one")
            if name in found:
                raise self.fault(element, "is there twice; give each a name of its own")
            found[name] = element
        return list(found.values())

    def numbers(self, element: etree._Element, key: str, count: int, default: str) -> list[float]:
        """Finite numbers of an attribute."""
        text = element.get(key, default)
        try:
            values = [float(part) for part in text.split()]
        except ValueError:
            values = []
        if len(values) != count or not all(map(math.isfinite, values)):
            kind = "a finite number" if count == 1 else f"{count} finite numbers"
            raise self.fault(element, f"has {key}={text[:60]!r}; it must be {kind}")
        return values

    def number(self, element: etree._Element, key: str, default: str) -> float:
        return self.numbers(element, key, 1, default)[0]

    def check_origin(self, element: etree._Element) -> None:
        origin = element.find("origin")
        if origin is not None:
            self.numbers(origin, "xyz", 3, "0 0 0")
            self.numbers(origin, "rpy", 3, "0 0 0")

    def link(self, element: etree._Element) -> UrdfLink:
        inertial = element.find("inertial")
        mass, tensor = 0.0, np.zeros((3, 3))
        mass_element = None if inertial is None else inertial.find("mass")
        if inertial is not None and mass_element is not None:
            self.check_origin(inertial)
            mass = self.number(mass_element, "value", "0")
            if mass < 0.0:
                raise self.fault(element, f"has a mass of {mass:g} kg; it must be positive")
            moments = inertial.find("inertia")
            if moments is not None:
                xx, yy, zz, xy, xz, yz = (
                    self.number(moments, key, "0")
                    for key in ("ixx", "iyy", "izz", "ixy", "ixz", "iyz")
                )
                tensor = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
        for shape in (*element.findall("visual"), *element.findall("collision")):
            self.check_origin(shape)
        return UrdfLink(
            name=element.get("name", ""), mass=mass if mass > 0.0 else None, inertia=tensor,
            zero_mass=mass_element is not None and mass == 0.0, element=element,
        )  # fmt: skip

    def joint(self, element: etree._Element) -> UrdfJoint:
        name, kind = element.get("name", ""), element.get("type", "")
        if kind not in _KINDS:
            raise self.fault(element, f"has the type {kind!r}; known are {', '.join(_KINDS)}")
        ends = {}
        for tag in ("parent", "child"):
            end = element.find(tag)
            link = None if end is None else end.get("link")
            if not link:
                raise self.fault(element, f"names no {tag} link; give it one")
            ends[tag] = link
        self.check_origin(element)
        axis = element.find("axis")
        if kind in (*_ONE_AXIS, "planar") and axis is not None:
            if not any(self.numbers(axis, "xyz", 3, "1 0 0")):
                raise self.fault(element, "has the axis 0 0 0; give it a direction")
        dynamics = element.find("dynamics")
        for key in ("damping", "friction"):
            if dynamics is not None and self.number(dynamics, key, "0") < 0.0:
                raise self.fault(element, f"has a negative {key}; it must be 0 or more")
        low, high, effort, velocity = self.limits(element, kind)
        return UrdfJoint(
            name=name, kind="continuous" if kind == "revolute" and low == -math.inf else kind,
            parent=ends["parent"], child=ends["child"], low=low, high=high, effort=effort,
            velocity=velocity, mimic=self.mimic(element), element=element,
        )  # fmt: skip

    def limits(self, element: etree._Element, kind: str) -> tuple[float, float, float, float]:
        """Range, effort and velocity."""
        limit = element.find("limit")
        free = (-math.inf, math.inf)
        if limit is None:
            if kind in ("revolute", "prismatic"):
                raise self.fault(
                    element, 'has no <limit>; give it lower and upper, or the type "continuous"'
                )
            return (*free, 0.0, 0.0)
        effort, velocity = (abs(self.number(limit, key, "0")) for key in ("effort", "velocity"))
        if kind not in ("revolute", "prismatic"):
            return (*free, effort, velocity)
        low, high = self.number(limit, "lower", "0"), self.number(limit, "upper", "0")
        if low > high:
            raise self.fault(element, f"has the lower limit {low:g} above the upper {high:g}")
        if low == high == 0.0:
            self.notes.append(f"joint {element.get('name')}: no room between its limits, none set")
            return (*free, effort, velocity)
        if low == high:
            raise self.fault(element, f"has no room between its limits {low:g} and {high:g}")
        return low, high, effort, velocity

    def mimic(self, element: etree._Element) -> Mimic | None:
        mimic = element.find("mimic")
        if mimic is None or element.get("type") not in _ONE_AXIS:
            return None
        return Mimic(
            joint=mimic.get("joint", ""),
            multiplier=self.number(mimic, "multiplier", "1"),
            offset=self.number(mimic, "offset", "0"),
        )

    def check_mimics(self, joints: dict[str, UrdfJoint]) -> dict[str, UrdfJoint]:
        """Joints, where one that follows none that moves is on its own, and none follows itself."""
        checked = {}
        for joint in joints.values():
            seen, at = {joint.name}, joint
            while at.mimic is not None:
                follows = joints.get(at.mimic.joint)
                if follows is None or follows.kind not in _ONE_AXIS:
                    break
                if follows.name in seen:
                    raise self.fault(joint.element, "mimics itself; let one of them lead")
                seen.add(follows.name)
                at = follows
            if at is joint and joint.mimic is not None:
                self.notes.append(
                    f"joint {joint.name}: mimics {joint.mimic.joint!r}, which is no joint that "
                    f"moves, so it is on its own"
                )
                joint = replace(joint, mimic=None)
            checked[joint.name] = joint
        return checked

    def tree(
        self, links: dict[str, UrdfLink], joints: dict[str, UrdfJoint]
    ) -> tuple[str, list[str], dict[str, UrdfJoint]]:
        """Root, links each after its parent, and the joint that carries each."""
        carried: dict[str, UrdfJoint] = {}
        children: dict[str, list[str]] = {}
        for joint in joints.values():
            for end in (joint.parent, joint.child):
                if end not in links:
                    raise self.fault(joint.element, f"names the link {end!r}, which is not there")
            if joint.child in carried:
                raise self.fault(
                    joint.element,
                    f"closes a loop: link {joint.child!r} hangs on joint "
                    f"{carried[joint.child].name!r} already",
                )
            carried[joint.child] = joint
            children.setdefault(joint.parent, []).append(joint.child)
        roots = [name for name in links if name not in carried]
        if not roots:
            joint = next(iter(joints.values()))
            raise self.fault(joint.element, "is part of a loop: no link is the base")
        if len(roots) > 1:
            raise ModelError(
                f"robot file {self.path}: the links {roots[0]!r} and {roots[1]!r} are both without "
                f"a parent; join them."
            )
        order = [roots[0]]
        for name in order:
            order.extend(children.get(name, []))
        if len(order) < len(links):
            lost = next(name for name in links if name not in set(order))
            raise self.fault(carried[lost].element, "is part of a loop apart from the base")
        return roots[0], order, carried
