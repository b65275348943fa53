"""Module: the tree, state, conversions, hooks, printing, and errors that name the layer."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.errors import DTypeError, OptionError, ShapeError


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.ReLU())
        self.head = nn.Linear(3, 2)
        self.scale = nn.Parameter(mg.ones(2))
        self.register_buffer("seen", mg.zeros(1))
        self.register_buffer("cache", mg.zeros(5), persistent=False)

    def forward(self, x: mg.Tensor) -> mg.Tensor:
        return self.head(self.body(x)) * self.scale


def same_names_as_torch() -> Any:
    tnn = pytest.importorskip("torch.nn")
    torch = pytest.importorskip("torch")

    class Theirs(tnn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = tnn.Sequential(tnn.Linear(4, 3), tnn.BatchNorm1d(3), tnn.ReLU())
            self.head = tnn.Linear(3, 2)
            self.scale = tnn.Parameter(torch.ones(2))
            self.register_buffer("seen", torch.zeros(1))
            self.register_buffer("cache", torch.zeros(5), persistent=False)

    Theirs.__name__ = "Net"
    return Theirs()


def test_names_and_order_are_those_of_torch() -> None:
    ours, theirs = Net(), same_names_as_torch()
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for walk in ("named_parameters", "named_buffers", "named_modules", "named_children"):
        assert [n for n, _ in getattr(ours, walk)()] == [n for n, _ in getattr(theirs, walk)()]
    assert repr(ours) == repr(theirs)


def test_super_init_may_be_forgotten() -> None:
    class Short(nn.Module):
        def __init__(self) -> None:
            self.a = nn.Linear(2, 2)
            self.register_buffer("b", mg.zeros(1))

    assert list(Short().eval().state_dict()) == ["b", "a.weight", "a.bias"]
    assert nn.Module.training  # the class's default was not touched


def test_shared_parameters_are_found_once_but_saved_under_both_names() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    net[1].weight = net[0].weight
    assert len(list(net.parameters())) == 3
    assert len(list(net.named_parameters(remove_duplicate=False))) == 4
    assert set(net.state_dict()) == {"0.weight", "0.bias", "1.weight", "1.bias"}


def test_get_submodule() -> None:
    net = Net()
    assert net.get_submodule("body.0") is net.body[0]
    assert net.get_submodule("") is net
    with pytest.raises(OptionError, match=r"'body\.3'; did you mean 'body\.\d'"):
        net.get_submodule("body.3")


def test_attributes_keep_their_kind() -> None:
    net = Net()
    with pytest.raises(DTypeError, match=r"Net\.scale is a Parameter and cannot become a Tensor"):
        net.scale = mg.zeros(2)
    with pytest.raises(DTypeError, match=r"Net\.seen is a buffer and cannot become a float"):
        net.seen = 1.0
    net.scale = None
    assert "scale" not in dict(net.named_parameters())
    del net.seen
    assert "seen" not in net.state_dict()
    for name in ("", "a.b", "forward"):
        with pytest.raises(OptionError, match="name"):
            net.register_buffer(name, mg.zeros(1))


def test_apply_goes_from_the_leaves_to_the_root() -> None:
    order: list[str] = []
    Net().apply(lambda module: order.append(type(module).__name__))
    assert order == ["Linear", "BatchNorm1d", "ReLU", "Sequential", "Linear", "Net"]


# --- modes and conversions ---------------------------------------------------------------------


def test_train_and_eval_reach_every_module() -> None:
    net = Net().eval()
    assert not any(module.training for module in net.modules())
    assert all(module.training for module in net.train().modules())
    with pytest.raises(OptionError, match="True or False"):
        net.train("yes")  # type: ignore[arg-type]


def test_conversions_keep_the_parameters_and_integer_buffers() -> None:
    net = Net()
    before = list(net.parameters())
    net(mg.ones(3, 4)).sum().backward()
    net.double()
    assert all(a is b for a, b in zip(net.parameters(), before, strict=True))
    assert all(p.dtype == p.grad.dtype == mg.float64 for p in net.parameters())
    assert net.body[1].num_batches_tracked.dtype == mg.int64
    assert net.body[1].running_mean.dtype == net.cache.dtype == mg.float64
    net.zero_grad()
    net(mg.ones(3, 4, dtype=mg.float64)).sum().backward()
    assert net.head.weight.grad.dtype == mg.float64
    assert net.half().scale.dtype == mg.float16
    assert net.to("cpu", mg.float32).scale.dtype == net.float().scale.dtype == mg.float32
    assert net.to(device="cpu").scale.device == "cpu"


def test_freezing_and_zero_grad() -> None:
    net = Net()
    net.body.requires_grad_(False)
    net(mg.ones(3, 4)).sum().backward()
    assert net.body[0].weight.grad is None
    assert net.head.weight.grad is not None
    net.zero_grad(set_to_none=False)
    assert not net.head.weight.grad.array.any()
    net.zero_grad()
    assert net.head.weight.grad is None


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_copies_are_equal_and_independent(clone: Any) -> None:
    net = Net()
    other = clone(net)
    assert isinstance(other.scale, nn.Parameter)
    assert list(other.state_dict()) == list(net.state_dict())
    nn.init.zeros_(other.head.weight)
    assert net.head.weight.array.any()
    other.train(False)
    assert net.training


# --- hooks -------------------------------------------------------------------------------------


def test_hooks_see_and_replace() -> None:
    layer, seen = nn.Identity(), []
    pre = layer.register_forward_pre_hook(lambda module, args: args[0] + 1.0)
    post = layer.register_forward_hook(lambda module, args, out: out * 10.0)
    spy = layer.register_forward_hook(
        lambda module, args, out: seen.append((args[0].item(), out.item()))
    )
    assert layer(mg.tensor(1.0)).item() == 20.0
    assert seen == [(2.0, 20.0)]
    for handle in (pre, post, spy, spy):
        handle.remove()
    assert layer(mg.tensor(1.0)).item() == 1.0
    assert len(seen) == 1


def test_a_hook_may_remove_itself() -> None:
    layer, calls = nn.Identity(), []
    handle = layer.register_forward_hook(lambda *_: (calls.append(1), handle.remove()) and None)
    layer.register_forward_hook(lambda *_: calls.append(2))
    layer(mg.ones(1))
    layer(mg.ones(1))
    assert calls == [1, 2, 2]


def test_hooks_of_one_module_do_not_reach_another() -> None:
    layer = nn.Identity()
    layer.register_forward_hook(lambda *_: mg.zeros(1))
    assert nn.Identity()(mg.ones(1)).item() == 1.0


# --- printing and errors -----------------------------------------------------------------------


def test_an_error_names_the_layer_by_its_path() -> None:
    class Deep(nn.Module):
        def __init__(self) -> None:
            self.stages = nn.ModuleList([nn.Sequential(nn.ReLU(), nn.Linear(3, 2))])

        def forward(self, x: mg.Tensor) -> mg.Tensor:
            return self.stages[0](x)  # the ModuleList itself is never called

    with pytest.raises(ShapeError) as caught:
        nn.Sequential(Deep())(mg.ones(1, 4))
    message = str(caught.value)
    assert message.startswith("0.stages.0.1 (Linear(in_features=3, out_features=2, bias=True)): ")
    assert message.count("Linear(") == 1


def test_other_exceptions_pass_unchanged() -> None:
    class Broken(nn.Module):
        def forward(self, x: mg.Tensor) -> mg.Tensor:
            raise KeyError("mine")

    with pytest.raises(KeyError, match=r"^'mine'$"):
        Broken()(mg.ones(1))
    with pytest.raises(NotImplementedError, match="Module has no forward"):
        nn.Module()(mg.ones(1))


def test_parameter_shares_memory_and_says_what_it_is() -> None:
    values = np.zeros(2, np.float32)
    param = nn.Parameter(values)
    values[0] = 3.0
    assert param.requires_grad
    assert param.detach().tolist() == [3.0, 0.0]
    assert repr(param).startswith("Parameter containing:\ntensor([3., 0.]")
    assert not nn.Parameter(mg.zeros(1), requires_grad=False).requires_grad
    with pytest.raises(DTypeError, match="floating"):
        nn.Parameter(mg.zeros(2, dtype=mg.int64))


def test_count_params_has_statistics_and_no_number_twice() -> None:
    layer = nn.Linear(3, 4)
    norm = nn.BatchNorm1d(4)  # weight, bias, mean, variance; the counter of batches is no weight
    norm.register_buffer("helper", mg.zeros(5), persistent=False)
    assert nn.Sequential(layer, norm, layer).count_params() == 16 + 16
