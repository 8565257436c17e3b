"""Where a policy comes from: a run, a name (random, expert, pretrained) or a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from proveout.envs.core.errors import RunError, nearest
from proveout.policies.actor import Actor, load_actor
from proveout.policies.deploy import OnnxActor, load_onnx
from proveout.policies.errors import PolicyError
from proveout.policies.pretrained import pretrained
from proveout.training.presets import (
    ALGORITHMS,
    algorithm_class,
    build_policy,
    layout_of,
    run_preset,
)
from proveout.training.run.directory import Run, SavedPolicy
from proveout.training.run.networks import read_networks

NAMES = ("random", "expert", "pretrained")
# A weight whose square is beyond float32.
_LARGEST = 2.0**64


class Policy(Protocol):
    """Anything with SB3's or the plain `predict`."""

    def predict(self, observation: np.ndarray) -> Any:
        """Return actions (N, A) for observations (N, O); SB3 returns (actions, state)."""


@dataclass(frozen=True)
class PolicySource:
    """What to load.

    Attributes:
        text: A run directory, one of `NAMES`, or a file (.safetensors, .onnx; .zip with
            `trust_pickle`).
        trust_pickle: A zip of Stable-Baselines3 may be unpickled: it can run any code.
        seed: Of the random policy.
    """

    text: str
    trust_pickle: bool = False
    seed: int = 0


class RandomPolicy:
    """Actions drawn uniformly from the action space."""

    def __init__(self, space: Any, seed: int) -> None:
        """Take the space (A,) and a seed."""
        self._low, self._high = space.low, space.high
        self._generator = np.random.default_rng(seed)

    def predict(self, observation: np.ndarray) -> np.ndarray:
        """Return actions (N, A)."""
        shape = (len(observation), *self._low.shape)
        return self._generator.uniform(self._low, self._high, shape).astype(np.float32)


def actions_of(policy: Policy, observation: np.ndarray, deterministic: bool = True) -> np.ndarray:
    """Return a policy's actions (N, A), whichever of the two forms its `predict` has."""
    if hasattr(policy, "observation_space"):  # SB3's algorithms and policies
        predicted = policy.predict(observation, deterministic=deterministic)  # type: ignore[call-arg]
    else:
        predicted = policy.predict(observation)
    return predicted[0] if isinstance(predicted, tuple) else predicted


def load_policy(source: PolicySource, env: Any, device: str = "cpu") -> Policy:
    """Return the policy for a vector environment.

    Args:
        source: What to load.
        env: Vector environment of a task: its spaces, `task`, `config` and `layout` are used.
        device: Torch device.

    Raises:
        PolicyError: missing, damaged, of another environment; or a pickle that is not trusted.
        RunError: a run directory without a finished policy.
    """
    text = source.text
    if text == "random":
        return RandomPolicy(env.single_action_space, source.seed)
    if text == "expert":
        return expert(env)
    if text == "pretrained":
        return _file_policy(pretrained(_env_id(env)), env, device)
    path = Path(text)
    if path.is_dir():
        return run_policy(Run.open(path), env, device)
    if path.suffix in (".safetensors", ".onnx"):
        return _file_policy(path, env, device)
    if path.suffix == ".zip":
        return _zip_policy(path, source.trust_pickle, env, device)
    if not path.exists():
        match = nearest(text, NAMES)
        hint = (
            f"did you mean '{match}'?" if match else f"give one of {', '.join(NAMES)}, or a path."
        )
        raise PolicyError(f"policy '{text}' is no known name, file or run directory; {hint}")
    if path.suffix == ".pt":
        raise PolicyError(
            f"{path} is TorchScript, which is code and not loaded here; export the run as "
            ".safetensors or .onnx as well."
        )
    raise PolicyError(
        f"{path} is not a policy: expected .safetensors, .onnx, .zip or a run directory."
    )


def expert(env: Any) -> Policy:
    """Return the scripted policy of the environment's task."""
    policy = type(env.unwrapped.task).expert(env.unwrapped.config)
    if policy is None:
        raise PolicyError(f"{_env_id(env)} has no scripted expert; use another --policy.")
    return _Expert(policy, _env_id(env), env.single_action_space.shape)


class _Expert:
    """A task's scripted policy, whose actions are checked."""

    def __init__(self, policy: Any, env_id: str, shape: tuple[int, ...]) -> None:
        self._policy, self._env_id, self._shape = policy, env_id, shape

    def predict(self, observation: np.ndarray) -> np.ndarray:
        """Return actions (N, A)."""
        actions = np.asarray(self._policy.predict(observation), np.float32)
        expected = (len(observation), *self._shape)
        if actions.shape != expected:
            raise PolicyError(
                f"the expert of {self._env_id} gave actions of shape {actions.shape}; {expected} "
                "(worlds, numbers) expected"
            )
        return actions


def run_policy(run: Run, env: Any, device: str = "cpu", saved: SavedPolicy | None = None) -> Policy:
    """Return the finished policy of a run, without unpickling anything.

    Args:
        run: The run.
        env: Vector environment of its task.
        device: Torch device.
        saved: The policy's file, if it has been read already.

    Raises:
        RunError: not finished, damaged, diverged, or of another task.
    """

    saved = saved or run.read_policy()
    if run.env_id != _env_id(env):
        raise RunError(f"{run.folder} is a run of {run.env_id}, not of {_env_id(env)}.")
    preset = run_preset(run)
    spaces = (env.single_observation_space, env.single_action_space)
    policy = build_policy(preset, *spaces, device=device, layout=layout_of(env))
    parameters, _ = read_networks(saved.path, device, saved.data)
    try:
        policy.load_state_dict(parameters["policy"])
    except (KeyError, RuntimeError, TypeError) as error:
        raise RunError(
            f"{saved.path} is of another network ({str(error).splitlines()[0]})."
        ) from error
    if not all(bool((weight.abs() < _LARGEST).all()) for weight in policy.parameters()):
        raise RunError(
            f"{saved.path} holds numbers that are not finite, or whose products are not: its "
            "training diverged; train again with a lower learning_rate."
        )
    policy.set_training_mode(False)
    return policy


def difference(card: Mapping[str, Any], layout: Any, key: str = "observation") -> list[str]:
    """Return how a layout on a card differs from an environment's, in sentences.

    Args:
        card: Of a policy.
        layout: Of the environment.
        key: "observation" or "action".

    Raises:
        PolicyError: what the card has there is no layout.
    """
    import json

    from proveout.assets.files.layout import Layout, LayoutError

    if key not in card:  # not known: the sizes alone are compared
        return []
    try:
        told = Layout.from_json(json.dumps(card[key]))
    except LayoutError as error:
        raise PolicyError(f"'{key}' on its card is no layout: {error}") from error
    return list(told.difference(layout))


def _file_policy(path: Path, env: Any, device: str) -> Actor | OnnxActor:
    actor = load_onnx(path) if path.suffix == ".onnx" else load_actor(path, device)
    kind = "observations"
    problems = difference(actor.card, env.unwrapped.layout)
    sizes = (env.single_observation_space.shape[0], env.single_action_space.shape[0])
    if not problems and (actor.observation_size, actor.action_size) != sizes:
        problems = [
            f"it takes {actor.observation_size} numbers and gives {actor.action_size}, "
            f"the environment has {sizes[0]} and {sizes[1]}."
        ]
    if not problems:
        kind = "actions"
        problems = difference(actor.card, env.unwrapped.task.action_layout, "action")
    origin = actor.card.get("env_id")
    if problems and isinstance(origin, str) and origin != _env_id(env):
        raise PolicyError(
            f"{path} was trained on {origin}, not on {_env_id(env)}, and does not fit its {kind}."
        )
    if problems:
        raise PolicyError(f"{path} does not fit the {kind} of {_env_id(env)}: {' '.join(problems)}")
    return actor


def _zip_policy(path: Path, trust_pickle: bool, env: Any, device: str) -> Policy:
    if not path.is_file():
        raise PolicyError(f"{path} does not exist.")
    if not trust_pickle:
        raise PolicyError(
            f"{path} is a Stable-Baselines3 zip, and unpickling it can run any code; if you trust "
            "its origin, add --trust-pickle."
        )
    from stable_baselines3.common.utils import check_for_correct_spaces

    failures = []
    for algo in ALGORITHMS:
        try:
            model = algorithm_class(algo).load(path, device=device)
        except Exception as error:  # any error of unpickling or of a foreign algorithm
            failures.append(f"{algo}: {str(error).splitlines()[0] if str(error) else error!r}")
            continue
        try:
            spaces: Any = _Spaces(env)
            check_for_correct_spaces(spaces, model.observation_space, model.action_space)
        except ValueError as error:
            raise PolicyError(f"{path} does not fit {_env_id(env)}: {error}.") from error
        return model.policy
    raise PolicyError(f"{path} cannot be loaded by any algorithm ({'; '.join(failures)}).")


class _Spaces:
    """The two spaces that SB3 compares."""

    def __init__(self, env: Any) -> None:
        self.observation_space = env.single_observation_space
        self.action_space = env.single_action_space


def _env_id(env: Any) -> str:
    return str(env.unwrapped.task.id)
