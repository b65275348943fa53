from __future__ import annotations

import pytest

import minigrad as mg
from minigrad import nn
from minigrad.errors import DTypeError, OptionError


def test_sequential_behaves_as_a_list() -> None:
    net = nn.Sequential(nn.Linear(4, 3), nn.ReLU())
    net.append(nn.Linear(3, 2)).extend([nn.Tanh()])
    assert [type(m).__name__ for m in net] == ["Linear", "ReLU", "Linear", "Tanh"]
    assert net[-1] is net[3]
    assert len(net[1:3]) == 2
    assert net[1:3][0] is net[1]
    net.insert(0, nn.Identity())
    del net[-1]
    net[2] = nn.GELU()
    assert [type(m).__name__ for m in net] == ["Identity", "Linear", "GELU", "Linear"]
    assert [name for name, _ in net.named_children()] == ["0", "1", "2", "3"]
    assert net(mg.ones(1, 4)).shape == (1, 2)
    with pytest.raises(IndexError):
        net[4]


def test_sequential_with_names() -> None:
    net = nn.Sequential({"first": nn.Linear(2, 3), "act": nn.ReLU(), "last": nn.Linear(3, 1)})
    assert list(net.state_dict()) == ["first.weight", "first.bias", "last.weight", "last.bias"]
    assert [name for name, _ in net[1:].named_children()] == ["act", "last"]
    assert net.act is net[1]
    with pytest.raises(OptionError, match="already has an attribute 'forward'"):
        nn.Sequential({"forward": nn.ReLU()})


def test_longer_than_ten_keeps_its_order() -> None:
    layers = [nn.Linear(1, i + 1) for i in range(12)]
    assert [m.out_features for m in nn.ModuleList(layers)] == list(range(1, 13))


@pytest.mark.parametrize("kind", [nn.Sequential, nn.ModuleList])
def test_only_modules_are_taken(kind: type[nn.Module]) -> None:
    with pytest.raises(DTypeError, match=r"holds Modules, not ReLU; write ReLU\(…\) to create it"):
        nn.Sequential(nn.ReLU)
    net = nn.ModuleList([nn.ReLU()])
    with pytest.raises(DTypeError, match="not int"):
        net.extend([nn.Tanh(), 3])
    assert len(net) == 1


def test_reprs_equal_torch() -> None:
    tnn = pytest.importorskip("torch.nn")
    for lib in (nn, tnn):
        lib.shown = [
            lib.Sequential(),
            lib.ModuleList(),
            lib.ModuleList([lib.Linear(2, 2), lib.Linear(2, 2), lib.ReLU(), lib.Linear(2, 2)]),
            lib.ModuleDict({"a": lib.Sequential(lib.Tanh(), lib.Sigmoid()), "b": lib.Tanh()}),
        ]
    assert [repr(m) for m in nn.shown] == [repr(m) for m in tnn.shown]
    del nn.shown, tnn.shown


def test_module_dict_behaves_as_a_dict() -> None:
    heads = nn.ModuleDict({"a": nn.Linear(2, 1)})
    heads["b"] = nn.ReLU()
    heads.update({"c": nn.Tanh()})
    assert list(heads) == heads.keys() == ["a", "b", "c"]
    assert [type(m).__name__ for m in heads.values()] == ["Linear", "ReLU", "Tanh"]
    assert dict(heads.items())["c"] is heads["c"]
    assert "b" in heads
    del heads["b"]
    assert "b" not in heads
    assert len(heads) == 2
    assert list(heads.state_dict()) == ["a.weight", "a.bias"]
    with pytest.raises(KeyError, match="unknown module of this ModuleDict 'd'"):
        heads["d"]
    with pytest.raises(OptionError, match="already has an attribute 'items'"):
        heads["items"] = nn.ReLU()


def test_parameter_list() -> None:
    weights = nn.ParameterList([mg.zeros(2), nn.Parameter(mg.ones(3))])
    weights.append(mg.zeros(1))
    assert [name for name, _ in weights.named_parameters()] == ["0", "1", "2"]
    assert all(isinstance(p, nn.Parameter) for p in weights)
    assert weights[1].shape == (3,)
    with pytest.raises(DTypeError, match="holds Parameters, not str"):
        weights.append("x")
    assert "(1): Parameter of shape (3,), float32" in repr(weights)
