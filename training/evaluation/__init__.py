"""A policy over episodes: where it comes from, what it is worth, and how it looks.

Learns nothing: neither `learn` nor `sb3` is imported here, so that whatever judges policies can
stand on this room.
"""
