"""Frames side by side, in files of one kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from proveout.envs.core.errors import RenderError
from proveout.training.evaluation.video import tile, write_video


def test_tiles() -> None:
    frames = [np.full((2, 3, 3), i, np.uint8) for i in range(1, 4)]
    picture = tile(frames)
    assert picture[..., 0].tolist() == [[1, 1, 1, 2, 2, 2]] * 2 + [[3, 3, 3, 0, 0, 0]] * 2
    with pytest.raises(RenderError, match="no frame"):
        tile([])


def test_a_video_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RenderError, match=r"must end in \.mp4"):
        write_video(tmp_path / "v.gif", [], 10.0)
