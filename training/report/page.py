"""One HTML file from a template, data and Plotly's script, all in it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from proveout.training.run.json_files import plain
from proveout.training.run.optional import optional_module

_FOLDER = Path(__file__).parent


def render_page(template: str, data: Mapping[str, Any], values: Mapping[str, Any]) -> str:
    """Return a page.

    Args:
        template: Name of a file beside this one.
        data: For the page's script, as JSON; six digits of each number.
        values: For the template; texts are escaped.

    Raises:
        MissingPackageError: jinja2 or plotly is not installed.
    """
    jinja2 = optional_module("jinja2", "report", "jinja2")
    offline = optional_module("plotly.offline", "report", "plotly")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text: str = environment.get_template(template).render(
        data=_script_json(data), plotly=offline.get_plotlyjs(), **values
    )
    return text


def _script_json(data: Any) -> str:
    """JSON that no parser of HTML takes for the end of a script."""
    return json.dumps(_short(plain(data)), separators=(",", ":")).replace("<", "\\u003c")


def _short(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _short(value) for key, value in data.items()}
    if isinstance(data, list):
        return [_short(value) for value in data]
    if isinstance(data, float) and math.isfinite(data):
        return float(f"{data:.6g}")
    return data
