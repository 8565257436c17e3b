"""`proveout view`: a live page for a batch of worlds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from proveout.training.cli.command import MAX_SEED, Help, flag

HELP = Help(
    text=(
        "Serve a page that shows running worlds in the browser: watch them side by side, read "
        "rewards, KPIs and observations, turn numbers of the config, begin any episode. It ends "
        "with Ctrl-C. Over SSH: ssh -L 8080:localhost:8080 HOST. Needs pip install "
        "'proveout[view]'."
    ),
    examples=(
        "proveout view proveout/Reach-v0",
        "proveout view proveout/Highway-v0 --policy expert --num-envs 16",
        "proveout view proveout/Reach-v0 --num-envs 4 --record reach.html",
        "proveout view runs/proveout-Reach-v0/20250131-120000-seed0 --port 9000",
    ),
)


@dataclass(frozen=True, kw_only=True)
class ViewFlags:
    """Flags of `view`."""

    policy: str | None = flag(
        None,
        "random, expert, pretrained, none, a run or a file; None: the RUN's own, or pretrained",
    )
    num_envs: int = flag(64, "worlds that run; up to 64 are shown", "worlds", high=65_536)
    port: int = flag(8080, "where the page is; 0: any that is free")
    host: str = flag("127.0.0.1", "address to listen on; beyond this machine it asks for a token")
    seed: int = flag(0, "of the worlds", high=MAX_SEED)
    record: Path | None = flag(  # noqa: RUF009
        None, "write this .html instead, which plays the episodes in any browser, offline"
    )
    episodes: int = flag(1, "of each world, to record", "episodes")
    trust_pickle: bool = flag(False, "unpickle a .zip of Stable-Baselines3: it can run any code")


def run(arguments: Sequence[str], prog: str, text: str) -> int:
    """Serve the page until somebody stops it."""
    from proveout.training.cli.targets import parse_with_config, policy_text, resolve, take_target
    from proveout.training.evaluation.policy_source import PolicySource, load_policy
    from proveout.training.run.failures import check_output
    from proveout.training.tasks import VectorEnvSpec, make_vector_env
    from proveout.training.view import open_page
    from proveout.training.view.recording import record
    from proveout.training.view.server import LOOPBACK, check_can_listen
    from proveout.training.view.session import Session

    target, rest = take_target(arguments, ViewFlags)
    env_id, run, base = resolve(target)
    flags, config = parse_with_config(rest, ViewFlags, prog, text, env_id, base, "RUN|ENV")
    assert env_id is not None
    name = policy_text(flags.policy, run, "pretrained", prog)
    source = PolicySource(name, flags.trust_pickle, flags.seed)
    if flags.record is not None:
        check_output(flags.record, "--record")
        check_can_listen(LOOPBACK, 0)
    else:
        check_can_listen(flags.host, flags.port)

    def make(config: object) -> tuple[object, object]:
        # One process: what a page reads of every step would go through pipes.
        env = make_vector_env(VectorEnvSpec(env_id, config, num_envs=flags.num_envs, workers=1))
        try:
            return env, None if name == "none" else load_policy(source, env)
        except BaseException:
            env.close()
            raise

    env, policy = make(config)
    if flags.record is not None:
        session = Session(env, policy, seed=flags.seed)
        try:
            title = f"{env_id}, policy {name}"
            steps = record(session, flags.record, episodes=flags.episodes, title=title, shown=True)
        finally:
            session.close()
        print(f"Recorded {steps} steps of {len(session.shown)} worlds: {flags.record}")
        return 0
    opened = open_page(env, policy, seed=flags.seed, host=flags.host, port=flags.port, remake=make)
    try:
        print(f"Page: {opened.address} (Ctrl-C ends it)", flush=True)
        opened.run()
    except KeyboardInterrupt:
        print()
    finally:
        opened.close()
        opened.session.close()
    return 0
