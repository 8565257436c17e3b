"""Write `ur5e.xml` and its meshes: `python -m proveout.assets.robots.ur5e.build`.

Each body's frame is the maker's DH frame of that link, so masses, centres of mass and inertia
tensors stand in the XML as published. A joint then sits at the previous frame's origin, which is
(-a, 0, -d) before the link's twist. Outer shapes are ours, drawn by eye from photographs.
"""

from dataclasses import dataclass
from itertools import pairwise
from math import cos, sin
from pathlib import Path
from typing import Any

from proveout.assets.mesh.revolve import export_stl, rounded_cylinder, tube
from proveout.assets.robots.ur5e.parameters import (
    AROUND_HOME,
    BASE_MASS,
    HOME,
    JOINTS,
    Joint,
    Vector,
)

FOLDER = Path(__file__).parent

LARGE = 0.0605  # Radius of the housings of base, shoulder and elbow joint [m].
SMALL = 0.0385  # Radius of the housings of the wrist joints [m].
SEAM = 0.003  # Half width of the dark ring between two links [m].

HEADER = """<!--
  Universal Robots UR5e. Copyright the Proveout authors, licensed under Apache-2.0.
  Written by build.py; change the numbers in parameters.py, not here.
  Every body's frame is the maker's DH frame of that link. Kinematics, masses, centres of mass:
  the maker's page of DH parameters. Inertia tensors, joint limits, torque limits: the maker's ROS
  description. Armature, damping, controller gains, shapes: ours. See README.md.
  gravcomp="1": the real controller compensates gravity, so the joint controllers here need not.
-->"""


@dataclass(frozen=True, kw_only=True)
class Disc:
    """A flat cylinder laid on a link: a blue lid or a dark seam between two links.

    Attributes:
        kind: "lid_large", "lid_small" or "seam".
        center: In the link's frame [m]; of the inner face for a lid, of the middle for a seam.
        axis: Unit vector in the link's frame, out of the housing for a lid.
        radius: Of a seam [m].
    """

    kind: str
    center: Vector
    axis: Vector
    radius: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Capsule:
    """A collision shape: the ends of its axis [m] in the link's frame, and its radius [m]."""

    start: Vector
    end: Vector
    radius: float


DISCS = {
    "base": (Disc(kind="seam", center=(0, 0, 0.0965), axis=(0, 0, 1), radius=LARGE),),
    "shoulder": (
        Disc(kind="lid_large", center=(0, 0, -0.062), axis=(0, 0, -1)),
        Disc(kind="seam", center=(0, 0, 0.0715), axis=(0, 0, 1), radius=LARGE),
    ),
    "upper_arm": (
        Disc(kind="lid_large", center=(0.425, 0, 0.198), axis=(0, 0, 1)),
        Disc(kind="lid_large", center=(0, 0, 0.198), axis=(0, 0, 1)),
        Disc(kind="seam", center=(0, 0, 0.0715), axis=(0, 0, 1), radius=LARGE),
    ),
    "forearm": (
        Disc(kind="lid_small", center=(0, 0, -0.036), axis=(0, 0, -1)),
        Disc(kind="seam", center=(0, 0, 0.0805), axis=(0, 0, 1), radius=SMALL),
    ),
    "wrist_1": (
        Disc(kind="lid_small", center=(0, 0.043, 0), axis=(0, 1, 0)),
        Disc(kind="seam", center=(0, 0, 0.0475), axis=(0, 0, 1), radius=SMALL),
    ),
    "wrist_2": (
        Disc(kind="lid_small", center=(0, -0.043, 0), axis=(0, -1, 0)),
        Disc(kind="seam", center=(0, 0, 0.0475), axis=(0, 0, 1), radius=SMALL),
    ),
    "wrist_3": (),
}

CAPSULES = {
    "base": (Capsule(start=(0, 0, 0.055), end=(0, 0, 0.065), radius=0.07),),
    "shoulder": (Capsule(start=(0, 0, -0.018), end=(0, 0, 0.012), radius=0.063),),
    "upper_arm": (
        Capsule(start=(0.425, 0, 0.137), end=(0.425, 0, 0.151), radius=0.063),
        Capsule(start=(0.425, 0, 0.137), end=(0, 0, 0.137), radius=0.056),
        Capsule(start=(0, 0, 0.137), end=(0, 0, 0.151), radius=0.063),
    ),
    "forearm": (
        Capsule(start=(0.3922, 0, 0.008), end=(0.3922, 0, 0.016), radius=0.061),
        Capsule(start=(0.3922, 0, 0.01), end=(0, 0, 0.01), radius=0.046),
        Capsule(start=(0, 0, -0.008), end=(0, 0, 0.04), radius=0.041),
    ),
    "wrist_1": (
        Capsule(start=(0, 0.014, 0), end=(0, -0.012, 0), radius=0.041),
        Capsule(start=(0, 0, 0), end=(0, 0, 0.008), radius=0.04),
    ),
    "wrist_2": (
        Capsule(start=(0, -0.014, 0), end=(0, 0.012, 0), radius=0.041),
        Capsule(start=(0, 0, 0), end=(0, 0, 0.008), radius=0.04),
    ),
    # Ends in the plane of the flange, so that a tool there touches before the arm does.
    "wrist_3": (Capsule(start=(0, 0, -0.041), end=(0, 0, -0.038), radius=0.038),),
}


def write_meshes(folder: Path) -> None:
    """Write the visual meshes as binary STL, in the links' DH frames [m]."""
    wide: dict[str, Any] = {"start_fillet": 0.004, "end_fillet": 0.006}
    shells = {
        "base": [
            rounded_cylinder((0, 0, 0), (0, 0, 0.016), 0.0745, end_fillet=0.004),
            tube(
                (0, 0, 0.01),
                (0, 0, 0.094),
                0.0625,
                start_radius=0.072,
                end_radius=LARGE,
                blend=0.03,
            ),
        ],
        "shoulder": [
            rounded_cylinder((0, -0.0635, 0), (0, 0, 0), LARGE, start_fillet=0.003),
            rounded_cylinder((0, 0, -0.064), (0, 0, 0.069), LARGE, **wide),
        ],
        "upper_arm": [
            rounded_cylinder((0.425, 0, 0.074), (0.425, 0, 0.2), LARGE, **wide),
            tube(
                (0.425, 0, 0.137),
                (0, 0, 0.137),
                0.0455,
                start_radius=0.0595,
                end_radius=0.0595,
                blend=0.12,
            ),
            rounded_cylinder((0, 0, 0.074), (0, 0, 0.2), LARGE, **wide),
        ],
        "forearm": [
            rounded_cylinder(
                (0.3922, 0, 0.069),
                (0.3922, 0, -0.046),
                LARGE - 0.001,
                start_fillet=0.004,
                end_fillet=0.03,
            ),
            tube(
                (0.3922, 0, 0.008),
                (0, 0, 0.01),
                0.0395,
                start_radius=0.052,
                end_radius=0.0375,
                blend=0.12,
            ),
            rounded_cylinder((0, 0, 0.078), (0, 0, -0.038), SMALL, **wide),
        ],
        "wrist_1": [
            rounded_cylinder((0, -0.0498, 0), (0, 0.045, 0), SMALL, **wide),
            rounded_cylinder((0, 0, 0), (0, 0, 0.045), SMALL, end_fillet=0.003),
        ],
        "wrist_2": [
            rounded_cylinder((0, 0.0497, 0), (0, -0.045, 0), SMALL, **wide),
            rounded_cylinder((0, 0, 0), (0, 0, 0.045), SMALL, end_fillet=0.003),
        ],
        "wrist_3": [
            rounded_cylinder((0, 0, -0.049), (0, 0, -0.012), SMALL - 0.001, **wide),
            # Socket of the tool's cable.
            rounded_cylinder((0, 0.02, -0.028), (0, 0.046, -0.028), 0.0085, end_fillet=0.002),
        ],
        "flange": [rounded_cylinder((0, 0, -0.014), (0, 0, 0), 0.0315, end_fillet=0.001)],
        "lid_large": [rounded_cylinder((0, 0, 0), (0, 0, 0.014), LARGE - 0.002, end_fillet=0.009)],
        "lid_small": [rounded_cylinder((0, 0, 0), (0, 0, 0.011), SMALL - 0.0015, end_fillet=0.007)],
    }
    for name, parts in shells.items():
        export_stl(parts, folder / f"{name}.stl")


def xml() -> str:
    """Return the MJCF."""
    links = [joint.link for joint in JOINTS]
    meshes = ["base", *links, "flange", "lid_large", "lid_small"]
    excludes = [("base", "shoulder"), *pairwise(links)]
    lines = [
        HEADER,
        '<mujoco model="ur5e">',
        '  <compiler angle="radian" meshdir="meshes" autolimits="true"/>',
        '  <option timestep="0.01" integrator="implicitfast"/>',
        "  <default>",
        '    <default class="ur5e_visual">',
        '      <geom type="mesh" group="2" contype="0" conaffinity="0" mass="0" '
        'material="ur5e_grey"/>',
        "    </default>",
        '    <default class="ur5e_collision">',
        '      <geom type="capsule" group="3" contype="1" conaffinity="1" mass="0" '
        'rgba="0.9 0.5 0.2 0.4"/>',
        "    </default>",
        "  </default>",
        "  <asset>",
        '    <material name="ur5e_grey" rgba="0.80 0.81 0.82 1" specular="0.4" shininess="0.5"/>',
        '    <material name="ur5e_blue" rgba="0.37 0.62 0.80 1" specular="0.3" shininess="0.4"/>',
        '    <material name="ur5e_dark" rgba="0.16 0.17 0.18 1" specular="0.3" shininess="0.3"/>',
        '    <material name="ur5e_metal" rgba="0.42 0.43 0.45 1" specular="0.6" shininess="0.6"/>',
        *(
            # Overlapping solids have no well defined volume; a shell compiles, and has no mass.
            f'    <mesh name="ur5e_{name}" file="{name}.stl" inertia="shell"/>'
            for name in meshes
        ),
        "  </asset>",
        "  <worldbody>",
        '    <body name="base">',
        f'      <inertial pos="0 0 0.05" mass="{BASE_MASS:g}" diaginertia="0.007 0.007 0.007"/>',
        *_geoms("base", "      "),
    ]
    for depth, joint in enumerate(JOINTS):
        lines += _body(joint, "  " * (depth + 3))
    indent = "  " * (len(JOINTS) + 3)
    lines += [
        f'{indent}<geom class="ur5e_visual" mesh="ur5e_flange" material="ur5e_metal"/>',
        f'{indent}<site name="tcp" size="0.005" group="4" rgba="0.9 0.2 0.2 1"/>',
        *("  " * (depth + 2) + "</body>" for depth in reversed(range(len(JOINTS) + 1))),
        "  </worldbody>",
        "  <contact>",
        *(f'    <exclude body1="{one}" body2="{two}"/>' for one, two in excludes),
        "  </contact>",
        "  <actuator>",
        *(
            f'    <position name="{joint.name}" joint="{joint.name}" kp="{joint.stiffness:g}" '
            f'kv="{joint.velocity_gain:g}" ctrlrange="{_numbers(-joint.limit, joint.limit)}" '
            f'forcerange="{_numbers(-joint.max_torque, joint.max_torque)}"/>'
            for joint in JOINTS
        ),
        "  </actuator>",
        "  <custom>",
        f'    <numeric name="around_home" data="{_numbers(*AROUND_HOME)}"/>',
        "  </custom>",
        "  <keyframe>",
        f'    <key name="home" qpos="{_numbers(*HOME)}" ctrl="{_numbers(*HOME)}"/>',
        "  </keyframe>",
        "</mujoco>",
    ]
    return "\n".join(lines) + "\n"


def build(folder: Path) -> None:
    """Write the model and its meshes into a folder."""
    write_meshes(folder / "meshes")
    (folder / "ur5e.xml").write_text(xml(), encoding="utf-8")


def _body(joint: Joint, indent: str) -> list[str]:
    """Opening lines of a link; its body is closed by the caller."""
    dh = joint.dh
    cos_a, sin_a = _clean(cos(dh.alpha)), _clean(sin(dh.alpha))
    twist = (cos(dh.alpha / 2), sin(dh.alpha / 2), 0.0, 0.0)
    # The previous frame's z axis and origin, seen from this frame at q = 0.
    axis = (0.0, sin_a, cos_a)
    anchor = (-dh.a, -dh.d * sin_a, -dh.d * cos_a)
    return [
        f'{indent}<body name="{joint.link}" pos="{_numbers(dh.a, 0, dh.d)}" '
        f'quat="{_numbers(*twist)}" gravcomp="1">',
        f'{indent}  <inertial pos="{_numbers(*joint.center_of_mass)}" mass="{joint.mass:g}" '
        f'fullinertia="{_numbers(*joint.inertia)}"/>',
        f'{indent}  <joint name="{joint.name}" pos="{_numbers(*anchor)}" axis="{_numbers(*axis)}" '
        f'range="{_numbers(-joint.limit, joint.limit)}" armature="{joint.armature:g}" '
        f'damping="{joint.damping:g}"/>',
        *_geoms(joint.link, indent + "  "),
    ]


def _geoms(link: str, indent: str) -> list[str]:
    lines = [f'{indent}<geom class="ur5e_visual" mesh="ur5e_{link}"/>']
    for disc in DISCS[link]:
        if disc.kind == "seam":
            start = [c - SEAM * a for c, a in zip(disc.center, disc.axis, strict=True)]
            end = [c + SEAM * a for c, a in zip(disc.center, disc.axis, strict=True)]
            lines.append(
                f'{indent}<geom class="ur5e_visual" type="cylinder" size="{disc.radius:g}" '
                f'fromto="{_numbers(*start, *end)}" material="ur5e_dark"/>'
            )
        else:
            lines.append(
                f'{indent}<geom class="ur5e_visual" mesh="ur5e_{disc.kind}" '
                f'pos="{_numbers(*disc.center)}" zaxis="{_numbers(*disc.axis)}" '
                f'material="ur5e_blue"/>'
            )
    lines += [
        f'{indent}<geom class="ur5e_collision" size="{capsule.radius:g}" '
        f'fromto="{_numbers(*capsule.start, *capsule.end)}"/>'
        for capsule in CAPSULES[link]
    ]
    return lines


def _clean(value: float) -> float:
    """Drop the rounding error of a cosine of a right angle."""
    return 0.0 if abs(value) < 1e-15 else value


def _numbers(*values: float) -> str:
    return " ".join(f"{value + 0.0:.12g}" for value in values)


if __name__ == "__main__":
    build(FOLDER)
