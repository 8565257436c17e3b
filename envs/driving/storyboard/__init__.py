"""Storyboards of OpenSCENARIO as tables, and what their elements do from step to step."""
