"""`proveout evaluate`: what a policy is worth."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proveout.training.cli.command import MAX_SEED, Help, flag

if TYPE_CHECKING:
    from proveout.training.run.directory import Run

HELP = Help(
    text=(
        "Run a deterministic policy for a fixed number of episodes and report success with its "
        "95 % Wilson interval, KPIs, and invalid worlds; --episodes-out also writes a row for each "
        "episode; --vs OTHER tells the difference from another policy. With a target given, "
        "--help also shows the flags of the environment's config (--env. ...)."
    ),
    examples=(
        "proveout evaluate runs/proveout-Reach-v0/20250131-120000-seed0",
        "proveout evaluate proveout/Reach-v0 --policy expert --episodes 200 --json",
        "proveout evaluate proveout/Reach-v0 --policy reach.safetensors",
        "proveout evaluate proveout/PickPlace-v0 --policy expert --physics c",
        "proveout evaluate proveout/Reach-v0 --policy expert --episodes-out episodes.parquet",
        "proveout evaluate runs/proveout-Reach-v0/20250131-120000-seed0 --vs pretrained",
    ),
)


@dataclass(frozen=True, kw_only=True)
class EvaluateFlags:
    """Flags of `evaluate`."""

    policy: str | None = flag(
        None, "random, expert, pretrained, a run or a file; None: the RUN's own"
    )
    vs: str | None = flag(None, "another policy, from the same start states, to compare with")
    episodes: int = flag(1000, "shared out among the worlds beforehand", "episodes")
    num_envs: int | None = flag(None, "None: a number that divides the episodes", "worlds")
    seed: int = flag(0, "of the worlds", high=MAX_SEED)
    device: str = flag("auto", "auto, cpu or cuda:N")
    workers: int | None = flag(None, "on the CPU; None: all cores", "processes")
    physics: str | None = flag(
        None, "warp, or c for MuJoCo C on the CPU; None: the RUN's own, or warp"
    )
    trust_pickle: bool = flag(False, "unpickle a .zip of Stable-Baselines3: it can run any code")
    episodes_out: Path | None = flag(  # noqa: RUF009
        None, "write a row for each episode to this .csv or .parquet"
    )
    json: bool = flag(False, "print one JSON object and nothing else")


def _compare(policy: str, spec: Any, flags: EvaluateFlags, emit: Callable[[str], None]) -> int:
    """Measure two policies from the same start states."""
    from proveout.training.cli.arguments import UsageError
    from proveout.training.evaluation.compare import compare, difference_lines
    from proveout.training.evaluation.policy_source import PolicySource
    from proveout.training.evaluation.statistics import kpi_lines, sentence
    from proveout.training.run.json_files import dump_json

    if flags.episodes_out is not None:
        raise UsageError("--episodes-out and --vs do not go together; evaluate one after the other")
    assert flags.vs is not None
    told = compare(
        PolicySource(policy, flags.trust_pickle, flags.seed),
        PolicySource(flags.vs, flags.trust_pickle, flags.seed),
        spec,
        episodes=flags.episodes,
        seed=flags.seed,
        shown=True,
    )
    told["policy"]["policy"], told["other"]["policy"] = policy, flags.vs
    if flags.json:
        emit(dump_json(told))
    else:
        for one in (told["policy"], told["other"]):
            emit("\n".join([one["policy"], sentence(one), *kpi_lines(one)]))
        emit("\n".join(difference_lines(told)))
    return 0 if told["pairs"] else 1


def run(arguments: Sequence[str], prog: str, text: str) -> int:
    """Measure a policy."""
    from proveout.envs.core.invalid import explained
    from proveout.training.cli.streams import quiet_stdout
    from proveout.training.cli.targets import (
        parse_with_config,
        physics_of,
        policy_text,
        resolve,
        take_target,
    )
    from proveout.training.evaluation.evaluate import evaluate
    from proveout.training.evaluation.policy_source import PolicySource
    from proveout.training.evaluation.statistics import kpi_lines, sentence
    from proveout.training.run.json_files import dump_json
    from proveout.training.tasks import VectorEnvSpec

    target, rest = take_target(arguments, EvaluateFlags)
    env_id, run, base = resolve(target)
    flags, config = parse_with_config(rest, EvaluateFlags, prog, text, env_id, base, "RUN|ENV")
    assert env_id is not None
    with quiet_stdout(flags.json) as emit:
        policy = policy_text(flags.policy, run, None, prog)
        spec = VectorEnvSpec(
            env_id,
            config,
            num_envs=flags.num_envs or 0,
            device=flags.device,
            workers=flags.workers,
            physics=physics_of(flags.physics, run),
        )
        if flags.vs is not None:
            return _compare(policy, spec, flags, emit)
        result = evaluate(
            PolicySource(policy, flags.trust_pickle, flags.seed),
            spec,
            episodes=flags.episodes,
            seed=flags.seed,
            shown=True,
            episodes_out=flags.episodes_out,
        )
        result["policy"] = policy
        kept = _keep(run, result) if flags.policy is None and config == base else []
        if flags.json:
            emit(dump_json(result))
        else:
            emit("\n".join([sentence(result), *kpi_lines(result)]))
            if flags.episodes_out is not None:
                emit(f"Episodes: {flags.episodes_out}")
            for line in kept:
                emit(line)
        if flags.json and result["invalid_worlds"]:  # the sentence says it otherwise
            why = explained(result["invalid_reasons"], env_id)
            print(
                f"proveout: warning: {result['invalid_worlds']} invalid episodes left out: {why}",
                file=sys.stderr,
            )
    return 0 if result["episodes"] else 1


def _keep(run: Run | None, result: dict[str, Any]) -> list[str]:
    """Keep how a run's own policy does in another physics than that of its training; return lines
    that say so."""
    from proveout.training.evaluation.statistics import sim_to_sim
    from proveout.training.run.directory import POLICY
    from proveout.training.run.json_files import write_json

    if run is None or result["physics"] == run.physics:
        return []
    saved = run.read_policy()
    path = run.evaluation_path(result["physics"])
    write_json(path, {**result, "policy": POLICY, "policy_sha256": saved.digest})
    trained = run.evaluation(saved)
    lines = [sim_to_sim(trained, result)] if trained is not None else []
    return [*lines, f"Kept, for the card of `proveout export`: {path}"]
