"""Which frames of a robot are its base and its tool: asked of the model, guessed, and told."""

from __future__ import annotations

import re
from dataclasses import dataclass

import mujoco

from proveout.assets.files.errors import unknown

TOOL_SITE = "tcp"
# In the order in which they are looked for; a site before a body.
_TOOL_NAMES = (
    r"(.*[_/-])?tcp",
    r"(.*[_/-])?(tool0|tool_frame|tool_link|tool_center_point|tool)",
    r"(.*[_/-])?(attachment_site|grasp_site|pinch_site|pinch|grasptarget|grasp_frame|gripper_center)",
    r"(.*[_/-])?(ee|eef|ee_link|ee_frame|ee_site|end_effector|endeffector|link_eef|fingertip)",
)
_BASE_NAMES = ("base_link", "base", "base_footprint", "world")


@dataclass(frozen=True, kw_only=True)
class Frame:
    """A named frame of a robot.

    Attributes:
        kind: "site" or "body".
        name: Of the site or body in the specification.
        body: The body that carries it; itself for a body.
    """

    kind: str
    name: str
    body: str


def name_frames(
    spec: mujoco.MjSpec, model: mujoco.MjModel, tool: str | None
) -> tuple[dict[str, Frame], list[str]]:
    """Return the frames "base" and, where there is one, "tool", and what was guessed.

    The base is the first body that hangs on the world. The tool is what is asked for; else a site,
    then a body, whose name says that it is one; else the end of the one chain with the most
    joints, which, where it forks into fingers, ends at the fork. Limbs of the same number of
    joints, as those of a walking robot, have no tool among them.

    The frame of the tool is always a site, named "tcp" where that name is free: one is added in the
    frame of the body or site that is the tool.

    Args:
        spec: To which the site is added.
        model: The same, compiled.
        tool: Name of a site or body.

    Raises:
        UnknownNameError: There is no such site or body.
    """
    frames: dict[str, Frame] = {}
    notes: list[str] = []
    first = [body for body in spec.bodies if body.parent == spec.worldbody and body.name]
    if first:
        named = {body.name: body for body in first}
        base = next((named[name] for name in _BASE_NAMES if name in named), first[0])
        frames["base"] = Frame(kind="body", name=base.name, body=base.name)
    else:
        frames["base"] = Frame(kind="body", name="world", body="world")
    sites = [site.name for site in spec.sites if site.name]
    bodies = [body.name for body in spec.bodies if body.name and body.name != "world"]
    if tool is not None:
        if tool not in (*sites, *bodies):
            raise unknown("site or body", tool, [*sites, *bodies])
        found: str | None = tool
    else:
        found = _by_name(sites) or _by_name(bodies)
        if found is None:
            found = _by_chain(model)
            if found is not None:
                notes.append(f"tool: guessed to be body {found}, the end of the longest chain")
            else:
                notes.append("tool: none, as no one chain is the longest; name one with tool=")
        elif found != TOOL_SITE:
            notes.append(f"tool: guessed by its name, {found}")
    if found is not None:
        frames["tool"] = _tool_site(spec, found, sites)
    return frames, notes


def _tool_site(spec: mujoco.MjSpec, found: str, sites: list[str]) -> Frame:
    """Return the tool's frame, a site that is added unless there is one of that name."""
    there = spec.site(found) if found in sites else None
    if there is not None and found == TOOL_SITE:
        return Frame(kind="site", name=found, body=there.parent.name)
    name = TOOL_SITE
    while name in sites:
        name += "_"
    body = spec.body(found) if there is None else there.parent
    site = body.add_site(name=name, group=4, size=[0.005] * 3)
    if there is not None:
        site.pos, site.quat, site.frame = there.pos, there.quat, there.frame
    return Frame(kind="site", name=name, body=body.name)


def _by_name(names: list[str]) -> str | None:
    """The first name that says it is a tool, unless several say so alike, as those of two arms."""
    for pattern in _TOOL_NAMES:
        matches = [name for name in names if re.fullmatch(pattern, name, re.IGNORECASE)]
        if matches:
            return matches[0] if len(matches) == 1 else None
    return None


def _by_chain(model: mujoco.MjModel) -> str | None:
    """The body at the end of the chain with the most joints; the fork where it has fingers."""
    depth = [0] * model.nbody
    children: list[list[int]] = [[] for _ in range(model.nbody)]
    for body in range(1, model.nbody):
        parent = int(model.body_parentid[body])
        depth[body] = depth[parent] + int(model.body_jntnum[body])
        children[parent].append(body)
    most = max(depth)
    if most == 0:
        return None
    # Bodies on every path to a deepest end; their last one is the fork or the end itself.
    ends = [body for body in range(1, model.nbody) if depth[body] == most]
    paths = []
    for end in ends:
        path = [end]
        while model.body_parentid[path[-1]] != 0:
            path.append(int(model.body_parentid[path[-1]]))
        paths.append(path[::-1])
    shared = [
        steps[0] for steps in zip(*paths, strict=False) if all(step == steps[0] for step in steps)
    ]
    if not shared:
        return None
    last = shared[-1]
    # A fork near the base joins limbs, not fingers.
    if depth[last] < max(1, most / 2) and len({path[len(shared)] for path in paths if
                                               len(path) > len(shared)}) > 1:  # fmt: skip
        return None
    while not model.body(last).name:
        last = int(model.body_parentid[last])
        if last == 0:
            return None
    return str(model.body(last).name)
