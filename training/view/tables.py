"""What a world tells, as small HTML tables for the page."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from proveout.assets.files.layout import Layout
from proveout.envs.core.step_told import StepTold
from proveout.training.view.session import Ended, Frame, Session

_MOST_NUMBERS = 12  # of an entry, in one cell
_STYLE = (
    "<style>.pd{padding:2px 10px}"
    ".po{font:12px/1.5 system-ui,sans-serif;width:100%;border-collapse:collapse}"
    ".po td,.po th{padding:1px 4px;text-align:left;vertical-align:top}"
    ".po th{font-weight:600;opacity:.65}.po .n{font-family:ui-monospace,monospace;"
    "font-size:11px;text-align:right}.po .u{opacity:.6;white-space:nowrap}"
    ".po .b{display:block;height:7px;border-radius:2px;margin-top:6px}"
    ".po tr:nth-child(even) td{background:rgba(128,128,128,.09)}</style>"
)
_GOOD, _BAD = "#2f9e63", "#d9534f"


def clock(session: Session, frame: Frame, row: int) -> str:
    """Which episode it is, how far it is, and whether it is a success so far."""
    limit = session.task.max_episode_steps * session.control_dt
    told = frame.told[row]
    done = min(1.0, float(frame.seconds[row]) / limit)
    success = f'<b style="color:{_GOOD}">success</b>' if told.success else "not yet a success"
    lines = [
        f"<b>World {frame.worlds[row]}</b>: seed {frame.seed[row]}, world {frame.world_id[row]}, "
        f"episode {frame.episode[row]}",
        f"{frame.seconds[row]:.2f} s of {limit:g} s, {success}",
    ]
    bar = (
        '<div style="height:6px;border-radius:3px;background:rgba(128,128,128,.25)">'
        f'<div style="width:{100 * done:.1f}%;height:6px;border-radius:3px;background:#3b82c4">'
        "</div></div>"
    )
    style = "font:13px/1.5 system-ui,sans-serif;padding:4px 10px 0"
    return f'<div style="{style}">{"<br>".join(lines)}{bar}</div>'


def rewards(session: Session, told: StepTold) -> str:
    """Reward terms: raw, and what they gave in the last step and in the whole episode."""
    table, sums = session.trace.table, session.trace.sums
    terms = session.task.reward_terms
    last = table[-1, 2 : 2 + len(terms)] if len(table) else np.zeros(len(terms))
    most = max(float(np.abs(sums).max(initial=0.0)), 1e-9)
    rows = []
    for i, term in enumerate(terms):
        width = 100.0 * abs(float(sums[i])) / most
        colour = _GOOD if sums[i] >= 0.0 else _BAD
        bar = f'<span class="b" style="width:{width:.1f}%;background:{colour}"></span>'
        rows.append(
            (_text(term), _figure(told.reward_terms[i]), _figure(last[i]), _figure(sums[i]), bar)
        )
    total = float(table[:, 1].sum()) if len(table) else 0.0
    now = float(table[-1, 1]) if len(table) else 0.0
    rows.append(("<b>reward</b>", "", _figure(now), _figure(total), ""))
    head = ("term", "raw", "step", "episode", "")
    return _table(head, rows, widths=("", "", "", "", "28%"), numbers=(1, 2, 3))


def kpis(session: Session, told: StepTold) -> str:
    """KPIs in their units, of the last step and of the episodes that ended last."""
    ended = [e for e in session.ended if e.statistics]
    rows = []
    for i, kpi in enumerate(session.task.kpis):
        values = [e.statistics[kpi.name] for e in ended if math.isfinite(e.statistics[kpi.name])]
        mean = _figure(float(np.mean(values))) if values else ""
        rows.append((_text(kpi.name), _figure(told.kpis[i]), mean, _unit(kpi.unit)))
    return _table(("KPI", "now", f"mean of {len(ended)} ended", "unit"), rows, numbers=(1, 2))


def layout(told: Layout, values: np.ndarray, title: str) -> str:
    """An observation or an action by name.

    Args:
        told: Its layout.
        values: (size,).
        title: Of the first column.
    """
    rows = []
    for entry in told.entries:
        part = values[told.slices[entry.name]]
        shown = " ".join(_figure(v) for v in part[:_MOST_NUMBERS])
        if len(part) > _MOST_NUMBERS:
            shown += f" … ({len(part)})"
        frame = f" ({entry.frame})" if entry.frame else ""
        name = f'<span title="{_text(entry.description)}">{_text(entry.name)}{_text(frame)}</span>'
        rows.append((name, shown, _unit(entry.unit)))
    return _table((title, "value", "unit"), rows, numbers=(1,))


def episodes(ended: Sequence[Ended], invalid: bool) -> str:
    """Episodes that are over, the last one first.

    Args:
        ended: All that are told.
        invalid: The invalid ones, with their reason; otherwise the others.
    """
    rows = []
    for e in reversed(ended):
        if bool(e.invalid) != invalid:
            continue
        key = f"{e.seed} / {e.world_id} / {e.episode}"
        own = ", ".join(f"{name} {value:.4g}" for name, value in e.config.items())
        good = bool(e.statistics) and e.statistics["success"] > 0.5
        colour = _GOOD if good else _BAD
        how = f'<span style="color:{colour}">{_text(e.outcome)}</span>'
        rows.append(
            (str(e.world), key, f'<span class="u">{e.seconds:.2f} s</span>', how, _text(own))
        )
    if not rows:
        return _STYLE + '<div class="pd po">None so far.</div>'
    return _table(("", "seed / world / episode", "time", "outcome", "numbers"), rows[:20])


def _table(
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    widths: Sequence[str] = (),
    numbers: Sequence[int] = (),
) -> str:
    def cell(i: int, text: str, tag: str) -> str:
        style = f' style="width:{widths[i]}"' if i < len(widths) and widths[i] else ""
        kind = ' class="n"' if i in numbers else ""
        return f"<{tag}{kind}{style}>{text}</{tag}>"

    lines = ["".join(cell(i, text, "th") for i, text in enumerate(head))]
    lines += ["".join(cell(i, text, "td") for i, text in enumerate(row)) for row in rows]
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f'{_STYLE}<div class="pd"><table class="po">{body}</table></div>'


def _figure(value: Any) -> str:
    number = float(value)
    if not math.isfinite(number):
        return "undefined" if math.isnan(number) else f"{number}"
    if number and abs(number) < 5e-4:
        return f"{number:.0e}"
    return f"{number + 0.0:.3f}" if abs(number) < 1000 else f"{number:.4g}"


def _unit(unit: str) -> str:
    return f'<span class="u">{"" if unit == "1" else _text(unit)}</span>'


def _text(text: str) -> str:
    return html.escape(text)
