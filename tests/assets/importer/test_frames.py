"""Which frame is the tool."""

from pathlib import Path

import pytest

from proveout.assets.files.errors import UnknownNameError
from proveout.assets.robot import Robot, load_robot


def load(folder: Path, tree: str, tool: str | None = None) -> Robot:
    """A robot of nested bodies: `a(b,c)` is a body a with two in it, each with a joint."""
    text, name = "", ""
    for letter in tree + " ":
        if letter in "(,) " and name:
            joint = "" if name.startswith("fixed_") else f'<joint name="j_{name}"/>'
            text += f'<body name="{name}">{joint}<geom size="0.1"/>'
            name = ""
            if letter in ",) ":
                text += "</body>"
        elif letter not in "(,) ":
            name += letter
        if letter == ")":
            text += "</body>"
    path = folder / "robot.xml"
    path.write_text(f"<mujoco><worldbody>{text}</worldbody></mujoco>")
    return load_robot(path, tool=tool)


@pytest.mark.parametrize(
    ("tree", "tool"),
    [
        ("base(upper(lower(fixed_flange)))", "lower"),
        ("base(upper(lower(left,right)))", "lower"),  # a gripper: the fork
        ("base(upper(lower(hand_tcp)))", "hand_tcp"),
        ("base(upper(fixed_tool0(lower)))", "fixed_tool0"),
        ("base(upper(lower(tip,fixed_ee_link)))", "fixed_ee_link"),
        ("trunk(left_hip(left_foot),right_hip(right_foot))", None),
        ("trunk(left(left_tcp),right(right_tcp))", None),
    ],
)
def test_the_tool_is_named_or_at_the_end_of_the_longest_chain(
    tmp_path: Path, tree: str, tool: str | None
) -> None:
    robot = load(tmp_path, tree)
    found = robot.frames.get("tool")
    assert (found.body if found else None) == tool
    assert any(warning.startswith("tool:") for warning in robot.warnings)
    assert robot.frames["base"].name in ("base", "trunk")


def test_a_tool_that_is_asked_for_is_taken_or_the_nearest_name_said(tmp_path: Path) -> None:
    tree = "trunk(left_hip(left_foot),right_hip(right_foot))"
    robot = load(tmp_path, tree, tool="left_foot")
    assert robot.frames["tool"].name == "tcp"
    assert robot.spec.site("tcp").parent.name == "left_foot"
    with pytest.raises(UnknownNameError, match="did you mean 'left_foot'"):
        load(tmp_path, tree, tool="left_fot")
