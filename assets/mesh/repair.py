"""Is a mesh a closed surface, and can it be made one?"""

from dataclasses import dataclass

import numpy as np
import trimesh

from proveout.assets.mesh.changed import Changed


@dataclass(frozen=True, kw_only=True)
class Soundness:
    """What is wrong with a surface.

    Attributes:
        open_edges: Edges of one face only: the rims of holes.
        branching_edges: Edges of more than two faces.
        flat_faces: Faces without area.
        twisted: Neighbours disagree about which side is outside.
        inside_out: Closed, but the normals point inwards.
    """

    open_edges: int
    branching_edges: int
    flat_faces: int
    twisted: bool
    inside_out: bool

    @property
    def watertight(self) -> bool:
        """Every edge belongs to exactly two faces."""
        return self.open_edges == 0 and self.branching_edges == 0

    @property
    def solid(self) -> bool:
        """Watertight with outward normals, so that volume and inertia mean something."""
        return self.watertight and not (self.twisted or self.inside_out)


def soundness(mesh: trimesh.Trimesh) -> Soundness:
    """Examine a mesh; vertices that are in the same place should be merged before."""
    if len(mesh.faces) == 0:
        return Soundness(
            open_edges=0, branching_edges=0, flat_faces=0, twisted=False, inside_out=False
        )
    _, counts = np.unique(mesh.edges_sorted, axis=0, return_counts=True)
    watertight = bool((counts == 2).all())
    consistent = bool(mesh.is_winding_consistent)
    return Soundness(
        open_edges=int((counts == 1).sum()),
        branching_edges=int((counts > 2).sum()),
        flat_faces=int((mesh.area_faces <= 0.0).sum()),
        twisted=not consistent,
        inside_out=watertight and consistent and float(mesh.volume) < 0.0,
    )


def repair(mesh: trimesh.Trimesh) -> Changed:
    """Merge vertices, drop empty and double faces, fill small holes, turn normals outwards.

    Holes of three and four edges are filled; a larger one is a matter of taste and stays.
    Whether the result is closed is told by `soundness`.
    """
    fixed = trimesh.Trimesh(mesh.vertices.copy(), mesh.faces.copy(), process=False)
    changes = []
    before = len(fixed.vertices)
    fixed.merge_vertices(merge_norm=True, merge_tex=True)
    if len(fixed.vertices) != before:
        changes.append(f"{before - len(fixed.vertices)} double or unused vertices merged")
    for kind, keep in (
        ("without area", lambda: fixed.nondegenerate_faces()),
        ("twice there", lambda: fixed.unique_faces()),
    ):
        mask = keep()
        if not mask.all():
            fixed.update_faces(mask)
            changes.append(f"{int((~mask).sum())} faces {kind} removed")
    fixed.remove_unreferenced_vertices()
    if len(fixed.faces) == 0:
        return Changed(fixed, tuple(changes))
    if not soundness(fixed).watertight:
        before = len(fixed.faces)
        trimesh.repair.fill_holes(fixed)
        if len(fixed.faces) != before:
            changes.append(f"holes filled with {len(fixed.faces) - before} faces")
    state = soundness(fixed)
    if state.twisted or state.inside_out:
        turned = fixed.faces.copy()
        trimesh.repair.fix_normals(fixed)
        differing = int((np.sort(turned) == np.sort(fixed.faces)).all(1).sum())
        same = int((turned == fixed.faces).all(1).sum())
        if differing - same:
            changes.append(f"{differing - same} faces turned outwards")
    return Changed(fixed, tuple(changes))
