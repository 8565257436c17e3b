"""Puts this folder on the import path, so that tests and worker processes find `toy_tasks`."""
