"""What ranks do together equals what one does alone; here the ranks are threads."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.backend import use_kernels
from minigrad.data import DataLoader
from minigrad.distributed import GradientBuckets, Group, ShardedOptimizer, synchronise_batch_norm
from minigrad.distributed import nccl as ours
from minigrad.distributed.launch import one_voice
from minigrad.errors import OptionError
from minigrad.runs import TrainConfig, tasks
from minigrad.train import SegmentationTrainer, Trainer, find_batch_size, find_lr
from minigrad.train.batches import check_loader
from tests.distributed.ranks import Thread, together

pytestmark = pytest.mark.usefixtures("formulas")
X = mg.randn(10, 3, 4, 4, generator=mg.Generator(0), dtype=mg.float64)


@pytest.fixture
def formulas() -> Iterator[None]:
    """Nothing to compile."""
    with use_kernels("reference"):
        yield


def rows(group: Any) -> slice:
    """Return a rank's part of 10 rows; three ranks have unequal parts."""
    part = np.array_split(np.arange(10), group.size)[group.rank]
    return slice(int(part[0]), int(part[-1]) + 1)


def same(a: Any, b: Any) -> None:
    for one, other in zip(a, b, strict=True):
        np.testing.assert_array_equal(one.detach().numpy(), other.detach().numpy())


@pytest.mark.parametrize("size", [2, 3])
def test_buckets_add_in_the_order_of_the_ranks_and_leave_during_backward(size: int) -> None:
    """Bit for bit what one process gets that adds the parts one after the other."""
    net = nn.Sequential(nn.Linear(48, 8), nn.GELU(), nn.Linear(8, 2)).double()
    flat = X.reshape(10, 48)

    def of_rank(group: Thread) -> Any:
        mine, spare = copy.deepcopy(net), nn.Parameter(mg.ones(2, dtype=mg.float64))
        buckets = GradientBuckets([spare, *mine.parameters()], group, megabytes=1e-6)
        sent = []
        with buckets.summing():
            hidden = mine[0](flat[rows(group)])
            hidden.register_hook(lambda g: sent.append(len(group.sent)))
            (mine[2](mine[1](hidden)) ** 2).sum().backward()
        assert sent == [2], "weight and bias of the last layer were not under way"
        assert len(group.sent) == 5
        assert spare.grad is None, "nobody had a gradient"
        return [p.grad for p in mine.parameters()]

    for rank in range(size):
        (net(flat[rows(SimpleNamespace(rank=rank, size=size))]) ** 2).sum().backward()
    for grads in together(size, of_rank):
        same(grads, [p.grad for p in net.parameters()])


def test_buckets_are_laid_out_again_only_when_others_are_trained() -> None:
    def of_rank(group: Thread) -> Any:
        a, b = (nn.Parameter(mg.ones(2, dtype=mg.float64)) for _ in range(2))
        buckets, grads = GradientBuckets([a, b], group), []
        layouts = []
        for trained in (True, True, False, True):
            b.requires_grad_(trained)
            a.grad = b.grad = None
            with buckets.summing():
                (a * 2.0 + b * 3.0).sum().backward()
            grads.append(None if b.grad is None else b.grad.numpy().tolist())
            layouts.append(buckets._layout()[0])
        return grads, [one is other for one, other in pairwise(layouts)]

    expected = [[6.0, 6.0], [6.0, 6.0], None, [6.0, 6.0]], [True, False, False]
    assert together(2, of_rank) == [expected, expected]


@pytest.mark.parametrize(("group", "megabytes"), [(Group(), 0), (Group(), "a"), (None, 4.0)])
def test_buckets_want_a_size_and_a_group(group: Any, megabytes: Any) -> None:
    with pytest.raises(OptionError, match="GradientBuckets: "):
        GradientBuckets([mg.ones(2, requires_grad=True)], group, megabytes)


def test_batch_norm_measures_the_parts_of_all_ranks() -> None:
    """Outputs, gradients and running statistics of unequal parts are those of the whole."""
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()).double()
    weights = mg.randn(10, 4, 2, 2, generator=mg.Generator(1), dtype=mg.float64)

    def of_rank(group: Thread) -> Any:
        mine = copy.deepcopy(net)
        synchronise_batch_norm(mine, group)
        with GradientBuckets(mine.parameters(), group).summing():
            out = mine(X[rows(group)])
            (out * weights[rows(group)]).sum().backward()
        return out.detach().numpy(), [p.grad.numpy() for p in mine.parameters()], mine.state_dict()

    parts = together(3, of_rank)
    out = net(X)
    (out * weights).sum().backward()
    np.testing.assert_allclose(
        np.concatenate([p[0] for p in parts]), out.detach().numpy(), atol=1e-12
    )
    for _, grads, state in parts:
        for mine, p in zip(grads, net.parameters(), strict=True):
            np.testing.assert_allclose(mine, p.grad.numpy(), atol=1e-12)
        for mine, whole in zip(state.values(), net.state_dict().values(), strict=True):
            np.testing.assert_allclose(mine.numpy(), whole.numpy(), rtol=1e-12)


def test_a_sharded_optimizer_is_the_whole_one() -> None:
    params = [nn.Parameter(mg.ones(n, dtype=mg.float64) * n) for n in (4, 1, 3, 2)]

    def steps(optimizer: Any, own: list[Any]) -> None:
        for _ in range(2):
            for i, p in enumerate(own):
                p.grad = p.detach() * float(i + 1)
            optimizer.step()

    def of_rank(group: Thread) -> Any:
        own = copy.deepcopy(params)
        optimizer = ShardedOptimizer(mg.optim.AdamW(own, lr=0.1), group)
        steps(optimizer, own)
        size = sum(len(state["exp_avg"]) for state in optimizer.optimizer.state.values())
        return own, size, optimizer.state_dict()

    results = together(2, of_rank)
    whole = mg.optim.AdamW(params, lr=0.1)
    steps(whole, params)
    assert [size for _, size, _ in results] == [5, 5]
    for own, _, _ in results:
        same(own, params)
    saved, expected = results[0][2], whole.state_dict()
    assert saved["param_groups"] == expected["param_groups"]
    assert list(saved["state"]) == [0, 1, 2, 3]
    for i, state in expected["state"].items():
        same([state["exp_avg"]], [saved["state"][i]["exp_avg"]])
    alone = ShardedOptimizer(
        mg.optim.AdamW(params, lr=0.5), Thread(1, SimpleNamespace(places=[0, 0]))
    )
    alone.load_state_dict(saved)  # a rank keeps its part
    assert alone.optimizer.param_groups[0]["lr"] == 0.1
    assert {len(p) for p in alone.optimizer.state} == {3, 2}


def test_the_parts_of_a_batch_are_all_of_it() -> None:
    loader = DataLoader([(i, i) for i in range(23)], 8, shuffle=True)
    parts = [[x.tolist() for x, _ in loader.batches(1, part=(r, 3))] for r in range(3)]
    whole = [x.tolist() for x, _ in loader.batches(1)]
    assert [a + b + c for a, b, c in zip(*parts, strict=True)] == whole
    dealt = [[x.tolist() for x, _ in loader.batches(1, r, 2)] for r in range(2)]
    assert dealt == [whole[0::2], whole[1::2]]


def test_a_batch_has_a_sample_for_every_rank() -> None:
    samples = [(i, i) for i in range(9)]
    with pytest.raises(OptionError, match="one has 1 samples: train with drop_last=True"):
        check_loader(DataLoader(samples, 4), ranks=2)
    check_loader(DataLoader(samples, 4, drop_last=True), ranks=2)


def test_evaluation_adds_the_batches_in_their_order() -> None:
    """Each rank takes every second one; the numbers are those of one rank, bit for bit."""
    split = mg.data.Subset(mg.data.digits(), range(90))
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

    def of_rank(group: Any) -> Any:
        return Trainer(copy.deepcopy(net), "sgd", group=group).evaluate(DataLoader(split, 20))

    alone = of_rank(None)
    assert together(2, of_rank) == [alone, alone]


@pytest.mark.parametrize("count", [1, 5])
def test_segmentation_counts_every_position_once(count: int) -> None:
    """Unequal batches, more or fewer than ranks: losses, IoU and Dice of one rank, bit for bit."""
    draw = np.random.default_rng(0)
    samples = [(draw.random((1, 4, 4), np.float32), draw.integers(0, 3, (4, 4))) for _ in range(9)]
    loader, net = DataLoader(samples[: 2 * count - 1], 2), nn.Conv2d(1, 3, 1)
    seen = []

    def of_rank(group: Any) -> Any:
        trainer = SegmentationTrainer(copy.deepcopy(net), "sgd", group=group)
        trainer.model.register_forward_hook(lambda *_: seen.append(group and group.rank))
        return trainer.evaluate(loader), trainer.confusion(loader).matrix.tolist()

    alone = of_rank(None)
    seen.clear()
    assert together(2, of_rank) == [alone, alone]
    assert sorted(seen) == sorted(2 * [i % 2 for i in range(count)])


def test_a_learning_rate_is_found_together_and_a_batch_size_alone() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).double()
    samples = [(x.astype(np.float64), y) for x, y in (mg.data.digits()[i] for i in range(90))]

    def of_rank(group: Any) -> Any:
        trainer = Trainer(copy.deepcopy(net), "sgd", group=group)
        loader = DataLoader(samples, 20, shuffle=True)
        if group is not None:
            with pytest.raises(OptionError, match="measures one process"):
                find_batch_size(trainer, loader)
        return find_lr(trainer, loader, steps=8).losses

    alone = of_rank(None)
    for losses in together(2, of_rank):
        np.testing.assert_allclose(losses, alone, rtol=1e-12)


def test_rank_0_speaks_for_all(capsys: pytest.CaptureFixture[str]) -> None:
    for rank in (0, 1):
        with one_voice(Thread(rank, SimpleNamespace(places=[0, 0]))):
            print("rank", rank)
    assert capsys.readouterr().out == "rank 0\n"


class FakeNCCL:
    """Records what NCCL is asked; the stream and its events are done at once."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.ptr, self.done = 77, True

    def get_unique_id(self) -> str:
        return "name"

    def NcclCommunicator(self, *args: Any) -> FakeNCCL:
        self.asked.append(args)
        return self

    def allReduce(self, *args: Any) -> None:
        self.asked.append(args)

    def record(self) -> FakeNCCL:
        self.asked.append("record")
        return self

    def wait_event(self, event: Any) -> None:
        self.asked.append("wait")


def test_gpu_sums_go_to_nccl_on_a_stream_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeNCCL()
    stand_in = SimpleNamespace(
        nccl=lambda: fake, new_stream=lambda: fake, current_stream=lambda: fake,
        address=lambda array: array.ctypes.data,
    )  # fmt: skip
    monkeypatch.setattr(ours, "backend", stand_in)
    array = np.ones(5, np.float32)
    work = ours.NCCL(mg.distributed.init()).all_reduce(array)
    assert work.test()
    work.wait()
    address = array.ctypes.data
    reduce = (address, address, 5, 7, 0, 77)  # in place, ncclFloat, ncclSum, that stream
    assert fake.asked == [(1, "name", 0), "record", "wait", reduce, "record", "wait"]


def test_class_weights_and_balance_are_of_all_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not of a rank's share, which has other numbers of each class."""
    labels = np.array([0] * 9 + [1] * 2 + [2])
    for label in range(3):
        for part, count in (("train", (labels == label).sum()), ("val", 1)):
            (tmp_path / part / str(label)).mkdir(parents=True)
            for i in range(count):
                np.save(tmp_path / part / str(label) / f"{i}.npy", np.full((8, 8), i, np.uint8))
    own = threading.local()
    monkeypatch.setattr("minigrad.train.trainer.init", lambda: own.group)
    wanted = {
        "data": str(tmp_path), "channels": 1, "model": "convnext", "depths": (1,), "dims": (4,),
        "batch_size": 4, "class_weights": True, "balanced": True,
    }  # fmt: skip

    def of_rank(group: Group) -> Any:
        own.group = group
        experiment = tasks["train"].prepare(TrainConfig.from_values(wanted))
        weight: Any = experiment.trainer.loss.keywords["weight"]  # type: ignore[union-attr]
        batches = experiment.train.batches(0, part=(group.rank, group.size))
        return weight.numpy().tolist(), [target.numpy().tolist() for _, target in batches]

    weights, whole = of_rank(Group())
    assert weights == pytest.approx((12 / 3 / np.bincount(labels)).tolist())
    parts = together(2, of_rank)
    assert [weight for weight, _ in parts] == [weights, weights]
    halves = zip(*(batches for _, batches in parts), strict=True)
    assert [[*a, *b] for a, b in halves] == whole
