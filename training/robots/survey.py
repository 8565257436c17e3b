"""Tries an importer on many robot files: does each load, step in MuJoCo Warp and hold its pose?

Each file is tried in a process that may crash or hang without ending the survey.
"""

from __future__ import annotations

import importlib.metadata
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from proveout.assets.files.atomic import read_regular
from proveout.assets.files.errors import ProveoutError
from proveout.assets.importer.home import SINGLE_JOINTS, holding_command, position_servos
from proveout.assets.importer.self_contact import exclude_touching
from proveout.assets.importer.servos import add_servos
from proveout.assets.robot import SUFFIXES, Robot, load_robot

STEPS = 100
TOLERANCE = 0.1  # rad or m: a joint that strays no further holds its pose
MARKER = "<!-- made by `proveout assets survey`; what is above is kept -->"
_SECONDS = 900.0  # for one file, the first compilation of kernels included
_EXPLAINED = f"""\
Every file is loaded with `load_robot` and takes {STEPS} steps in MuJoCo Warp from its home pose.
*holds*: every joint with a servo or motor stays within {TOLERANCE:g} rad or m of home for {STEPS}
steps (in brackets the furthest, and what drives it). For this a free base is held above the floor,
since a robot falls over whatever its joints do; motors become servos by the importer's rule, within
their range; and links that overlap at home do not push each other. *parts*: convex parts that stand
for collision meshes. *told*: warnings, which `proveout assets inspect` prints.
"""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What became of one file.

    Attributes:
        file: Relative to the folder that was surveyed.
        loaded: Whether `load_robot` took it.
        stepped: Whether MuJoCo Warp took 100 finite steps from its home pose.
        held: Whether every actuated joint stayed within 0.1 rad or m of home; None: there are none.
        drift: Furthest that an actuated joint strayed [rad or m].
        bodies: Number, as are `joints`, `actuators` and `parts` (convex parts of meshes).
        driven: "servos" of the model; "motors" that became servos; "" for none.
        reason: Why one of the three is not so; empty otherwise.
        warnings: What the importer changed or guessed.
    """

    file: str
    loaded: bool = False
    stepped: bool = False
    held: bool | None = None
    drift: float | None = None
    bodies: int = 0
    joints: int = 0
    actuators: int = 0
    parts: int = 0
    driven: str = ""
    reason: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Loaded, stepped, and held its pose if it has what holds it."""
        return self.loaded and self.stepped and self.held is not False


def robot_files(folder: Path) -> list[Path]:
    """All URDF files below a folder, and all XML files that speak of MuJoCo, sorted."""
    return sorted(path for path in folder.rglob("*") if _may_be_robot(path))


def _may_be_robot(path: Path) -> bool:
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES or not path.is_file():
        return False
    return suffix == ".urdf" or b"<mujoco" in read_regular(path, 2**20)


def survey(folder: Path, roots: Sequence[Path] = (), *, decompose: bool = True) -> Iterator[Trial]:
    """Try every robot file below a folder.

    Args:
        folder: Searched with all folders below it; it is also a root for the meshes of its files.
        roots: Further roots.
        decompose: Whether collision meshes become convex parts, which takes long; else hulls.
    """
    with _Child() as child:
        for path in robot_files(folder):
            yield child.run(path, folder, (folder, *roots), decompose)


def try_robot(path: Path, name: str, roots: Sequence[Path], *, decompose: bool = True) -> Trial:
    """Load a robot, take 100 steps from its home pose in MuJoCo Warp, and see whether it held it.

    Position servos are commanded to home. What has actuators then takes 100 steps more to show that
    it holds its pose: motors become the servos that the importer gives to robots without actuators,
    within their range; a free base, with which a robot falls over whatever its joints do, is held
    above the floor; and links that overlap at home do not push each other.
    """
    try:
        robot = load_robot(path, roots=roots, decompose=decompose)
    except ProveoutError as error:
        told_of = str(error).replace(str(path), name)
        for root in roots:
            told_of = told_of.replace(f"{root}/", "")
        return Trial(file=name, reason=" ".join(told_of.split()))
    model = robot.spec.copy().compile()
    told: dict[str, Any] = {
        "file": name, "loaded": True, "bodies": model.nbody - 1, "joints": model.njnt,
        "actuators": model.nu, "parts": sum(robot.parts.values()), "warnings": robot.warnings,
    }  # fmt: skip
    if model.nv == 0:
        return Trial(**told, stepped=True, reason="nothing in it moves")
    try:
        return Trial(**told, **_tried(robot, model))
    except NotImplementedError as error:
        return Trial(**told, reason=f"MuJoCo Warp: {_short(error)}")
    except Exception as error:  # what it meets is the result
        return Trial(**told, reason=f"MuJoCo Warp failed: {type(error).__name__}: {_short(error)}")


def _tried(robot: Robot, model: mujoco.MjModel) -> dict[str, Any]:
    strayed = _step(model, robot.home)
    if strayed is None:
        return {"reason": "its state is not finite after 100 steps"}
    motors = [index for index in range(model.nu) if _is_motor(model, index)]
    overlaps = ""
    if model.nu:
        held_model, home, overlaps = _holding(robot, model, motors)
        if motors or overlaps or held_model.nq != model.nq:
            strayed = _step(held_model, home)
            model = held_model
        if strayed is None:
            return {"stepped": True, "held": False, "reason": "not finite with its base held"}
    if not strayed:
        kind = "no actuators" if model.nu == 0 else "no servos or motors on single joints"
        return {"stepped": True, "reason": f"{kind}, so no pose to hold"}
    worst = max(strayed, key=lambda joint: strayed[joint])
    held = strayed[worst] <= TOLERANCE
    reason = overlaps
    if not held:
        reason = f"{worst} strays {strayed[worst]:.2g} rad or m{_why(model, worst, motors)}"
    return {
        "stepped": True, "held": held, "drift": strayed[worst], "reason": reason,
        "driven": "motors" if motors else "servos",
    }  # fmt: skip


def _is_motor(model: mujoco.MjModel, actuator: int) -> bool:
    """Whether an actuator pushes a joint of one degree of freedom by its command alone."""
    return (
        _on_joint(model, actuator)
        and model.actuator_gaintype[actuator] == mujoco.mjtGain.mjGAIN_FIXED
        and model.actuator_biastype[actuator] == mujoco.mjtBias.mjBIAS_NONE
        and model.actuator_dyntype[actuator] == mujoco.mjtDyn.mjDYN_NONE
    )


def _on_joint(model: mujoco.MjModel, actuator: int) -> bool:
    joint = int(model.actuator_trnid[actuator, 0])
    return (
        model.actuator_trntype[actuator] == mujoco.mjtTrn.mjTRN_JOINT
        and int(model.jnt_type[joint]) in SINGLE_JOINTS
    )


def _holding(
    robot: Robot, model: mujoco.MjModel, motors: Sequence[int]
) -> tuple[mujoco.MjModel, np.ndarray, str]:
    """The robot with its base held and its motors made servos, its home pose, and what overlaps."""
    spec = robot.spec.copy()
    keep = np.ones(model.nq, dtype=bool)
    for free in np.flatnonzero(model.jnt_type == mujoco.mjtJoint.mjJNT_FREE):
        address = int(model.jnt_qposadr[free])
        keep[address : address + 7] = False
    for key in list(spec.keys):
        spec.delete(key)
    if not keep.all():
        for joint in list(spec.joints):
            if joint.type == mujoco.mjtJoint.mjJNT_FREE:
                spec.delete(joint)
        for geom in spec.worldbody.geoms:
            geom.contype = geom.conaffinity = 0
    if motors:
        spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    efforts: dict[str, float] = {}
    actuators = list(spec.actuators)
    for motor in motors:
        index = int(motor)
        name = model.joint(int(model.actuator_trnid[index, 0])).name
        strength = model.actuator_gear[index, 0] * model.actuator_gainprm[index, 0]
        limit = 0.0
        if model.actuator_ctrllimited[index]:
            limit = float(np.abs(strength * model.actuator_ctrlrange[index]).max())
        efforts[name] = efforts.get(name, 0.0) + limit
        spec.delete(actuators[index])
    home = robot.home[keep]
    add_servos(spec, home, efforts, compensate_gravity=False)
    overlaps = exclude_touching(spec, home)
    return spec.compile(), home, " ".join(overlaps)


def _step(model: mujoco.MjModel, home: np.ndarray) -> dict[str, float] | None:
    """How far each joint with a position servo strayed from home; None: no finite state."""
    import mujoco_warp
    import warp as wp

    servos = position_servos(model)
    joints = {}
    for actuator in np.flatnonzero(servos):
        if _on_joint(model, int(actuator)):
            joint = int(model.actuator_trnid[actuator, 0])
            joints[model.joint(joint).name or str(joint)] = int(model.jnt_qposadr[joint])
    places = list(joints.values())
    host = mujoco.MjData(model)
    host.qpos[:] = home
    host.ctrl[:] = holding_command(model, home)
    mujoco.mj_forward(model, host)
    with wp.ScopedDevice("cpu"):
        m = mujoco_warp.put_model(model)
        m.opt.warn_overflow = 0
        d = mujoco_warp.put_data(
            model, host, nworld=1, nconmax=4 * host.ncon + 128, njmax=4 * host.nefc + 512
        )
        furthest = np.zeros(len(places))
        for _ in range(STEPS):
            mujoco_warp.step(m, d)
            strayed = np.abs(d.qpos.numpy()[0][places] - home[places])
            furthest = np.maximum(furthest, strayed)
        state = np.concatenate([d.qpos.numpy()[0], d.qvel.numpy()[0]])
    if not np.isfinite(state).all():
        return None
    return dict(zip(joints, furthest.tolist(), strict=True))


def _why(model: mujoco.MjModel, name: str, motors: Sequence[int]) -> str:
    """Weight against effort, where a joint is too weak."""
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    joint = model.joint(name)
    weight = abs(float(data.qfrc_bias[joint.dofadr[0]]))
    for actuator in range(model.nu):
        on = int(model.actuator_trnid[actuator, 0]) == joint.id
        if on and model.actuator_forcelimited[actuator]:
            effort = float(np.abs(model.actuator_forcerange[actuator]).max())
            if weight > effort:
                return f": {weight:.3g} N m or N of weight, and its actuator has {effort:.3g}"
    return ", a motor that makes a poor servo" if motors else ", as its own servos are set"


class _Child:
    """A process that tries one file after the other, started anew when it died."""

    def __init__(self) -> None:
        self._process: Any = None
        self._pipe: Connection | None = None

    def __enter__(self) -> _Child:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def run(self, path: Path, folder: Path, roots: Sequence[Path], decompose: bool) -> Trial:
        name = str(path.relative_to(folder))
        if self._pipe is None:
            context = multiprocessing.get_context("spawn")
            self._pipe, theirs = context.Pipe()
            self._process = context.Process(target=_serve, args=(theirs,), daemon=True)
            self._process.start()
            theirs.close()
        try:
            self._pipe.send((path, name, tuple(roots), decompose))
            if self._pipe.poll(_SECONDS):
                trial: Trial = self._pipe.recv()
                return trial
            reason = f"not done after {_SECONDS:g} s"
        except (EOFError, OSError):
            self._process.join(5)
            reason = f"the process ended with status {self._process.exitcode}"
        self._end()
        return Trial(file=name, reason=reason)

    def _end(self) -> None:
        if self._pipe is not None:
            self._pipe.close()
            self._process.terminate()
            self._process.join()
            self._pipe = None


def _serve(pipe: Connection) -> None:
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    while True:
        try:
            path, name, roots, decompose = pipe.recv()
            pipe.send(try_robot(path, name, roots, decompose=decompose))
        except (EOFError, OSError):  # the survey was stopped
            return


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:160]


def markdown(title: str, trials: Sequence[Trial]) -> str:
    """Return one source's section of the table: counts, then a row for each file."""
    passed = sum(trial.passed for trial in trials)
    loaded = sum(trial.loaded for trial in trials)
    stepped = sum(trial.stepped for trial in trials)
    motors = [trial for trial in trials if trial.held is not None]
    held = sum(bool(trial.held) for trial in motors)
    share = f"{passed / len(trials):.0%}" if trials else "none"
    lines = [
        f"## {title}",
        "",
        f"{len(trials)} files: {loaded} load, {stepped} step, {held} of {len(motors)} with "
        f"actuators on joints hold their pose; {passed} pass ({share}).",
        "",
        "| file | loads | steps | holds | bodies | joints | actuators | parts | told | remark |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for trial in trials:
        holds = "-" if trial.held is None else ("yes" if trial.held else "**no**")
        if trial.drift is not None:
            holds += f" ({trial.drift:.1e}, {trial.driven})"
        cells = (
            f"`{trial.file}`", _yes(trial.loaded), _yes(trial.stepped), holds, trial.bodies,
            trial.joints, trial.actuators, trial.parts, len(trial.warnings),
            trial.reason.replace("|", "/"),
        )  # fmt: skip
        lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _yes(value: bool) -> str:
    return "yes" if value else "**no**"


def versions() -> str:
    """The versions that a table was made with."""
    names = ("mujoco", "mujoco-warp", "trimesh", "coacd")
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)


def document(sections: Sequence[str], before: str = "") -> str:
    """Return the tables as Markdown.

    Args:
        sections: Of `markdown`.
        before: A document that the tables go into; its text above `MARKER` is kept.
    """
    head = before.split(MARKER)[0] if MARKER in before else "# Robots that load\n\n"
    return f"{head}{MARKER}\n\n{_EXPLAINED}\n" + "\n".join(sections)
