"""Tasks of functions of one world: what the core gives them, keeps for them and refuses."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import warp as wp
from toy_point import Point, PointConfig, PointWeights

from proveout.assets.files.layout import Entry, Layout
from proveout.envs import check_vector_env
from proveout.envs.core.columns import columns, starts
from proveout.envs.core.errors import ConfigError, StateError
from proveout.envs.core.hooks import Step, action_rate, numbers_struct
from proveout.envs.core.rng import STREAM_TASK, random_key, uniform
from proveout.envs.core.task import Kpi, quantity
from proveout.envs.core.vector_env import WarpVectorEnv

wp.set_module_options({"enable_backward": False})

STREAM = wp.constant(STREAM_TASK)
vec5 = wp.types.vector(5, float)


@wp.struct
class Places:
    place: wp.array2d[float]


@dataclass(frozen=True, kw_only=True)
class CountingConfig(PointConfig):
    step_size: int = quantity(2, "1", "what is counted in a step", low=1)
    offset: float = quantity(0.5, "m", "added to the observation")
    doubled: bool = quantity(False, "1", "count twice as much")
    spread: float = quantity(0.0, "m", "of a random number in the observation", low=0.0)
    width: int = quantity(3, "1", "numbers of the row", low=1, structural=True)
    reward_weights: PointWeights = field(default_factory=PointWeights)


KPIS = (Kpi("rate", "1", "sum", "squared change of the action"), Kpi("count", "1", "last", "count"))
Term, Value = columns(PointWeights), columns(KPIS)


@wp.struct
class CountingState:
    count: wp.array[int]
    pose: wp.array[wp.transform]
    five: wp.array[vec5]
    row: wp.array2d[float]
    key: wp.array[wp.uint64]


class Counting(Point):
    """Counts its steps in arrays of every kind."""

    id = "toy/Counting-v0"
    config_class = CountingConfig
    state_class = CountingState
    kpis = KPIS

    def make_layout(self):
        return Layout((Entry("row", (self.config.width,), "1", "counts"),))

    def state_columns(self):
        return {"row": self.config.width}

    def engine_struct(self, sim):
        places = Places()
        places.place = sim.engine.place
        return places

    @wp.func
    def control(w: int, step: Step, places: Places, c: Any, s: CountingState):
        for i in range(3):
            step.command[w, i] = step.action[w, i]
        count = c.step_size
        if c.doubled:
            count = 2 * count
        s.count[w] += count
        s.pose[w] = wp.transform(wp.vec3(1.0, 2.0, 3.0), wp.quat_identity())
        s.five[w][4] = float(s.count[w])
        s.key[w] = step.seed[w]
        for i in range(s.row.shape[1]):
            s.row[w, i] = float(s.count[w] + i)

    @wp.func
    def evaluate(w: int, step: Step, places: Places, c: Any, s: CountingState):
        step.reward[w, Term.place] = places.place[w, 0]
        step.kpi[w, Value.rate] = action_rate(step, w)
        step.kpi[w, Value.count] = float(s.count[w])
        step.success[w] = step.elapsed[w] >= step.max_steps

    @wp.func
    def reset(w: int, step: Step, places: Places, c: Any, s: CountingState):
        for i in range(3):
            places.place[w, i] = 0.1 * float(i)
        key = random_key(step.seed[w], step.world_id[w], step.episode[w], STREAM)
        s.five[w][0] = uniform(key, 0, -1.0, 1.0)

    @wp.func
    def observe(
        w: int, step: Step, places: Places, c: Any, s: CountingState, obs: wp.array2d[float]
    ):
        for i in range(s.row.shape[1]):
            obs[w, i] = s.row[w, i] + c.offset + c.spread * s.five[w][0]


def make(num_envs=4, workers=1, **config):
    task = Counting(CountingConfig(**config))
    return WarpVectorEnv(task, num_envs, device="cpu", workers=workers)


NOTHING = np.zeros((4, 3), np.float32)


def test_numbers_of_the_config_reach_the_functions():
    env = make(step_size=3, doubled=True, offset=0.25)
    observations, _ = env.reset(seed=0)
    np.testing.assert_array_equal(observations, np.full((4, 3), 0.25))
    observations = env.step(NOTHING)[0]
    np.testing.assert_array_equal(observations, np.tile([6.25, 7.25, 8.25], (4, 1)))
    env.close()
    names = set(numbers_struct(CountingConfig).vars)
    assert {"step_size", "doubled", "offset", "control_dt", "decimation"} <= names
    assert not {"reward_weights", "randomization"} & names


@pytest.mark.parametrize("width", [1, 7])
def test_sizes_may_come_from_the_config(width):
    env = make(width=width)
    env.reset(seed=0)
    observations = env.step(NOTHING)[0]
    np.testing.assert_array_equal(observations[1], 2.5 + np.arange(width))
    env.close()


def test_state_is_zeroed_for_the_worlds_that_begin_anew_and_for_no_other():
    env = make()
    env.reset(seed=9)
    env.step(NOTHING)
    before = env.state_dict()
    for name, width in (("count", 1), ("pose", 7), ("five", 5), ("row", 3), ("key", 1)):
        values = before[f"task/{name}"]
        assert values.reshape(4, -1).shape[1] == width
        assert (values.reshape(4, -1) != 0).any(axis=1).all(), name
    env.reset(options={"reset_mask": np.array([False, True, False, True])})
    after = env.state_dict()
    for name in ("count", "pose", "five", "row", "key"):
        now, then = after[f"task/{name}"], before[f"task/{name}"]
        # The first of five is drawn anew.
        begun = now[[1, 3], 1:] if name == "five" else now[[1, 3]]
        assert not begun.any(), name
        np.testing.assert_array_equal(now[[0, 2]], then[[0, 2]])
    env.close()


def test_state_is_saved_and_restored():
    env = make()
    env.reset(seed=1)
    for _ in range(3):
        env.step(NOTHING)
    state = env.state_dict()
    expected = env.step(NOTHING)[0]
    env.reset(seed=2)
    env.load_state_dict(state)
    np.testing.assert_array_equal(env.step(NOTHING)[0], expected)
    env.close()


def test_a_field_of_the_state_may_be_undefined():
    class Waiting(Counting):
        id = "toy/Waiting-v0"
        undefined = ("five",)

    for task_class, words in ((Counting, "task/five"), (Waiting, "")):
        env = WarpVectorEnv(task_class(CountingConfig()), 2, device="cpu", workers=1)
        env.reset(seed=1)
        state = env.state_dict()
        state["task/five"][1, 2] = np.inf
        if words:
            with pytest.raises(StateError, match=words):
                env.load_state_dict(state)
        else:
            env.load_state_dict(state)
            assert env.state_dict()["task/five"][1, 2] == np.inf
        env.close()

    class Misnamed(Counting):
        id = "toy/Misnamed-v0"
        undefined = ("six",)

    with pytest.raises(ConfigError, match="`undefined` names no field 'six'"):
        WarpVectorEnv(Misnamed(CountingConfig()), 2, device="cpu", workers=1)


def test_the_last_action_is_zero_when_an_episode_begins():
    env = make()
    env.reset(seed=0)
    length = env.task.max_episode_steps
    action = np.full((4, 3), 0.5, np.float32)
    for _ in range(length):
        *_, info = env.step(action)
    # From rest to 0.5 once, in each of three numbers.
    np.testing.assert_allclose(info["episode_statistics"]["rate"], 0.75)
    for _ in range(length):
        *_, info = env.step(action)
    np.testing.assert_allclose(info["episode_statistics"]["rate"], 0.75)
    env.close()


def test_such_a_task_keeps_the_contract():
    def spread(num_envs=4, workers=1):
        return make(num_envs, workers, spread=1.0)

    report = check_vector_env(spread, steps=50)
    assert report.ok, report.table()


def crowd_layout(width):
    return Layout(
        (
            Entry("neighbours", (width, 2), "1", "number and twice the number of each"),
            Entry("total", (), "1", "their sum"),
            Entry("clock", (), "1", "control steps"),
        )
    )


CrowdColumns = starts(crowd_layout(1))


@wp.struct
class CrowdState:
    at: CrowdColumns
    total: wp.array[float]


class Crowd(Counting):
    """A set whose size is the config's, and entries after it."""

    id = "toy/Crowd-v0"
    state_class = CrowdState

    def make_layout(self):
        return crowd_layout(self.config.width)

    @wp.func
    def control(w: int, step: Step, places: Places, c: Any, s: CrowdState):
        for i in range(3):
            step.command[w, i] = step.action[w, i]

    @wp.func
    def evaluate(w: int, step: Step, places: Places, c: Any, s: CrowdState):
        step.reward[w, Term.place] = places.place[w, 0]
        step.kpi[w, Value.rate] = action_rate(step, w)
        step.kpi[w, Value.count] = float(step.elapsed[w])
        step.success[w] = False

    @wp.func
    def reset(w: int, step: Step, places: Places, c: Any, s: CrowdState):
        for i in range(3):
            places.place[w, i] = 0.0

    @wp.func
    def observe(w: int, step: Step, places: Places, c: Any, s: CrowdState, obs: wp.array2d[float]):
        s.total[w] = 0.0
        for i in range(c.width):
            obs[w, s.at.neighbours + 2 * i] = float(i)
            obs[w, s.at.neighbours + 2 * i + 1] = 2.0 * float(i)
            s.total[w] += float(i)
        obs[w, s.at.total] = s.total[w]
        obs[w, s.at.clock] = float(step.elapsed[w])


@pytest.mark.parametrize("width", [1, 4])
def test_columns_may_come_from_the_config(width):
    task = Crowd(CountingConfig(width=width))
    env = WarpVectorEnv(task, 3, device="cpu", workers=1)
    env.reset(seed=0)
    observations = env.step(NOTHING[:3])[0]
    parts = task.layout.split(observations)
    np.testing.assert_array_equal(parts["neighbours"][1, :, 0], np.arange(width))
    np.testing.assert_array_equal(parts["neighbours"][2, :, 1], 2 * np.arange(width))
    np.testing.assert_array_equal(parts["total"], np.full(3, sum(range(width))))
    np.testing.assert_array_equal(parts["clock"], np.ones(3))
    env.close()


def test_starts_of_another_layout_are_refused():
    class Lost(Crowd):
        id = "toy/Lost-v0"

        def make_layout(self):
            return Layout((Entry("neighbours", (3, 2), "1", "without a total"),))

    with pytest.raises(ConfigError, match="has the entries neighbours, total, clock"):
        WarpVectorEnv(Lost(), 2, device="cpu", workers=1)


@wp.struct
class Stranger:
    index: int


@wp.struct
class Estranged:
    odd: Stranger


def test_a_struct_that_nobody_fills_is_refused():
    class Odd(Counting):
        id = "toy/Odd-v0"
        state_class = Estranged

    with pytest.raises(ConfigError, match="field 'odd' of its state is a Stranger, which nobody"):
        WarpVectorEnv(Odd(), 2, device="cpu", workers=1)


class Beyond(Counting):
    """Writes one column too far."""

    id = "toy/BeyondState-v0"

    @wp.func
    def observe(
        w: int, step: Step, places: Places, c: Any, s: CountingState, obs: wp.array2d[float]
    ):
        for i in range(s.row.shape[1] + 1):
            obs[w, i] = 1.0


def test_a_function_that_writes_outside_an_array_is_named():
    def beyond(num_envs=4, workers=1):
        return WarpVectorEnv(Beyond(), num_envs, device="cpu", workers=workers)

    report = check_vector_env(beyond, steps=10, task=Beyond())
    (told,) = [finding.message for finding in report.errors]
    assert told.startswith("`observe` (kernel `Beyond_observe`) reads or writes outside an array")


@wp.struct
class Flags:
    seen: wp.array[wp.bool]


@wp.struct
class Deep:
    cube: wp.array3d[float]


@wp.struct
class Wide:
    much: wp.array2d[float]


@wp.struct
class Single:
    number: float


@pytest.mark.parametrize(
    ("struct", "words"),
    [
        (Flags, "'seen': elements of whole 4-byte words expected, as int"),
        (Deep, r"'cube': wp.array\[...\], wp.array2d"),
        (Single, r"'number': wp.array\[...\], wp.array2d"),
        (Wide, "'much' has two dimensions; tell its columns"),
    ],
)
def test_state_that_cannot_be_kept_is_refused(struct, words):
    class Odd(Counting):
        id = "toy/Odd-v0"
        state_class = struct

    with pytest.raises(ConfigError, match=words):
        WarpVectorEnv(Odd(), 2, device="cpu", workers=1)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ((Kpi("a b", "1", "sum", "x"),), "'a b' is no name that a kernel can use"),
        ((Kpi("a", "1", "sum", "x"), Kpi("a", "1", "sum", "y")), "named twice"),
    ],
)
def test_columns_need_names_of_their_own(source, words):
    with pytest.raises(ConfigError, match=words):
        columns(source)


def test_columns_of_a_layout_are_where_its_entries_begin():
    layout = Layout(
        (Entry("a", (2,), "1", "x"), Entry("b", (), "1", "y"), Entry("c", (2, 3), "1", "z"))
    )
    assert {c.name: int(c) for c in columns(layout)} == {"a": 0, "b": 2, "c": 3}
