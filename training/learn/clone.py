"""A policy of Stable-Baselines3 that learns to act as a teacher, and a value function that follows.

What is learnt from is rows of observations and of the actions that a teacher takes there. Where
they come from is another matter: here from a teacher that watches the clone act (`learn`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from proveout.training.evaluation.policy_source import Policy
from proveout.training.run.progress import Progress

# Standard deviation of the clone's exploration, as a share of half the range of an action: enough
# for PPO to see what is better, little enough for the clone to succeed at what the teacher does.
EXPLORATION = 0.1
# Share of all steps in which the clone acts for the value function.
_FOR_VALUES = 1 / 8
# Share of the worlds that the teacher leads in the end; the share of the rounds over which it falls
# to that; and the steps after which a world draws its leader anew, on average. On PickPlace the
# clone would at first see little but what it fails at.
_LEAST_LED, _FALLING, _LEADING = 0.2, 0.3, 20
# Rows that are learnt from for each new one, and passes over all rows in the end and over the
# returns; how often the values behind the end of the roll-out are brought up to date.
_PASSES, _LAST_PASSES, _VALUE_PASSES, _VALUE_SWEEPS = 20, 10, 4, 3
# Steps of the optimiser at the least, in all rounds together and in the last fit.
_FEWEST_STEPS = 400
_BATCH = 1024
# Observations on which the exploration is measured.
_SPREAD = 65_536


@dataclass(frozen=True)
class RollOut:
    """T steps of N worlds.

    Attributes:
        observations: (T, N, O). labels: the teacher's actions there, (T, N, A).
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


class Clone:
    """Makes the policy of an algorithm a clone.

    Attributes:
        error: Root mean square difference to the teacher in the last roll-out, in half ranges.
        narrowed: By what factor the exploration is smaller than it was.
    """

    def __init__(
        self, model: Any, venv: Any, teacher: Policy, seed: int, stop: Callable[[], None]
    ) -> None:
        """Begin where the policy is.

        Args:
            model: `PPO`, `TensorPPO` or `A2C`, changed in place.
            venv: Its `SB3VecEnv`; it is reset.
            teacher: Says what to do.
            seed: Of the order of the rows, and of who leads.
            stop: Called often; raises when it is time to stop.
        """
        import torch

        from proveout.policies.normalize import normalizers

        self._model, self._venv, self._teacher, self._stop = model, venv, teacher, stop
        self._policy: Any = model.policy
        self._normalizers = normalizers(model.policy)
        self._rate = float(model.lr_schedule(1.0))
        space = model.action_space
        half = 0.5 * (space.high.astype(np.float64) - space.low.astype(np.float64))
        half = np.where(np.isfinite(half) & (half > 0.0), half, 1.0)
        self._reach = half.astype(np.float32)
        low, high = space.low, space.high
        # A squashed policy speaks of -1 to 1, any other of the actions themselves.
        if model.policy.squash_output:
            half, low, high = np.ones_like(half), -np.ones_like(low), np.ones_like(high)
        self._half = torch.as_tensor(half, dtype=torch.float32, device=model.device)
        self._bounds = [torch.as_tensor(bound, device=model.device) for bound in (low, high)]
        self._order = torch.Generator().manual_seed(seed)
        self._random = np.random.default_rng(seed)
        self._led = np.ones(venv.num_envs, bool)
        self._observations = torch.zeros((0, *model.observation_space.shape), device=model.device)
        self._labels = torch.zeros((0, *space.shape), device=model.device)
        critic = {id(parameter) for parameter in self._critic()}
        self._actor = [p for p in self._policy.parameters() if id(p) not in critic]
        self._optimizer = self._new_optimizer(self._actor)
        self._now = venv.reset()
        self.error = math.nan
        self.narrowed = 1.0

    def learn(self, steps: int, rounds: int, progress: Progress) -> None:
        """Clone in so many steps of all worlds (Ross, Gordon and Bagnell 2011, DAgger).

        First the teacher leads all worlds, then in each round fewer, and the clone the others.

        Args:
            steps: At least `rounds` + 2.
            rounds: After the first one.
            progress: Counts samples.
        """
        acting = min(steps - 1, round((1.0 - _FOR_VALUES) * steps))
        acting = max(acting, rounds + 1)
        ends = [acting * number // (rounds + 1) for number in range(rounds + 2)]
        for number, (start, end) in enumerate(itertools.pairwise(ends)):
            share = max(_LEAST_LED, 1.0 - number / max(1.0, _FALLING * rounds))
            roll_out = self._roll_out(end - start, progress, f"{number}/{rounds}", share)
            if number:
                self._measure(roll_out)
            self.take(roll_out.observations, roll_out.labels)
            fewest = math.ceil(_FEWEST_STEPS / (rounds + 1))
            self._fit_actions(_PASSES * roll_out.rewards.size, fewest)
            if number == rounds:
                self._fit_actions(_LAST_PASSES * len(self._labels), _FEWEST_STEPS, falling=True)
            self._set_exploration(self._observations[-_SPREAD:])
        last = self._roll_out(steps - acting, progress, "values", 0.0)
        self._measure(last)
        self._fit_values(last)

    def take(self, observations: np.ndarray, labels: np.ndarray) -> None:
        """Add rows to what is learnt from, and to the observation statistics.

        Args:
            observations: (..., O).
            labels: The teacher's actions there, (..., A).
        """
        import torch

        rows, actions = self._rows(observations, labels)
        self._observations = torch.cat([self._observations, rows])
        self._labels = torch.cat([self._labels, actions])
        if self._normalizers:
            state = self._normalizers[0].state_for_reduction(rows)
            for normalizer in self._normalizers:
                normalizer.merge(state)

    def _roll_out(self, steps: int, progress: Progress, stage: str, share: float) -> RollOut:
        """Step the worlds on from where they are; the teacher leads a share of them."""
        space = self._model.action_space
        told: tuple[list[int], list[int]] = ([], [])
        rows: list[tuple[np.ndarray, ...]] = []
        final: list[np.ndarray] = []
        self._policy.set_training_mode(False)
        for step in range(steps):
            seen = self._now
            label = np.clip(self._teacher.predict(seen), space.low, space.high)
            action = self._lead(label, share, anew=step == 0)
            if not self._led.all():
                action = np.where(self._led[:, None], action, self._act(seen))
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
        return RollOut(seen, label, reward, ended, timeouts=told, final=ends)

    def _lead(self, label: np.ndarray, share: float, *, anew: bool) -> np.ndarray:
        """Draw which worlds the teacher leads; return its actions with the clone's exploration."""
        worlds, space = len(label), self._model.action_space
        drawn = self._random.random((2, worlds))
        self._led = np.where(anew | (drawn[0] < 1.0 / _LEADING), drawn[1] < share, self._led)
        noise = self._random.standard_normal(label.shape).astype(np.float32)
        return np.clip(label + EXPLORATION * self._reach * noise, space.low, space.high)

    def _act(self, observation: np.ndarray) -> np.ndarray:
        if self._policy.use_sde:
            self._policy.reset_noise(self._venv.num_envs)
        action: np.ndarray = self._policy.predict(observation, deterministic=False)[0]
        return action

    def _rows(self, observations: np.ndarray, labels: np.ndarray) -> tuple[Any, Any]:
        """Return observations (M, O) and labels (M, A) in the policy's own units, all finite."""
        import torch

        observations = observations.reshape(-1, *self._model.observation_space.shape)
        labels = labels.reshape(-1, *self._model.action_space.shape)
        whole = np.isfinite(observations).all(axis=1) & np.isfinite(labels).all(axis=1)
        observations, labels = observations[whole], labels[whole]
        if self._policy.squash_output:
            labels = self._policy.scale_action(labels)
        device = self._model.device
        return (
            torch.as_tensor(observations, dtype=torch.float32, device=device),
            torch.as_tensor(labels, dtype=torch.float32, device=device),
        )

    def _difference(self, observations: Any, labels: Any, beyond: float) -> Any:
        """Return the clone's mean action minus the label, in half ranges.

        Where the teacher goes to a bound, the mean may lie beyond it by so many half ranges: it is
        the same action then.
        """
        mean = self._policy.get_distribution(observations).mode()
        difference = (mean - labels) / self._half
        low, high = self._bounds
        difference = difference - difference.clamp(0.0, beyond) * (labels >= high)
        return difference - difference.clamp(-beyond, 0.0) * (labels <= low)

    def _measure(self, roll_out: RollOut) -> None:
        import torch

        observations, labels = self._rows(roll_out.observations, roll_out.labels)
        with torch.no_grad():
            parts = [
                self._difference(*rows, math.inf).square().sum()
                for rows in zip(observations.split(65_536), labels.split(65_536), strict=True)
            ]
        self.error = math.sqrt(float(sum(parts)) / max(1, labels.numel()))

    def _fit_actions(self, rows: int, fewest: int, *, falling: bool = False) -> None:
        """Learn from so many rows, drawn from all, in at least so many steps."""

        def loss(drawn: Any) -> Any:
            rows = self._observations[drawn], self._labels[drawn]
            # No further than it explores, or PPO would never see what is within the bounds.
            return self._difference(*rows, EXPLORATION).square().mean()

        steps = max(math.ceil(rows / _BATCH), fewest)
        self._fit(self._optimizer, loss, len(self._labels), steps, falling=falling)

    def _fit_values(self, roll_out: RollOut) -> None:
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

            def loss(drawn: Any, target: Any = target) -> Any:
                return (policy.predict_values(seen[drawn]) - target[drawn]).square().mean()

            steps = max(math.ceil(_VALUE_PASSES * len(target) / _BATCH), _FEWEST_STEPS)
            optimizer = self._new_optimizer(list(self._critic()))
            self._fit(optimizer, loss, len(target), steps, falling=True)

    def _critic(self) -> Iterable[Any]:
        """Yield the parameters that serve the value function alone."""
        policy = self._policy
        yield from policy.value_net.parameters()
        yield from policy.mlp_extractor.value_net.parameters()
        if not policy.share_features_extractor:
            yield from policy.vf_features_extractor.parameters()

    def _new_optimizer(self, parameters: list[Any]) -> Any:
        policy = self._policy
        return policy.optimizer_class(parameters, lr=self._rate, **policy.optimizer_kwargs)

    def _fit(
        self,
        optimizer: Any,
        loss_of: Callable[[Any], Any],
        number: int,
        steps: int,
        *,
        falling: bool,
    ) -> None:
        """Minimise over rows of so many; `falling`: at a rate that falls to zero."""
        import torch

        self._policy.set_training_mode(True)
        (group,) = optimizer.param_groups
        for step in range(steps if number else 0):
            group["lr"] = self._rate * (1.0 - step / steps if falling else 1.0)
            drawn = torch.randint(number, (min(_BATCH, number),), generator=self._order)
            optimizer.zero_grad()
            loss_of(drawn.to(self._model.device)).backward()
            torch.nn.utils.clip_grad_norm_(group["params"], self._model.max_grad_norm)
            optimizer.step()
            if step % 100 == 0:
                self._stop()
        self._policy.set_training_mode(False)

    def _set_exploration(self, observations: Any) -> None:
        """Let the actions on these observations spread by `EXPLORATION` half ranges."""
        import torch

        log_std = self._policy.log_std
        with torch.no_grad():
            spread = self._policy.get_distribution(observations).distribution.stddev
            factor = EXPLORATION * self._half / spread.square().mean(dim=0).sqrt()
            if log_std.ndim == 2 and log_std.shape[1] == 1:  # of gSDE, one for all actions
                factor = factor.log().mean(dim=0, keepdim=True).exp()
            log_std.add_(factor.log())
        self.narrowed *= float(factor.log().mean().exp())
