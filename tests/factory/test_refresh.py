"""The masked kinematics against the engine's own, on every kind of joint."""

import mujoco
import numpy as np
import pytest
import warp as wp

from proveout.assets.robot import load_robot
from proveout.envs.factory.refresh import frames, refresh_kinematics

MIXED = """
<mujoco>
  <worldbody>
    <geom name="floor" type="plane" size="1 1 1" pos="0.1 0 -1"/>
    <body name="marker" mocap="true" pos="1 0 0">
      <geom type="sphere" size="0.1" pos="0 0.1 0"/>
    </body>
    <body name="free" pos="0 0 1">
      <freejoint/>
      <geom type="box" size="0.1 0.1 0.1" pos="0.2 0 0" quat="0.9 0.1 0.2 0.3"/>
      <body pos="0.3 0.1 0" quat="0.7 0 0.7 0.1">
        <joint type="ball" pos="0.05 0 0.1"/>
        <geom type="capsule" size="0.05 0.1"/>
        <body pos="0 0 0.4">
          <joint type="slide" axis="1 0 1" ref="0.2"/>
          <joint type="hinge" axis="0 1 0.5" pos="0.1 0 0" ref="0.3"/>
          <geom type="box" size="0.1 0.05 0.1"/>
          <site name="tip" pos="0 0.2 0" quat="0.5 0.5 0.5 0.5"/>
        </body>
      </body>
    </body>
  </worldbody>
</mujoco>
"""
DERIVED = (
    "xpos", "xquat", "xmat", "xipos", "ximat", "xanchor", "xaxis", "geom_xpos", "geom_xmat",
    "site_xpos", "site_xmat",
)  # fmt: skip


def models():
    return {
        "mixed": mujoco.MjModel.from_xml_string(MIXED),
        "ur5e": load_robot("ur5e").spec.compile(),
    }


@pytest.mark.parametrize("name", ["mixed", "ur5e"])
def test_equals_the_engine_in_the_mask_and_touches_nothing_else(name):
    import mujoco_warp

    model = models()[name]
    num = 6
    random = np.random.default_rng(0)
    with wp.ScopedDevice("cpu"):
        m = mujoco_warp.put_model(model)
        ours = mujoco_warp.make_data(model, nworld=num)
        engine = mujoco_warp.make_data(model, nworld=num)
        qpos = random.normal(size=(num, model.nq)).astype(np.float32)
        for data in (ours, engine):
            data.qpos.assign(qpos)
            if model.nmocap:
                pos = np.arange(3 * num, dtype=np.float32).reshape(num, 1, 3)
                data.mocap_pos.assign(pos)
                quat = np.tile(np.array([0.6, 0.8, 0.0, 0.0], np.float32), (num, 1, 1))
                data.mocap_quat.assign(quat)
        before = {field: getattr(ours, field).numpy().copy() for field in DERIVED}
        chosen = np.array([True, False, True, True, False, True])
        mask = wp.array(chosen, dtype=wp.bool)
        refresh_kinematics(frames(m, ours), mask)
        mujoco_warp.kinematics(m, engine)
    for field in DERIVED:
        got, expected = getattr(ours, field).numpy(), getattr(engine, field).numpy()
        # The same formulas in another order: a few roundings of float32, coordinates up to 20 m.
        np.testing.assert_allclose(got[chosen], expected[chosen], atol=2e-5, err_msg=field)
        np.testing.assert_array_equal(got[~chosen], before[field][~chosen], err_msg=field)
