"""From a task to a trained policy in a run directory."""
