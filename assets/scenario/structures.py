"""Rows in groups of one structure.

What a storyboard is made of can depend on a parameter: an entry of a catalogue, a road file, a
rule. Rows that agree in these parameters share one `Structure`; in everything else they differ by
numbers alone, which are evaluated over all of them at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from proveout.assets.files.errors import ScenarioError
from proveout.assets.scenario.constraints import judge
from proveout.assets.scenario.rows import BLOCK, Rows
from proveout.assets.scenario.scenario import Structure
from proveout.assets.scenario.scope import Frame

MAX_STRUCTURES = 4096


@dataclass(frozen=True, eq=False)
class Group:
    """Some rows of one structure.

    Attributes:
        structure: That they share.
        rows: Their numbers, shape (rows,).
        frame: The values of their parameters.
    """

    structure: Structure
    rows: np.ndarray
    frame: Frame


@dataclass(eq=False)
class Structures:
    """Structures of a scenario, each made once.

    Args:
        source: Of the rows.

    Attributes:
        known: Those met so far.
    """

    source: Rows
    known: list[Structure] = field(default_factory=list)

    def groups(self, size: int = BLOCK) -> Iterator[Group]:
        """Yield the rows within the constraints, block by block, in groups.

        Args:
            size: Of a block, in rows.

        Raises:
            ScenarioError: A row's structure cannot be made, or there are too many.
        """
        for first, columns in self.source.blocks(size):
            count = min(size, self.source.size - first)
            frame = self.source.scenario.frame(columns, count, first)
            within = np.flatnonzero(judge(frame).within)
            picked = {name: column[within] for name, column in columns.items()}
            yield from self.split(picked, within + first)

    def split(self, columns: Mapping[str, np.ndarray], rows: np.ndarray) -> Iterator[Group]:
        """Yield rows in groups.

        Args:
            columns: Their varied parameters, each of shape (rows,).
            rows: Their numbers, shape (rows,).
        """
        left = np.arange(len(rows))
        tried = 0
        while len(left):
            if tried < len(self.known):
                structure = self.known[tried]
            else:
                if len(self.known) >= MAX_STRUCTURES:
                    raise ScenarioError(
                        f"{self.source.path} has more than {MAX_STRUCTURES} different storyboards; "
                        f"vary fewer names, files and rules."
                    )
                values = {name: column[left[0]].item() for name, column in columns.items()}
                structure = self.source.scenario.structure(values)
                self.known.append(structure)
            tried += 1
            mine = np.ones(len(left), bool)
            for name, value in structure.depends.items():
                mine &= columns[name][left] == value
            if mine.any():
                index = left[mine]
                picked = {name: column[index] for name, column in columns.items()}
                frame = self.source.scenario.frame(picked, len(index), int(rows[index[0]]))
                yield Group(structure, rows[index], frame)
                left = left[~mine]
