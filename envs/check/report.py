"""What a check found, what it proved, and what it could not try."""

from dataclasses import dataclass, field
from typing import Literal

from proveout.assets.files.errors import ProveoutError

# Every check by name, in the order in which they run and are reported.
CHECKS = {
    "construction": "the environment can be made and described",
    "spaces": "single and batched spaces agree",
    "metadata": "autoreset_mode is an AutoresetMode member",
    "action_space": "sampled actions lie in the action space",
    "hooks": "a task's hooks write their own arrays, and only the worlds in the mask",
    "observation": "observations have the space's structure, dtype and shape, and lie in it",
    "reward": "rewards are floating-point, one for each world",
    "ends": "terminated and truncated are bool, one for each world",
    "finite": "no NaN and no infinity in observations and rewards",
    "device": "all data is of one kind and lies on the environment's device",
    "info": "info arrays have one row for each world, and a mask",
    "invalid": "invalid worlds are told in bool, and end",
    "autoreset": "worlds are reset as metadata says",
    "final_obs": "the last observation of a finished episode is told",
    "overwriting": "returned data and actions are never changed by a later step",
    "seeding": "a seed gives a trajectory, another seed another one",
    "seed_list": "worlds can be seeded one by one",
    "reset_mask": "a masked reset leaves the other worlds as they are",
    "state_dict": "a saved state replays the same bits",
    "world_count": "a world does not depend on how many others there are",
    "workers": "a world does not depend on the number of workers",
    "step_before_reset": "stepping before the first reset is refused",
    "bad_actions": "a wrong action is refused, or makes its world invalid",
    "close": "closing twice is harmless",
}

_UNREACHED = "not reached, because of an error in an earlier check"

Severity = Literal["error", "warning"]


class CheckError(ProveoutError):
    """An environment failed a check; the message is the report's table."""


@dataclass(frozen=True)
class Finding:
    """One fault.

    Attributes:
        check: a key of `CHECKS`.
        severity: "error", or "warning" for what many environments do without harm.
        message: what was expected and what was seen, with the world and the step.
    """

    check: str
    severity: Severity
    message: str


@dataclass
class CheckReport:
    """The outcome of every check.

    Attributes:
        environment: name of the environment.
        findings: faults in the order of `CHECKS`.
        skipped: check -> why it was not (or not wholly) tried.
    """

    environment: str
    findings: list[Finding] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def errors(self) -> list[Finding]:
        """Findings that break the contract."""
        return [finding for finding in self.findings if finding.severity == "error"]

    @property
    def warnings(self) -> list[Finding]:
        """Findings that many environments have."""
        return [finding for finding in self.findings if finding.severity == "warning"]

    @property
    def passed(self) -> list[str]:
        """Checks that were tried and found nothing."""
        found = {finding.check for finding in self.findings}
        return [name for name in CHECKS if name not in found and name not in self.skipped]

    @property
    def ok(self) -> bool:
        """No error was found; warnings and skipped checks may remain."""
        return not self.errors

    def table(self) -> str:
        """Return one line for each check and one for each finding."""
        lines = [f"{self.environment}: {'ok' if self.ok else 'FAILED'}"]
        unreached = [name for name, why in self.skipped.items() if why == f"{_UNREACHED}."]
        for name, meaning in CHECKS.items():
            if name in unreached:
                continue
            found = [finding for finding in self.findings if finding.check == name]
            if found:
                worst = "ERROR" if any(f.severity == "error" for f in found) else "warning"
            elif name in self.skipped:
                worst = "skipped"
            else:
                worst = "ok"
            lines.append(f"  {worst:<8} {name:<18} {meaning}")
            lines += [f"           {finding.severity}: {finding.message}" for finding in found]
            if name in self.skipped:
                lines.append(f"           skipped: {self.skipped[name]}")
        if unreached:
            lines.append(f"  {'skipped':<8} {len(unreached)} checks were {_UNREACHED}")
        return "\n".join(lines)

    def raise_if_failed(self) -> None:
        """Raise `CheckError` with the table if there is an error."""
        if not self.ok:
            raise CheckError(self.table())


class Recorder:
    """Collects findings, each kind of fault once with a count; `strict` makes soft ones errors."""

    def __init__(self, strict: bool = False) -> None:
        """Start empty."""
        self.strict = strict
        self.skipped: dict[str, str] = {}
        self._tried: set[str] = set()
        self._found: dict[tuple[str, str], tuple[Finding, int]] = {}

    def error(self, check: str, kind: str, message: str) -> None:
        """Record a fault; a later one of the same check and kind is only counted."""
        self._add(check, kind, "error", message)

    def soft(self, check: str, kind: str, message: str) -> None:
        """Record a fault that is an error only where `strict` is set."""
        self._add(check, kind, "error" if self.strict else "warning", message)

    def warn(self, check: str, kind: str, message: str) -> None:
        """Record something to know that breaks no rule."""
        self._add(check, kind, "warning", message)

    def skip(self, check: str, reason: str) -> None:
        """Record why a check was not tried; the first reason stands."""
        self.skipped.setdefault(check, reason)

    def tried(self, *checks: str) -> None:
        """Record that checks ran to their end."""
        self._tried.update(checks)

    def was_tried(self, check: str) -> bool:
        """Whether the check ran to its end."""
        return check in self._tried

    def failed(self, check: str) -> bool:
        """Whether the check has an error so far."""
        return any(f.check == check and f.severity == "error" for f, _ in self._found.values())

    def report(self, environment: str) -> CheckReport:
        """Return what was recorded, in the order of `CHECKS`; nothing untried reads as passed."""
        order = list(CHECKS)
        found = [
            Finding(f.check, f.severity, f.message + (f" ({n} times)" if n > 1 else ""))
            for f, n in self._found.values()
        ]
        found.sort(key=lambda finding: order.index(finding.check))
        for check in set(order) - self._tried - {finding.check for finding in found}:
            self.skip(check, f"{_UNREACHED}.")
        return CheckReport(environment, found, self.skipped)

    def _add(self, check: str, kind: str, severity: Severity, message: str) -> None:
        finding, count = self._found.get((check, kind), (Finding(check, severity, message), 0))
        self._found[check, kind] = (finding, count + 1)
