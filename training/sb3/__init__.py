"""Stable-Baselines3 on vector environments: the bridge and the callbacks."""
