"""What happens around the iterations of a training: figures, checkpoints, and stopping."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

from stable_baselines3.common.callbacks import BaseCallback

from proveout.assets.files.errors import ProveoutError
from proveout.envs.core.invalid import explained
from proveout.training.distributed.ranks import Ranks
from proveout.training.run.progress import Progress

# Invalid episodes a world, without a valid one in between, after which a training stops.
_HOPELESS = 5
_HANGUP: int | None = getattr(signal, "SIGHUP", None)
_ENDING_ANYWAY = (signal.SIGINT, signal.SIGTERM)
_STOPPING = (*_ENDING_ANYWAY, *(() if _HANGUP is None else (_HANGUP,)))


class StopRequested(Exception):
    """Raised between two iterations after a signal; everything is saved."""

    def __init__(self, signal_number: int) -> None:
        """Keep the signal's number."""
        super().__init__(f"stopped by signal {signal_number}")
        self.signal_number = signal_number


class NothingValidError(ProveoutError):
    """A training whose worlds are never valid."""


class StopSignals:
    """While active, the first SIGINT, SIGTERM or SIGHUP is noted; a second one stops at once.

    SIGHUP comes when the terminal is closed: nothing can be shown there any more.
    """

    def __init__(self, *, shown: bool = True) -> None:
        """Nothing is noted yet; `shown`: say so when it is."""
        self.received: int | None = None
        self._shown = shown
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        """Take over the signals; in another thread than the main one, do nothing."""
        if threading.current_thread() is threading.main_thread():
            for number in _STOPPING:
                # Under nohup, the end of the terminal is to be ignored.
                if number in _ENDING_ANYWAY or signal.getsignal(number) != signal.SIG_IGN:
                    self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the signals back."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == _HANGUP:
            _leave_terminal()
        if self.received is not None:
            raise KeyboardInterrupt
        self.received = number
        if self._shown:
            print(
                "\nStopping after this iteration, with a checkpoint; Ctrl-C again stops at once.",
                file=sys.stderr,
                flush=True,
            )


def _leave_terminal() -> None:
    """Send what is still printed nowhere: printing to a terminal that is gone would fail."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for output in (1, 2):
        with contextlib.suppress(OSError):
            if stat.S_ISCHR(os.fstat(output).st_mode):
                os.dup2(nowhere, output)
    os.close(nowhere)


class TrainingLoop(BaseCallback):
    """Logs the episode statistics, shows progress, saves checkpoints, and stops when asked.

    Attributes:
        seconds: Wall-clock time since training began, with what earlier parts of a resumed run
            took [s]; making and compiling the worlds is not in it.
    """

    def __init__(
        self,
        venv: Any,
        progress: Progress,
        signals: StopSignals,
        save: Callable[[float, bool], Any],
        *,
        checkpoint_interval: float,
        seconds_before: float = 0.0,
        ranks: Ranks | None = None,
        env_id: str = "ENV",
    ) -> None:
        """Set up.

        Args:
            venv: The `SB3VecEnv`.
            progress: Where to show it.
            signals: Where a request to stop is noted.
            save: Writes a checkpoint; takes the training seconds and whether a stop was requested.
            checkpoint_interval: Seconds between two checkpoints.
            seconds_before: Training time of the run before it was resumed [s].
            ranks: Those that train together; `save` is called on all at once.
            env_id: Registered id, for messages.
        """
        super().__init__()
        self.venv = venv
        self.progress = progress
        self.signals = signals
        self.save = save
        self.checkpoint_interval = checkpoint_interval
        self.ranks = ranks or Ranks()
        self.env_id = env_id
        self._worlds = int(venv.num_envs)
        self._valid = 0.0
        self._invalid_then = 0
        self._before = seconds_before
        self._began = time.monotonic()
        self._saved = self._began
        self._figures: dict[str, str] = {}

    @property
    def seconds(self) -> float:
        """Training time so far [s]."""
        return self._before + time.monotonic() - self._began

    def _on_training_start(self) -> None:
        self._began = self._saved = time.monotonic()

    def _on_rollout_start(self) -> None:
        # Here, between an update and the next roll-out, the model is what a resumed run needs.
        due = time.monotonic() - self._saved >= self.checkpoint_interval and self.num_timesteps > 0
        number, due_somewhere = self.ranks.highest(self.signals.received or 0, due)
        if number:
            self.save(self.seconds, True)
            raise StopRequested(int(number))
        if due_somewhere:
            self.save(self.seconds, False)
            self._saved = time.monotonic()

    def _refuse_all_invalid(self, invalid: int) -> None:
        """Stop a training that sees nothing but invalid episodes, several in every world."""
        if invalid == 0:
            return
        valid, worlds = self.ranks.total(self.venv.num_episodes), self.ranks.total(self._worlds)
        if valid > self._valid:
            self._valid, self._invalid_then = valid, invalid
        since = int(invalid - self._invalid_then)
        if since >= _HOPELESS * worlds:
            raise NothingValidError(
                f"the last {since} episodes were all invalid, so that nothing can be learnt: "
                f"{explained(self.venv.invalid_reasons, self.env_id)}"
            )

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        means = self.venv.drain_statistics(self.ranks.gather)
        invalid = int(self.ranks.total(self.venv.num_invalid))
        for name, value in means.items():
            self.logger.record_mean(f"episode/{name}", value)
        self.logger.record("rollout/invalid_worlds", invalid)
        self.logger.record("time/training_seconds", self.seconds)
        self._refuse_all_invalid(invalid)
        if "return" in means:
            self._figures["return"] = f"{means['return']:.2f}"
        if "success" in means:
            self._figures["success"] = f"{means['success']:.2f}"
        if invalid:
            self._figures["invalid worlds"] = str(invalid)
        self.progress.update(self.model.num_timesteps, self._figures)
