"""Controllers and scripted experts of articulated tasks."""
