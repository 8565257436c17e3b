"""The reference line of a road from its <planView>."""

from __future__ import annotations

from proveout.assets.opendrive.curves import (
    Arc,
    Curve,
    Line,
    ParamPoly,
    Piece,
    ReferenceLine,
    Spiral,
    poly3,
)
from proveout.assets.opendrive.reader import Element, Reader

_KINDS = ("line", "arc", "spiral", "poly3", "paramPoly3")
_LEAST = 1e-9  # m, shorter pieces are left out
_MOST_TURN = 100.0  # rad within one piece
_LENGTH_ERROR = 1e-3  # m of a polynomial that is told
# m within a road: what is told of its pieces, and what is too far to be one line.
_GAP, _TURN, _BROKEN = 1e-3, 1e-3, 10.0


def read_plan_view(reader: Reader, road: Element, length: float) -> ReferenceLine:
    """Read the plan view of a road; what does not fit together is told.

    Raises:
        ModelError: It is missing or empty, or a number in it is no good.
    """
    plan = reader.required(road, "planView")
    elements = reader.all(plan, "geometry")
    pieces: list[Piece] = []
    end = 0.0
    for element in elements:
        piece = _piece(reader, element)
        if piece is None:
            continue
        if abs(piece.s - end) > _GAP:
            reader.warn(element, f"begins at s = {piece.s:.6g} m, the one before ends at {end:.6g}")
        if pieces and piece.s <= pieces[-1].s:
            raise reader.error(element, "begins before the one above it; put them in order of s.")
        end = piece.s + piece.curve.length
        pieces.append(piece)
    if not pieces:
        raise reader.error(plan, "has no <geometry> with a length; add one.")
    if abs(end - length) > _GAP:
        reader.warn(road, f"is {length:.6g} m long, its plan view {end:.6g} m")
    line = ReferenceLine(pieces)
    for piece, (gap, turn) in zip(pieces[1:], line.joints(), strict=True):
        where = f"<geometry s='{piece.s:g}'> in line {piece.line}"
        if gap > _BROKEN:
            raise reader.error(plan, f"is broken: {where} begins {gap:.4g} m from the end before.")
        if gap > _GAP or turn > _TURN:
            reader.warn_of(
                where, f"begins {1e3 * gap:.3g} mm and {1e3 * turn:.3g} mrad from the end before it"
            )
    return line


def _piece(reader: Reader, element: Element) -> Piece | None:
    length = reader.number(element, "length", low=0.0)
    start = reader.number(element, "s", low=0.0)
    x, y = reader.number(element, "x"), reader.number(element, "y")
    heading = reader.number(element, "hdg")
    shapes = [child for kind in _KINDS for child in reader.all(element, kind)]
    if len(shapes) != 1:
        raise reader.error(element, f"needs exactly one of {', '.join(_KINDS)}.")
    if length < _LEAST:
        reader.warn(element, "has no length and is left out")
        return None
    curve = _curve(reader, shapes[0], length)
    if abs(curve.stated_error) > _LENGTH_ERROR:
        reader.warn(
            shapes[0], f"is {1e3 * curve.stated_error:+.3g} mm longer than the length of its "
            "geometry, and stretched to it",
        )  # fmt: skip
    return Piece(start, x, y, heading, curve, element.sourceline or 0)


def _curve(reader: Reader, shape: Element, length: float) -> Curve:
    if shape.tag == "line":
        return Line(length)
    if shape.tag == "arc":
        curvature = reader.number(shape, "curvature")
        _check_turn(reader, shape, curvature * length)
        return Arc(length, curvature)
    if shape.tag == "spiral":
        begin, end = reader.number(shape, "curvStart"), reader.number(shape, "curvEnd")
        _check_turn(reader, shape, max(abs(begin), abs(end)) * length)
        return Spiral(length, begin, end)
    if shape.tag == "poly3":
        a, b, c, d = (reader.number(shape, name) for name in "abcd")
        return poly3(length, a, b, c, d)
    u, v = (
        tuple(reader.number(shape, f"{name}{axis}") for name in "abcd") for axis in "UV"
    )  # fmt: skip
    normalized = reader.word(shape, "pRange", ("arcLength", "normalized"), "normalized")
    p_end = 1.0 if normalized == "normalized" else length
    curve = ParamPoly(length, (u[0], u[1], u[2], u[3]), (v[0], v[1], v[2], v[3]), p_end)
    if not 1e-3 * length < length + curve.stated_error < 1e3 * length:
        raise reader.error(
            shape, f"is {length + curve.stated_error:.3g} m long, its geometry {length:.3g} m; "
            "correct one of them.",
        )  # fmt: skip
    return curve


def _check_turn(reader: Reader, shape: Element, turn: float) -> None:
    if abs(turn) > _MOST_TURN:
        raise reader.error(shape, f"turns by {turn:.3g} rad; at most {_MOST_TURN:g} are read.")
