"""`proveout capacities`: the room that contacts and constraints need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from proveout.training.cli.command import Help, flag

HELP = Help(
    text=(
        "Roll out a policy in worlds with ample room, and print the capacities to store in an "
        "articulated task's class. Random actions, the default, seldom push: measure with an "
        "expert or a trained policy as well."
    ),
    examples=(
        "proveout capacities proveout/Reach-v0",
        "proveout capacities proveout/Reach-v0 --policy expert",
    ),
)


@dataclass(frozen=True, kw_only=True)
class CapacitiesFlags:
    """Flags of `capacities`."""

    policy: str = flag("random", "random, expert, pretrained, a run or a file: what acts")
    num_envs: int = flag(64, "rolled out together", "worlds")
    episodes: int = flag(4, "of each world", "episodes")
    margin: float = flag(1.5, "factor on the measured peaks", "")
    seed: int = flag(0, "of the worlds and of random actions")
    trust_pickle: bool = flag(False, "unpickle a .zip of Stable-Baselines3: it can run any code")


def run(arguments: Sequence[str], prog: str, text: str) -> int:
    """Measure the room that a task's worlds need."""
    from proveout.envs import make_task
    from proveout.envs.core.device import resolve_device
    from proveout.envs.core.memory import check_memory
    from proveout.envs.factory.task import ArticulatedTask
    from proveout.training.cli.arguments import UsageError
    from proveout.training.cli.targets import parse_with_config, take_env
    from proveout.training.evaluation.capacities import policy_capacities
    from proveout.training.evaluation.policy_source import PolicySource

    env_id, rest = take_env(arguments, prog, CapacitiesFlags)
    flags, config = parse_with_config(rest, CapacitiesFlags, prog, text, env_id, None)
    assert env_id is not None
    task = make_task(env_id, config)
    if not isinstance(task, ArticulatedTask):
        raise UsageError(f"{env_id} is no articulated task: it has no capacities to measure")
    check_memory(task, flags.num_envs, resolve_device("cpu"))
    found = policy_capacities(
        task,
        PolicySource(flags.policy, flags.trust_pickle, flags.seed),
        num_worlds=flags.num_envs,
        episodes=flags.episodes,
        margin=flags.margin,
        seed=flags.seed,
    )
    print(f"measured with the policy {flags.policy}, times {flags.margin:g}: "
          f"contacts={found.contacts}, constraints={found.constraints}")  # fmt: skip
    if flags.policy == "random":
        print("random actions seldom push: measure with --policy expert or a trained one as well")
    stored = getattr(task, "capacities", None)
    if stored is None:
        print(f"{type(task).__name__} has none yet: write capacities = {found} into the class")
        return 1
    print(f"in {type(task).__name__}: contacts={stored.contacts}, constraints={stored.constraints}")
    enough = found.contacts <= stored.contacts and found.constraints <= stored.constraints
    print("enough" if enough else "too small: raise capacities in the class")
    return 0 if enough else 1
