"""Flat wooden pallets, board by board, as pieces to attach to a scene.

Sources:
    Euro pallet, 1200 x 800 x 144 mm: EN 13698-1, "Pallet production specification, part 1:
    construction specification for 800 mm x 1200 mm flat wooden pallets". Five deck boards of 22 mm
    (145, 100, 145, 100 and 145 mm wide), three cross boards of 145 mm, nine blocks 78 mm high (100
    or 145 mm wide, 145 mm long), three bottom boards (100, 145 and 100 mm).
    Quarter pallet, 600 x 400 mm: the quarter of its plan, the base module of ISO 3394. Its boards
    and its height of 144 mm, so that it stands level with the other, are ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import mujoco

EURO = (1.2, 0.8, 0.144)  # length along x, width along y, height [m]
QUARTER = (0.6, 0.4, 0.144)
BOARD, BLOCK = 0.022, 0.078  # heights [m]: 144 mm are three boards and a block
FRICTION = 0.4  # coefficient, below that of cartons, so that theirs counts; ours
WOOD_DENSITY = 540.0  # kg/m3; ours: that of dry softwood, makes 25 kg of a Euro pallet

_BOX = mujoco.mjtGeom.mjGEOM_BOX
_HIDDEN, _DRAWN = 3, 2
_COLOURS = ((0.80, 0.65, 0.44, 1.0), (0.76, 0.60, 0.40, 1.0))


@dataclass(frozen=True)
class Board:
    """A box of wood.

    Attributes:
        size: Whole lengths [m], (3,).
        middle: In the frame of the pallet: on the ground, in the middle, x along its length [m].
    """

    size: tuple[float, float, float]
    middle: tuple[float, float, float]


def euro_pallet_boards() -> tuple[Board, ...]:
    """The 11 boards and nine blocks of a Euro pallet (EN 13698-1)."""
    return _boards(
        EURO, rows=(0.100, 0.145, 0.100), columns=(0.145, 0.145, 0.145),
        deck=(0.145, 0.100, 0.145, 0.100, 0.145),
    )  # fmt: skip


def quarter_pallet_boards() -> tuple[Board, ...]:
    """Boards and blocks of a pallet of a quarter of that plan; ours."""
    return _boards(
        QUARTER, rows=(0.070, 0.070, 0.070), columns=(0.095, 0.095, 0.095),
        deck=(0.070, 0.060, 0.070, 0.060, 0.070),
    )  # fmt: skip


def euro_pallet(*, boards: bool = False) -> mujoco.MjSpec:
    """A Euro pallet; see `pallet`."""
    return pallet(EURO, euro_pallet_boards(), boards=boards)


def quarter_pallet(*, boards: bool = False) -> mujoco.MjSpec:
    """A quarter pallet; see `pallet`."""
    return pallet(QUARTER, quarter_pallet_boards(), boards=boards)


def pallet(
    size: tuple[float, float, float], pieces: tuple[Board, ...], *, boards: bool
) -> mujoco.MjSpec:
    """A piece with the body "pallet", whose origin is on the ground below the middle.

    Args:
        size: Whole lengths [m].
        pieces: Its boards and blocks.
        boards: What collides: every board, so that forks enter, or one box, the geom "pallet",
            which is faster. The mass is that of the boards, either way.
    """
    spec = mujoco.MjSpec()
    spec.modelname = "pallet"
    body = spec.worldbody.add_body(name="pallet")
    friction = [FRICTION, 0.005, 0.0001]
    for i, board in enumerate(pieces):
        collides = {} if boards else {"contype": 0, "conaffinity": 0}
        body.add_geom(
            name=f"board{i}", type=_BOX, size=[0.5 * s for s in board.size], pos=board.middle,
            density=WOOD_DENSITY, friction=friction, group=_DRAWN, rgba=_COLOURS[i % 2], **collides,
        )  # fmt: skip
    if not boards:
        body.add_geom(
            name="pallet", type=_BOX, size=[0.5 * s for s in size], pos=[0, 0, 0.5 * size[2]],
            mass=0.0, friction=friction, group=_HIDDEN,
        )  # fmt: skip
    return spec


def _boards(
    size: tuple[float, float, float],
    *,
    rows: tuple[float, float, float],
    columns: tuple[float, float, float],
    deck: tuple[float, ...],
) -> tuple[Board, ...]:
    """Deck boards along x on cross boards on blocks on bottom boards along x.

    Args:
        size: Whole lengths [m].
        rows: Widths of the bottom boards and their blocks, from -y to y [m].
        columns: Widths of the cross boards and lengths of their blocks, from -x to x [m].
        deck: Widths of the deck boards [m], which leave equal gaps.
    """
    length, width, height = size
    along, across = _apart(columns, length), _apart(rows, width)
    pieces = [
        Board((length, w, BOARD), (0.0, y, height - 0.5 * BOARD))
        for w, y in zip(deck, _apart(deck, width), strict=True)
    ]
    pieces += [
        Board((w, width, BOARD), (x, 0.0, height - 1.5 * BOARD))
        for w, x in zip(columns, along, strict=True)
    ]
    pieces += [
        Board((w, v, BLOCK), (x, y, BOARD + 0.5 * BLOCK))
        for w, x in zip(columns, along, strict=True)
        for v, y in zip(rows, across, strict=True)
    ]
    pieces += [
        Board((length, w, BOARD), (0.0, y, 0.5 * BOARD)) for w, y in zip(rows, across, strict=True)
    ]
    return tuple(pieces)


def _apart(widths: tuple[float, ...], length: float) -> list[float]:
    """Middles of boards side by side over a length, with equal gaps [m]."""
    gap = (length - sum(widths)) / (len(widths) - 1)
    middles, edge = [], -0.5 * length
    for width in widths:
        middles.append(edge + 0.5 * width)
        edge += width + gap
    return middles
