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
from proveout.assets.importer.servos import FREQUENCY
from proveout.assets.robot import SUFFIXES, load_robot

STEPS = 100
TOLERANCE = 0.1  # rad or m: a joint that strays no further holds its pose
_SECONDS = 900.0  # for one file, the first compilation of kernels included


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
        driven: "servos" of the model; "motors" that this survey drove as servos; "" for none.
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


def survey(folder: Path, roots: Sequence[Path] = ()) -> Iterator[Trial]:
    """Try every robot file below a folder.

    Args:
        folder: Searched with all folders below it; it is also a root for the meshes of its files.
        roots: Further roots.
    """
    with _Child() as child:
        for path in robot_files(folder):
            yield child.run(path, folder, (folder, *roots))


def try_robot(path: Path, name: str, roots: Sequence[Path]) -> Trial:
    """Load a robot, take 100 steps from its home pose in MuJoCo Warp, and see whether it held it.

    Position servos are commanded to home. Motors on joints are driven by the law that the importer
    gives to robots without actuators (stiffness M w^2, critical damping), within their range.
    """
    try:
        robot = load_robot(path, roots=roots)
    except ProveoutError as error:
        return Trial(file=name, reason=" ".join(str(error).replace(str(path), name).split()))
    model = robot.spec.copy().compile()
    told: dict[str, Any] = {
        "file": name, "loaded": True, "bodies": model.nbody - 1, "joints": model.njnt,
        "actuators": model.nu, "parts": sum(robot.parts.values()), "warnings": robot.warnings,
    }  # fmt: skip
    if model.nv == 0:
        return Trial(**told, stepped=True, reason="nothing in it moves")
    try:
        return Trial(**told, **_step(model, robot.home))
    except NotImplementedError as error:
        return Trial(**told, reason=f"MuJoCo Warp: {_short(error)}")
    except Exception as error:  # what it meets is the result
        return Trial(**told, reason=f"MuJoCo Warp failed: {type(error).__name__}: {_short(error)}")


def _step(model: mujoco.MjModel, home: np.ndarray) -> dict[str, Any]:
    import mujoco_warp
    import warp as wp

    servos = position_servos(model)
    joints, motors, dofs = [], [], []
    for actuator in range(model.nu):
        joint = int(model.actuator_trnid[actuator, 0])
        if (
            model.actuator_trntype[actuator] != mujoco.mjtTrn.mjTRN_JOINT
            or int(model.jnt_type[joint]) not in SINGLE_JOINTS
        ):
            continue
        plain = (
            model.actuator_gaintype[actuator] == mujoco.mjtGain.mjGAIN_FIXED
            and model.actuator_biastype[actuator] == mujoco.mjtBias.mjBIAS_NONE
            and model.actuator_dyntype[actuator] == mujoco.mjtDyn.mjDYN_NONE
        )
        if servos[actuator] or plain:
            joints.append(int(model.jnt_qposadr[joint]))
        if plain and not servos[actuator]:
            motors.append(actuator)
            dofs.append(int(model.jnt_dofadr[joint]))
    host = mujoco.MjData(model)
    host.qpos[:] = home
    mujoco.mj_forward(model, host)
    inertia = np.zeros((model.nv, model.nv))
    mujoco.mj_fullM(model, host, inertia)
    command = holding_command(model, home)
    places = [int(model.jnt_qposadr[model.dof_jntid[dof]]) for dof in dofs]
    strength = model.actuator_gear[motors, 0] * model.actuator_gainprm[motors, 0]
    felt = np.diag(inertia)[dofs]
    with wp.ScopedDevice("cpu"):
        m = mujoco_warp.put_model(model)
        m.opt.warn_overflow = 0
        d = mujoco_warp.put_data(
            model, host, nworld=1, nconmax=4 * host.ncon + 128, njmax=4 * host.nefc + 512
        )
        furthest = 0.0
        for _ in range(STEPS):
            if motors:
                q, v = d.qpos.numpy()[0], d.qvel.numpy()[0]
                wanted = felt * (
                    FREQUENCY**2 * (home[places] - q[places]) - 2.0 * FREQUENCY * v[dofs]
                )
                command[motors] = wanted / strength
                low, high = model.actuator_ctrlrange.T
                limited = model.actuator_ctrllimited.astype(bool)
                command = np.where(limited, np.clip(command, low, high), command)
            d.ctrl.assign(command[None].astype(np.float32))
            mujoco_warp.step(m, d)
            if joints:
                strayed = np.abs(d.qpos.numpy()[0][joints] - home[joints]).max()
                furthest = max(furthest, float(strayed))
        state = np.concatenate([d.qpos.numpy()[0], d.qvel.numpy()[0]])
    driven = ("motors" if motors else "servos") if joints else ""
    if not np.isfinite(state).all():
        return {"reason": "its state is not finite after 100 steps", "driven": driven}
    if not joints:
        kind = "no actuators" if model.nu == 0 else "no actuators on single joints"
        return {"stepped": True, "reason": f"{kind}, so no pose to hold"}
    held = furthest <= TOLERANCE
    told: dict[str, Any] = {
        "stepped": True,
        "held": held,
        "drift": furthest,
        "driven": driven,
        "reason": "",
    }
    if not held:
        told["reason"] = f"a joint strays {furthest:.2g} rad or m from home"
        if motors:
            told["reason"] += ", its motors are too weak or its home pose is no rest"
    return told


class _Child:
    """A process that tries one file after the other, started anew when it died."""

    def __init__(self) -> None:
        self._process: Any = None
        self._pipe: Connection | None = None

    def __enter__(self) -> _Child:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def run(self, path: Path, folder: Path, roots: Sequence[Path]) -> Trial:
        name = str(path.relative_to(folder))
        if self._pipe is None:
            context = multiprocessing.get_context("spawn")
            self._pipe, theirs = context.Pipe()
            self._process = context.Process(target=_serve, args=(theirs,), daemon=True)
            self._process.start()
            theirs.close()
        try:
            self._pipe.send((path, name, tuple(roots)))
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
            path, name, roots = pipe.recv()
        except EOFError:
            return
        pipe.send(try_robot(path, name, roots))


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


def document(sections: Sequence[str]) -> str:
    """Return docs/robots.md."""
    return (
        "# Robots that load\n\n"
        "Every robot file of some public packages through `load_robot`, then 100 steps in MuJoCo "
        f"Warp from the home pose ({versions()}).\n"
        f"*holds*: every actuated joint stays within {TOLERANCE:g} rad or m of home (in brackets "
        "the furthest, and by what). Servos are those of the model, which a URDF gets from the "
        "importer; motors on joints are driven by the same law. *parts*: convex parts of collision "
        "meshes. *told*: number of warnings, see `proveout assets inspect`.\n\n"
        "Made by `proveout assets survey TITLE=FOLDER ... --out docs/robots.md`.\n\n"
    ) + "\n".join(sections)
