"""From a point of the map to the lane it is on, on the device: a uniform grid of cells, each with
the lanes that pass near it.
"""

# A struct made at run time is a variable to the checker.
# mypy: disable-error-code="valid-type"

from collections.abc import Sequence
from typing import Any

import numpy as np
import warp as wp

from proveout.assets.road import RoadNetwork
from proveout.envs.driving.roads.lanes import LaneArrays, bracket, pose_between, project_on

wp.set_module_options({"enable_backward": False})

REACH = wp.constant(5.0)
"""A lane is found from this far beyond its borders [m], and no further."""

_CELL = 8.0  # m
_MOST_CELLS = 500_000  # of a map; of a larger one cells are larger
# Turn of a lane within one entry of a cell [rad]: Newton's method begins near enough to its end.
_TURN = 0.5
_ITERATIONS = wp.constant(10)
# Beyond a border by less [m] is on the lane, so that no rounding leaves a gap between two.
_ON_BORDER = wp.constant(1.0e-3)
_BESIDE = wp.constant(1.0e3)  # how bad it is not to be on a lane


@wp.struct
class GridMap:
    """The grid of one map: its cells lie along y first, from `first_cell` on."""

    x: float  # of the first cell's corner [m]
    y: float
    size: float  # of a cell [m]
    columns: int  # along x
    rows: int  # along y
    first_cell: int


@wp.struct
class GridEntry:
    """A lane near a cell."""

    lane: int  # of the table of all maps
    s: float  # arc length where it is near [m]


@wp.struct
class LaneGrid:
    """Cells of all maps; the entries of a cell are `entry[first[cell]:first[cell + 1]]`."""

    maps: wp.array[GridMap]  # (num_maps,)
    first: wp.array[int]  # (all cells + 1,)
    entry: wp.array[GridEntry]  # (all entries,)


def lane_grid(maps: RoadNetwork | Sequence[RoadNetwork], device: wp.Device | str) -> LaneGrid:
    """The grid of a network, or of several, in the order of `lane_arrays`."""
    networks = [maps] if isinstance(maps, RoadNetwork) else list(maps)
    rows, counts, entries = [], [], []
    first_cell = first_lane = 0
    for network in networks:
        corner, shape, cell, lane, s = _entries(network)
        rows.append((*corner, *shape, first_cell))
        counts.append(np.bincount(cell, minlength=shape[0] * shape[1]))
        entries.append(np.rec.fromarrays([lane + first_lane, s]))
        first_cell += shape[0] * shape[1]
        first_lane += network.num_lanes
    first = np.concatenate([[0], np.cumsum(np.concatenate(counts))]).astype(np.int32)

    def put(values: np.ndarray, struct: Any) -> wp.array:
        table = np.zeros(len(values), struct.numpy_dtype())
        for name, given in zip(struct.vars, values.dtype.names or (), strict=True):
            table[name] = values[given]
        return wp.array(table, dtype=struct, device=device)

    grid = LaneGrid()
    grid.maps = put(np.rec.fromrecords(rows), GridMap)
    grid.first = wp.array(first, dtype=int, device=device)
    grid.entry = put(np.concatenate(entries), GridEntry)
    return grid


def _entries(
    network: RoadNetwork,
) -> tuple[tuple[float, float, float], tuple[int, int], np.ndarray, np.ndarray, np.ndarray]:
    """Corner and shape of a map's grid; cell, lane and arc length of its entries, by cell."""
    owner = np.repeat(np.arange(network.num_lanes), network.num_points)
    index = np.arange(network.x.size) - network.first_point[owner]
    reach = 0.5 * network.width + 0.5 * network.step[owner] + float(REACH)
    low = np.array([(network.x - reach).min(), (network.y - reach).min()])
    high = np.array([(network.x + reach).max(), (network.y + reach).max()])
    size = max(_CELL, float(np.sqrt(np.prod(high - low) / _MOST_CELLS)))
    shape = np.floor((high - low) / size).astype(np.int64) + 1
    spans = [
        np.floor((np.stack([v - reach, v + reach]) - corner) / size).astype(np.int64)
        for v, corner in ((network.x, low[0]), (network.y, low[1]))
    ]
    turn = np.abs(np.diff(network.heading, prepend=network.heading[0]))
    bent = np.floor(np.cumsum(turn) / _TURN).astype(np.int64)
    rows = []
    for i in range(int((spans[0][1] - spans[0][0]).max()) + 1):
        for k in range(int((spans[1][1] - spans[1][0]).max()) + 1):
            column, row = spans[0][0] + i, spans[1][0] + k
            near = np.flatnonzero((column <= spans[0][1]) & (row <= spans[1][1]))
            cell = column[near] * shape[1] + row[near]
            rows.append(np.stack([cell, owner[near], bent[near], index[near]], 1))
    table = np.concatenate(rows)
    table = table[np.lexsort(table.T[::-1])]
    # Points of one lane that follow each other in a cell, without a turn, are one entry.
    new = np.any(np.diff(table[:, :3], axis=0) != 0, axis=1) | (np.diff(table[:, 3]) != 1)
    begin = np.concatenate([[0], np.flatnonzero(new) + 1])
    end = np.concatenate([begin[1:], [len(table)]]) - 1
    lane = table[begin, 1]
    middle = 0.5 * (table[begin, 3] + table[end, 3])
    corner = (float(low[0]), float(low[1]), size)
    return (
        corner,
        (int(shape[0]), int(shape[1])),
        table[begin, 0],
        lane,
        middle * network.step[lane],
    )


@wp.func
def find_lane(road: LaneArrays, grid: LaneGrid, number: int, x: float, y: float):
    """Lane, arc length `s` [m] and lateral offset `d` [m] of a point of a map.

    The lane that it is on: of several the one whose middle is nearest; of none the one whose border
    is, up to `REACH` away; -1 beyond. Any `x`, `y` and `number` may be asked.
    """
    lane, s, d = _find(road, grid, number, x, y, 0.0, 0.0)
    return lane, s, d


@wp.func
def find_lane_along(
    road: LaneArrays, grid: LaneGrid, number: int, x: float, y: float, heading: float
):
    """As `find_lane`; of several lanes the one that goes most nearly along a heading [rad], as in a
    junction."""
    lane, s, d = _find(road, grid, number, x, y, wp.cos(heading), wp.sin(heading))
    return lane, s, d


@wp.func
def _find(
    road: LaneArrays, grid: LaneGrid, number: int, x: float, y: float, cosine: float, sine: float
):
    best = wp.int32(-1)
    best_s = wp.float32(0.0)
    best_d = wp.float32(0.0)
    least = wp.float32(wp.inf)
    if number >= 0 and number < grid.maps.shape[0]:
        cells = grid.maps[number]
        column = (x - cells.x) / cells.size
        row = (y - cells.y) / cells.size
        # False of a NaN, too.
        inside = (
            column >= 0.0
            and row >= 0.0
            and column < float(cells.columns)
            and row < float(cells.rows)
        )
        if inside:
            cell = cells.first_cell + int(column) * cells.rows + int(row)
            for k in range(grid.first[cell], grid.first[cell + 1]):
                lane = grid.entry[k].lane
                s, d = project_on(road, lane, grid.entry[k].s, x, y, _ITERATIONS)
                index, fraction = bracket(road, lane, s)
                between = wp.clamp(fraction, 0.0, 1.0)
                width = road.section[index][0]
                width += between * (road.section[index + 1][0] - width)
                across = wp.max(wp.abs(d) - 0.5 * width, 0.0)
                along = wp.max(wp.max(-s, s - road.lane[lane].length), 0.0)
                outside = wp.sqrt(across * across + along * along)
                badness = 0.001 * wp.abs(d)
                if outside > _ON_BORDER:
                    badness = _BESIDE + outside
                else:
                    _x, _y, heading, _curvature = pose_between(road, index, fraction)
                    badness -= cosine * wp.cos(heading) + sine * wp.sin(heading)
                if outside <= REACH and badness < least:
                    least = badness
                    best = lane
                    best_s = s
                    best_d = d
    return best, best_s, best_d
