"""What follows the training: the policy is measured and filmed."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import Any

from proveout.training.distributed.ranks import Ranks
from proveout.training.evaluation.evaluate import evaluate
from proveout.training.evaluation.statistics import kpi_lines, sentence
from proveout.training.learn.settings import TrainConfig
from proveout.training.run.cost import cost_line, total_cost
from proveout.training.run.directory import EVALUATION, POLICY, VIDEO, Run
from proveout.training.run.json_files import write_json
from proveout.training.run.progress import say
from proveout.training.tasks import VectorEnvSpec


def finish(
    run: Run, policy: Any, digest: str, spec: VectorEnvSpec, settings: TrainConfig, device: str
) -> Run:
    """Evaluate and film the finished policy."""
    facts = run.manifest["policies"][digest]
    say(f"Trained {facts['num_timesteps']} samples in {facts['training_seconds']:.1f} s.")
    cost = cost_line(total_cost(run.manifest.get("cost", [])))
    if cost:
        say(f"{cost}, with making the worlds.")
    try:
        _evaluate_and_film(run, policy, digest, spec, settings, device)
    except KeyboardInterrupt:
        say(
            f"\nStopped; the policy is trained and saved: {run.folder / POLICY}\n"
            f"Measure: proveout evaluate {shlex.quote(str(run.folder))}\n"
            f"Finish:  {Ranks().resume_command(run.folder)}"
        )
        raise
    run.update(state="complete")
    say(
        f"Policy: {run.folder / POLICY}\n"
        f"Watch:  proveout play {shlex.quote(str(run.folder))} --video out.mp4\n"
        f"Curves: tensorboard --logdir {shlex.quote(str(settings.runs))}"
    )
    return run


def _evaluate_and_film(
    run: Run, policy: Any, digest: str, spec: VectorEnvSpec, settings: TrainConfig, device: str
) -> None:
    # Another seed than the training's: these start states were never seen.
    seed = settings.seed + 1_000_003
    if settings.evaluation_episodes > 0:
        say(
            f"Evaluating without exploration, from start states of another seed ({seed}); the "
            "success shown while training is that of exploring actions."
        )
        result = evaluate(
            policy,
            replace(spec, num_envs=0),
            episodes=settings.evaluation_episodes,
            seed=seed,
            policy_device=device,
            shown=True,
        )
        result.update(policy=POLICY, policy_sha256=digest)
        write_json(run.folder / EVALUATION, result)
        say("\n".join([sentence(result), *kpi_lines(result)]))
    if settings.video:
        _film(run, policy, spec, seed)


def _film(run: Run, policy: Any, spec: VectorEnvSpec, seed: int) -> None:
    """Write the run's video; a machine that cannot render keeps its trained policy."""
    from proveout.envs.core.errors import RenderError
    from proveout.training.evaluation.play import play

    path = run.folder / VIDEO
    try:
        play(policy, replace(spec, num_envs=1, workers=None), video=path, episodes=3, seed=seed)
    except RenderError as error:
        say(f"No video: {error}")
        return
    say(f"Video:  {path}")
