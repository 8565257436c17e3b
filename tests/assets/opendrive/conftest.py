from collections.abc import Callable
from pathlib import Path

import pytest

from proveout.assets.opendrive.road_map import RoadMap, load_road


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def write(*content: str, version: str = "8") -> Path:
        path = tmp_path / "map.xodr"
        header = f'<header revMajor="1" revMinor="{version}" name="ours"/>'
        path.write_text(f"<OpenDRIVE>{header}\n" + "\n".join(content) + "\n</OpenDRIVE>")
        return path

    return write


@pytest.fixture
def load(write: Callable[..., Path]) -> Callable[..., RoadMap]:
    def load(*content: str, version: str = "8", **options: object) -> RoadMap:
        return load_road(write(*content, version=version), **options)  # type: ignore[arg-type]

    return load
