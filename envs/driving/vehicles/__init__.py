"""Vehicle models."""
