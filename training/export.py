"""The finished policy of a run as a file that anyone can load safely."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from proveout.policies.actor import save_actor
from proveout.training.policy_source import run_policy
from proveout.training.run import EVALUATION, Run, plain, read_json
from proveout.training.tasks import WorldsSpec, make_worlds, task_config

# What an evaluation says about the policy; the rest is about the machine that ran it.
_EVALUATION_KEYS = (
    "success_rate",
    "success_interval",
    "episodes",
    "invalid_worlds",
    "kpis",
    "return_mean",
    "length_mean",
    "seed",
)


def export(run: Run, out: Path) -> Path:
    """Write `out` (.safetensors) and its card (.json); return the card's path.

    Raises:
        RunError: the run is not finished.
        PolicyError: its network cannot be exported, or another suffix.
    """
    config = task_config(run.env_id, run.manifest["config"])
    env = make_worlds(WorldsSpec(run.env_id, config, num_envs=1, device="cpu", workers=1))
    try:
        policy = run_policy(run, env)
        card = policy_card(run, env.unwrapped)
    finally:
        env.close()
    return save_actor(policy, out, card)


def policy_card(run: Run, env: Any) -> dict[str, Any]:
    """Return what is known of a run's policy.

    Args:
        run: The run.
        env: Its vector environment, unwrapped: layouts and control rate.
    """
    manifest = run.manifest
    evaluation = None
    if (run.folder / EVALUATION).is_file():
        told = read_json(run.folder / EVALUATION)
        evaluation = {key: told[key] for key in _EVALUATION_KEYS if key in told}
    return plain(
        {
            "env_id": run.env_id,
            "config": manifest["config"],
            "observation": json.loads(env.task.layout.to_json()),
            "action": json.loads(env.task.action_layout.to_json()),
            "control_dt": env.config.control_dt,
            "training": {
                "algo": manifest["algo"],
                "preset": manifest["preset"],
                "seed": manifest["seed"],
                "samples": manifest.get("num_timesteps"),
                "seconds": manifest.get("training_seconds"),
                "device": manifest.get("device"),
                "workers": manifest.get("workers"),
                "processor": manifest.get("processor"),
                "git": manifest.get("git"),
            },
            "evaluation": evaluation,
            "versions": manifest.get("packages"),
        }
    )
