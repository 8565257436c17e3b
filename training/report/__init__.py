"""Pages that say what was found: one HTML file each, which works without a network."""

from proveout.training.report.page import render_page

__all__ = ["render_page"]
