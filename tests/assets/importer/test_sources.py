"""Robots of other packages, which stand-ins play: nothing is downloaded."""

import importlib
import importlib.metadata
import sys
import types
from pathlib import Path

import pytest

from proveout.assets.files.errors import ModelError, UnknownNameError
from proveout.assets.robot import load_robot

ARM = (
    '<mujoco model="{name}"><worldbody><body><joint name="j"/><geom size="1"/></body></worldbody>'
    "</mujoco>"
)


class MenagerieError(Exception):
    """As in the package."""


@pytest.fixture
def menagerie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A stand-in for mujoco-menagerie with one robot of two models."""
    for name in ("arm", "arm_with_hand"):
        (tmp_path / f"{name}.xml").write_text(ARM.format(name=name))

    class Robot:
        default_model = "arm"
        entry_names = ("arm", "arm_with_hand")

        def path(self) -> Path:
            return tmp_path

        def xml(self, entry: str) -> Path:
            if not (tmp_path / f"{entry}.xml").exists():
                raise MenagerieError("no\nnetwork")
            return tmp_path / f"{entry}.xml"

    module = types.ModuleType("mujoco_menagerie")
    module.MenagerieError = MenagerieError  # type: ignore[attr-defined]
    module.names = lambda: ["maker_arm"]  # type: ignore[attr-defined]
    module.get = lambda name: Robot()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mujoco_menagerie", module)
    return module


def test_a_robot_of_the_menagerie_and_one_of_its_models(menagerie: types.ModuleType) -> None:
    assert load_robot("menagerie:maker_arm").name == "arm"
    assert load_robot("menagerie:maker_arm/arm_with_hand").name == "arm_with_hand"
    with pytest.raises(UnknownNameError, match="did you mean 'maker_arm'"):
        load_robot("menagerie:maker_am")
    with pytest.raises(UnknownNameError, match="did you mean 'arm_with_hand'"):
        load_robot("menagerie:maker_arm/arm_with_hands")


def test_a_download_that_fails_is_said(menagerie: types.ModuleType, tmp_path: Path) -> None:
    (tmp_path / "arm.xml").unlink()
    with pytest.raises(ModelError, match=r"cannot be had \(no network\); it is downloaded"):
        load_robot("menagerie:maker_arm")


def test_a_package_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mujoco_menagerie", None)

    def missing(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "files", missing)
    with pytest.raises(ModelError, match="pip install mujoco-menagerie"):
        load_robot("menagerie:arm")
    with pytest.raises(ModelError, match="pip install example-robot-data"):
        load_robot("example-robot-data:arm")


def test_a_robot_of_example_robot_data_finds_its_meshes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import trimesh

    share = tmp_path / "share"
    urdf = share / "example-robot-data" / "robots" / "a" / "urdf" / "arm.urdf"
    urdf.parent.mkdir(parents=True)
    mesh = share / "example-robot-data" / "robots" / "a" / "meshes" / "box.stl"
    mesh.parent.mkdir()
    trimesh.creation.box((1, 1, 1)).export(mesh)
    name = "package://example-robot-data/robots/a/meshes/box.stl"
    urdf.write_text(
        f'<robot name="arm"><link name="base"><visual><geometry><mesh filename="{name}"/>'
        "</geometry></visual></link></robot>"
    )

    class File(type(Path())):  # type: ignore[misc]
        def locate(self) -> Path:
            return Path(self)

    monkeypatch.setattr(importlib.metadata, "files", lambda name: [File(urdf), File(mesh)])
    assert load_robot("example-robot-data:arm").spec.compile().nmesh == 1
    with pytest.raises(UnknownNameError, match="did you mean 'arm'"):
        load_robot("example-robot-data:arms")
