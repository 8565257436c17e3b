"""Who drives an agent: kinds and parameters as data."""
