"""Solver options of a file that MuJoCo Warp does not have, replaced by the nearest that it has."""

from __future__ import annotations

import mujoco

_DENSE_DOFS = 60  # above which MuJoCo Warp takes no dense Jacobian


def fit_engine(spec: mujoco.MjSpec, model: mujoco.MjModel) -> list[str]:
    """Change the options in place, and tell which.

    Args:
        spec: To change.
        model: The same, compiled.
    """
    notes = []
    option = spec.option
    if option.solver == mujoco.mjtSolver.mjSOL_PGS:
        option.solver = mujoco.mjtSolver.mjSOL_NEWTON
        notes.append("solver: Newton, as MuJoCo Warp has no PGS")
    if option.jacobian == mujoco.mjtJacobian.mjJAC_DENSE and model.nv > _DENSE_DOFS:
        option.jacobian = mujoco.mjtJacobian.mjJAC_AUTO
        notes.append(f"jacobian: not dense, as MuJoCo Warp has none for {model.nv} dofs")
    return notes
