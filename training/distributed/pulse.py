"""The pulse of the ranks: how one that is lost is noticed."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
from typing import Any

BEAT = 1.0  # s between two signs of life
SILENT = 30.0  # s without one after which a rank is given up
SUSPECT = 5.0  # s, the same once talking to the ranks has failed
# s that a process is given to notice by itself that another is lost, before it is ended.
GRACE = 10.0


class Pulse(threading.Thread):
    """Says that this rank is alive, and knows of which ranks nothing is heard any more."""

    def __init__(self, store: Any, rank: int, size: int, holder: str) -> None:
        """Set up.

        Args:
            store: A store of torch, for this thread.
            rank: Of this process.
            size: Number of ranks.
            holder: Who keeps the store.
        """
        super().__init__(name="pulse", daemon=True)
        self._store = store
        self._rank = rank
        self._others = [other for other in range(size) if other != rank]
        self._holder = holder
        self.advice = "torchrun ... -m proveout.training.cli train --resume RUN"
        self._beats = 0
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._heard: dict[int, dict[str, Any]] = {}
        self._changed: dict[int, float] = {}  # when, on this process's clock [s]
        self._read = 0.0
        self._store_gone = False

    def report(self, **news: Any) -> None:
        """Write a sign of life, and news: `left`, or why this rank stops (`error`, `lost`)."""
        self._beats += 1
        with self._lock:
            self._store.set(str(self._rank), json.dumps({"beat": self._beats, **news}))

    def stop(self, **news: Any) -> None:
        """End the thread, then make a last report, which no beat overwrites.

        A thread that is still in a call of torch's store when the interpreter shuts down would
        end the process by SIGABRT.
        """
        self._over.set()
        if self.is_alive() and threading.current_thread() is not self:
            self.join(GRACE)
        if not self._store_gone:  # each further try would print a page of torch's
            with contextlib.suppress(RuntimeError):
                self.report(**news)

    def run(self) -> None:
        """Beat and listen; end the process if another is lost and the main thread hangs."""
        while not self._over.wait(BEAT):
            self._listen()
            reason = self.verdict(SILENT)
            if reason is None:
                continue
            if self._over.wait(GRACE):
                return
            print(f"proveout: error: {self.sentence(reason)}", file=sys.stderr, flush=True)
            self.stop(lost=reason)
            # The main thread waits in a collective or a kernel and cannot be woken. Files appear
            # whole or not at all, and worker processes end with their parent.
            os._exit(2)

    def _listen(self) -> None:
        if self._store_gone:
            return
        try:
            self.report()
            for other in self._others:
                with self._lock:
                    heard = json.loads(self._store.get(str(other)))
                if heard != self._heard.get(other):
                    self._heard[other] = heard
                    self._changed[other] = time.monotonic()
            self._read = time.monotonic()
        except RuntimeError:
            self._store_gone = True

    def verdict(self, silence: float) -> str | None:
        """Return which rank has failed, or has been silent for so long [s]; None: none."""
        heard = sorted(self._heard.items())
        for rank, news in heard:
            if "error" in news:
                return f"rank {rank} stopped: {news['error']}"
        for _, news in heard:
            if "lost" in news:
                return str(news["lost"])
        gone = [
            rank
            for rank, news in heard
            if "left" not in news and self._read - self._changed[rank] >= silence
        ]
        if gone:
            names = " and ".join(f"rank {rank}" for rank in gone)
            return f"{names} died or hangs: no sign of life for {silence:.0f} s"
        if self._store_gone:
            return f"{self._holder} died: it no longer answers rank {self._rank}"
        return None

    def sentence(self, culprit: str) -> str:
        """Return a verdict as an error message."""
        if "--resume" in culprit:  # another rank has said it
            return culprit
        return (
            f"{culprit.rstrip('.')}; this rank stops too. What was saved is whole: go on with "
            f"{self.advice}"
        )

    def culprit(self) -> str | None:
        """Return who has broken a connection, once it is known; None if all seem well."""
        deadline = time.monotonic() + SUSPECT + 5.0 * BEAT
        while time.monotonic() < deadline:
            reason = self.verdict(SUSPECT)
            if reason is not None:
                return reason
            time.sleep(0.1)
        return None
