"""Counter-based random numbers: Philox4x32-10, the same bits on the CPU, on CUDA and in NumPy.

Every number is a pure function of ``(seed, world, episode, stream, draw)``, so nothing is carried
from step to step and world *i* draws what it draws whatever the number of worlds or workers.

The 64-bit seed is the key, ``(world, episode, stream, draw // 4)`` the counter and ``draw % 4`` the
lane. `uniform` and `integer` share those lanes, so one draw index serves one of them; `normal` has
lanes of its own (the top bit of the stream) and is independent of a uniform with the same index.

Source: J. Salmon, M. Moraes, R. Dror, D. Shaw, "Parallel random numbers: as easy as 1, 2, 3",
SC'11.
"""

# Warp's stubs give its scalars and vectors no operators; inside kernels they have them.
# mypy: disable-error-code="operator, index, arg-type"

from typing import Any

import numpy as np
import warp as wp

wp.set_module_options({"enable_backward": False})

# What each stream is for; those of a task start at STREAM_TASK.
STREAM_RANDOMIZATION = 1
STREAM_OBSERVATION_NOISE = 2
STREAM_PHASE = 3
STREAM_TASK = 16

# Philox4x32 multipliers, and Weyl increments of the key (golden ratio, sqrt(3) - 1): Salmon et al.
_M0, _M1 = 0xD2511F53, 0xCD9E8D57
_W0, _W1 = 0x9E3779B9, 0xBB67AE85
_ROUNDS = 10

MULTIPLIER_0 = wp.constant(wp.uint64(_M0))
MULTIPLIER_1 = wp.constant(wp.uint64(_M1))
WEYL_0 = wp.constant(wp.uint32(_W0))
WEYL_1 = wp.constant(wp.uint32(_W1))
ROUNDS = wp.constant(_ROUNDS)
LOW_WORD = wp.constant(wp.uint64(0xFFFFFFFF))
NORMAL_STREAM = wp.constant(wp.uint32(0x80000000))


@wp.struct
class RandomKey:
    """What one stream of one episode of one world draws from; make it with `random_key`."""

    seed_low: wp.uint32
    seed_high: wp.uint32
    world: wp.uint32
    episode: wp.uint32
    stream: wp.uint32


@wp.func
def random_key(seed: wp.uint64, world: int, episode: int, stream: int) -> RandomKey:
    """Return the key of a stream.

    Args:
        seed: seed of the run, 64 bits.
        world: global number of the world, not its place in a worker's slice.
        episode: number of the world's episode, from 0.
        stream: a constant per purpose, 0 to 2**31 - 1.
    """
    key = RandomKey()
    key.seed_low = wp.uint32(seed & LOW_WORD)
    key.seed_high = wp.uint32(seed >> wp.uint64(32))
    key.world = wp.uint32(world)
    key.episode = wp.uint32(episode)
    key.stream = wp.uint32(stream)
    return key


@wp.func
def philox4x32(
    c0: wp.uint32, c1: wp.uint32, c2: wp.uint32, c3: wp.uint32, k0: wp.uint32, k1: wp.uint32
) -> wp.vec4ui:
    """Return the four words of Philox4x32-10 for counter ``c0..c3`` and key ``k0, k1``."""
    for _ in range(ROUNDS):
        # The high word needs 64-bit operands: a product of two uint32 keeps the low word only.
        product_0 = MULTIPLIER_0 * wp.uint64(c0)
        product_1 = MULTIPLIER_1 * wp.uint64(c2)
        c0 = wp.uint32(product_1 >> wp.uint64(32)) ^ c1 ^ k0
        c1 = wp.uint32(product_1 & LOW_WORD)
        c2 = wp.uint32(product_0 >> wp.uint64(32)) ^ c3 ^ k1
        c3 = wp.uint32(product_0 & LOW_WORD)
        k0 = k0 + WEYL_0
        k1 = k1 + WEYL_1
    return wp.vec4ui(c0, c1, c2, c3)


@wp.func
def random_bits(key: RandomKey, draw: int) -> wp.uint32:
    """Return 32 random bits: lane ``draw % 4`` of block ``draw // 4``; ``draw`` >= 0."""
    block = philox4x32(
        key.world, key.episode, key.stream, wp.uint32(draw // 4), key.seed_low, key.seed_high
    )
    return block[draw % 4]


@wp.func
def uniform(key: RandomKey, draw: int, low: float, high: float) -> float:
    """Return a uniform number in [low, high), 24 bits fine; float32 rounding may reach ``high``."""
    unit = float(random_bits(key, draw) >> wp.uint32(8)) * 5.9604644775390625e-8  # 2**-24
    return low + (high - low) * unit


@wp.func
def normal(key: RandomKey, draw: int) -> float:
    """Return a standard normal number, at most 6.7 in size.

    Box and Muller (1958): lanes (0, 1) and (2, 3) of a block give two independent numbers each, the
    cosine for the even draw and the sine for the odd one.
    """
    block = philox4x32(
        key.world,
        key.episode,
        key.stream | NORMAL_STREAM,
        wp.uint32(draw // 4),
        key.seed_low,
        key.seed_high,
    )
    lane = draw % 4
    pair = lane - lane % 2
    # In (0, 1], so that the logarithm is finite; all 32 bits, because they set the tail's length.
    unit = (float(block[pair]) + 1.0) * 2.3283064365386963e-10  # 2**-32
    radius = wp.sqrt(-2.0 * wp.log(unit))
    angle = float(block[pair + 1] >> wp.uint32(8)) * 3.7450703e-7  # 2 pi 2**-24 [rad]
    if lane % 2 == 0:
        return radius * wp.cos(angle)
    return radius * wp.sin(angle)


@wp.func
def integer(key: RandomKey, draw: int, low: int, high: int) -> int:
    """Return an integer in low .. high - 1, or ``low`` where that range is empty.

    Multiply-shift (Lemire 2019) without rejection: a value's probability is off by at most 2**-32.
    """
    span = wp.int64(high) - wp.int64(low)
    if span < wp.int64(1):
        return low
    product = wp.uint64(random_bits(key, draw)) * wp.uint64(span)
    return int(wp.int64(low) + wp.int64(product >> wp.uint64(32)))


def philox(counter: Any, key: Any) -> np.ndarray:
    """Return Philox4x32-10 on the host.

    Args:
        counter: (..., 4) words, taken modulo 2**32.
        key: (..., 2) words, taken modulo 2**32; broadcast against ``counter``.

    Returns:
        (..., 4) uint32.
    """
    mask = np.uint64(0xFFFFFFFF)
    half = np.uint64(32)
    words = np.asarray(counter).astype(np.uint64) & mask
    keys = np.asarray(key).astype(np.uint64) & mask
    c0, c1, c2, c3 = (words[..., i] for i in range(4))
    k0, k1 = (keys[..., i] for i in range(2))
    for _ in range(_ROUNDS):
        product_0 = np.uint64(_M0) * c0
        product_1 = np.uint64(_M1) * c2
        c0, c1, c2, c3 = (
            (product_1 >> half) ^ c1 ^ k0,
            product_1 & mask,
            (product_0 >> half) ^ c3 ^ k1,
            product_0 & mask,
        )
        k0 = (k0 + np.uint64(_W0)) & mask
        k1 = (k1 + np.uint64(_W1)) & mask
    return np.stack(np.broadcast_arrays(c0, c1, c2, c3), axis=-1).astype(np.uint32)


def host_bits(seed: int, world: Any, episode: Any, stream: Any, draw: Any) -> np.ndarray:
    """Return what `random_bits` returns, uint32; the last four arguments broadcast."""
    world, episode, stream, draw = np.broadcast_arrays(
        *(np.asarray(index, dtype=np.int64) for index in (world, episode, stream, draw))
    )
    counter = np.stack([world, episode, stream, draw // 4], axis=-1)
    block = philox(counter, [seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF])
    return np.take_along_axis(block, (draw % 4)[..., None], axis=-1)[..., 0]


def host_uniform(seed: int, world: Any, episode: Any, stream: Any, draw: Any) -> np.ndarray:
    """Return what `uniform` returns for low 0 and high 1, float32; the last four broadcast."""
    bits = host_bits(seed, world, episode, stream, draw)
    return (bits >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)
