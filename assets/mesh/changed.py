"""What a step on a mesh returns: the mesh, and in words what was done to it."""

from typing import NamedTuple

import trimesh


class Changed(NamedTuple):
    """A mesh and what a step changed.

    Attributes:
        mesh: The result; the mesh that was given is left alone.
        changes: One phrase for each change, such as "3 holes filled"; empty: nothing was changed.
    """

    mesh: trimesh.Trimesh
    changes: tuple[str, ...] = ()
