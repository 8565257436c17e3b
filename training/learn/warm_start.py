"""A training that begins as a clone of the task's scripted expert, not from nothing.

First the expert acts and the policy learns to do the same (behaviour cloning). Then the policy
acts, with the noise that it will explore with, and the expert says what it would have done: the
policy learns from all that was said so far, in several rounds. Source: Ross, Gordon and Bagnell, A
Reduction of Imitation Learning and Structured Prediction to No-Regret Online Learning, AISTATS
2011 (DAgger). At last the clone acts once more, and the value function learns what it earned.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from proveout.envs.core.errors import ConfigError
from proveout.training.distributed.ranks import Ranks
from proveout.training.evaluation.evaluate import evaluate
from proveout.training.evaluation.policy_source import Policy, expert
from proveout.training.evaluation.statistics import sentence
from proveout.training.learn.divergence import refuse_diverged
from proveout.training.learn.settings import TrainConfig
from proveout.training.presets import PRESET_OF
from proveout.training.run.directory import Run
from proveout.training.run.json_files import plain
from proveout.training.run.progress import Progress
from proveout.training.tasks import VectorEnvSpec

# Algorithms whose policy is a Gaussian around a mean action, with a value function.
_GAUSSIAN = ("ppo", "a2c")
# Standard deviation of the clone's exploration, as a share of half the range of an action: enough
# for PPO to see what is better, little enough for the clone to succeed at what the expert does.
_EXPLORATION = 0.1
# Passes over all labels in a round and in the last fit, over the returns, and how often the values
# behind the end of the roll-out are brought up to date.
_EPOCHS, _LAST_EPOCHS, _VALUE_EPOCHS, _VALUE_SWEEPS = 4, 16, 4, 3
# Steps of the optimiser in a fit, where there are few samples.
_FEWEST_STEPS = 400
# Share of the learning rate that is left for PPO at the least.
_LEAST_RATE = 0.02
# Observations on which the exploration is measured.
_SPREAD = 65_536
# Of algorithms without minibatches.
_BATCH = 256
_EPISODES = 200


def check_warm_start(settings: TrainConfig, env_id: str, task: Any, config: Any) -> None:
    """Refuse a warm start that cannot be.

    Raises:
        ConfigError: the algorithm has no Gaussian policy, or the task no expert; or numbers of a
            warm start without one.
    """
    if settings.warm_start is None:
        plain = type(settings)
        for name in ("warm_start_samples", "warm_start_rounds"):
            if getattr(settings, name) != getattr(plain, name):
                raise ConfigError(f"{name} is of a warm start; add --warm-start expert.")
        return
    if PRESET_OF.get(settings.algo, settings.algo) not in _GAUSSIAN:
        raise ConfigError(
            f"--warm-start needs an algorithm with a Gaussian policy, which {settings.algo} has "
            "not; use --algo ppo, tensor_ppo or a2c."
        )
    if task.expert(config) is None:
        raise ConfigError(f"{env_id} has no scripted expert; leave --warm-start out.")


def warm_start(
    run: Run,
    model: Any,
    venv: Any,
    settings: TrainConfig,
    spec: VectorEnvSpec,
    stop: Callable[[], None],
    ranks: Ranks,
) -> None:
    """Let an algorithm that has learnt nothing yet begin as a clone of the expert.

    The manifest's `warm_start` tells how far it came: `samples`, `rounds`, `error` (root mean
    square of the difference of the actions, as a share of half their range, on states that were not
    learnt from), `seconds`, and of a short evaluation `success_rate`, `success_interval` and
    `episodes`. Every rank of several clones for itself; the first one's clone is everybody's.

    Args:
        run: Whose manifest is written.
        model: `PPO`, `TensorPPO` or `A2C`, changed in place: weights, observation statistics,
            exploration; its learning rate goes down with the exploration, if it is a number.
        venv: Its `SB3VecEnv`; afterwards it waits for a reset, as before.
        settings: How.
        spec: Of the worlds.
        stop: Called often; raises when the training is to stop.
        ranks: Those that train together.

    Raises:
        DivergedError: the networks went to infinity.
    """
    began = time.monotonic()
    model.set_random_seed(settings.seed)
    clone = _Clone(model, venv, expert(venv.env), settings.seed, stop)
    steps = max(
        1, math.ceil(settings.warm_start_samples / (clone.roll_outs(settings) * venv.num_envs))
    )
    samples = steps * clone.roll_outs(settings) * venv.num_envs
    with Progress("warm start", samples, unit="samples", shown=ranks.first) as progress:
        try:
            clone.learn(steps, settings.warm_start_rounds, progress)
        except ValueError:  # torch's, of a distribution of NaN
            refuse_diverged(model)
            raise
    refuse_diverged(model)
    if isinstance(model.learning_rate, float | int):
        # The divergence of a step is measured in the variance: on PickPlace 0.15 at a rate of 7e-5,
        # 0.03 at 2e-5.
        factor = max(_LEAST_RATE, min(1.0, clone.narrowed) ** 2)
        model.learning_rate = ranks.broadcast(model.learning_rate * factor)
        model._setup_lr_schedule()
    model.set_random_seed(ranks.seed(settings.seed))
    venv.drain_statistics()
    facts: dict[str, Any] = {
        "expert": settings.warm_start,
        "samples": samples,
        "rounds": settings.warm_start_rounds,
        "error": clone.error,
        "seconds": time.monotonic() - began,
    }
    ranks.say(
        f"Cloned the expert from {samples} samples: its actions are met within {clone.error:.3f} "
        "of half their range (root mean square)."
    )
    episodes = min(_EPISODES, settings.evaluation_episodes)
    if ranks.first and episodes:
        result = evaluate(
            model.policy,
            replace(
                spec, num_envs=0, workers=settings.workers, array_type="numpy", phase_spread=0.0
            ),
            episodes=episodes,
            seed=settings.seed + 2_000_003,  # neither the training's nor the last evaluation's
        )
        facts.update({k: result[k] for k in ("success_rate", "success_interval", "episodes")})
        ranks.say(f"The clone without exploration: {sentence(result)}")
    stop()
    run.update(warm_start=plain(facts))


@dataclass(frozen=True)
class _RollOut:
    """T steps of N worlds.

    Attributes:
        observations: (T, N, O). labels: the expert's actions there, (T, N, A).
        rewards: (T, N). ended: (T, N) bool.
        timeouts: (steps, worlds) of episodes that were cut off by time.
        final: Observations at those ends, (M, O).
    """

    observations: np.ndarray
    labels: np.ndarray
    rewards: np.ndarray
    ended: np.ndarray
    timeouts: tuple[list[int], list[int]]
    final: np.ndarray


class _Clone:
    """Makes the policy of an algorithm a clone.

    Attributes:
        error: Root mean square difference to the expert in the last roll-out, in half ranges.
        narrowed: By what factor the exploration is smaller than it was.
    """

    def __init__(
        self, model: Any, venv: Any, teacher: Policy, seed: int, stop: Callable[[], None]
    ) -> None:
        import torch

        from proveout.policies.normalize import normalizers

        self._model, self._venv, self._teacher, self._stop = model, venv, teacher, stop
        self._policy: Any = model.policy
        self._normalizers = normalizers(model.policy)
        self._rate = float(model.lr_schedule(1.0))
        space = model.action_space
        half = 0.5 * (space.high.astype(np.float64) - space.low.astype(np.float64))
        half = np.where(np.isfinite(half) & (half > 0.0), half, 1.0)
        # A squashed policy speaks of -1 to 1, any other of the actions themselves.
        if model.policy.squash_output:
            half = np.ones_like(half)
        self._half = torch.as_tensor(half, dtype=torch.float32, device=model.device)
        self._order = torch.Generator().manual_seed(seed)
        self._observations = torch.zeros((0, *model.observation_space.shape), device=model.device)
        self._labels = torch.zeros((0, *space.shape), device=model.device)
        self._now = venv.reset()
        self.error = math.nan
        self.narrowed = 1.0

    @staticmethod
    def roll_outs(settings: TrainConfig) -> int:
        """One of the expert, one in each round, and one for the value function."""
        return settings.warm_start_rounds + 2

    def learn(self, steps: int, rounds: int, progress: Progress) -> None:
        """Clone, in roll-outs of so many steps."""
        for number in range(rounds + 1):
            roll_out = self._roll_out(steps, progress, f"{number}/{rounds}", by_expert=number == 0)
            if number:
                self._measure(roll_out)
            self._take(roll_out)
            self._fit_actions(_LAST_EPOCHS if number == rounds else _EPOCHS)
            self._set_exploration(self._observations[-min(roll_out.rewards.size, _SPREAD) :])
        last = self._roll_out(steps, progress, "values", by_expert=False)
        self._measure(last)
        self._fit_values(last)

    def _roll_out(self, steps: int, progress: Progress, stage: str, *, by_expert: bool) -> _RollOut:
        """Step the worlds on from where they are."""
        space = self._model.action_space
        told: tuple[list[int], list[int]] = ([], [])
        rows: list[tuple[np.ndarray, ...]] = []
        final: list[np.ndarray] = []
        self._policy.set_training_mode(False)
        for step in range(steps):
            seen = self._now
            label = np.clip(self._teacher.predict(seen), space.low, space.high)
            action = label if by_expert else self._act(seen)
            self._now, reward, ended, infos = self._venv.step(action)
            rows.append((seen, label, reward, ended))
            for world in np.flatnonzero(ended):
                if infos[world]["TimeLimit.truncated"]:
                    told[0].append(step)
                    told[1].append(int(world))
                    final.append(infos[world]["terminal_observation"])
            figures = {"round": stage}
            if not math.isnan(self.error):
                figures["error"] = f"{self.error:.3f}"
            progress.update(progress.done + self._venv.num_envs, figures)
            self._stop()
        seen, label, reward, ended = (np.stack(part) for part in zip(*rows, strict=True))
        ends = np.array(final, np.float32).reshape(-1, *self._model.observation_space.shape)
        return _RollOut(seen, label, reward, ended, timeouts=told, final=ends)

    def _act(self, observation: np.ndarray) -> np.ndarray:
        if self._policy.use_sde:
            self._policy.reset_noise(self._venv.num_envs)
        action: np.ndarray = self._policy.predict(observation, deterministic=False)[0]
        return action

    def _rows(self, roll_out: _RollOut) -> tuple[Any, Any]:
        """Return observations (M, O) and labels (M, A) in the policy's own units, all finite."""
        import torch

        observations = roll_out.observations.reshape(-1, *roll_out.observations.shape[2:])
        labels = roll_out.labels.reshape(-1, *roll_out.labels.shape[2:])
        whole = np.isfinite(observations).all(axis=1) & np.isfinite(labels).all(axis=1)
        observations, labels = observations[whole], labels[whole]
        if self._policy.squash_output:
            labels = self._policy.scale_action(labels)
        device = self._model.device
        return (
            torch.as_tensor(observations, dtype=torch.float32, device=device),
            torch.as_tensor(labels, dtype=torch.float32, device=device),
        )

    def _take(self, roll_out: _RollOut) -> None:
        """Add a roll-out to what is learnt from, and to the observation statistics."""
        import torch

        observations, labels = self._rows(roll_out)
        self._observations = torch.cat([self._observations, observations])
        self._labels = torch.cat([self._labels, labels])
        if self._normalizers:
            state = self._normalizers[0].state_for_reduction(observations)
            for normalizer in self._normalizers:
                normalizer.merge(state)

    def _difference(self, observations: Any, labels: Any) -> Any:
        return (self._policy.get_distribution(observations).mode() - labels) / self._half

    def _measure(self, roll_out: _RollOut) -> None:
        import torch

        observations, labels = self._rows(roll_out)
        with torch.no_grad():
            parts = [
                self._difference(*rows).square().sum()
                for rows in zip(observations.split(65_536), labels.split(65_536), strict=True)
            ]
        self.error = math.sqrt(float(sum(parts)) / max(1, labels.numel()))

    def _fit_actions(self, epochs: int) -> None:
        critic = {id(parameter) for parameter in self._critic()}
        actor = [p for p in self._policy.parameters() if id(p) not in critic]

        def loss(rows: Any) -> Any:
            return self._difference(self._observations[rows], self._labels[rows]).square().mean()

        self._fit(actor, loss, len(self._labels), epochs)

    def _fit_values(self, roll_out: _RollOut) -> None:
        """Fit the discounted rewards of the roll-out, with what is expected behind its end."""
        import torch

        device, policy = self._model.device, self._policy

        def values(observations: np.ndarray) -> np.ndarray:
            with torch.no_grad():
                parts = [
                    policy.predict_values(part.to(device)).flatten().cpu()
                    for part in torch.as_tensor(observations).split(65_536)
                ]
            return torch.cat(parts).numpy()

        observations = roll_out.observations.reshape(-1, *roll_out.observations.shape[2:])
        seen = torch.as_tensor(observations, device=device)
        for _ in range(_VALUE_SWEEPS):
            rewards = roll_out.rewards.copy()
            if len(roll_out.final):
                rewards[roll_out.timeouts] += self._model.gamma * values(roll_out.final)
            ahead, returns = values(self._now), np.empty_like(rewards)
            for step in reversed(range(len(rewards))):
                going_on = np.where(roll_out.ended[step], 0.0, ahead)
                ahead = returns[step] = rewards[step] + self._model.gamma * going_on
            target = torch.as_tensor(returns.reshape(-1, 1), device=device)

            def loss(rows: Any, target: Any = target) -> Any:
                return (policy.predict_values(seen[rows]) - target[rows]).square().mean()

            self._fit(list(self._critic()), loss, len(target), _VALUE_EPOCHS)

    def _critic(self) -> Iterable[Any]:
        """Yield the parameters that serve the value function alone."""
        policy = self._policy
        yield from policy.value_net.parameters()
        yield from policy.mlp_extractor.value_net.parameters()
        if not policy.share_features_extractor:
            yield from policy.vf_features_extractor.parameters()

    def _fit(
        self, parameters: list[Any], loss_of: Callable[[Any], Any], number: int, epochs: int
    ) -> None:
        """Minimise with the policy's own kind of optimiser, at a rate that falls to zero."""
        import torch

        policy, model = self._policy, self._model
        policy.set_training_mode(True)
        optimizer = policy.optimizer_class(parameters, lr=self._rate, **policy.optimizer_kwargs)
        batch = min(getattr(model, "batch_size", _BATCH), max(1, number))
        of_epoch = math.ceil(number / batch)
        epochs = max(epochs, math.ceil(_FEWEST_STEPS / of_epoch)) if number else 0
        total, done = epochs * of_epoch, 0
        for _ in range(epochs):
            for rows in torch.randperm(number, generator=self._order).split(batch):
                optimizer.param_groups[0]["lr"] = self._rate * (1.0 - done / total)
                optimizer.zero_grad()
                loss_of(rows.to(model.device)).backward()
                torch.nn.utils.clip_grad_norm_(parameters, model.max_grad_norm)
                optimizer.step()
                done += 1
            self._stop()
        policy.set_training_mode(False)

    def _set_exploration(self, observations: Any) -> None:
        """Let the actions on these observations spread by `_EXPLORATION` half ranges."""
        import torch

        log_std = self._policy.log_std
        with torch.no_grad():
            spread = self._policy.get_distribution(observations).distribution.stddev
            factor = _EXPLORATION * self._half / spread.square().mean(dim=0).sqrt()
            if log_std.ndim == 2 and log_std.shape[1] == 1:  # of gSDE, one for all actions
                factor = factor.log().mean(dim=0, keepdim=True).exp()
            log_std.add_(factor.log())
        self.narrowed *= float(factor.log().mean().exp())
