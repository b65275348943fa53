"""ConvNeXt against golden files: logits, features, gradients, recipes, five training steps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import io, models, nn, optim
from minigrad.nn import functional as F
from tests.parity.procedural import image, unit, weights

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
TINY: dict[str, Any] = {"num_classes": 10, "depths": (1, 1, 2, 1), "dims": (8, 12, 16, 20)}
MODELS = {1: models.ConvNeXt, 2: models.ConvNeXtV2}

# manifest.json: absolute on logits, relative on gradients (which are stored as float32).
LOGITS = {mg.float64: 1e-9, mg.float32: 2e-5}
GRADIENTS = {mg.float64: 1e-6, mg.float32: 1e-4}
both_dtypes = pytest.mark.parametrize("dtype", [mg.float64, mg.float32], ids=str)
both_versions = pytest.mark.parametrize("version", [1, 2], ids=["v1", "v2"])


def golden(name: str) -> dict[str, Any]:
    return io.load_file(GOLDEN / f"{name}.safetensors")[0]


def key_order(name: str) -> list[str]:
    return io.load_file(GOLDEN / f"{name}.safetensors")[1]["keys"].split("\n")


def tiny(version: int, dtype: Any = mg.float64) -> nn.Module:
    model = MODELS[version](**TINY, dtype=dtype)
    model.load_state_dict(weights(model.state_dict()))
    return model


def close_gradient(found: Any, expected: Any, dtype: Any, name: str) -> None:
    """Compare as vectors: the error's norm relative to the gradient's."""
    error = np.linalg.norm((found.astype(np.float64) - expected).ravel())
    assert error <= GRADIENTS[dtype] * np.linalg.norm(expected.ravel()), name


# --- tiny models: everything is compared -------------------------------------------------------


@both_versions
@both_dtypes
def test_tiny_model(version: int, dtype: Any) -> None:
    case = golden(f"v{version}_case")
    model = tiny(version, dtype)
    features: dict[str, Any] = {}
    places = {"stem": model.downsample_layers[0]}
    places |= {f"stage{i}": stage for i, stage in enumerate(model.stages)}
    for name, module in places.items():
        module.register_forward_hook(lambda m, a, out, name=name: features.update({name: out}))

    x = mg.tensor(image("x", (2, 3, 64, 64)), dtype=dtype, requires_grad=True)
    np.testing.assert_array_equal(x.array[0, 0, 0, :8], case["x_head"].astype(dtype))
    logits = model(x)
    loss = F.cross_entropy(logits, mg.tensor(case["labels"]))
    loss.backward()

    atol = LOGITS[dtype]
    assert logits.dtype == dtype
    np.testing.assert_allclose(logits.detach(), case["logits"], rtol=0, atol=atol)
    np.testing.assert_allclose(loss.item(), case["loss"], rtol=0, atol=atol)
    with mg.no_grad():
        pre_logits = model.forward_head(model.forward_features(x), pre_logits=True)
        np.testing.assert_allclose(pre_logits, case["pre_logits"], rtol=0, atol=atol)
    for name, out in features.items():
        expected = case[f"feat.{name}"]
        found = out.detach().numpy()[: len(expected)]
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=max(atol, 1e-6), err_msg=name)

    gradients = {name: p.grad.numpy() for name, p in model.named_parameters()}
    assert {f"grad.{name}" for name in gradients} == {k for k in case if k.startswith("grad.")}
    for name, gradient in gradients.items():
        close_gradient(gradient, case[f"grad.{name}"], dtype, name)
    close_gradient(x.grad.numpy()[:, :, 30:34], case["grad_x_rows"], dtype, "input")
    norms = np.linalg.norm(x.grad.numpy().astype(np.float64).reshape(2, 3, -1), axis=2)
    np.testing.assert_allclose(norms, case["grad_x_l2"], rtol=GRADIENTS[dtype])


@both_versions
@both_dtypes
def test_sides_that_do_not_divide_by_32(version: int, dtype: Any) -> None:
    case = golden(f"v{version}_case")
    x = mg.tensor(image("x_odd", (1, 3, 75, 53)), dtype=dtype)
    with mg.no_grad():
        logits = tiny(version, dtype)(x)
    np.testing.assert_allclose(logits, case["logits_odd"], rtol=0, atol=LOGITS[dtype])


@both_versions
def test_official_checkpoint(version: int) -> None:
    weights = mg.io.read_checkpoint(GOLDEN / f"v{version}_fb.pth").tensors
    model = MODELS[version](**TINY, dtype=mg.float64)
    report = model.load_state_dict(weights)
    assert report.complete
    assert len(report.loaded) == len(weights)
    with mg.no_grad():
        logits = model(mg.tensor(image("x", (2, 3, 64, 64))))
    np.testing.assert_allclose(logits, golden(f"v{version}_case")["logits"], rtol=0, atol=1e-9)


def test_a_wrong_epsilon_would_be_seen() -> None:
    """The float64 tolerance proves the layer norms' eps: the final one at 1e-12 is 2e-6 off."""
    case = golden("v1_case")
    model = tiny(1)
    model.norm.eps = 1e-12
    with mg.no_grad():
        logits = model(mg.tensor(image("x", (2, 3, 64, 64))))
    np.testing.assert_allclose(logits, case["logits_hf"], rtol=0, atol=1e-9)
    assert np.abs(logits.numpy() - case["logits"]).max() > 1e-6


# --- full-size models --------------------------------------------------------------------------


@both_dtypes
@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("proc_v2_femto_64", "convnextv2_femto"),
        ("proc_v1_tiny_64", "convnext_tiny"),
        ("proc_v2_atto_224", "convnextv2_atto"),
    ],
)
def test_full_size(file: str, name: str, dtype: Any) -> None:
    case, (_, version, variant, side) = golden(file), file.split("_")
    with nn.init.skip_random():
        model = models.create_model(name, dtype=dtype)
    model.load_state_dict(weights(model.state_dict()))
    x = mg.tensor(image(f"{version}_{variant}", (1, 3, int(side), int(side))), dtype=dtype)
    logits = model(x)
    np.testing.assert_allclose(logits.detach(), case["logits"], rtol=0, atol=LOGITS[dtype])

    F.cross_entropy(logits, mg.tensor([42])).backward()
    parameters = dict(model.named_parameters())
    gradients = [parameters[key].grad.numpy().astype(np.float64) for key in key_order(file)]
    rtol = 1e-9 if dtype == mg.float64 else GRADIENTS[dtype]  # these are stored as float64
    norms = np.array([np.linalg.norm(g.ravel()) for g in gradients])
    np.testing.assert_allclose(norms, case["grad_l2"], rtol=rtol)
    sums = np.array([g.sum() for g in gradients])
    scale = norms * np.sqrt([g.size for g in gradients])  # a sum may cancel to nothing
    assert (np.abs(sums - case["grad_sum"]) <= rtol * scale).all()


def test_procedural_numbers_are_exact_in_half_precision() -> None:
    values = unit("downsample_layers.0.0.weight", (96, 3, 4, 4))
    np.testing.assert_array_equal(values.astype(np.float16).astype(np.float64), values)


# --- recipes -----------------------------------------------------------------------------------


RECIPES: dict[str, Any] = json.loads((GOLDEN / "recipes.json").read_text())


@pytest.mark.parametrize(
    ("tag", "name", "grouping", "decay"),
    [
        ("v1_small_0.7", "convnext_small", "group", 0.7),
        ("v2_base_0.6", "convnextv2_base", "group", 0.6),
        ("v2_atto_0.9", "convnextv2_atto", "single", 0.9),
        ("v2_tiny_0.9", "convnextv2_tiny", "single", 0.9),
    ],
)
def test_parameter_groups(tag: str, name: str, grouping: str, decay: float) -> None:
    with nn.init.skip_random():
        model = models.create_model(name)
    assert model.layer_ids(grouping) == {k: layer for k, (layer, _) in RECIPES[tag].items()}
    groups = optim.param_groups(model, weight_decay=0.05, layer_decay=decay, grouping=grouping)
    of = {id(p): group for group in groups for p in group["params"]}
    scales = RECIPES[f"{tag}_scales"]
    for key, param in model.named_parameters():
        layer, decays = RECIPES[tag][key]
        group = of.pop(id(param))
        assert group["weight_decay"] == (0.05 if decays else 0.0), key
        assert group["lr_scale"] == pytest.approx(scales[layer], rel=1e-12), key
    assert not of


def test_learning_rates_of_v1() -> None:
    optimizer = optim.SGD([mg.zeros(1, requires_grad=True)], lr=4e-3)
    schedule = optim.WarmupCosineLR(optimizer, 3000, 200, min_lr=1e-6, repeat_peak=True)
    rates = []
    for _ in range(3000):
        rates += schedule.get_last_lr()
        schedule.step()
    np.testing.assert_allclose(rates[::97], RECIPES["v1_lr_300ep_x10it_warm20"], rtol=1e-12)


def test_learning_rates_of_v2() -> None:
    for epoch, expected in RECIPES["v2_lr_epoch_fraction"]:
        found = optim.warmup_cosine(epoch, total=300, lr=3.2e-3, min_lr=1e-6, warmup=40)
        assert found == pytest.approx(expected, rel=1e-12)


def test_drop_path_rates() -> None:
    with nn.init.skip_random():
        model = models.convnext_tiny(drop_path_rate=0.2)
    rates = [m.drop_prob for m in model.modules() if isinstance(m, nn.DropPath)]
    np.testing.assert_allclose(rates, RECIPES["drop_path_tiny_0.2"], atol=1e-7)


@both_versions
def test_five_adamw_steps(version: int) -> None:
    """Layer-wise decay, decay exclusion, label smoothing and the moving average, in float64."""
    file = f"v{version}_train"
    case = golden(file)
    model = tiny(version).train()
    groups = optim.param_groups(model, weight_decay=0.05, layer_decay=0.9)
    optimizer = optim.AdamW(groups, lr=1e-2)
    ema = optim.ModelEma(model, decay=0.9)
    x, labels = mg.tensor(image("x", (2, 3, 64, 64))), mg.tensor([3, 7])
    losses = []
    for _ in range(5):
        loss = F.cross_entropy(model(x), labels, label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        ema.update(model)
        losses.append(loss.item())

    np.testing.assert_allclose(losses, case["losses"], rtol=0, atol=1e-9)
    for module, expected in ((model, case["final_l2"]), (ema.module, case["ema_l2"])):
        state = module.state_dict()
        norms = [np.linalg.norm(state[key].array.ravel()) for key in key_order(file)]
        np.testing.assert_allclose(norms, expected, rtol=1e-9)
    for key in ("head.weight", "stages.2.1.dwconv.weight"):
        np.testing.assert_allclose(
            model.state_dict()[key], case[f"final.{key}"], rtol=1e-6, atol=1e-9
        )
