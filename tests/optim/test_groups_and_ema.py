from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad import models, nn, optim
from minigrad.errors import OptionError


def test_biases_norms_and_scales_do_not_decay() -> None:
    model = models.ConvNeXtV2(
        num_classes=4, depths=(1, 1), dims=(8, 16), layer_scale_init_value=1.0
    )
    decay, rest = optim.param_groups(model, weight_decay=0.3)
    assert (decay["name"], decay["weight_decay"]) == ("decay", 0.3)
    assert (rest["name"], rest["weight_decay"]) == ("no_decay", 0.0)
    names = {id(p): name for name, p in model.named_parameters()}
    decaying = {names[id(p)] for p in decay["params"]}
    kernels = (
        "0.0.weight",
        "1.1.weight",
        "dwconv.weight",
        "pwconv1.weight",
        "pwconv2.weight",
        "head.weight",
    )
    assert decaying == {name for name in names.values() if name.endswith(kernels)}
    assert len(decay["params"]) + len(rest["params"]) == len(names)


def test_frozen_parameters_are_left_out() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[0].requires_grad_(False)
    assert sum(len(g["params"]) for g in optim.param_groups(model)) == 2


def test_layer_decay_needs_layers() -> None:
    with pytest.raises(OptionError, match="Linear has no method layer_ids"):
        optim.param_groups(nn.Linear(2, 2), layer_decay=0.9)
    with pytest.raises(OptionError, match=r"layer_decay must lie in \(0, 1\], got 1.5"):
        optim.param_groups(nn.Linear(2, 2), layer_decay=1.5)
    with pytest.raises(OptionError, match="did you mean 'group'"):
        optim.param_groups(models.ConvNeXt(2, depths=(1,), dims=(4,)), 0.1, 0.9, "groups")


def test_ema_follows_weights_and_buffers() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)).train()
    ema = optim.ModelEma(model, decay=0.75)
    assert not ema.module.training
    assert not any(p.requires_grad for p in ema.module.parameters())
    start = {k: v.numpy().copy() for k, v in model.state_dict().items()}
    for p in model.parameters():
        with mg.no_grad():
            p.add_(4.0)
    model(mg.randn(5, 2))
    ema.update(model)
    now = model.state_dict()
    for name, average in ema.module.state_dict().items():
        if name.endswith("num_batches_tracked"):
            assert average.item() == 1
        else:
            expected = 0.75 * start[name] + 0.25 * now[name].numpy()
            np.testing.assert_allclose(average, expected, rtol=1e-6, err_msg=name)
    with pytest.raises(OptionError, match="decay"):
        optim.ModelEma(model, decay=1.1)


def test_ema_leaves_the_model_alone() -> None:
    model = nn.Linear(2, 2)
    before = model.weight.detach().numpy().copy()
    ema = optim.ModelEma(model)
    ema.update(model)
    assert model.training
    assert model.weight.requires_grad
    np.testing.assert_array_equal(model.weight.detach(), before)
