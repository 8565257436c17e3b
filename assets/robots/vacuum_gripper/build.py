"""Write `vacuum_gripper.xml`: `python -m proveout.assets.robots.vacuum_gripper.build`.

The frame of the plate is the flange that it is mounted on: z points out.
"""

from pathlib import Path

from proveout.assets.robots.vacuum_gripper.parameters import (
    CUP_FORCE,
    CUP_FRICTION,
    CUP_RADIUS,
    CUPS,
    LENGTH,
    LIP_STROKE,
    MASS,
    PLATE,
    PLATE_END,
    SOLREF,
)

FOLDER = Path(__file__).parent

HEADER = """<!--
  Vacuum gripper with four cups. Copyright the Proveout authors, licensed under Apache-2.0.
  Written by build.py; change the numbers in parameters.py, not here. See README.md.
  gravcomp="1": a robot's controller knows the mass of its tool.
-->"""


def xml() -> str:
    """Return the MJCF."""
    x, y, thickness = PLATE
    middle = PLATE_END - 0.5 * thickness
    lines = [
        HEADER,
        '<mujoco model="vacuum_gripper">',
        '  <compiler angle="radian" autolimits="true"/>',
        '  <option timestep="0.005" integrator="implicitfast"/>',
        "  <default>",
        '    <default class="vacuum_gripper_visual">',
        '      <geom group="2" contype="0" conaffinity="0" mass="0" rgba="0.16 0.17 0.19 1"/>',
        "    </default>",
        # Its own friction and softness hold against whatever it touches. Beyond the margin, which
        # is zero, contacts within the gap bear nothing, but adhesion acts on them.
        '    <default class="vacuum_gripper_cup">',
        f'      <geom type="sphere" size="{CUP_RADIUS:g}" pos="0 0 {-CUP_RADIUS:g}" group="3" '
        f'mass="0" priority="2" condim="3" gap="{LIP_STROKE:g}" '
        f'friction="{CUP_FRICTION:g} 0.005 0.0001" solref="{SOLREF[0]:g} {SOLREF[1]:g}" '
        'rgba="0.9 0.5 0.2 0.4"/>',
        f'      <adhesion gain="1" ctrlrange="0 {2 * CUP_FORCE:.6g}"/>',
        "    </default>",
        "  </default>",
        "  <worldbody>",
        '    <body name="plate" gravcomp="1">',
        f'      <inertial pos="0 0 0.05" mass="{MASS:g}" diaginertia="0.006 0.003 0.007"/>',
        f'      <geom name="plate" type="box" size="{x:g} {y:g} {0.5 * thickness:g}" '
        f'pos="0 0 {middle:g}" group="3" mass="0" rgba="0.9 0.5 0.2 0.4"/>',
        '      <geom class="vacuum_gripper_visual" type="cylinder" size="0.034 0.007" '
        'pos="0 0 0.007" rgba="0.6 0.62 0.64 1"/>',
        '      <geom class="vacuum_gripper_visual" type="cylinder" size="0.026 0.02" '
        'pos="0 0 0.032"/>',
        f'      <geom class="vacuum_gripper_visual" type="box" size="{x:g} {y:g} '
        f'{0.5 * thickness:g}" pos="0 0 {middle:g}" rgba="0.6 0.62 0.64 1"/>',
        '      <geom class="vacuum_gripper_visual" type="box" size="0.016 0.05 0.011" '
        f'pos="0.03 0 {PLATE_END - thickness - 0.011:g}" rgba="0.1 0.32 0.55 1"/>',
        f'      <site name="tcp" pos="0 0 {LENGTH:g}" size="0.004" group="4" '
        'rgba="0.9 0.2 0.2 1"/>',
    ]
    for i, (cup_x, cup_y) in enumerate(CUPS):
        lines += _cup(f"cup{i}", cup_x, cup_y)
    lines += ["    </body>", "  </worldbody>", "  <actuator>"]
    lines += [
        f'    <adhesion class="vacuum_gripper_cup" name="cup{i}" body="cup{i}"/>'
        for i in range(len(CUPS))
    ]
    lines += ["  </actuator>", "</mujoco>"]
    return "\n".join(lines) + "\n"


def build(folder: Path) -> None:
    """Write the model into a folder."""
    (folder / "vacuum_gripper.xml").write_text(xml(), encoding="utf-8")


def _cup(name: str, x: float, y: float) -> list[str]:
    """A cup, whose frame is in the middle of its lip; the sphere that collides touches it there."""
    stem = LENGTH - PLATE_END - 0.024  # visible piece of tube between plate and bellows
    visual = '        <geom class="vacuum_gripper_visual" type='
    bellows = [
        f'{visual}"ellipsoid" size="{radius:g} {radius:g} 0.005" pos="0 0 {height:g}" '
        'rgba="0.62 0.20 0.12 1"/>'
        for radius, height in ((0.014, -0.021), (0.016, -0.014))
    ]
    return [
        f'      <body name="{name}" pos="{x:g} {y:g} {LENGTH:g}" gravcomp="1">',
        f'        <geom class="vacuum_gripper_cup" name="{name}"/>',
        f'        <site name="{name}" size="0.002" group="4"/>',
        f'{visual}"cylinder" size="0.006 {0.5 * stem + 0.004:g}" '
        f'pos="0 0 {-0.024 - 0.5 * stem + 0.004:g}"/>',
        *bellows,
        # The lip: a cone of two steps that ends in its plane.
        f'{visual}"cylinder" size="0.014 0.003" pos="0 0 -0.008" rgba="0.62 0.20 0.12 1"/>',
        f'{visual}"cylinder" size="{CUP_RADIUS:g} 0.0025" pos="0 0 -0.0025" '
        'rgba="0.70 0.24 0.15 1"/>',
        "      </body>",
    ]


if __name__ == "__main__":
    build(FOLDER)
