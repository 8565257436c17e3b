"""The tensor algorithms and our environments in RL Zoo (on PyPI: rl_zoo3).

    ZOO=proveout.training.bridges.rl_zoo
    python -m $ZOO train --algo tensor_ppo --env proveout/Reach-v0 -P
    python -m $ZOO enjoy --algo tensor_ppo --env proveout/Reach-v0 -f logs

take all arguments of `rl_zoo3.train` and `rl_zoo3.enjoy`. A script of one's own calls `register`
before it calls `rl_zoo3.train.train`.
"""

from __future__ import annotations

import importlib
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from proveout.assets.files.errors import ProveoutError, unknown
from proveout.training.presets import (
    PRESET_OF,
    Preset,
    algorithm_class,
    make_preset,
    policy_kwargs,
    scale_action_head,
    set_initial_std,
)
from proveout.training.run.optional import optional_module
from proveout.training.sb3.errors import BridgeError

ALGOS = tuple(PRESET_OF)
_SCRIPTS = {"train": "rl_zoo3.train", "enjoy": "rl_zoo3.enjoy"}
# What our presets have and RL Zoo does not know.
_OWN_KEYS = ("adaptive_kl", "normalize_observations", "network", "exploration_noise")
_CALLBACKS = "proveout.training.sb3.callbacks"


def register() -> None:
    """Put the tensor algorithms into RL Zoo's `ALGOS`, and make it use our vector environments.

    With a registered id of ours, `rl_zoo3.train` then steps all its `n_envs` worlds as one
    `SB3VecEnv`, with stock algorithms too, instead of as many single environments; takes the task's
    preset as hyper-parameters where no `--conf-file` is given; and understands our presets' own
    keys (`adaptive_kl`, `normalize_observations`, `network`, `exploration_noise`, and in
    `policy_kwargs` the name of an activation, `action_head_scale` and `initial_std`).
    `--env-kwargs` go to the vector environment: `workers:2`, `device:"'cpu'"`,
    `config:"dict(control_dt=0.1)"`. Other environments are as before. A second call does nothing.

    Raises:
        MissingPackageError: rl_zoo3 is not installed.
    """
    zoo = _imported("rl_zoo3")
    samplers = _imported("rl_zoo3.hyperparams_opt")
    manager = _imported("rl_zoo3.exp_manager")
    train = _imported("rl_zoo3.train")
    importlib.import_module("proveout.envs")  # registers the ids with Gymnasium
    for name in ALGOS:
        zoo.ALGOS[name] = algorithm_class(name)
        for table in (samplers.HYPERPARAMS_SAMPLER, samplers.HYPERPARAMS_CONVERTER):
            if PRESET_OF[name] in table:
                table[name] = table[PRESET_OF[name]]
    if not getattr(train.ExperimentManager, "knows_proveout", False):
        train.ExperimentManager = manager.ExperimentManager = _manager(manager.ExperimentManager)


def zoo_hyperparameters(env_id: str, algo: str) -> dict[str, Any]:
    """Return a task's preset as RL Zoo's hyper-parameters: plain data, as in its YAML files."""
    from proveout.training.tasks import task_class

    preset = make_preset(algo, task_class(env_id).presets)
    plain = {key: value for key, value in preset.to_plain().items() if value is not None}
    counts = {"n_envs": plain.pop("num_envs"), "n_timesteps": plain.pop("total_timesteps")}
    return {**counts, "policy": "MlpPolicy", **plain}


def _manager(base: Any) -> Any:
    """Return RL Zoo's experiment manager with our environments and presets."""

    class ProveoutExperimentManager(base):
        """RL Zoo's manager; see `register`."""

        knows_proveout = True

        def __init__(self, *args: Any, config: str | None = None, **kwargs: Any) -> None:
            super().__init__(*args, config=config, **kwargs)
            self._has_own_config = config is not None
            self._shape: Preset | None = None

        @property
        def _is_ours(self) -> bool:
            from proveout.training.tasks import task_ids

            return self.env_name.gym_id in task_ids()

        def read_hyperparameters(self) -> Any:
            """Read the file that was given, or the task's preset."""
            if self._has_own_config or not self._is_ours:
                return super().read_hyperparameters()
            import yaml

            env_id = self.env_name.gym_id
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / f"preset-of-{env_id.replace('/', '-')}.yml"
                path.write_text(yaml.safe_dump({env_id: zoo_hyperparameters(env_id, self.algo)}))
                self.config = str(path)
                return super().read_hyperparameters()

        def _preprocess_hyperparams(self, hyperparams: dict[str, Any]) -> Any:
            if self._is_ours:
                hyperparams = dict(hyperparams)
                self._shape = _translate(self.env_name.gym_id, self.algo, hyperparams)
                # With thousands of worlds a window of 100 episodes is a step or two.
                window = max(100, int(hyperparams.get("n_envs", 1)))
                hyperparams.setdefault("stats_window_size", window)
            return super()._preprocess_hyperparams(hyperparams)

        def setup_experiment(self) -> Any:
            """Make the worlds and the algorithm."""
            made = super().setup_experiment()
            if made is not None and self._shape is not None and not self.continue_training:
                policy = self._shape.policy
                if policy.get("action_head_scale") is not None:
                    scale_action_head(made[0].policy, float(policy["action_head_scale"]))
                if policy.get("initial_std") is not None:
                    set_initial_std(made[0].policy, float(policy["initial_std"]))
            return made

        def create_envs(self, n_envs: int, eval_env: bool = False, no_log: bool = False) -> Any:
            """Make `n_envs` worlds; ours are one vector environment."""
            if not self._is_ours:
                return super().create_envs(n_envs, eval_env, no_log)
            if self.env_wrapper is not None:
                raise BridgeError(
                    "env_wrapper wraps single environments, and the worlds of "
                    f"{self.env_name.gym_id} are one vector environment; use vec_env_wrapper."
                )
            kwargs = self.eval_env_kwargs if eval_env else self.env_kwargs
            env = _vector_env(self.env_name.gym_id, n_envs, self.device, eval_env, kwargs)
            env.seed(self.seed)
            if self.vec_env_wrapper is not None:
                env = self.vec_env_wrapper(env)
            env = self._maybe_normalize(env, eval_env)
            if self.frame_stack is not None:
                from stable_baselines3.common.vec_env import VecFrameStack

                env = VecFrameStack(env, self.frame_stack)
            return env

    return ProveoutExperimentManager


def _vector_env(env_id: str, num_envs: int, device: Any, evaluating: bool, kwargs: Any) -> Any:
    import gymnasium
    from stable_baselines3.common.utils import get_device

    from proveout.training.sb3.vec_env import SB3VecEnv

    found = str(get_device(device))
    arguments = {
        "device": found,
        "array_type": "numpy" if found == "cpu" else "torch",
        # In training, so that worlds do not time out together; an evaluation wants whole episodes.
        "phase_spread": 0.0 if evaluating else 1.0,
        **kwargs,
    }
    return SB3VecEnv(
        gymnasium.make_vec(env_id, num_envs, vectorization_mode="vector_entry_point", **arguments)
    )


def _translate(env_id: str, algo: str, hyperparams: dict[str, Any]) -> Preset | None:
    """Turn our presets' own keys into what RL Zoo and SB3 know, in place.

    Returns:
        The preset that says how the policy is shaped after it is made; None: not at all.
    """
    own = {key: hyperparams.pop(key) for key in _OWN_KEYS if key in hyperparams}
    plain = hyperparams.get("policy_kwargs")
    if isinstance(plain, str):  # RL Zoo's own form, Python code
        if not own:
            return None
        plain = {}
    preset = make_preset(algo, {algo: {**own, "policy_kwargs": dict(plain or {})}})
    if isinstance(hyperparams.get("policy_kwargs"), str) and (
        preset.normalize_observations or preset.network != "mlp"
    ):
        raise BridgeError(
            "normalize_observations and network need policy_kwargs as a mapping, not as Python "
            "code in a string."
        )
    if not isinstance(hyperparams.get("policy_kwargs"), str):
        hyperparams["policy_kwargs"] = policy_kwargs(preset, _layout(env_id))
    callbacks = hyperparams.get("callback") or []
    callbacks = list(callbacks) if isinstance(callbacks, list) else [callbacks]
    if preset.normalize_observations:
        callbacks.insert(0, f"{_CALLBACKS}.normalizer.NormalizerCallback")
    if preset.adaptive_kl is not None:
        bounds = dict(zip(("kl_low", "kl_high"), preset.adaptive_kl, strict=True))
        callbacks.append({f"{_CALLBACKS}.adaptive_kl.AdaptiveKL": bounds})
    if callbacks:
        hyperparams["callback"] = callbacks
    noise = preset.algorithm.get("exploration_noise")
    if noise is not None:
        hyperparams.update(noise_type="normal", noise_std=float(noise))
    return preset


def _layout(env_id: str) -> dict[str, Any]:
    from proveout.envs import make_task

    told: dict[str, Any] = json.loads(make_task(env_id).layout.to_json())
    return told


def _imported(module: str) -> Any:
    return optional_module(module, "rl-zoo", "rl_zoo3")


def main(argv: Sequence[str] | None = None) -> int:
    """Run `rl_zoo3.train` or `rl_zoo3.enjoy` with what `register` adds.

    Returns:
        0, or 2 after an error that is said in one sentence on standard error.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        if not arguments or arguments[0] not in _SCRIPTS:
            raise unknown("script of RL Zoo", arguments[0] if arguments else "", _SCRIPTS)
        register()
        name = arguments[0]
        script = _imported(_SCRIPTS[name])
        before = sys.argv
        # Torch's threads would wait for the cores that the workers hold; a later one is taken.
        sys.argv = [f"{__package__}.rl_zoo {name}", "--num-threads", "1", *arguments[1:]]
        try:
            getattr(script, name)()
        finally:
            sys.argv = before
    except ProveoutError as error:
        print(f"proveout: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
