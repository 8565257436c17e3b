"""What an installed wheel must be able to do; CI runs it where only the wheel is."""

import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path

import gymnasium
import numpy as np

import proveout.envs


def main() -> None:
    """Make, step and render every environment, and ask the command line for its list."""
    print("proveout", importlib.metadata.version("proveout"), "from", proveout.envs.__file__)
    for env_id in proveout.envs.task_ids():
        envs = gymnasium.make_vec(env_id, num_envs=4, workers=2)
        observations, _ = envs.reset(seed=0)
        for _ in range(5):
            observations, rewards, _, _, info = envs.step(envs.action_space.sample())
        assert np.isfinite(observations).all()
        assert np.isfinite(rewards).all()
        assert not info["invalid"].any()
        envs.close()
        env = gymnasium.make(env_id, render_mode="rgb_array", render_size=(160, 120))
        env.reset(seed=0)
        assert env.render().std() > 1.0
        env.close()
        print("ok", env_id)
    command = Path(sys.executable).parent / "proveout"
    listed = subprocess.run(
        [command, "list", "--json"], check=True, capture_output=True, text=True
    ).stdout
    assert {entry["id"] for entry in json.loads(listed)["environments"]} == set(
        proveout.envs.task_ids()
    )
    print("ok proveout list")


if __name__ == "__main__":
    main()
