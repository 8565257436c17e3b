"""`proveout check`: whether an environment keeps its contract."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from proveout.training.cli.command import Help, flag

HELP = Help(
    text=(
        "Run every check of proveout.envs.check_vector_env on an environment. Exits with 1 if one "
        "finds an error."
    ),
    examples=("proveout check proveout/Reach-v0",),
)


@dataclass(frozen=True, kw_only=True)
class CheckFlags:
    """Flags of `check`."""

    num_envs: int = flag(4, "made for the checks", "worlds")
    steps: int = flag(200, "of a roll-out; episodes should end within it", "steps")
    workers: int | None = flag(None, "on the CPU; None: all cores", "processes")
    device: str = flag("auto", "auto, cpu or cuda:N")
    physics: str = flag("warp", "warp, or c for MuJoCo C on the CPU")


def run(arguments: Sequence[str], prog: str, text: str) -> int:
    """Prove an environment's conformance."""
    from proveout.envs import check_vector_env, make_task
    from proveout.envs.core.task import Task
    from proveout.training.cli.targets import parse_with_config, take_env
    from proveout.training.tasks import VectorEnvSpec, make_vector_env

    env_id, rest = take_env(arguments, prog, CheckFlags)
    flags, config = parse_with_config(rest, CheckFlags, prog, text, env_id, None)
    assert env_id is not None
    # Worlds that end at different times show more than worlds that all end together.
    spec = VectorEnvSpec(
        env_id,
        config,
        device=flags.device,
        workers=flags.workers,
        physics=flags.physics,
        phase_spread=1.0,
    )

    # What only has a task's face, as of another simulator, has no hooks to try.
    task: Any = make_task(env_id, config, physics=flags.physics)

    def make(num_envs: int = flags.num_envs, workers: int | None = flags.workers) -> Any:
        return make_vector_env(dataclasses.replace(spec, num_envs=num_envs, workers=workers))

    report = check_vector_env(
        make,
        num_envs=flags.num_envs,
        steps=flags.steps,
        name=env_id,
        task=task if isinstance(task, Task) else None,
    )
    if any("full" in finding.message for finding in report.findings if finding.check == "invalid"):
        print(f"room for contacts and constraints: proveout capacities {env_id}", file=sys.stderr)
    print(report.table())
    return 0 if report.ok else 1
