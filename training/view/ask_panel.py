"""The tab `Ask`: what one world tells."""

from __future__ import annotations

import colorsys
from typing import Any

import numpy as np

from proveout.training.view import tables
from proveout.training.view.session import Frame, Session

_MOST_POINTS = 300  # of a curve


class AskPanel:
    """Curves and tables of the world that is asked.

    Args:
        viser: The server, inside the tab.
        session: What they tell of.
    """

    def __init__(self, viser: Any, session: Session) -> None:
        self._session = session
        gui = viser.gui
        terms = session.trace.terms
        names = ("reward", *terms)
        self._curves = gui.add_uplot(
            data=tuple(np.zeros(1) for _ in range(1 + len(names))),
            series=(
                {"label": "s"},
                *(
                    {"label": name, "stroke": colour, "width": width, "points": {"show": False}}
                    for name, colour, width in zip(
                        names, colours(len(names)), (2, *[1.2] * len(terms)), strict=True
                    )
                ),
            ),
            scales={"x": {"time": False}, "y": {}},
            title="Reward of each step, by term",
            height=230,
        )  # fmt: skip
        with gui.add_folder("Reward"):
            self._rewards = gui.add_html("")
        with gui.add_folder("KPIs"):
            self._kpis = gui.add_html("")
        with gui.add_folder("Observation"):
            self._observation = gui.add_html("")
        with gui.add_folder("Action"):
            self._action = gui.add_html("")

    def tell(self, frame: Frame) -> None:
        """Write what is now."""
        session = self._session
        if session.focus not in frame.worlds:
            return
        row = frame.worlds.index(session.focus)
        told, task = frame.told[row], session.task
        for handle, text in (
            (self._rewards, tables.rewards(session, told)),
            (self._kpis, tables.kpis(session, told)),
            (self._observation, tables.layout(task.layout, frame.observation[row], "observation")),
            (self._action, tables.layout(task.action_layout, frame.action[row], "action")),
        ):
            if handle.content != text:
                handle.content = text
        table = session.trace.table
        if len(table):
            step = -(-len(table) // _MOST_POINTS)
            shown = table[::step, : 2 + len(session.trace.terms)]
            self._curves.data = tuple(np.ascontiguousarray(column) for column in shown.T)


def colours(count: int) -> list[str]:
    """So many colours that can be told apart, the first one dark."""
    rest = [colorsys.hls_to_rgb(i / max(1, count - 1), 0.45, 0.65) for i in range(count - 1)]
    return ["#444444", *("#" + "".join(f"{round(255 * c):02x}" for c in rgb) for rgb in rest)]
