"""A checked URDF tree as a MuJoCo specification, through MuJoCo's own URDF reader.

What that reader lacks is done before and after it: meshes of other formats, impossible inertias and
massless links before; mimic joints, groups of geoms and a free base after.
"""

from __future__ import annotations

import os
from pathlib import Path

import mujoco
import numpy as np
from lxml import etree

from proveout.assets.files.errors import ModelError
from proveout.assets.importer.inertia import repair_inertia, sphere_inertia
from proveout.assets.importer.paths import Places
from proveout.assets.importer.urdf_shapes import Shapes
from proveout.assets.importer.urdf_tree import UrdfJoint, UrdfLink, read_urdf

VISUAL_GROUP, COLLISION_GROUP = 2, 3
_DENSITY = 1000.0  # kg/m3, for a moving link without a mass but with a shape
_LEAST_MASS = 1e-3  # kg, for one without either
_HULL_VERTICES = 64
_GREY = (0.62, 0.64, 0.67, 1.0)
_READER_OPTIONS = {
    "discardvisual": "false",
    "fusestatic": "false",
    "strippath": "false",
    "balanceinertia": "false",
}


class UrdfModel:
    """A URDF file as a specification.

    Attributes:
        tree: What the file says.
        spec: Its specification, which holds its meshes.
        parts: How many convex parts stand for the collision meshes of each link.
        notes: What was changed or guessed.
    """

    def __init__(
        self,
        path: Path,
        *,
        roots: tuple[Path, ...],
        decompose: bool,
        free_base: bool,
        cache: str | os.PathLike[str] | None,
    ) -> None:
        self.tree = read_urdf(path)
        shapes = Shapes(Places(path, roots), decompose=decompose, cache=cache)
        self.notes = list(self.tree.notes)
        document = self._document(shapes)
        self.notes += shapes.notes
        self.parts = shapes.parts
        text = etree.tostring(document, encoding="unicode")
        try:
            self.spec = mujoco.MjSpec.from_string(text, assets=shapes.assets)
        except (ValueError, mujoco.FatalError) as error:
            raise ModelError(
                f"robot file {path} is refused by MuJoCo ({' '.join(str(error).split())})."
            ) from error
        self.spec.modelname = self.tree.name
        self._finish(free_base)

    def _document(self, shapes: Shapes) -> etree._Element:
        """The tree as a URDF of what MuJoCo's reader knows, and nothing else."""
        root = etree.Element("robot", name=self.tree.name)
        extension = etree.SubElement(root, "mujoco")
        etree.SubElement(extension, "compiler", _READER_OPTIONS)
        for material in self.tree.materials:
            color = material.find("color")
            if color is not None:
                clean = etree.SubElement(root, "material", name=material.get("name", ""))
                etree.SubElement(clean, "color", dict(color.attrib))
        weightless = self._weightless()
        for name in self.tree.order:
            link = self.tree.links[name]
            clean = etree.SubElement(root, "link", name=name)
            elements = [
                part
                for shape in (*link.element.findall("visual"), *link.element.findall("collision"))
                for part in shapes.elements(name, shape)
            ]
            self._add_inertial(clean, link, name in weightless, elements)
            clean.extend(elements)
        for joint in self.tree.joints.values():
            root.append(_joint(joint))
        return root

    def _weightless(self) -> set[str]:
        """Links that a joint moves and that have no mass, also in what is fixed to them."""
        masses: dict[str, float] = {}
        for name in self.tree.order:
            head = self.tree.group(name)
            masses[head] = masses.get(head, 0.0) + (self.tree.links[name].mass or 0.0)
        return {head for head, mass in masses.items() if mass == 0.0 and head in self.tree.carried}

    def _add_inertial(
        self,
        clean: etree._Element,
        link: UrdfLink,
        weightless: bool,
        elements: list[etree._Element],
    ) -> None:
        if link.mass is None:
            if not weightless:
                return
            if link.zero_mass:
                raise ModelError(
                    f"robot file {self.tree.path}: link {link.name!r} moves and has a mass of "
                    f"zero, also with what is fixed to it; give it a positive one."
                )
            if any(element.tag == "collision" for element in elements):
                self.notes.append(
                    f"link {link.name}: moves without a mass, its collision shapes taken at "
                    f"{_DENSITY:g} kg/m3"
                )
                return
            self.notes.append(f"link {link.name}: moves without a mass, {_LEAST_MASS:g} kg taken")
            mass, inertia = _LEAST_MASS, sphere_inertia(_LEAST_MASS) * np.eye(3)
        else:
            mass = link.mass
            inertia, fault = repair_inertia(link.inertia, mass)
            if fault:
                self.notes.append(f"link {link.name}: {fault}")
        inertial = etree.SubElement(clean, "inertial")
        given = link.element.find("inertial/origin")
        if given is not None:
            etree.SubElement(inertial, "origin", dict(given.attrib))
        etree.SubElement(inertial, "mass", value=repr(mass))
        etree.SubElement(
            inertial, "inertia",
            ixx=repr(float(inertia[0, 0])), iyy=repr(float(inertia[1, 1])),
            izz=repr(float(inertia[2, 2])), ixy=repr(float(inertia[0, 1])),
            ixz=repr(float(inertia[0, 2])), iyz=repr(float(inertia[1, 2])),
        )  # fmt: skip

    def _finish(self, free_base: bool) -> None:
        spec, tree = self.spec, self.tree
        guessed = [name for name in self._weightless() if not spec.body(name).explicitinertial]
        drawn = set()
        for geom in spec.geoms:
            visual = geom.contype == 0 and geom.conaffinity == 0
            geom.group = VISUAL_GROUP if visual else COLLISION_GROUP
            if visual:
                drawn.add(geom.meshname)
                if np.allclose(geom.rgba, 0.5):
                    geom.rgba = _GREY
            if visual or geom.parent.name not in guessed:
                geom.mass = 0.0  # Masses are those of the links.
            if not visual:
                geom.rgba = (0.9, 0.5, 0.2, 0.4)
        self._weigh(guessed)
        for mesh in spec.meshes:
            if mesh.name in drawn:
                mesh.inertia = mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL
            else:
                mesh.maxhullvert = _HULL_VERTICES
        for joint in tree.joints.values():
            if joint.mimic is not None:
                spec.add_equality(
                    name=joint.name, type=mujoco.mjtEq.mjEQ_JOINT,
                    objtype=mujoco.mjtObj.mjOBJ_JOINT, name1=joint.name, name2=joint.mimic.joint,
                    data=[joint.mimic.offset, joint.mimic.multiplier, *[0.0] * 10],
                )  # fmt: skip
        if free_base and tree.root != "world":
            spec.body(tree.root).add_freejoint(name="free_base")
        spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST

    def _weigh(self, names: list[str]) -> None:
        """Give links the masses of their collision shapes, so that these can be left out later."""
        if not names:
            return
        model = self.spec.copy().compile()
        for name in names:
            body, weighed = self.spec.body(name), model.body(name)
            body.explicitinertial = True
            body.mass, body.inertia = float(weighed.mass[0]), weighed.inertia
            body.ipos, body.iquat = weighed.ipos, weighed.iquat
            for geom in body.geoms:
                geom.mass = 0.0


def _joint(joint: UrdfJoint) -> etree._Element:
    clean = etree.Element("joint", name=joint.name, type=joint.kind)
    for tag in ("origin", "axis", "dynamics"):
        found = joint.element.find(tag)
        if found is not None:
            keys = ("xyz", "rpy", "damping", "friction")
            etree.SubElement(clean, tag, {k: v for k, v in found.attrib.items() if k in keys})
    etree.SubElement(clean, "parent", link=joint.parent)
    etree.SubElement(clean, "child", link=joint.child)
    limit = {"effort": repr(joint.effort), "velocity": repr(joint.velocity)}
    if np.isfinite(joint.low):
        limit |= {"lower": repr(joint.low), "upper": repr(joint.high)}
    if joint.kind != "fixed" and (joint.effort > 0.0 or np.isfinite(joint.low)):
        etree.SubElement(clean, "limit", limit)
    return clean
