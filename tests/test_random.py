from __future__ import annotations

import math
import os
import signal
import threading
from statistics import NormalDist
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

import minigrad as mg
from minigrad import random
from minigrad.errors import DataError, DTypeError, OptionError, ShapeError
from minigrad.random import Generator
from tests.clock import HANG

DRAWS = {
    "rand": lambda g: mg.rand(3, 4, generator=g),
    "randn": lambda g: mg.randn((3, 4), generator=g),
    "randint": lambda g: mg.randint(0, 9, (5,), generator=g),
    "randperm": lambda g: mg.randperm(9, generator=g),
    "normal": lambda g: mg.normal(1.0, 2.0, (4,), generator=g),
    "uniform": lambda g: random.uniform(-1, 1, (4,), generator=g),
    "bernoulli": lambda g: mg.bernoulli(mg.full((9,), 0.5), generator=g),
    "multinomial": lambda g: random.multinomial(mg.ones(9), 4, generator=g),
    "trunc_normal": lambda g: random.trunc_normal((9,), generator=g),
    "rand_like": lambda g: mg.rand_like(mg.zeros(3), generator=g),
    "randn_like": lambda g: mg.randn_like(mg.zeros(3), generator=g),
}


# ---- streams --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DRAWS)
def test_a_seed_fixes_the_numbers(name: str) -> None:
    draw = DRAWS[name]
    first = draw(Generator(7)).tolist()
    assert draw(Generator(7)).tolist() == first
    assert draw(Generator(8)).tolist() != first
    mg.manual_seed(7)
    assert draw(None).tolist() == first
    assert draw(None).tolist() != first


@pytest.mark.parametrize("name", DRAWS)
@given(before=st.integers(0, 7))
def test_a_state_brings_the_numbers_back(name: str, before: int) -> None:
    g = Generator(1)
    g.random((before,))
    g.integers(0, 10, (before,))
    state = g.get_state()
    wanted = [DRAWS[name](g).tolist() for _ in range(2)]
    other = Generator(2).set_state(state)
    assert [DRAWS[name](other).tolist() for _ in range(2)] == wanted


def test_the_state_is_a_small_uint8_tensor() -> None:
    state = mg.get_rng_state()
    assert state.dtype == mg.uint8
    assert state.shape == (104,)
    a = mg.randn(5).tolist()
    mg.set_rng_state(state)
    assert mg.randn(5).tolist() == a


def test_the_stream_is_pinned() -> None:
    """Numbers of a seed must not change between versions: old runs could not be repeated."""
    g = Generator(0)
    assert g.integers(0, 1000, (4,)).tolist() == [135, 14, 937, 257]
    assert g.random((2,), "float64").tolist() == pytest.approx(
        [0.47156538101528966, 0.0914196711073687]
    )


def test_seeds() -> None:
    assert Generator(5).initial_seed() == 5
    assert mg.manual_seed(3) is random.default_generator()
    assert random.initial_seed() == 3
    assert Generator(-1).random((2,)).tolist() == Generator(2**64 - 1).random((2,)).tolist()
    assert Generator().initial_seed() != Generator().initial_seed()
    new = random.seed()
    assert random.initial_seed() == new


def test_threads_share_a_generator_without_repeating_numbers() -> None:
    g = Generator(0)
    found: list[Any] = []

    def work() -> None:
        found.extend([g.random((100,), "float64") for _ in range(50)])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    drawn = np.concatenate(found)
    assert len(np.unique(drawn)) == drawn.size
    assert set(drawn) == set(Generator(0).random((drawn.size,), "float64"))


# ---- what is drawn --------------------------------------------------------------------------


def test_sizes_dtypes_and_gradients() -> None:
    for f in (mg.rand, mg.randn):
        assert f().shape == ()
        assert f(0, 3).shape == (0, 3)
        assert f((2, 3)).shape == f([2, 3]).shape == f(2, 3).shape == (2, 3)
        assert f(2).dtype == mg.float32
        assert f(2, dtype=mg.float64).dtype == mg.float64
        assert f(2, requires_grad=True).requires_grad
        half = f(10_000, dtype="float16", generator=Generator(0))
        assert half.dtype == mg.float16
        assert float(half.max()) != 1.0
    assert mg.randint(3, (2, 2)).dtype == mg.int64
    assert mg.randint(3, (2, 2), dtype="uint8").dtype == mg.uint8
    assert mg.randperm(3, dtype="int32").dtype == mg.int32
    assert mg.randn_like(mg.zeros(2, dtype="float64")).dtype == mg.float64
    assert random.randint_like(mg.zeros(2, 3), 5).shape == (2, 3)
    assert mg.normal(mg.zeros(2, 1), mg.ones(3)).shape == (2, 3)
    assert mg.bernoulli(mg.full((2,), 0.5, dtype="float64")).dtype == mg.float64


def test_moments() -> None:
    g, n = Generator(0), 100_000
    error = 5 / math.sqrt(n)  # five standard deviations of a mean
    z, u = g.normal((n,)), g.random((n,))
    assert abs(z.mean()) < error
    assert abs((z**2).mean() - 1) < error * math.sqrt(2)
    assert abs(u.mean() - 0.5) < error * math.sqrt(1 / 12)
    assert 0 <= u.min() < u.max() < 1
    i = mg.randint(-2, 3, (n,), generator=g).numpy()
    assert np.abs(np.bincount(i + 2) / n - 0.2).max() < error
    x = mg.normal(3.0, 2.0, (n,), generator=g)
    assert abs(float(x.mean()) - 3) < 2 * error
    b = mg.bernoulli(mg.full((n,), 0.25), generator=g)
    assert abs(float(b.mean()) - 0.25) < error


@pytest.mark.parametrize(
    ("a", "b", "std"),
    [(-2, 2, 1), (-1, 0.5, 1), (2, 4, 1), (6, 9, 1), (-0.01, 0.01, 1), (-2, 2, 0.02)],
)
def test_trunc_normal(a: float, b: float, std: float) -> None:
    n = 50_000
    x = random.trunc_normal((n,), 0.0, std, a, b, generator=Generator(0), dtype="float64").numpy()
    assert a <= x.min() <= x.max() <= b
    normal = NormalDist(0.0, std)
    # the distribution function, by symmetry on the side where it has digits to spare
    side = -1.0 if a > 0 else 1.0
    low, high = sorted((normal.cdf(side * a), normal.cdf(side * b)))
    for q in (0.1, 0.5, 0.9):
        share = (normal.cdf(side * float(np.quantile(x, q))) - low) / (high - low)
        assert abs(share - (q if side > 0 else 1 - q)) < 5 / math.sqrt(n)


def test_trunc_normal_without_spread() -> None:
    assert random.trunc_normal((2,), 5.0, 0.0).tolist() == [2.0, 2.0]
    assert random.trunc_normal((0,)).shape == (0,)


def test_permutation_has_every_number_once() -> None:
    assert sorted(mg.randperm(100).tolist()) == list(range(100))
    assert mg.randperm(0).shape == (0,)


@pytest.mark.parametrize("replacement", [True, False])
def test_multinomial(replacement: bool) -> None:
    weights = mg.tensor([[1.0, 0.0, 3.0]]).repeat(20_000, 1)
    drawn = random.multinomial(weights, 2, replacement, generator=Generator(0)).numpy()
    assert not (drawn == 1).any()
    assert abs((drawn[:, 0] == 2).mean() - 0.75) < 0.02
    assert replacement or (drawn[:, 0] != drawn[:, 1]).all()


# ---- errors ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: mg.rand(2, -1), ShapeError, "rand: a size has no negative length, got (2, -1)"),
        (lambda: mg.randn("a"), DTypeError, "randn: a size is a sequence of ints, not ('a',)"),
        (
            lambda: mg.randn(2, dtype="int64"),
            DTypeError,
            "randn: the numbers are floats, dtype cannot be int64; use randint",
        ),
        (
            lambda: mg.randint(3, 3, (2,)),
            OptionError,
            "randint: there is no integer in [3, 3); high must exceed low",
        ),
        (
            lambda: mg.randint(3),
            OptionError,
            "randint: give a size: randint(high, size) or randint(low, high, size)",
        ),
        (lambda: mg.normal(0.0, -1.0, (2,)), OptionError, "normal: std must not be negative"),
        (
            lambda: mg.bernoulli(mg.tensor([1.5])),
            OptionError,
            "bernoulli: probabilities are in [0, 1]; apply sigmoid to logits first",
        ),
        (
            lambda: random.multinomial(mg.tensor([1.0, 0.0]), 2),
            OptionError,
            "multinomial: num_samples=2 must be positive, and without replacement at most 1, the "
            "number of weights above 0",
        ),
        (
            lambda: random.trunc_normal((2,), a=1.0, b=1.0),
            OptionError,
            "trunc_normal: std=1.0 must be >= 0 and a=1.0 below b=1.0",
        ),
        (lambda: mg.manual_seed(0.5), DTypeError, "manual_seed: a seed is an int, not float"),
        (
            lambda: mg.manual_seed(2**64),
            OptionError,
            "manual_seed: the seed must fit into 64 bits, 18446744073709551616 does not",
        ),
        (
            lambda: mg.set_rng_state(mg.zeros(3)),
            DataError,
            "set_rng_state: a state is a uint8 tensor of 104 bytes, not float32 of shape (3,); "
            "pass what get_rng_state() returned",
        ),
    ],
)
def test_messages(call: Any, error: type[Exception], message: str) -> None:
    before = mg.get_rng_state().tolist()
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == message
    assert mg.get_rng_state().tolist() == before  # nothing was drawn


# ---- forks ----------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning")
def test_a_child_can_draw_whatever_the_threads_of_its_parent_do() -> None:
    own, stop = mg.random.Generator(1), threading.Event()

    def draw() -> None:
        while not stop.is_set():
            mg.randn(100_000)
            own.normal((100_000,))

    threads = [threading.Thread(target=draw) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            child = os.fork()
            if not child:
                signal.alarm(HANG)  # its default action ends a child that hangs
                mg.randn(10)
                own.normal((10,))
                mg.random.Generator().normal((10,))
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning")
def test_a_child_goes_on_where_its_parent_stood() -> None:
    mg.manual_seed(3)
    mg.randn(3)
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.write(writing, mg.randn(5).numpy().tobytes())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 20) == mg.randn(5).numpy().tobytes()
    os.close(reading)
    os.close(writing)


def test_a_replay_in_checkpoint_does_not_disturb_other_draws() -> None:
    x = mg.ones(50, requires_grad=True)
    drawn = []

    def block(t: mg.Tensor) -> mg.Tensor:
        drawn.append(mg.dropout(t, 0.5))
        return drawn[-1] * 2

    mg.manual_seed(0)
    y = mg.autograd.checkpoint(block, x).sum()
    state = mg.get_rng_state()
    y.backward()
    assert (drawn[0] == drawn[1]).all()
    assert (mg.get_rng_state() == state).all()
