"""The finished policy of a run as a file that anyone can load safely, or deploy."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from proveout.assets.files.errors import unknown
from proveout.envs.core.task import PHYSICS
from proveout.policies.actor import Actor, as_network, save_actor
from proveout.policies.actor_network import Network
from proveout.policies.deploy import save_onnx, save_torchscript
from proveout.policies.errors import PolicyError
from proveout.training.evaluation.policy_source import Policy, actions_of, run_policy
from proveout.training.run.directory import Run, SavedPolicy
from proveout.training.run.json_files import plain
from proveout.training.tasks import VectorEnvSpec, make_vector_env, run_config

SUFFIXES = {"safetensors": ".safetensors", "onnx": ".onnx", "torchscript": ".pt"}
CHECKED_OBSERVATIONS = 1000
# Of the half range of the actions: float32 rounding in another order of summation.
TOLERANCE = 1e-5

# What an evaluation says about the policy; the rest is about the machine that ran it.
_EVALUATION_KEYS = (
    "physics",
    "success_rate",
    "success_interval",
    "episodes",
    "invalid_worlds",
    "kpis",
    "return_mean",
    "length_mean",
    "seed",
)


@dataclass(frozen=True)
class Exported:
    """What `export` wrote.

    Attributes:
        path: The policy's file.
        card: Its card.
        difference: Largest difference from `predict`, in units of the action.
        observations: On how many observations.
    """

    path: Path
    card: Path
    difference: float
    observations: int


def export(run: Run, out: Path | None = None, kind: str | None = None) -> Exported:
    """Write the policy of a run and its card.

    The file is compared with the run's own policy first; one that differs is not written.

    Args:
        run: The run.
        out: File to write; None: "policy" with the suffix of the format.
        kind: Key of `SUFFIXES`; None: by the suffix of `out`, or "safetensors".

    Raises:
        RunError: the run is not finished, or its manifest says what cannot be.
        PolicyError: its network cannot be exported, another suffix, a package that is missing, or
            a file that differs from the policy or cannot be written.
        UnknownNameError: unknown format.
    """
    kind, out = _format(kind, out)
    config = run_config(run)
    saved = run.read_policy()
    env = make_vector_env(VectorEnvSpec(run.env_id, config, num_envs=1, device="cpu", workers=1))
    try:
        policy = run_policy(run, env, saved=saved)
        card = policy_card(run, saved, env.unwrapped)
    finally:
        env.close()
    return save_policy(policy, out, kind, card)


def save_policy(policy: Any, out: Path, kind: str, card: Mapping[str, Any]) -> Exported:
    """Write a policy of Stable-Baselines3 and its card, compared with it before.

    Args:
        policy: The policy.
        out: File to write.
        kind: Key of `SUFFIXES`.
        card: As for `save_actor`.

    Raises:
        PolicyError: as `export` says.
    """
    from proveout.policies.graph import sample_observations

    network = as_network(policy)
    observations = sample_observations(network, card.get("observation"), CHECKED_OBSERVATIONS)
    found: dict[str, Any] = {}

    def check(exported: Any) -> dict[str, Any]:
        difference = _difference(policy, exported, observations, network)
        told = {"against": "predict", "observations": len(observations)}
        found["check"] = {**told, "max_difference": difference}
        return found

    whole = {**card, "normalizer": _normalizer(network)}
    if kind == "onnx":
        written = save_onnx(network, out, whole, check)
    elif kind == "torchscript":
        written = save_torchscript(network, out, whole, check)
    else:
        written = save_actor(network, out, {**whole, **check(Actor(network, whole))})
    return Exported(out, written, found["check"]["max_difference"], len(observations))


def _format(kind: str | None, out: Path | None) -> tuple[str, Path]:
    """Return format and file, each from the other where it is not given."""
    if kind is not None and kind not in SUFFIXES:
        raise unknown("format", kind, SUFFIXES)
    if out is None:
        kind = kind or "safetensors"
        return kind, Path(f"policy{SUFFIXES[kind]}")
    formats = {suffix: name for name, suffix in SUFFIXES.items()}
    if out.suffix not in formats or kind not in (None, formats[out.suffix]):
        wanted = SUFFIXES[kind] if kind else f"one of {', '.join(formats)}"
        raise PolicyError(f"{out} must end in {wanted}; its card goes beside it.")
    return formats[out.suffix], out


def _difference(
    policy: Policy, exported: Policy, observations: np.ndarray, network: Network
) -> float:
    """Return the largest difference of the two policies' actions.

    Raises:
        PolicyError: it is beyond the tolerance.
    """
    wanted = actions_of(policy, observations).reshape(len(observations), -1)
    difference = np.abs(exported.predict(observations) - wanted)
    half = np.maximum(0.5 * (network.high - network.low), 1.0)
    if not (difference <= TOLERANCE * half).all():
        raise PolicyError(
            f"the exported policy differs from the trained one by {difference.max():.3g}, beyond "
            f"{TOLERANCE:g} of the action's half range; nothing was written."
        )
    return float(difference.max())


def _normalizer(network: Network) -> dict[str, Any] | None:
    """Return what a card tells of the normaliser; its statistics are in the policy's file."""
    features = network.features
    told = None if features is None else features.description.get("normalizer")
    if features is None or told is None:
        return None
    count = features.tensors["normalizer.running_count"]
    return {**told, "samples": float(count.max())}


def _command(argv: Any) -> str | None:
    """Return the command that began a run, without the folder of its runs; None: by Python."""
    if not isinstance(argv, list) or not argv:
        return None
    words = [str(word) for word in argv]
    told = []
    for before, word in zip(["", *words], words, strict=False):
        if "--runs" not in (before, word) and not word.startswith("--runs="):
            told.append(word)
    return shlex.join(told)


def policy_card(run: Run, saved: SavedPolicy, env: Any) -> dict[str, Any]:
    """Return what is known of a run's policy; None stands for what is not known of this one.

    Args:
        run: The run.
        saved: Its policy.
        env: Its vector environment, unwrapped: layouts and control rate.
    """
    manifest, facts = run.manifest, saved.facts
    told = run.evaluation(saved)
    evaluation = told and {key: told[key] for key in _EVALUATION_KEYS if key in told}
    others = {physics: run.evaluation(saved, physics) for physics in PHYSICS}
    others.pop(run.physics)
    return plain(
        {
            "env_id": run.env_id,
            "config": manifest["config"],
            "observation": json.loads(env.task.layout.to_json()),
            "action": json.loads(env.task.action_layout.to_json()),
            "control_dt": env.config.control_dt,
            "control_rate": {"value": 1.0 / env.config.control_dt, "unit": "Hz"},
            "training": {
                "algo": manifest["algo"],
                "preset": facts.get("preset"),
                "seed": manifest["seed"],
                "samples": facts.get("num_timesteps"),
                "seconds": facts.get("training_seconds"),
                "device": facts.get("device"),
                "workers": facts.get("workers"),
                "physics": run.physics,
                "processor": manifest.get("processor"),
                "git": manifest.get("git"),
                "warm_start": manifest.get("warm_start"),
                "command": _command(manifest.get("argv")),
            },
            "evaluation": evaluation,
            "sim_to_sim": {
                physics: {key: told[key] for key in _EVALUATION_KEYS if key in told}
                for physics, told in others.items()
                if told is not None
            },
            "versions": manifest.get("packages"),
        }
    )
