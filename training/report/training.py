"""The report of a training, of one run or several seeds: curves, evaluation, video, manifest."""

from __future__ import annotations

import base64
import csv
import shlex
from pathlib import Path
from typing import Any

import numpy as np

from proveout.assets.files.atomic import write_atomic
from proveout.envs.core.errors import RunError
from proveout.training.evaluation.seeds import curve_over_seeds, over_seeds
from proveout.training.report.page import render_page
from proveout.training.run.cost import cost_line, total_cost
from proveout.training.run.directory import PROGRESS, VIDEO, Run
from proveout.training.run.failures import check_output
from proveout.training.run.files import cannot_write, read_bounded
from proveout.training.run.json_files import dump_json
from proveout.training.run.seed_folder import SeedFolder, is_seed_folder

_FILE = "report.html"
_STEPS = "time/total_timesteps"
_EPISODE = "episode/"
_FIRST = ("success", "return")
_MOST_POINTS = 400
_MAX_CSV_BYTES = 512 * 2**20
# In base64 a third more; beyond it a page opens slowly.
_MAX_VIDEO_BYTES = 24 * 2**20


def write_training_report(folder: Path | str, out: Path | str | None = None) -> Path:
    """Write the report of a run, or of a folder of seeds, as one HTML file; return its path.

    Args:
        folder: Of the run, or of several seeds.
        out: The file; None: report.html in the folder.

    Raises:
        MissingPackageError: The extra `report` is not installed.
        RunError: No run, or a file that cannot be written.
    """
    path = Path(out) if out is not None else Path(folder) / _FILE
    check_output(path, "--out")
    page = training_page(folder)
    try:
        write_atomic(path, page)
    except OSError as error:
        raise cannot_write(path, error) from error
    return path


def training_page(folder: Path | str) -> str:
    """Return what `write_training_report` writes; errors are the same."""
    if is_seed_folder(folder):
        group = SeedFolder.open(folder)
        runs = [run for _, run in sorted(group.runs().items())]
        if not runs:
            raise RunError(f"{group.folder} has no run yet; train first.")
        return _page(runs, group)
    return _page([Run.open(folder)], None)


def _page(runs: list[Run], group: SeedFolder | None) -> str:
    first, evaluations = runs[0], _evaluations(runs)
    curves = _curves(runs)
    names = [curve["name"] for curve in curves]
    shown = [name for name in _FIRST if name in names] or names[:1]
    head, table, evaluated = _evaluation(evaluations, group)
    asked = len(group.seeds) if group is not None else 1
    ended = sum(run.manifest["state"] == "complete" for run in runs)
    place = group.folder if group is not None else first.folder
    values = {
        "title": first.env_id,
        "subtitle": _subtitle(first, group),
        "facts": _facts(runs, evaluations),
        "unfinished": "" if ended == asked else _unfinished(runs, ended, asked),
        "resume": f"proveout train --resume {shlex.quote(str(place))}",
        "invalid": _invalid(evaluations),
        "curves": bool(curves),
        "many": len(runs) > 1,
        "bands": len(runs) > 2,
        "head": head,
        "table": table,
        "evaluated": evaluated,
        "video": _video(first) if group is None else "",
        "origin": _origin(first, runs),
        "manifest": dump_json(group.manifest if group is not None else first.manifest, indent=1),
    }
    return render_page(
        "training.html.jinja", {"curves": curves, "first": shown, "policies": []}, values
    )


def _subtitle(run: Run, group: SeedFolder | None) -> str:
    what = f"A training with {run.manifest['algo']}"
    if group is None:
        return f"{what}, seed {run.manifest['seed']}."
    return f"{what}, from {len(group.seeds)} seeds."


def _unfinished(runs: list[Run], ended: int, asked: int) -> str:
    if asked > 1:
        return f"{ended} of {asked} seeds are complete."
    state = str(runs[0].manifest["state"])
    why = f": {runs[0].manifest['error']}" if state == "failed" else ""
    return f"The run is {state}{why}."


def _evaluations(runs: list[Run]) -> dict[int, dict[str, Any]]:
    """Seed -> evaluation, of runs that have one of their own policy."""
    told = {}
    for run in runs:
        try:
            evaluation = run.evaluation()
        except RunError:  # no policy yet
            continue
        if evaluation is not None:
            told[int(run.manifest["seed"])] = evaluation
    return told


def _facts(runs: list[Run], evaluations: dict[int, dict[str, Any]]) -> list[tuple[str, str, str]]:
    """(label, figure, note)."""
    facts = []
    valid = {seed: one for seed, one in evaluations.items() if one["episodes"]}
    if len(valid) == 1:
        (one,) = valid.values()
        low, high = one["success_interval"]
        facts.append(("success", f"{one['success_rate']:.3f}", f"{low:.3f} to {high:.3f} (95 %)"))
        facts.append(("return", f"{one['return_mean']:.4g}", f"over {one['episodes']} episodes"))
    elif valid:
        for name in _FIRST:
            figure = over_seeds(valid)["figures"][name]
            ends = figure["interval"]
            note = f"{ends[0]:.3g} to {ends[1]:.3g} (95 %)" if ends else "too few seeds for more"
            facts.append((f"{name}, middle half of seeds", f"{figure['iqm']:.3g}", note))
    costs = [cost for run in runs for cost in run.manifest.get("cost", [])]
    if costs:
        whole = total_cost(costs)
        facts.append(("samples", _short(whole["steps"]), "trained, over all seeds" if len(runs) > 1
                      else "trained"))  # fmt: skip
        facts.append(("time", _duration(whole["wall_seconds"]), f"{len(costs)} session(s)"))
    invalid = sum(one["invalid_worlds"] for one in evaluations.values())
    if evaluations:
        facts.append(("invalid episodes", f"{invalid:,}", "not counted" if invalid else "none"))
    return facts


def _short(number: float) -> str:
    if number >= 1e6:
        return f"{number / 1e6:.3g} M"
    return f"{number / 1e3:.3g} k" if number >= 1e3 else f"{number:g}"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _invalid(evaluations: dict[int, dict[str, Any]]) -> list[tuple[str, int]]:
    counts: dict[str, int] = {}
    for one in evaluations.values():
        for reason, count in (one.get("invalid_reasons") or {}).items():
            counts[reason] = counts.get(reason, 0) + int(count)
    return sorted(counts.items(), key=lambda pair: -pair[1])


def _evaluation(
    evaluations: dict[int, dict[str, Any]], group: SeedFolder | None
) -> tuple[list[str], list[list[str]], str]:
    """Headings, rows and a sentence."""
    valid = {seed: one for seed, one in evaluations.items() if one["episodes"]}
    if not valid:
        return [], [], ""
    if group is not None:
        figures = over_seeds(valid)["figures"]
        rows = []
        for name, figure in figures.items():
            ends = figure["interval"]
            told = f"{ends[0]:.4g} to {ends[1]:.4g}" if ends else "-"
            numbers = [figure["iqm"], figure["mean"], figure["lowest"], figure["highest"]]
            cells = [_figure(value) for value in numbers]
            rows.append([_named(name, figure["unit"]), cells[0], told, *cells[1:]])
        head = ["", "interquartile mean", "95 % interval", "mean", "lowest", "highest"]
        return head, rows, f"Of {len(valid)} seeds, each without exploration."
    (one,) = valid.values()
    rows = [
        [_named(name, kpi["unit"]), _figure(kpi["mean"]), _figure(kpi["std"]), str(kpi["episodes"])]
        for name, kpi in one["kpis"].items()
    ]
    sentence = (
        f"{one['episodes']:,} episodes without exploration, from start states of seed "
        f"{one['seed']}, which the training never saw."
    )
    return ["indicator", "mean", "deviation", "episodes"], rows, sentence


def _named(name: str, unit: str) -> str:
    return name if unit in ("", "1") else f"{name} [{unit}]"


def _figure(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4g}"


def _curves(runs: list[Run]) -> list[dict[str, Any]]:
    """For the page's script: name, runs (name, x, y), and all of them as `curve_over_seeds`.

    Statistics of episodes come first, then what the algorithm logs.
    """
    tables = [(f"seed {run.manifest['seed']}", _progress(run)) for run in runs]
    names = dict.fromkeys(name for _, table in tables for name in table)
    order = sorted(names, key=lambda name: (not name.startswith(_EPISODE), name))
    told = []
    for name in order:
        if name == _STEPS:
            continue
        lines = []
        for label, table in tables:
            if name in table:
                x, y = table[_STEPS], table[name]
                known = np.isfinite(x) & np.isfinite(y)
                if known.any():
                    lines.append((label, x[known], y[known]))
        if not lines:
            continue
        whole = curve_over_seeds([(x, y) for _, x, y in lines]) if len(lines) > 1 else None
        told.append(
            {
                "name": name.removeprefix(_EPISODE),
                "runs": [_thinned(label, x, y) for label, x, y in lines],
                "all": whole or {"samples": [], "iqm": [], "low": [], "high": []},
            }
        )
    return told


def _thinned(label: str, x: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    """A line of at most so many points, each the mean of those that it stands for."""
    if len(x) > _MOST_POINTS:
        starts = np.linspace(0, len(x), _MOST_POINTS, endpoint=False).astype(int)
        sizes = np.diff([*starts, len(x)])
        x, y = (np.add.reduceat(values, starts) / sizes for values in (x, y))
    return {"name": label, "x": x.tolist(), "y": y.tolist()}


def _progress(run: Run) -> dict[str, np.ndarray]:
    """Columns of progress.csv; what is empty, or cut off by a kill, is NaN."""
    path = run.folder / PROGRESS
    if not path.is_file():
        return {}
    text = read_bounded(path, _MAX_CSV_BYTES).decode(errors="replace")
    lines = list(csv.DictReader(text.splitlines()))
    names = [name for name in (lines[0] if lines else {}) if name]
    columns = {name: np.array([_float(line.get(name)) for line in lines]) for name in names}
    return columns if _STEPS in columns else {}


def _float(text: Any) -> float:
    try:
        return float(text)
    except (TypeError, ValueError):
        return float("nan")


def _video(run: Run) -> str:
    """As a data URI; "" without one, or where it is too large for a page."""
    path = run.folder / VIDEO
    if not path.is_file() or path.stat().st_size > _MAX_VIDEO_BYTES:
        return ""
    data = base64.b64encode(read_bounded(path, _MAX_VIDEO_BYTES)).decode()
    return f"data:video/mp4;base64,{data}"


def _origin(run: Run, runs: list[Run]) -> list[tuple[str, str]]:
    manifest = run.manifest
    git = manifest.get("git") or {}
    cost = cost_line(total_cost(c for one in runs for c in one.manifest.get("cost", [])))
    packages = manifest.get("packages") or {}
    told = [
        ("begun", str(manifest.get("created", ""))),
        ("command", shlex.join(map(str, manifest.get("argv", [])))),
        ("device", f"{manifest.get('device', '')}, {manifest.get('workers', '')} worker(s)"),
        ("machine", f"{manifest.get('processor', '')}, {manifest.get('cores', '')} cores"),
        ("cost", cost),
        ("versions", ", ".join(f"{name} {value}" for name, value in packages.items() if value)),
        ("commit", f"{git.get('commit', '')}{' (changed)' if git.get('dirty') else ''}"),
        ("folder", str(run.folder if len(runs) == 1 else run.folder.parents[1])),
    ]
    return [(name, value) for name, value in told if value]
