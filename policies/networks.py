"""Networks that know what they look at: encoders chosen by an observation's layout.

The layout travels as plain data in the keyword arguments, so that a run or a file can rebuild the
network without unpickling code. `LayoutExtractor` is a features extractor of Stable-Baselines3;
the encoders themselves know nothing of it and go into exported files as they are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, FlattenExtractor
from torch import Tensor, nn

from proveout.policies.errors import PolicyError
from proveout.policies.parts import Part, read_parts

# Names in presets -> kinds of entries that get an encoder of their own; all others stay as they
# are. "mlp" is the default of presets: with it a policy is the one of stock Stable-Baselines3,
# several times cheaper than attention on a CPU, and enough for every task whose sets are sorted
# (the nearest first) and short.
NETWORKS: dict[str, tuple[str, ...]] = {
    "auto": ("set", "scan", "image"),
    "mlp": (),
    "set": ("set",),
    "lidar": ("scan",),
    "image": ("image",),
}
MAX_WIDTH = 1024
_HEADS = 2


class SetEncoder(nn.Module):
    """Attention of the observer over the rows of a set; the order of the rows does not matter.

    The query comes from the rest of the observation, keys and values from the rows: ego-attention
    of Leurent and Mercat, Social Attention for Autonomous Decision-Making in Dense Traffic (2019),
    section 3. One more row, learned and always present, takes the attention of an empty set.
    """

    def __init__(self, features: int, context: int, width: int) -> None:
        """Set up.

        Args:
            features: Numbers of a row, the first of which is 1 where the row is present.
            context: Numbers of the rest of the observation; may be 0.
            width: Of the result.
        """
        super().__init__()
        self.width = width
        self.rows = nn.Sequential(
            nn.Linear(features, width), nn.ELU(), nn.Linear(width, width), nn.ELU()
        )
        self.nobody = nn.Parameter(torch.zeros(1, 1, width))
        # Without a context the bias alone is the query.
        self.query = nn.Linear(max(context, 1), width)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.result = nn.Linear(width, width)
        self._has_context = context > 0

    def forward(self, rows: Tensor, context: Tensor) -> Tensor:
        """Return (N, width) for rows (N, K, F) and the rest of the observation (N, C)."""
        present = rows[..., :1] > 0.5
        # What an absent row holds, were it not finite, must not pass.
        seen = self.rows(torch.where(present, rows, torch.zeros_like(rows)))
        nobody = self.nobody.expand(rows.shape[0], 1, self.width)
        seen = torch.cat([nobody, seen], dim=1)
        mask = torch.cat([torch.ones_like(present[:, :1]), present], dim=1)
        mask = mask.transpose(1, 2).unsqueeze(1)  # (N, 1, 1, K + 1)
        if not self._has_context:
            context = torch.zeros_like(rows[:, 0, :1])
        query = self._heads(self.query(context).unsqueeze(1))
        key, value = self._heads(self.key(seen)), self._heads(self.value(seen))
        scores = query @ key.transpose(-1, -2) / math.sqrt(self.width / _HEADS)
        # exp(-1e9 - max) is exactly 0 in float32: an absent row has no weight at all.
        weights = torch.softmax(scores.masked_fill(~mask, -1e9), dim=-1)
        mixed = (weights @ value).transpose(1, 2).flatten(1)
        return nn.functional.elu(self.result(mixed))

    @staticmethod
    def _heads(x: Tensor) -> Tensor:
        """(N, L, width) -> (N, heads, L, width / heads)."""
        return x.unflatten(-1, (_HEADS, x.shape[-1] // _HEADS)).transpose(1, 2)


class ScanEncoder(nn.Module):
    """One-dimensional convolutions over neighbouring directions, as of a lidar."""

    def __init__(self, rays: int, channels: int, width: int) -> None:
        """Take the shape of the scan and the width of the result."""
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv1d(channels, 16, 5, stride=2, padding=2),
            nn.ELU(),
            nn.Conv1d(16, 32, 5, stride=2, padding=2),
            nn.ELU(),
            nn.Conv1d(32, 32, 3, stride=2, padding=1),
            nn.ELU(),
        )
        self.result = nn.Linear(32 * math.ceil(rays / 8), width)

    def forward(self, scan: Tensor) -> Tensor:
        """Return (N, width) for (N, rays, channels)."""
        found = self.convolutions(scan.transpose(1, 2))
        return nn.functional.elu(self.result(found.flatten(1)))


class ImageEncoder(nn.Module):
    """Three convolutions over a small image."""

    def __init__(self, height: int, wide: int, channels: int, width: int) -> None:
        """Take the shape of the image [pixels] and the width of the result."""
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(channels, 16, 5, stride=2, padding=2),
            nn.ELU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.ELU(),
            nn.Conv2d(32, 32, 3, stride=2, padding=1),
            nn.ELU(),
        )
        self.result = nn.Linear(32 * math.ceil(height / 8) * math.ceil(wide / 8), width)

    def forward(self, image: Tensor) -> Tensor:
        """Return (N, width) for (N, channels, height, width)."""
        return nn.functional.elu(self.result(self.convolutions(image).flatten(1)))


class LayoutEncoder(nn.Module):
    """An encoder for each set, scan or image of an observation; other entries pass through.

    Attributes:
        size: Numbers of an observation.
        features: Numbers of the result: the entries without an encoder, then each encoder's.
    """

    def __init__(
        self, layout: Mapping[str, Any], kinds: Sequence[str], width: int | None = None
    ) -> None:
        """Choose the encoders.

        Args:
            layout: See `proveout.policies.parts`.
            kinds: Which kinds of entries get an encoder.
            width: Numbers that an encoder gives; None: 32 for a set, 64 otherwise.

        Raises:
            PolicyError: no layout, or a width that is not even or out of range.
        """
        super().__init__()
        if width is not None and (width % _HEADS or not 0 < width <= MAX_WIDTH):
            raise PolicyError(f"an encoder's width must be even, up to {MAX_WIDTH}, got {width}.")
        parts = read_parts(layout)
        self.size = parts[-1].stop
        self._encoded = [part for part in parts if part.kind in kinds and part.kind != "flat"]
        self._plain = [part for part in parts if part not in self._encoded]
        context = sum(part.size for part in self._plain)
        widths = [width or (32 if part.kind == "set" else 64) for part in self._encoded]
        self.encoders = nn.ModuleList(
            _encoder(part, context, each) for part, each in zip(self._encoded, widths, strict=True)
        )
        self.features = context + sum(widths)

    def forward(self, observation: Tensor) -> Tensor:
        """Return (N, features) for (N, size)."""
        plain = [observation[:, start:stop] for start, stop in _runs(self._plain)]
        context = torch.cat(plain, dim=1) if plain else observation[:, :0]
        found = [context]
        for part, encoder in zip(self._encoded, self.encoders, strict=True):
            values = observation[:, part.start : part.stop]
            if part.kind == "set":
                found.append(encoder(values.unflatten(1, part.shape), context))
            elif part.kind == "scan":
                rays = part.shape[0]
                found.append(encoder(values.unflatten(1, (rays, part.size // rays))))
            else:
                found.append(encoder(_image(values, part)))
        return torch.cat(found, dim=1)


class LayoutExtractor(BaseFeaturesExtractor):
    """`LayoutEncoder` as a features extractor of Stable-Baselines3."""

    def __init__(
        self,
        observation_space: Any,
        layout: Mapping[str, Any],
        kinds: Sequence[str] = NETWORKS["auto"],
        width: int | None = None,
    ) -> None:
        """Set up; arguments as of `LayoutEncoder`.

        Raises:
            PolicyError: the space is not the flat Box that the layout describes.
        """
        encoder = LayoutEncoder(layout, kinds, width)
        check_space(observation_space, encoder.size)
        super().__init__(observation_space, encoder.features)
        self.encoder = encoder
        self._description = {
            "layout": plain_layout(layout),
            "encoder": {"kinds": list(kinds), "width": width},
        }

    def forward(self, observations: Tensor) -> Tensor:
        """Return (N, features) for (N, O)."""
        return self.encoder(observations)

    def describe(self) -> dict[str, Any]:
        """Return plain data from which `proveout.policies.graph` rebuilds the module."""
        return dict(self._description)


def features_extractor_for(
    layout: Mapping[str, Any], network: str = "auto"
) -> tuple[type[BaseFeaturesExtractor], dict[str, Any]]:
    """Return the features extractor for a layout, and its keyword arguments.

    Args:
        layout: See `proveout.policies.parts`.
        network: Key of `NETWORKS`; "auto": an encoder for each set, scan and image.

    Raises:
        PolicyError: the layout has no entry of the kind that was asked for.
    """
    kinds = NETWORKS[network]
    if not any(part.kind in kinds for part in read_parts(layout)):
        if len(kinds) == 1:
            names = ", ".join(part.name for part in read_parts(layout))
            raise PolicyError(
                f"network '{network}' needs an entry that is a {kinds[0]}, and the observation has "
                f"none ({names}); use network 'mlp' or 'auto'."
            )
        return FlattenExtractor, {}
    return LayoutExtractor, {"layout": plain_layout(layout), "kinds": list(kinds)}


def plain_layout(layout: Mapping[str, Any]) -> dict[str, Any]:
    """Return what networks need of a layout: names, shapes, sets and bounds of its entries."""
    read_parts(layout)
    keys = ("name", "shape", "set", "low", "high")
    return {"entries": [{key: row.get(key) for key in keys} for row in layout["entries"]]}


def check_space(space: Any, size: int) -> None:
    """Raise PolicyError unless a space is a flat Box of so many numbers."""
    if getattr(space, "shape", None) != (size,):
        raise PolicyError(
            f"the observation layout describes {size} numbers, the observation space is {space}."
        )


def _encoder(part: Part, context: int, width: int) -> nn.Module:
    if part.kind == "set":
        return SetEncoder(part.shape[1], context, width)
    if part.kind == "scan":
        return ScanEncoder(part.shape[0], part.size // part.shape[0], width)
    channels, height, wide, _ = _image_shape(part)
    return ImageEncoder(height, wide, channels, width)


def _image_shape(part: Part) -> tuple[int, int, int, bool]:
    """Return channels, height and width of an image, and whether the channels come first."""
    if len(part.shape) == 2:
        return 1, *part.shape, True
    first, middle, last = part.shape
    return (first, middle, last, True) if first < last else (last, first, middle, False)


def _image(values: Tensor, part: Part) -> Tensor:
    """Return (N, channels, height, width), from 0 to 1 where the entry is bounded."""
    channels, height, wide, channels_first = _image_shape(part)
    if channels_first:
        image = values.unflatten(1, (channels, height, wide))
    else:
        image = values.unflatten(1, (height, wide, channels)).permute(0, 3, 1, 2)
    if math.isfinite(part.low) and math.isfinite(part.high) and part.low < part.high:
        image = (image - part.low) / (part.high - part.low)
    return image


def _runs(parts: Sequence[Part]) -> list[tuple[int, int]]:
    """Return (start, stop) of parts, those that follow each other as one."""
    runs: list[tuple[int, int]] = []
    for part in parts:
        if runs and runs[-1][1] == part.start:
            runs[-1] = (runs[-1][0], part.stop)
        else:
            runs.append((part.start, part.stop))
    return runs
