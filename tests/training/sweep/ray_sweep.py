"""A sweep on two nodes of one machine, of which one is lost midway; see test_ray_sweep.py.

Usage: ray_sweep.py FOLDER. Prints the rows of each node, and how many were lost, as JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import swept_task
from ray.cluster_utils import Cluster

from proveout.training.sweep import execute, run_study
from proveout.training.sweep.store import Store
from proveout.training.sweep.study import Study

STUDY = Study(
    env=swept_task.ID,
    policies=["expert"],
    parameters={
        "reward_weights.place": [1.0, 2.0, 1e39],
        "length": [0.1, 0.5, 1.0],
        "kind": ["plain", "broken"],
    },
    episodes=200,
    stop={"widths": {"far": 0.1}, "every": 50},
    series={"signals": ["reward", "engine/place"], "episodes": 3},
)
_NODE = {"num_cpus": 1, "object_store_memory": 100 * 2**20, "include_dashboard": False}


def main() -> None:
    """Run it, and take a node away when each has delivered rows."""
    cluster = Cluster(initialize_head=True, head_node_args=_NODE)
    second = cluster.add_node(num_cpus=1, object_store_memory=100 * 2**20)
    accept, seen, lost = execute._Session.accept, [], []

    def losing(self: object, delivery: object) -> None:
        accept(self, delivery)  # type: ignore[arg-type]
        seen.append(delivery)
        if not lost and len(seen) > 4 and len(self.nodes) > 1:  # type: ignore[attr-defined]
            lost.append(second)
            cluster.remove_node(second, allow_graceful=False)

    execute._Session.accept = losing  # type: ignore[method-assign, assignment]
    machine = execute.Machine(num_envs=8, engine="ray", address=cluster.address)
    run_study(STUDY, Path(sys.argv[1]), machine=machine)
    session = Store.open(sys.argv[1]).manifest["sessions"][-1]
    print(json.dumps({"nodes": session["nodes"], "lost": len(lost)}))
    cluster.shutdown()


if __name__ == "__main__":
    main()
