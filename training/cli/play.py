"""`proveout play`: watch a policy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from proveout.training.cli.command import MAX_SEED, Help, flag

HELP = Help(
    text=(
        "Roll out one world or a few, print the statistics of each episode, and write a video or "
        "open a window."
    ),
    examples=(
        "proveout play proveout/Highway-v0 --policy pretrained --video highway.mp4",
        "proveout play runs/proveout-Reach-v0/20250131-120000-seed0 --window",
    ),
)


@dataclass(frozen=True, kw_only=True)
class PlayFlags:
    """Flags of `play`."""

    policy: str | None = flag(
        None, "random, expert, pretrained, a run or a file; None: the RUN's own, or pretrained"
    )
    video: Path | None = flag(None, "write the frames to this .mp4")  # noqa: RUF009
    window: bool = flag(False, "show one world in a window instead")
    episodes: int = flag(3, "of each world", "episodes")
    num_envs: int = flag(1, "shown side by side", "worlds", high=64)
    seed: int = flag(0, "of the worlds", high=MAX_SEED)
    physics: str | None = flag(
        None, "warp, or c for MuJoCo C on the CPU; None: the RUN's own, or warp"
    )
    trust_pickle: bool = flag(False, "unpickle a .zip of Stable-Baselines3: it can run any code")


def run(arguments: Sequence[str], prog: str, text: str) -> int:
    """Watch a policy."""
    from proveout.training.cli.targets import (
        parse_with_config,
        physics_of,
        policy_text,
        resolve,
        take_target,
    )
    from proveout.training.evaluation.play import episode_lines, play, play_in_window
    from proveout.training.evaluation.policy_source import PolicySource
    from proveout.training.run.failures import check_output
    from proveout.training.tasks import VectorEnvSpec, task_class

    target, rest = take_target(arguments, PlayFlags)
    env_id, run, base = resolve(target)
    flags, config = parse_with_config(rest, PlayFlags, prog, text, env_id, base, "RUN|ENV")
    assert env_id is not None
    source = PolicySource(
        policy_text(flags.policy, run, "pretrained", prog), flags.trust_pickle, flags.seed
    )
    if flags.video is not None:
        check_output(flags.video, "--video")
    physics = physics_of(flags.physics, run)
    spec = VectorEnvSpec(env_id, config, num_envs=flags.num_envs, physics=physics)
    if flags.window:
        play_in_window(source, spec, episodes=flags.episodes, seed=flags.seed)
        return 0
    told = play(
        source, spec, video=flags.video, episodes=flags.episodes, seed=flags.seed, shown=True
    )
    print("\n".join(episode_lines(task_class(env_id), config, told)))
    if flags.video is not None:
        print(f"Video: {flags.video}")
    return 0
