"""A live page for a batch of worlds: watch, ask and change it in the browser."""

from proveout.training.view.open import open_page, view

__all__ = ["open_page", "view"]
