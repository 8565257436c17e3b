"""Both tasks do today what they did when this was recorded, bit for bit on the same processor.

`python tests/conformance/test_recorded_bits.py` records anew, for a change that is meant to be one.
Elsewhere (other instructions, other rounding) trajectories part after a while, so that only their
beginning is compared, with a tolerance.
"""

import hashlib
import platform
import sys
from pathlib import Path

import numpy as np
import pytest

from proveout.envs import make_vector

FOLDER = Path(__file__).parent / "recorded"
WORLDS, STEPS, KEPT = 64, 300, 8
WIDE = {
    "proveout/Reach-v0": {
        "randomization": {
            "link_mass": {"low": 0.8, "high": 1.2},
            "joint_damping": {"low": 0.5, "high": 2.0},
            "latency": {"low": 0.0, "high": 0.12},
            "joint_position_noise": {"low": 0.0, "high": 0.02},
        }
    },
    "proveout/Highway-v0": {},
}
# What is compared where the processor is another one, and how closely: one part in a thousand of
# a metre, a radian or a reward after half a second of it.
EARLY, TOLERANCE = 6, 1e-3


def processor() -> str:
    """What decides which instructions kernels are compiled to."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.machine()
    flags = next((line for line in text.splitlines() if line.startswith("flags")), "")
    return hashlib.sha256(" ".join(sorted(flags.split())).encode()).hexdigest()[:16]


def run(env_id: str) -> dict[str, np.ndarray]:
    """300 steps of 64 worlds with random actions, with an explicit reset of some in between."""
    env = make_vector(
        env_id, WORLDS, config=WIDE[env_id], device="cpu", workers=1, phase_spread=0.7,
        max_episode_steps=60,
    )  # fmt: skip
    digests, rows = [], []
    observation, _ = env.reset(seed=5)
    digest = hashlib.sha256(observation.tobytes())
    draw = np.random.default_rng(1)
    for step in range(STEPS):
        action = draw.uniform(-1, 1, env.action_space.shape).astype(np.float32)
        observation, reward, terminated, truncated, info = env.step(action)
        mask = info["_episode_statistics"]
        told = [observation, reward, terminated, truncated, info["final_obs"],
                info["invalid_reason"], mask]  # fmt: skip
        told += [values[mask] for values in info["episode_statistics"].values()]
        for values in told:
            digest.update(np.ascontiguousarray(values).tobytes())
        digests.append(np.frombuffer(digest.digest()[:8], np.uint64)[0])
        if step < EARLY:
            rows.append(np.column_stack([observation, reward])[:KEPT])
        if step == STEPS // 2:
            observation, _ = env.reset(options={"reset_mask": np.arange(WORLDS) % 3 == 0})
            digest.update(observation.tobytes())
    env.close()
    return {"digests": np.array(digests), "early": np.stack(rows)}


def path_of(env_id: str) -> Path:
    return FOLDER / f"{env_id.replace('/', '-')}.npz"


@pytest.mark.parametrize("env_id", WIDE)
def test_the_recorded_bits(env_id):
    with np.load(path_of(env_id)) as recorded:
        found = run(env_id)
        np.testing.assert_allclose(found["early"], recorded["early"], TOLERANCE, TOLERANCE)
        if str(recorded["processor"]) == processor():
            odd = np.flatnonzero(found["digests"] != recorded["digests"])
            assert not len(odd), f"the first different bit is in step {odd[0]}"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name in WIDE:
        np.savez_compressed(path_of(name), processor=processor(), **run(name))
        print(path_of(name), path_of(name).stat().st_size, "bytes", file=sys.stderr)
