"""Rows through worlds: episodes that differ in their numbers, streamed through one environment.

What a row stands for is known to those who ask for it, not here.
"""
