"""Scenarios of others, where `PROVEOUT_DATA` names a folder that has them; see the README."""

import os
from collections import deque
from pathlib import Path

import numpy as np
import pytest
from lxml import etree

from proveout.assets.files.errors import ScenarioError
from proveout.assets.scenario.concrete import write_concrete
from proveout.assets.scenario.constraints import judge
from proveout.assets.scenario.find import case_files
from proveout.assets.scenario.references import walk
from proveout.assets.scenario.rows import Rows, load_rows
from proveout.assets.scenario.scope import Value
from proveout.assets.scenario.structures import Structures
from proveout.assets.scenario.survey import survey

DATA = Path(os.environ.get("PROVEOUT_DATA") or "nowhere") / "openscenario"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="PROVEOUT_DATA names no scenarios")
ALKS = DATA / "alks" / "logical_scenarios"
NCAP = DATA / "ncap-2023" / "OpenSCENARIO" / "NCAP"
ESMINI = DATA / "esmini" / "xosc"
VERSIONS = {"1.0": "1.0", "1.1": "1.1.1", "1.2": "1.2", "1.3": "1.3"}


def test_the_catalogue_of_r157_has_its_published_number_of_rows() -> None:
    files = case_files([ALKS])
    assert len(files) == 15
    counts = [load_rows(file).count() for file in files]
    assert sum(count.rows for count in counts) == 121_060
    # Product of 5 speeds, 5 vehicles, 2 sides, 5 relative speeds, 7 distances, 6 lateral speeds,
    # 5 accelerations; lateral speeds must be below that of the other vehicle, which 60 of the 150
    # combinations of two speeds and a lateral speed are not.
    cut_in = load_rows(ALKS / "alks_scenario_4_4_1_cut_in_no_collision_variation.xosc")
    assert cut_in.size == 5 * 5 * 2 * 5 * 7 * 6 * 5
    inside = sum(
        lateral < (ego + relative) / 3.6
        for ego in (20, 30, 40, 50, 60)
        for relative in (-50, -40, -30, -20, -10)
        for lateral in (0.5, 1, 1.5, 2, 2.5, 3)
    )
    assert cut_in.count().within == inside * 5 * 2 * 7 * 5


def numbers(rows: Rows) -> int:
    """Evaluate every attribute of every element over all rows within the constraints."""
    count = 0
    for group in Structures(rows).groups():
        for element in (*walk(group.structure.entities), *walk(group.structure.storyboard)):
            for value in vars(element).values():
                if isinstance(value, Value):
                    value.over(group.frame)
                    count += len(group.rows)
    return count


@pytest.mark.parametrize("folder", [ALKS, NCAP])
def test_every_number_of_every_row_can_be_evaluated(folder: Path) -> None:
    for file in case_files([folder]):
        rows = load_rows(file)
        assert numbers(rows) > 0
        for structure in _structures(rows):
            assert structure.findings == ()


def _structures(rows: Rows) -> list:  # type: ignore[type-arg]
    structures = Structures(rows)
    deque(structures.groups(), maxlen=0)
    return structures.known


def test_the_files_of_esmini_that_are_not_read_have_a_reason() -> None:
    trials = list(survey(ESMINI))
    assert len(trials) == 69
    refused = {trial.file: trial.told[0] for trial in trials if not trial.read}
    assert {file: reason.split(": ", 1)[1][:40] for file, reason in refused.items()} == {
        # Folders of catalogues that are not there.
        "auto_light.xosc": "catalogue VehicleCatalog is missing, and",
        "car_walk.xosc": "catalogue openx_assets_3d.catalog is mis",
        # A parameter of type double that is given a word.
        "follow_ghost.xosc": "'position' is not a number; correct it.",
        # A maneuver of a catalogue that uses a parameter which it does not declare.
        "synchronize.xosc": "parameter AccRate is not declared; decla",
    }


@pytest.mark.parametrize("folder", [ALKS, NCAP, ESMINI])
def test_rows_as_files_are_valid_by_the_schema(folder: Path, tmp_path: Path) -> None:
    schemas = {
        version: etree.XMLSchema(etree.parse(DATA / "schema" / f"OpenSCENARIOv{name}.xsd"))
        for version, name in VERSIONS.items()
    }
    written = 0
    for file in case_files([folder]):
        try:
            rows = load_rows(file)
            structure = rows.scenario.structure(rows.row(0))
        except ScenarioError:
            continue
        spread = np.linspace(0, rows.size - 1, 40).astype(int)
        number = next(int(k) for k in spread if judge(rows.frame(int(k), 1)).within[0])
        out = write_concrete(rows, number, tmp_path / "row.xosc")
        tree = etree.parse(out)
        header = tree.find("FileHeader")
        assert header is not None
        told = schemas[f"{header.get('revMajor')}.{header.get('revMinor')}"]
        assert told.validate(tree), (file.name, told.error_log)
        again = load_rows(out)
        assert again.size == 1
        assert len(again.scenario.structure().findings) <= len(structure.findings)
        written += 1
    assert written >= len(case_files([folder])) - 4
