"""Philox against its published vectors, and the statistics of what is drawn from it."""

# Warp's stubs give kernel arrays no indexing and `wp.tid` one result.
# mypy: disable-error-code="index, misc, var-annotated"

import numpy as np
import pytest
import warp as wp

from proveout.envs.core.rng import (
    host_bits,
    host_uniform,
    integer,
    normal,
    philox,
    philox4x32,
    random_bits,
    random_key,
    uniform,
)

wp.set_module_options({"enable_backward": False})

SEED = 0x0123456789ABCDEF
DEVICES = ["cpu", pytest.param("cuda:0", marks=pytest.mark.gpu)]

# Random123 1.14, examples/kat_vectors, "philox4x32 10": counter, key, result.
KNOWN_ANSWERS = [
    ([0, 0, 0, 0], [0, 0], [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        [0xA4093822, 0x299F31D0],
        [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
    ),
]


@pytest.fixture(params=DEVICES)
def device(request):
    return request.param


@wp.kernel
def _blocks(counter: wp.array2d[wp.uint32], key: wp.array2d[wp.uint32], out: wp.array[wp.vec4ui]):
    i = wp.tid()
    out[i] = philox4x32(
        counter[i, 0], counter[i, 1], counter[i, 2], counter[i, 3], key[i, 0], key[i, 1]
    )


@wp.kernel
def _bits(seed: wp.uint64, episode: int, stream: int, out: wp.array2d[wp.uint32]):
    world, draw = wp.tid()
    out[world, draw] = random_bits(random_key(seed, world, episode, stream), draw)


@wp.kernel
def _uniforms(
    seed: wp.uint64, episode: int, stream: int, low: float, high: float, out: wp.array2d[float]
):
    world, draw = wp.tid()
    out[world, draw] = uniform(random_key(seed, world, episode, stream), draw, low, high)


@wp.kernel
def _normals(seed: wp.uint64, episode: int, stream: int, out: wp.array2d[float]):
    world, draw = wp.tid()
    out[world, draw] = normal(random_key(seed, world, episode, stream), draw)


@wp.kernel
def _integers(seed: wp.uint64, low: int, high: int, out: wp.array2d[int]):
    world, draw = wp.tid()
    out[world, draw] = integer(random_key(seed, world, 0, 0), draw, low, high)


def draw(kernel, *inputs, worlds=64, draws=4096, dtype=float, device="cpu"):
    out = wp.zeros((worlds, draws), dtype=dtype, device=device)
    wp.launch(kernel, (worlds, draws), inputs=list(inputs), outputs=[out], device=device)
    return out.numpy()


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN_ANSWERS)
def test_known_answers_on_the_host(counter, key, answer):
    np.testing.assert_array_equal(philox(counter, key), np.array(answer, dtype=np.uint32))


def test_known_answers_on_the_device(device):
    counters = wp.array(np.array([c for c, _, _ in KNOWN_ANSWERS], np.uint32), device=device)
    keys = wp.array(np.array([k for _, k, _ in KNOWN_ANSWERS], np.uint32), device=device)
    out = wp.zeros(len(KNOWN_ANSWERS), dtype=wp.vec4ui, device=device)
    wp.launch(_blocks, len(KNOWN_ANSWERS), inputs=[counters, keys], outputs=[out], device=device)
    answers = np.array([a for _, _, a in KNOWN_ANSWERS], dtype=np.uint32)
    np.testing.assert_array_equal(out.numpy(), answers)


@pytest.mark.parametrize("seed", [0, 1, SEED, 2**64 - 1])
def test_device_equals_host_bit_for_bit(seed, device):
    worlds, draws = np.arange(33)[:, None], np.arange(19)[None, :]
    got = draw(_bits, seed, 7, 3, worlds=33, draws=19, dtype=wp.uint32, device=device)
    np.testing.assert_array_equal(got, host_bits(seed, worlds, 7, 3, draws))
    got = draw(_uniforms, seed, 7, 3, 0.0, 1.0, worlds=33, draws=19, device=device)
    np.testing.assert_array_equal(got, host_uniform(seed, worlds, 7, 3, draws))


def test_a_world_does_not_depend_on_the_number_of_worlds():
    few = draw(_uniforms, SEED, 0, 1, -2.0, 5.0, worlds=3, draws=40)
    many = draw(_uniforms, SEED, 0, 1, -2.0, 5.0, worlds=500, draws=40)
    np.testing.assert_array_equal(few, many[:3])
    np.testing.assert_array_equal(
        draw(_normals, SEED, 0, 1, worlds=3, draws=40),
        draw(_normals, SEED, 0, 1, worlds=500, draws=60)[:3, :40],
    )


def test_uniform_numbers_are_uniform():
    values = draw(_uniforms, SEED, 2, 5, 0.0, 1.0).ravel()
    assert values.min() >= 0.0
    assert values.max() < 1.0
    bins = 256
    expected = values.size / bins
    chi_square = np.sum((np.histogram(values, bins, (0.0, 1.0))[0] - expected) ** 2) / expected
    # Chi-square with 255 degrees of freedom: mean 255, standard deviation 22.6; five of them.
    assert abs(chi_square - (bins - 1)) < 5.0 * np.sqrt(2.0 * (bins - 1))
    # Kolmogorov-Smirnov: sqrt(n) D exceeds 2.2 with probability 1.3e-4.
    ordered = np.sort(values)
    distance = np.max(np.abs(ordered - np.arange(values.size) / values.size))
    assert distance * np.sqrt(values.size) < 2.2


def test_uniform_low_and_high():
    values = draw(_uniforms, SEED, 0, 0, -3.0, 1.5)
    assert values.min() >= -3.0
    assert values.max() <= 1.5
    assert values.mean() == pytest.approx(-0.75, abs=5 * 4.5 / np.sqrt(12 * values.size))


def test_every_bit_is_fair():
    bits = draw(_bits, SEED, 0, 0, dtype=wp.uint32).ravel()
    ones = ((bits[:, None] >> np.arange(32, dtype=np.uint32)) & 1).mean(axis=0)
    assert np.all(np.abs(ones - 0.5) < 5 * 0.5 / np.sqrt(bits.size))


@pytest.mark.parametrize("kernel", ["uniform", "normal"])
def test_worlds_streams_episodes_and_draws_are_independent(kernel):
    def sample(seed, episode, stream):
        if kernel == "normal":
            return draw(_normals, seed, episode, stream)
        return draw(_uniforms, seed, episode, stream, 0.0, 1.0)

    base = sample(SEED, 0, 0)
    bound = 5.0 / np.sqrt(base.size)  # standard error of the correlation of independent samples
    others = {
        "stream": sample(SEED, 0, 1),
        "episode": sample(SEED, 1, 0),
        "seed": sample(SEED + 1, 0, 0),
        "seed, high word": sample(SEED + 2**32, 0, 0),
        "next world": np.roll(base, 1, axis=0),
        "next draw": np.roll(base, 1, axis=1),
        "second next draw": np.roll(base, 2, axis=1),
    }
    for name, other in others.items():
        assert abs(np.corrcoef(base.ravel(), other.ravel())[0, 1]) < bound, name


def test_distinct_counters_give_distinct_words():
    world, episode, stream, index = np.meshgrid(*[np.arange(12)] * 4, indexing="ij")
    counter = np.stack([world, episode, stream, index], axis=-1).reshape(-1, 4)
    blocks = philox(counter, [1, 2])
    assert len(np.unique(blocks, axis=0)) == len(counter)


def test_normal_moments():
    values = draw(_normals, SEED, 0, 0).ravel().astype(np.float64)
    n = values.size
    assert np.isfinite(values).all()
    # Standard errors of the first four moments: sqrt(1/n), sqrt(2/n), sqrt(6/n), sqrt(24/n).
    assert abs(values.mean()) < 5 * np.sqrt(1 / n)
    assert abs(values.var() - 1.0) < 5 * np.sqrt(2 / n)
    standard = (values - values.mean()) / values.std()
    assert abs(np.mean(standard**3)) < 5 * np.sqrt(6 / n)
    assert abs(np.mean(standard**4) - 3.0) < 5 * np.sqrt(24 / n)
    # P(|x| > 3) = 0.0026998
    share = np.mean(np.abs(values) > 3.0)
    assert abs(share - 0.0026998) < 5 * np.sqrt(0.0027 / n)


def test_normal_is_independent_of_uniform_with_the_same_draw():
    normals = draw(_normals, SEED, 0, 0).ravel()
    uniforms = draw(_uniforms, SEED, 0, 0, 0.0, 1.0).ravel()
    for power in (1, 2):
        correlation = np.corrcoef(np.abs(normals) ** power, uniforms)[0, 1]
        assert abs(correlation) < 5.0 / np.sqrt(normals.size)


@pytest.mark.parametrize(("low", "high"), [(0, 2), (-3, 4), (10, 11), (0, 1000)])
def test_integers_fill_their_range_evenly(low, high):
    values = draw(_integers, SEED, low, high, dtype=int).ravel()
    counts = np.bincount(values - low, minlength=high - low)
    assert values.min() == low
    assert values.max() == high - 1
    expected = values.size / (high - low)
    freedom = high - low - 1
    chi_square = np.sum((counts - expected) ** 2) / expected
    assert abs(chi_square - freedom) <= 5.0 * np.sqrt(2.0 * freedom)


def test_integer_edges():
    whole = draw(_integers, SEED, -(2**31), 2**31 - 1, dtype=int).ravel().astype(np.float64)
    assert whole.mean() == pytest.approx(0.0, abs=5 * 2**32 / np.sqrt(12 * whole.size))
    assert np.all(draw(_integers, SEED, 5, 5, dtype=int, worlds=2, draws=8) == 5)
