"""A learning rate that follows the KL divergence of the updates.

As in rsl_rl and in Schulman et al., Proximal Policy Optimization Algorithms (2017), section 4, but
acting on the learning rate: before each update, a factor up or down between bounds.
"""

from __future__ import annotations

from stable_baselines3.common.callbacks import BaseCallback


class AdaptiveKL(BaseCallback):
    """Divide the learning rate where an update went too far, multiply where it went not far enough.

    Reads `train/approx_kl`, which PPO logs: the mean over the minibatches of the last epoch.
    """

    def __init__(
        self,
        kl_low: float,
        kl_high: float,
        *,
        factor: float = 1.5,
        lowest: float = 1e-5,
        highest: float = 5e-3,
        annealed: bool = True,
    ) -> None:
        """Set the bounds.

        Args:
            kl_low: Below this divergence the rate goes up.
            kl_high: Above it the rate goes down.
            factor: Ratio of one change.
            lowest: Lower bound of the learning rate.
            highest: Upper bound of the learning rate.
            annealed: Let the upper bound fall linearly to a hundredth at the end of training. A
                policy that has settled changes little in an update, and the rule alone would
                raise the rate until an update breaks it.
        """
        super().__init__()
        self.kl_low = kl_low
        self.kl_high = kl_high
        self.factor = factor
        self.lowest = lowest
        self.highest = highest
        self.annealed = annealed

    def adapted(self, rate: float, kl: float, progress: float = 0.0) -> float:
        """Return the learning rate after an update.

        Args:
            rate: So far.
            kl: Divergence of the update.
            progress: Share of the training that is done, 0 to 1.
        """
        highest = self.highest
        if self.annealed:
            highest = max(highest * max(1.0 - progress, 0.01), self.lowest)
        if kl > self.kl_high:
            rate = max(rate / self.factor, self.lowest)
        elif kl < self.kl_low:
            rate = rate * self.factor
        return min(rate, highest)

    def _on_rollout_end(self) -> None:
        # Not at the start: a checkpoint between must hold rate and divergence not yet combined.
        kl = self.logger.name_to_value.get("train/approx_kl")
        if kl is None:  # before the first update
            return
        # `_current_progress_remaining` would be stale in the first iteration of a resumed run.
        progress = self.model.num_timesteps / max(1, self.model._total_timesteps)
        rate = self.adapted(float(self.model.lr_schedule(1.0)), float(kl), progress)
        self.model.learning_rate = rate
        self.model._setup_lr_schedule()

    def _on_step(self) -> bool:
        return True
