"""Articulated worlds on MuJoCo Warp, and the tasks of a production line."""
