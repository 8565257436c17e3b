"""Load a robot: a shipped one by its name, one of another package, or any MJCF or URDF file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

from proveout.assets.files.errors import ModelError, unknown
from proveout.assets.importer.engine import fit_engine
from proveout.assets.importer.frames import Frame, name_frames
from proveout.assets.importer.home import KEY, holding_command, home_pose
from proveout.assets.importer.mjcf import missing_mesh, read_mjcf, refused, resolve_meshes
from proveout.assets.importer.paths import Places
from proveout.assets.importer.self_contact import exclude_touching
from proveout.assets.importer.servos import add_servos
from proveout.assets.importer.sources import SCHEMES, find_source
from proveout.assets.importer.urdf import UrdfModel

ROBOTS = Path(__file__).parent / "robots"
SUFFIXES = (".xml", ".mjcf", ".urdf")
_SPEEDS = "joint_speed_limits"  # a <numeric> that keeps what MJCF has no place for
_KINDS = {
    mujoco.mjtJoint.mjJNT_FREE: "free",
    mujoco.mjtJoint.mjJNT_BALL: "ball",
    mujoco.mjtJoint.mjJNT_SLIDE: "slide",
    mujoco.mjtJoint.mjJNT_HINGE: "hinge",
}


@dataclass(frozen=True, kw_only=True)
class RobotJoint:
    """A joint of a robot; angles in rad, lengths in m.

    Attributes:
        name: In the specification.
        kind: "hinge", "slide", "ball" or "free".
        body: The body that it moves.
        low: Of its range; infinite where there is none, as is `high`.
        effort: Largest torque or force of its actuators [N m or N]; infinite where none is set.
        velocity: Largest speed [rad/s or m/s]; infinite where the file says none.
        follows: The joint that it mimics; None for most.
    """

    name: str
    kind: str
    body: str
    low: float
    high: float
    effort: float
    velocity: float
    follows: str | None


@dataclass(frozen=True, kw_only=True)
class Robot:
    """A robot that is known to compile.

    Attributes:
        name: Of the model in its file.
        path: The file.
        spec: An editable specification, not compiled. It has a keyframe "home".
        frames: "base", and "tool" where there is one.
        joints: In the order of the model.
        actuators: Names in the order of the model; "" where the file gives none.
        home: Positions in the home pose, shape (nq,), rad and m.
        parts: Convex parts that stand for the collision meshes of each body of a URDF.
        warnings: What was changed, guessed or left out, one phrase each.
    """

    name: str
    path: Path
    spec: mujoco.MjSpec
    frames: dict[str, Frame]
    joints: tuple[RobotJoint, ...]
    actuators: tuple[str, ...]
    home: NDArray[np.float64]
    parts: dict[str, int]
    warnings: tuple[str, ...]

    def attach_to(
        self,
        scene: mujoco.MjSpec,
        *,
        prefix: str,
        pos: ArrayLike = (0.0, 0.0, 0.0),
        quat: ArrayLike = (1.0, 0.0, 0.0, 0.0),
        site: mujoco.MjsSite | None = None,
    ) -> dict[str, Frame]:
        """Put a copy of the robot into a scene, whose solver options hold.

        Args:
            scene: To add to.
            prefix: Before every name, such as "left/"; one for each robot.
            pos: Where the base goes, in the world [m], shape (3,).
            quat: How it is turned, (w, x, y, z).
            site: Of the scene, to hang it on instead: `pos` and `quat` are then not used.

        Returns:
            The robot's frames by their names in the scene.
        """
        copy = self.spec.copy()
        copy.option = scene.option  # Two that differ are a warning of MuJoCo's.
        if site is not None:
            scene.attach(copy, prefix=prefix, site=site)
        else:
            frame = scene.worldbody.add_frame(pos=np.asarray(pos), quat=np.asarray(quat))
            scene.attach(copy, prefix=prefix, frame=frame)
        return {
            key: replace(frame, name=prefix + frame.name, body=prefix + frame.body)
            for key, frame in self.frames.items()
        }

    def with_tool(self, tool: Robot, *, prefix: str = "tool/") -> Robot:
        """Return a robot of both: `tool` on this one's tool frame, and its tool frame the new one.

        Raises:
            ModelError: This robot has no tool frame, or both together do not compile.
        """
        if "tool" not in self.frames:
            raise ModelError(
                f"robot {self.name} has no tool frame to attach {tool.name} to; load it with tool=."
            )
        spec = self.spec.copy()
        frames = tool.attach_to(spec, prefix=prefix, site=spec.site(self.frames["tool"].name))
        for key in list(spec.keys):
            spec.delete(key)  # Two of them, each of a half.
        model = _compiled(self.path, spec)
        home = np.array(model.qpos0)
        for part, before in ((self, ""), (tool, prefix)):
            own = part.spec.copy().compile()
            for joint in range(own.njnt):
                name, width = own.joint(joint).name, len(own.joint(joint).qpos0)
                start, goes = own.jnt_qposadr[joint], model.joint(before + name).qposadr[0]
                home[goes : goes + width] = part.home[start : start + width]
        return _described(
            self.path, spec, home, frames={**self.frames, "tool": frames.get("tool",
            self.frames["tool"])}, parts={**self.parts, **{prefix + k: v for k, v in
            tool.parts.items()}}, warnings=[*self.warnings, *(f"{prefix}{w}" for w in
            tool.warnings)],
        )  # fmt: skip


def robot_names() -> list[str]:
    """Names of the shipped robots, sorted."""
    return sorted(
        folder.name for folder in ROBOTS.iterdir() if (folder / f"{folder.name}.xml").is_file()
    )


def load_robot(
    path_or_name: str | os.PathLike[str],
    *,
    roots: Sequence[str | os.PathLike[str]] = (),
    tool: str | None = None,
    home: Mapping[str, float] | None = None,
    free_base: bool = False,
    decompose: bool = True,
    cache: str | os.PathLike[str] | None = None,
) -> Robot:
    """Load a robot as an editable MuJoCo specification that is known to compile.

    What a file lacks is guessed by a rule, and everything that was changed or guessed is in the
    `warnings`: servos for URDF, which knows no actuators (`importer.servos`), inertias that no body
    can have (`importer.inertia`), convex parts of collision meshes (`mesh.convex`), the tool frame
    (`importer.frames`) and the home pose (`importer.home`). MJCF is left as its author wrote it:
    a keyframe "home" and the site of the tool are all that is added, where they are missing, and
    solver options that MuJoCo Warp lacks are replaced (`importer.engine`).

    Args:
        path_or_name: A bare name such as "ur5e"; the path of an .xml, .mjcf or .urdf file, which a
            text with a folder separator or one of these endings is; "menagerie:NAME" or
            "example-robot-data:NAME" for a robot of the package mujoco-menagerie or
            example-robot-data.
        roots: Folders in which meshes named package://NAME/FILE are looked for, before those above
            the file, and which relative paths may lead into.
        tool: Site or body that is the tool; None: guessed.
        home: Positions of joints by name in the home pose [rad or m]; None: guessed.
        free_base: URDF only: the base is free to move, as that of a walking robot, instead of
            fixed to the world.
        decompose: URDF only: collision meshes become convex parts; else each its convex hull.
        cache: Folder where convex parts are kept; None: $PROVEOUT_CACHE, else the user's cache.

    Raises:
        UnknownNameError: No robot, site, body or joint has the name that was given.
        ModelError: The file or one of its meshes is missing, cannot be used or lies outside the
            folders above; one sentence with the file and the element.
    """
    path, folders = _locate(path_or_name)
    folders += tuple(Path(root) for root in roots)
    for folder in folders:
        if not folder.is_dir():
            raise ModelError(f"root {folder} is not a folder; give one that holds packages.")
    if path.suffix.lower() == ".urdf":
        return _from_urdf(path, folders, tool, home, free_base, decompose, cache)
    if free_base:
        raise ModelError(
            f"robot file {path} is MJCF, where the file says whether the base is free; add a "
            f"<freejoint/> there."
        )
    return _from_mjcf(path, folders, tool, home)


def _from_urdf(
    path: Path,
    roots: tuple[Path, ...],
    tool: str | None,
    home: Mapping[str, float] | None,
    free_base: bool,
    decompose: bool,
    cache: str | os.PathLike[str] | None,
) -> Robot:
    urdf = UrdfModel(path, roots=roots, decompose=decompose, free_base=free_base, cache=cache)
    spec, notes = urdf.spec, urdf.notes
    model = _compiled(path, spec)
    pose, told = home_pose(spec, model, home, nearest=False)
    notes += told
    notes += exclude_touching(spec, pose)
    joints = urdf.tree.joints.values()
    efforts = {
        joint.name: joint.effort
        for joint in joints
        if joint.kind in ("revolute", "continuous", "prismatic") and joint.mimic is None
    }
    notes += add_servos(spec, pose, efforts, compensate_gravity=not free_base)
    frames, told = name_frames(spec, model, tool)
    notes += told
    speeds = [
        urdf.tree.joints[joint.name].velocity if joint.name in urdf.tree.joints else 0.0
        for joint in spec.joints
    ]
    if any(speeds):
        spec.add_numeric(name=_SPEEDS, data=speeds, size=len(speeds))
    return _described(path, spec, pose, frames=frames, parts=urdf.parts, warnings=notes)


def _from_mjcf(
    path: Path, roots: tuple[Path, ...], tool: str | None, home: Mapping[str, float] | None
) -> Robot:
    spec = read_mjcf(path, roots)
    notes = resolve_meshes(spec, Places(path, roots))
    model = _compiled(path, spec)
    notes += fit_engine(spec, model)
    pose, told = home_pose(spec, model, home, nearest=True)
    notes += told
    frames, told = name_frames(spec, model, tool)
    notes += told
    if model.nu == 0 and model.njnt:
        notes.append("actuators: none in the file, none added")
    return _described(path, spec, pose, frames=frames, parts={}, warnings=notes, asked=home)


def _described(
    path: Path,
    spec: mujoco.MjSpec,
    home: NDArray[np.float64],
    *,
    frames: dict[str, Frame],
    parts: dict[str, int],
    warnings: list[str],
    asked: Mapping[str, float] | None = None,
) -> Robot:
    """Give the specification its keyframe, and read off what the robot has."""
    model = _compiled(path, spec)
    named = [key for key in spec.keys if key.name == KEY]
    if named and asked:
        named[0].qpos = home
        named[0].ctrl = holding_command(model, home)
    elif not named and model.nq:
        spec.add_key(name=KEY, qpos=home, ctrl=holding_command(model, home))
    model = _compiled(path, spec)
    return Robot(
        name=spec.modelname, path=path, spec=spec, frames=frames, joints=_joints(spec, model),
        actuators=tuple(model.actuator(i).name for i in range(model.nu)), home=home,
        parts=parts, warnings=tuple(dict.fromkeys(warnings)),
    )  # fmt: skip


def _joints(spec: mujoco.MjSpec, model: mujoco.MjModel) -> tuple[RobotJoint, ...]:
    speeds = np.full(model.njnt, np.inf)
    for numeric in spec.numerics:
        if numeric.name == _SPEEDS and len(numeric.data) == model.njnt:
            given = np.asarray(numeric.data, dtype=np.float64)
            speeds = np.where(given > 0.0, given, np.inf)
    follows = {}
    for equality in range(model.neq):
        if model.eq_type[equality] == mujoco.mjtEq.mjEQ_JOINT and model.eq_obj2id[equality] >= 0:
            leader = model.joint(int(model.eq_obj2id[equality])).name
            follows[int(model.eq_obj1id[equality])] = leader
    efforts = np.full(model.njnt, np.inf)
    driven = (int(mujoco.mjtTrn.mjTRN_JOINT), int(mujoco.mjtTrn.mjTRN_JOINTINPARENT))
    for actuator in range(model.nu):
        if (
            int(model.actuator_trntype[actuator]) in driven
            and model.actuator_forcelimited[actuator]
        ):
            gear = abs(float(model.actuator_gear[actuator, 0]))
            bound = float(np.abs(model.actuator_forcerange[actuator]).max())
            efforts[model.actuator_trnid[actuator, 0]] = gear * bound
    joints = []
    for index in range(model.njnt):
        low, high = model.jnt_range[index] if model.jnt_limited[index] else (-np.inf, np.inf)
        effort = float(efforts[index])
        if model.jnt_actfrclimited[index]:
            effort = min(effort, float(np.abs(model.jnt_actfrcrange[index]).max()))
        joints.append(
            RobotJoint(
                name=model.joint(index).name,
                kind=_KINDS[mujoco.mjtJoint(model.jnt_type[index])],
                body=model.body(int(model.jnt_bodyid[index])).name,
                low=float(low), high=float(high), effort=effort,
                velocity=float(speeds[index]), follows=follows.get(index),
            )
        )  # fmt: skip
    return tuple(joints)


def _compiled(path: Path, spec: mujoco.MjSpec) -> mujoco.MjModel:
    try:
        return spec.copy().compile()
    except (ValueError, mujoco.FatalError) as error:
        raise missing_mesh(path, spec) or refused(path, error) from error


def _locate(path_or_name: str | os.PathLike[str]) -> tuple[Path, tuple[Path, ...]]:
    text = os.fspath(path_or_name)
    if isinstance(path_or_name, str):
        source = find_source(text)
        if source is not None:
            return source.path, source.roots
    path = Path(text).expanduser()
    is_path = not isinstance(path_or_name, str) or path.suffix.lower() in SUFFIXES
    if not is_path and path.name == text:
        names = robot_names()
        if text not in names:
            raise unknown("robot", text, [*names, *(f"{scheme}:NAME" for scheme in SCHEMES)])
        return ROBOTS / text / f"{text}.xml", ()
    if not path.is_file():
        raise ModelError(
            f"robot file {text} does not exist; give the path of an MJCF or URDF file."
        )
    if path.suffix.lower() not in SUFFIXES:
        raise ModelError(
            f"robot file {text} is not MJCF or URDF; give a file that ends in "
            f"{', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}."
        )
    return path, ()
