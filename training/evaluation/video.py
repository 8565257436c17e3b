"""Frames to an mp4 file that appears whole."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from proveout.assets.files.atomic import atomic_path
from proveout.envs.core.errors import RenderError


def tile(frames: Sequence[np.ndarray]) -> np.ndarray:
    """Return frames (H, W, 3) of one size side by side, as square as possible."""
    if not frames:
        raise RenderError(
            "the environment rendered no frame; make it with render_mode='rgb_array'."
        )
    columns = math.ceil(math.sqrt(len(frames)))
    rows = math.ceil(len(frames) / columns)
    blank = np.zeros_like(frames[0])
    cells = [*frames, *[blank] * (rows * columns - len(frames))]
    lines = [np.concatenate(cells[r * columns : (r + 1) * columns], axis=1) for r in range(rows)]
    return np.concatenate(lines, axis=0)


def write_video(path: Path | str, frames: Iterable[np.ndarray], fps: float) -> None:
    """Write frames (H, W, 3) uint8 as H.264.

    Args:
        path: Ends in .mp4.
        frames: All of one size.
        fps: Frames per second.

    Raises:
        RenderError: another suffix, or ffmpeg cannot run or write.
    """
    path = Path(path)
    if path.suffix != ".mp4":
        raise RenderError(f"{path} must end in .mp4.")
    import imageio.v2 as imageio

    try:
        with atomic_path(path) as temporary:
            writer: Any = imageio.get_writer(
                temporary, format="FFMPEG", fps=fps, codec="libx264", macro_block_size=1
            )
            try:
                for frame in frames:
                    writer.append_data(_even(frame))
            finally:
                writer.close()
    except (OSError, RuntimeError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RenderError(
            f"{path} cannot be written ({first}); `proveout doctor` checks ffmpeg."
        ) from error


def _even(frame: np.ndarray) -> np.ndarray:
    """Return the frame with even sides, which H.264 needs, by repeating the last line."""
    height, width = frame.shape[:2]
    return np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
