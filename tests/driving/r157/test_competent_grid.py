"""The competent driver on the published cut-ins, beside the published model CC."""

import numpy as np
import warp as wp
from published import published, with_tables

from proveout.envs.driving.drivers.r157.competent import (
    Competent,
    CompetentMemory,
    CompetentParameters,
    Threat,
    competent_acceleration,
)
from proveout.envs.driving.drivers.r157.control import Situation, gap_of
from proveout.envs.driving.drivers.r157.families import cut_in
from proveout.envs.driving.records import records

wp.set_module_options({"enable_backward": False})
DT, LENGTH, WIDTH, LANE = (wp.constant(x) for x in (0.1, 4.3, 1.9, 3.5))  # s, m


@wp.kernel
def _cut_in(
    ahead: wp.array2d[float],
    y: wp.array2d[float],
    v: wp.array2d[float],
    lateral: wp.array2d[float],
    ego_v: wp.array[float],
    samples: wp.array[int],
    driver: wp.array[Competent],
    memory: CompetentMemory,
    crash_type: wp.array[int],
):
    case = wp.tid()
    velocity = ego_v[case]
    behind = float(0.0)
    for i in range(samples[case] - 1):
        seen = Situation()
        seen.distance = ahead[i, case] + behind
        seen.half_lengths = LENGTH
        seen.side = wp.abs(y[i, case]) - WIDTH
        seen.velocity = velocity
        seen.other_velocity = v[i, case]
        seen.lateral = lateral[i, case]
        threat = Threat()
        threat.seen = seen
        threat.offset = wp.abs(y[i, case])
        threat.uncovered = threat.offset
        threat.lane_width = LANE
        a = competent_acceleration(driver[0], threat, 0.0, DT, memory, case, 0)
        if crash_type[case] == 0 and seen.side < 0.0 and gap_of(seen) < 0.0:
            crash_type[case] = wp.where(seen.distance < 0.0, 1, 2)
        velocity = wp.max(velocity + a * DT, 0.0)
        behind += (ego_v[case] - velocity) * DT


def crash_types(presets, parameters):
    count = presets.x.shape[1]
    memory = CompetentMemory()
    for name, dtype in (
        ("phase", int),
        ("steps", int),
        ("reacted", int),
        ("driver_braking", float),
        ("emergency_braking", float),
    ):
        setattr(memory, name, wp.zeros((count, 1), dtype=dtype, device="cpu"))
    crash_type = wp.zeros(count, dtype=int, device="cpu")
    arrays = [
        wp.array(np.ascontiguousarray(values, np.float32), dtype=float, device="cpu")
        for values in (
            presets.x - presets.ego_x, presets.y, presets.v, presets.lateral, presets.ego_v[0]
        )
    ]  # fmt: skip
    samples = wp.array(presets.samples.astype(np.int32), device="cpu")
    driver = records(Competent, parameters, (1,), "cpu")
    wp.launch(
        _cut_in,
        dim=count,
        inputs=[*arrays, samples, driver, memory, crash_type],
        device="cpu",
    )
    return crash_type.numpy()


@with_tables
def test_it_runs_into_fewer_than_the_published_model():
    table = published("CC", "cut_in")
    presets = cut_in(
        table["ego_kmh"] / 3.6, table["other_kmh"] / 3.6, table["gap_m"], table["lat_mps"]
    )
    published_hits = int((table["crash_type"] == 2).sum())
    hits = []
    for parameters in (CompetentParameters(), CompetentParameters(emergency_braking=0.0)):
        kinds = crash_types(presets, parameters)
        hits.append(int((kinds == 2).sum()))
        told = f"emergency braking {parameters.emergency_braking:.2f} m/s2"
        print(f"{told}: runs into {hits[-1]}, is hit from aside or behind {(kinds == 1).sum()}")
    print(f"CC: {published_hits}, {(table['crash_type'] == 1).sum()}")
    assert hits[0] <= hits[1] < published_hits
    # Nobody is hit who is not there: without a lateral speed the sides never meet.
    assert not crash_types(presets, CompetentParameters())[table["lat_mps"] == 0.0].any()
