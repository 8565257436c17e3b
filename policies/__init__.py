"""Policies: what turns observations into actions, and its files."""
