"""Observations brought to mean 0 and standard deviation 1 by statistics inside the policy.

The statistics are buffers of the network: they are saved in its zip and in checkpoints, exported
with it, and nothing but `update` or `merge` changes them, least of all an evaluation.

They may change between two iterations of PPO only, after the update and before the next roll-out:
an update compares probabilities under the statistics that the roll-out acted with.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn

from proveout.policies.errors import PolicyError
from proveout.policies.networks import LayoutEncoder, check_space, plain_layout
from proveout.policies.parts import Part, read_parts

CLIP = 10.0
# Variance added to every number: one that hardly varies is not blown up beyond 100 times.
EPSILON = 1e-4
# Rows whose double-precision differences are held at once.
_CHUNK = 65_536


class ObservationNormalizer(nn.Module):
    """Running mean and variance of each number of an observation.

    With a layout, the rows of a set share their statistics, so that their order stays without
    meaning; only present rows count; an absent row stays zero, and the feature that tells presence
    stays as it is. So do images, which have bounds to be scaled by.

    The names of the buffers begin with "running_": Stable-Baselines3 copies such buffers from an
    off-policy critic to its target.

    Attributes:
        running_mean: (O,) float32.
        running_var: (O,) float32, the population's.
        running_count: (O,) float64, samples of each number so far.
    """

    running_mean: Tensor
    running_var: Tensor
    running_count: Tensor

    def __init__(
        self,
        size: int,
        layout: Mapping[str, Any] | None = None,
        *,
        clip: float = CLIP,
        epsilon: float = EPSILON,
    ) -> None:
        """Begin with mean 0 and variance 1.

        Args:
            size: Numbers of an observation.
            layout: See `proveout.policies.parts`; None: each number for itself.
            clip: Bound of the result's magnitude.
            epsilon: Added to the variance.
        """
        super().__init__()
        self.size = size
        self.clip = clip
        self.epsilon = epsilon
        parts = () if layout is None else read_parts(layout)
        if parts and parts[-1].stop != size:
            raise PolicyError(f"the layout describes {parts[-1].stop} numbers, not {size}.")
        self._special = [part for part in parts if part.kind in ("set", "image")]
        self.register_buffer("running_mean", torch.zeros(size))
        self.register_buffer("running_var", torch.ones(size))
        self.register_buffer("running_count", torch.zeros(size, dtype=torch.float64))

    def forward(self, observations: Tensor) -> Tensor:
        """Return `normalize(observations)`."""
        return self.normalize(observations)

    def normalize(self, observations: Tensor) -> Tensor:
        """Return observations (N, O) normalised, from -clip to clip."""
        scale = torch.rsqrt(self.running_var + self.epsilon)
        scaled = ((observations - self.running_mean) * scale).clamp(-self.clip, self.clip)
        if not self._special:
            return scaled
        pieces, start = [], 0
        for part in self._special:
            pieces.append(scaled[:, start : part.start])
            raw = observations[:, part.start : part.stop]
            if part.kind == "set":
                present = raw.unflatten(1, part.shape)[..., :1]
                rows = scaled[:, part.start : part.stop].unflatten(1, part.shape)[..., 1:]
                zeros = torch.zeros_like(rows)
                pieces.append(
                    torch.cat([present, torch.where(present > 0.5, rows, zeros)], -1).flatten(1)
                )
            else:
                pieces.append(raw)
            start = part.stop
        pieces.append(scaled[:, start:])
        return torch.cat(pieces, dim=1)

    def update(self, observations: Tensor) -> None:
        """Take observations (..., O) into the statistics; no host read."""
        self.merge(self.state_for_reduction(observations))

    @torch.no_grad()
    def state_for_reduction(self, observations: Tensor) -> Tensor:
        """Return what `merge` takes: (3, O) float64, which may be summed over ranks before.

        Rows are the count, the sum and the sum of squares of the differences from `running_mean`,
        which is the same on all ranks. Numbers that are not finite are left out.
        """
        mean = self.running_mean.double()
        total = torch.zeros(3, self.size, dtype=torch.float64, device=mean.device)
        for rows in observations.reshape(-1, self.size).split(_CHUNK):
            rows = rows.to(mean.device)
            counted = torch.isfinite(rows)
            for part in self._special:
                self._count_present(rows, counted, part)
            difference = torch.where(counted, rows.double() - mean, 0.0)
            total[0] += counted.sum(0)
            total[1] += difference.sum(0)
            total[2] += (difference * difference).sum(0)
        for part in self._special:
            if part.kind == "set":
                rows_of = total[:, part.start : part.stop].unflatten(1, part.shape)
                rows_of.copy_(rows_of.sum(1, keepdim=True).expand_as(rows_of).clone())
        return total

    @torch.no_grad()
    def merge(self, state: Tensor) -> None:
        """Take in what `state_for_reduction` returned, since the last `merge`.

        Source: Chan, Golub and LeVeque, Updating Formulae and a Pairwise Algorithm for Computing
        Sample Variances (1979), equation 2.1.
        """
        count, total, squares = state
        before = self.running_count
        after = before + count
        some = after > 0
        divisor = after.clamp(min=1.0)
        shift = total / count.clamp(min=1.0)  # mean of the new ones, from the running mean
        around = (squares - total * shift).clamp(min=0.0)  # squares about their own mean
        between = shift * shift * before * count / divisor
        variance = (self.running_var.double() * before + around + between) / divisor
        # In place: optimisers' targets and recorded graphs hold these very tensors.
        self.running_var.copy_(torch.where(some, variance, self.running_var.double()))
        self.running_mean.add_(shift * count / divisor)
        self.running_count.copy_(after)

    @staticmethod
    def _count_present(rows: Tensor, counted: Tensor, part: Part) -> None:
        """Leave absent rows of a set, its presence feature, and images out, in place."""
        here = counted[:, part.start : part.stop]
        if part.kind == "image":
            here.fill_(False)
            return
        present = rows[:, part.start : part.stop].unflatten(1, part.shape)[..., :1] > 0.5
        here = here.unflatten(1, part.shape)
        here &= present
        here[..., 0] = False


class NormalizedExtractor(BaseFeaturesExtractor):
    """A features extractor of Stable-Baselines3 that normalises first.

    Attributes:
        normalizer: The statistics.
    """

    def __init__(
        self,
        observation_space: Any,
        layout: Mapping[str, Any] | None = None,
        inner: str = "flatten",
        inner_kwargs: Mapping[str, Any] | None = None,
        clip: float = CLIP,
        epsilon: float = EPSILON,
    ) -> None:
        """Set up.

        Args:
            observation_space: Flat Box (O,).
            layout: See `proveout.policies.parts`; None: each number is normalised for itself.
            inner: What comes after: "flatten", or "layout" for a `LayoutEncoder`.
            inner_kwargs: `kinds` and `width` of the `LayoutEncoder`.
            clip: Bound of the normalised magnitude.
            epsilon: Added to the variance.

        Raises:
            PolicyError: an unknown `inner`, or a space that is not a flat Box of the layout's size.
        """
        shape = getattr(observation_space, "shape", None)
        if shape is None or len(shape) != 1:
            raise PolicyError(f"only a flat Box can be normalised, not {observation_space}.")
        if layout is not None:
            layout = plain_layout(layout)
            check_space(observation_space, read_parts(layout)[-1].stop)
        encoder: nn.Module
        told = None
        if inner == "flatten":
            encoder, features = nn.Identity(), int(shape[0])
        elif inner == "layout" and layout is not None:
            told = {"kinds": ["set", "scan", "image"], "width": None, **(inner_kwargs or {})}
            encoder = LayoutEncoder(layout, **told)
            features = encoder.features
        else:
            raise PolicyError(f"inner must be 'flatten', or 'layout' with one, got {inner!r}.")
        super().__init__(observation_space, features)
        self.normalizer = ObservationNormalizer(int(shape[0]), layout, clip=clip, epsilon=epsilon)
        self.encoder = encoder
        self._description = {
            "layout": layout,
            "normalizer": {"size": int(shape[0]), "clip": clip, "epsilon": epsilon},
            "encoder": told,
        }

    def forward(self, observations: Tensor) -> Tensor:
        """Return (N, features) for (N, O)."""
        return self.encoder(self.normalizer(observations))

    def describe(self) -> dict[str, Any]:
        """Return plain data from which `proveout.policies.graph` rebuilds the module."""
        return dict(self._description)


def normalized(
    extractor: type[BaseFeaturesExtractor],
    kwargs: Mapping[str, Any],
    layout: Mapping[str, Any] | None,
) -> tuple[type[NormalizedExtractor], dict[str, Any]]:
    """Return what `features_extractor_for` chose, with a normaliser before it.

    Args:
        extractor: `FlattenExtractor` or `LayoutExtractor`.
        kwargs: Its keyword arguments.
        layout: See `proveout.policies.parts`; None: each number is normalised for itself.
    """
    plain = None if layout is None else plain_layout(layout)
    if "layout" not in kwargs:
        return NormalizedExtractor, {"layout": plain}
    inner = {key: value for key, value in kwargs.items() if key != "layout"}
    return NormalizedExtractor, {"layout": plain, "inner": "layout", "inner_kwargs": inner}


def normalizers(policy: nn.Module) -> list[ObservationNormalizer]:
    """Return the normalisers of a policy: one for each features extractor, all with one state."""
    return [module for module in policy.modules() if isinstance(module, ObservationNormalizer)]
