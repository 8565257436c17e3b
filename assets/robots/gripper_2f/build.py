"""Write `gripper_2f.xml` and its meshes: `python -m proveout.assets.robots.gripper_2f.build`.

The frame of the palm is the flange that it is mounted on: z points out, the fingers close along y.
"""

from pathlib import Path

from proveout.assets.mesh.revolve import export_stl, rounded_cylinder
from proveout.assets.robots.gripper_2f.parameters import (
    ARMATURE,
    DAMPING,
    FINGER,
    FINGER_MASS,
    LENGTH,
    MASS,
    MAX_FORCE,
    PAD,
    PAD_FRICTION,
    PALM,
    SOLIMP,
    SOLREF,
    STIFFNESS,
    STROKE,
    VELOCITY_GAIN,
)

FOLDER = Path(__file__).parent

HEADER = """<!--
  Parallel gripper of the 2F-85 class. Copyright the Proveout authors, licensed under Apache-2.0.
  Written by build.py; change the numbers in parameters.py, not here.
  Stroke, forces, mass and length: the maker's manual of the 2F-85. Everything else: ours. See
  README.md. gravcomp="1": a robot's controller knows the mass of its tool.
-->"""


def write_meshes(folder: Path) -> None:
    """Write the housing as binary STL, in the frame of the palm [m]."""
    export_stl(
        [
            rounded_cylinder((0, 0, 0), (0, 0, 0.014), 0.0375, end_fillet=0.002),
            rounded_cylinder((0, 0, 0.012), (0, 0, 0.07), 0.031, end_fillet=0.012),
        ],
        folder / "palm.stl",
    )


def xml() -> str:
    """Return the MJCF."""
    tcp = LENGTH - 0.5 * PAD
    lines = [
        HEADER,
        '<mujoco model="gripper_2f">',
        '  <compiler angle="radian" meshdir="meshes" autolimits="true"/>',
        '  <option timestep="0.01" integrator="implicitfast"/>',
        "  <default>",
        '    <default class="gripper_2f_visual">',
        '      <geom group="2" contype="0" conaffinity="0" mass="0" material="gripper_2f_dark"/>',
        "    </default>",
        '    <default class="gripper_2f_collision">',
        # Its own friction and softness hold against whatever it touches.
        f'      <geom type="box" group="3" mass="0" priority="2" condim="4" '
        f'friction="{PAD_FRICTION:g} 0.005 0.0001" solref="{_numbers(*SOLREF)}" '
        f'solimp="{_numbers(*SOLIMP)}" rgba="0.9 0.5 0.2 0.4"/>',
        "    </default>",
        "  </default>",
        "  <asset>",
        '    <material name="gripper_2f_dark" rgba="0.13 0.14 0.15 1" specular="0.4" '
        'shininess="0.4"/>',
        '    <material name="gripper_2f_metal" rgba="0.62 0.63 0.65 1" specular="0.6" '
        'shininess="0.6"/>',
        '    <material name="gripper_2f_rubber" rgba="0.30 0.31 0.33 1" specular="0.1" '
        'shininess="0.1"/>',
        '    <mesh name="gripper_2f_palm" file="palm.stl" inertia="shell"/>',
        "  </asset>",
        "  <worldbody>",
        '    <body name="palm" gravcomp="1">',
        # A block of aluminium and steel of the housing's outline.
        f'      <inertial pos="0 0 {0.5 * PALM:g}" mass="{MASS - 2 * FINGER_MASS:g}" '
        'diaginertia="0.0009 0.0009 0.0006"/>',
        '      <geom class="gripper_2f_visual" type="mesh" mesh="gripper_2f_palm"/>',
        '      <geom class="gripper_2f_visual" type="box" size="0.02 0.048 0.014" '
        f'pos="0 0 {PALM - 0.018:g}"/>',
        '      <geom class="gripper_2f_visual" type="box" size="0.006 0.058 0.003" '
        f'pos="0 0 {PALM - 0.003:g}" material="gripper_2f_metal"/>',
        '      <geom class="gripper_2f_collision" name="palm" size="0.031 0.048 0.047" '
        f'pos="0 0 {0.5 * PALM:g}"/>',
        f'      <site name="tcp" pos="0 0 {tcp:g}" size="0.004" group="4" rgba="0.9 0.2 0.2 1"/>',
        *_finger("left_finger", 1.0),
        *_finger("right_finger", -1.0),
        "    </body>",
        "  </worldbody>",
        "  <contact>",
        '    <exclude body1="left_finger" body2="right_finger"/>',
        "  </contact>",
        "  <equality>",
        '    <joint name="coupling" joint1="right_finger" joint2="left_finger" '
        'polycoef="0 1 0 0 0" solref="0.01 1"/>',
        "  </equality>",
        "  <tendon>",
        '    <fixed name="opening"><joint joint="left_finger" coef="1"/>'
        '<joint joint="right_finger" coef="1"/></fixed>',
        "  </tendon>",
        "  <actuator>",
        f'    <position name="opening" tendon="opening" kp="{STIFFNESS:g}" '
        f'kv="{VELOCITY_GAIN:g}" ctrlrange="{_numbers(-MAX_FORCE / STIFFNESS, STROKE)}" '
        f'forcerange="{_numbers(-MAX_FORCE, MAX_FORCE)}"/>',
        "  </actuator>",
        "</mujoco>",
    ]
    return "\n".join(lines) + "\n"


def build(folder: Path) -> None:
    """Write the model and its meshes into a folder."""
    write_meshes(folder / "meshes")
    (folder / "gripper_2f.xml").write_text(xml(), encoding="utf-8")


def _finger(name: str, side: float) -> list[str]:
    """A finger whose joint is the distance of its pad from the middle."""
    x, y, z = FINGER
    middle = LENGTH - z
    pad = LENGTH - 0.5 * PAD
    skin = 0.0015
    guide = middle - z - 0.004
    return [
        f'      <body name="{name}" gravcomp="1">',
        f'        <inertial pos="0 {_numbers(side * y)} {middle:g}" mass="{FINGER_MASS:g}" '
        'diaginertia="0.00003 0.00003 0.000005"/>',
        f'        <joint name="{name}" type="slide" axis="0 {_numbers(side)} 0" '
        f'range="0 {0.5 * STROKE:g}" armature="{ARMATURE:g}" damping="{DAMPING:g}"/>',
        f'        <geom class="gripper_2f_collision" name="{name}" '
        f'size="{_numbers(x, y, z)}" pos="0 {_numbers(side * y)} {middle:g}"/>',
        # The rubber's face is that of the collision box.
        f'        <geom class="gripper_2f_visual" type="box" '
        f'size="{_numbers(x, skin, 0.5 * PAD)}" pos="0 {_numbers(side * skin)} {pad:g}" '
        'material="gripper_2f_rubber"/>',
        f'        <geom class="gripper_2f_visual" type="box" '
        f'size="{_numbers(x - 0.001, y - skin, z - 0.001)}" '
        f'pos="0 {_numbers(side * (y + skin))} {middle:g}" material="gripper_2f_metal"/>',
        f'        <geom class="gripper_2f_visual" type="box" size="0.013 0.011 0.007" '
        f'pos="0 {_numbers(side * 0.0125)} {guide:g}"/>',
        "      </body>",
    ]


def _numbers(*values: float) -> str:
    return " ".join(f"{value + 0.0:.12g}" for value in values)


if __name__ == "__main__":
    build(FOLDER)
