"""CoACD in a process of its own, whose memory and time are bounded.

`python -m proveout.assets.mesh.convex_worker IN OUT BYTES SECONDS`: see `convex`.
"""

import sys

import numpy as np


def main(source: str, target: str, memory: int, seconds: int) -> None:
    """Decompose the mesh in the file `source` into the file `target`, both .npz."""
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    except (ImportError, ValueError, OSError):
        pass  # Not on Windows; where the system has a lower limit, that one holds.
    import coacd

    coacd.set_log_level("off")
    with np.load(source, allow_pickle=False) as given:
        mesh = coacd.Mesh(given["vertices"], given["faces"])
        parts = coacd.run_coacd(
            mesh,
            threshold=float(given["threshold"]),
            max_convex_hull=int(given["max_parts"]),
            # What is closed is cut as it is; anything else is wrapped first, which thickens it.
            preprocess_mode="off" if given["solid"] else "on",
            preprocess_resolution=25,
            resolution=500,
            mcts_iterations=20,
            mcts_nodes=5,
            mcts_max_depth=1,
            decimate=True,
            max_ch_vertex=64,
            seed=0,
        )
    vertices = [np.asarray(part[0], np.float64) for part in parts]
    faces = [np.asarray(part[1], np.int32) for part in parts]
    np.savez(
        target,
        vertices=np.concatenate(vertices),
        faces=np.concatenate(faces),
        vertex_counts=np.array([len(part) for part in vertices]),
        face_counts=np.array([len(part) for part in faces]),
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
