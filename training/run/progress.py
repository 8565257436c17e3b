"""What long work shows while it goes on: a bar on a terminal, now and then a line elsewhere.

Everything goes to standard error; standard output is for results.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

_LINE_SECONDS = 10.0
_REFRESH_SECONDS = 0.2


class Progress:
    """Progress towards a known total, with rate, time left and a few figures.

    Use as a context manager.
    """

    def __init__(self, title: str, total: int, *, unit: str, start: int = 0, shown: bool = True):
        """Describe the work.

        Args:
            title: What is being done.
            total: Where it ends.
            unit: Of what, such as "steps".
            start: Where it begins; not part of the rate.
            shown: False: say nothing.
        """
        self.title = title
        self.total = total
        self.unit = unit
        self.done = start
        self._start = start
        self._shown = shown
        self._began = time.monotonic()
        self._last = self._began
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Progress:
        """Begin to show."""
        self._began = self._last = time.monotonic()
        if self._shown and sys.stderr.isatty():
            self._open_bar()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the last state on the screen."""
        if self._bar is not None:
            self._bar.stop()

    def update(self, done: int, figures: Mapping[str, str] | None = None) -> None:
        """Show a new state, if the last one is old enough."""
        self.done = done
        if not self._shown:
            return
        now = time.monotonic()
        interval = _LINE_SECONDS if self._bar is None else _REFRESH_SECONDS
        if now - self._last < interval and done < self.total:
            return
        self._last = now
        rate = (done - self._start) / max(now - self._began, 1e-9)
        text = "  ".join(f"{name} {value}" for name, value in (figures or {}).items())
        if self._bar is not None:
            self._bar.update(
                self._task, completed=min(done, self.total), rate=f"{_short(rate)}/s", figures=text
            )
            return
        left = f"{max(self.total - done, 0) / rate:.0f} s left  " if rate > 0 else ""
        print(
            f"{self.title}: {_short(done)} of {_short(self.total)} {self.unit}, "
            f"{_short(rate)}/s, {left}{text}".rstrip(", "),
            file=sys.stderr,
            flush=True,
        )

    def expect(self, total: int) -> None:
        """Give the work another end."""
        self.total = total
        if self._bar is not None:
            self._bar.update(self._task, total=total)

    def _open_bar(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        self._bar = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:3.0f}%"),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[figures]}"),
            console=Console(stderr=True),
        )
        self._task = self._bar.add_task(
            self.title, total=self.total, completed=self.done, rate="", figures=""
        )
        self._bar.start()


def say(text: str) -> None:
    """Print one line of narration."""
    print(text, file=sys.stderr, flush=True)


def _short(number: float) -> str:
    """Return a number with three digits and k or M."""
    for size, suffix in ((1e6, "M"), (1e3, "k")):
        if abs(number) >= size:
            return f"{number / size:.3g}{suffix}"
    return f"{number:.3g}"
