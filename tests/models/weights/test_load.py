"""`load_pretrained` and ``pretrained=``: what is built, what is refused, and what is told."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import io, models
from minigrad.errors import DataError, MinigradError, OptionError, StateError
from minigrad.models.registry import find
from minigrad.models.timm_convnext import SIZES as TIMM_SIZES
from minigrad.models.variants import SIZES
from minigrad.models.weights.describe import describe

TINY: dict[str, Any] = {"depths": (1, 1), "dims": (8, 16), "num_classes": 3}


def changed(model: Any, before: dict[str, Any]) -> list[str]:
    after = model.state_dict()
    return [k for k in before if (after[k].numpy() != before[k]).any()]


def snapshot(model: Any) -> dict[str, Any]:
    return {k: v.numpy().copy() for k, v in model.state_dict().items()}


@pytest.mark.parametrize(
    "name",
    [n for n in [*SIZES, *TIMM_SIZES] if not n.endswith(("base", "large", "huge", "mlp"))],
)
def test_a_model_is_recognised_from_its_weights(name: str) -> None:
    with mg.nn.init.skip_random():
        model = find(name).build(num_classes=7, in_channels=2)
    options = describe({k: v.numpy() for k, v in model.state_dict().items()})
    assert (options["num_classes"], options["in_channels"]) == (7, 2)
    expected = TIMM_SIZES.get(name) or dict(zip(("depths", "dims"), SIZES[name], strict=True))
    assert {k: options.get(k) for k in expected} == expected
    assert options["grn"] == name.startswith("convnextv2")


def test_factories_take_files(tmp_path: Path) -> None:
    trained = models.convnextv2_atto(num_classes=5)
    io.save_file(models.export_state_dict(trained, "timm_conv_mlp"), tmp_path / "a.safetensors")
    model = models.convnextv2_atto(pretrained=tmp_path / "a.safetensors")
    assert model.num_classes == 5
    assert model.pretrained_report.complete
    assert not changed(model, snapshot(trained))
    other = models.create_model("convnextv2-atto", pretrained=tmp_path / "a.safetensors",
                                num_classes=2, in_chans=1)  # fmt: skip
    assert other.pretrained_report.drawn == ("head.weight", "head.bias")
    maps = models.create_model("convnextv2_atto", pretrained=tmp_path / "a.safetensors",
                               features_only=True)  # fmt: skip
    np.testing.assert_array_equal(
        maps.stages[0][0].norm.weight.numpy(force=True),
        trained.stages[0][0].norm.weight.numpy(force=True),
    )
    assert models.convnextv2_atto(pretrained=None).num_classes == 1000
    with pytest.raises(DataError, match=r"no weights of 'convnextv2_atto' come with minigrad"):
        models.convnextv2_atto(pretrained=True)
    with pytest.raises(DataError, match=r"no/such.pth: cannot be read"):
        models.convnextv2_atto(pretrained="no/such.pth")


def test_a_head_of_other_classes_is_drawn_anew() -> None:
    source = models.ConvNeXt(**TINY).state_dict()
    model = models.ConvNeXt(**TINY | {"num_classes": 50})
    model.head.bias.data += 1.0
    _, report = models.load_pretrained(model, source)
    assert report.drawn == ("head.weight", "head.bias")
    assert not report.complete
    weight = model.head.weight.numpy(force=True)
    assert 1e-5 < weight.std() < 3e-5  # 0.02 · 0.001, as the recipes have it
    assert not model.head.bias.numpy(force=True).any()
    models.load_pretrained(model, source, head_init_scale=1.0)
    assert 0.01 < model.head.weight.numpy(force=True).std() < 0.03


def test_nothing_is_half_loaded() -> None:
    model = models.ConvNeXt(**TINY)
    before = snapshot(model)
    good = {k: v + 1.0 for k, v in before.items()}
    small = models.ConvNeXt(**TINY | {"dims": (8, 12)}).state_dict()
    with pytest.raises(
        StateError,
        match=r"another model than this ConvNeXt; nothing was loaded.*belong to one of "
        r"depths=\(1, 1\), dims=\(8, 12\)",
    ):
        models.load_pretrained(model, small)
    for wrong in (
        {k: v for k, v in good.items() if k != "norm.bias"},
        good | {"norm7.weight": np.ones(8)},
        good | {"head.weight": np.ones((4, 16))},
        good | {"stages.0.0.dwconv.weight": np.ones((8, 1, 5, 5))},
    ):
        with pytest.raises(StateError, match=r"do not fit as they are; nothing was loaded"):
            models.load_pretrained(model, wrong, strict=True)
    complex_ = good | {"stages.1.0.gamma": np.ones(16, complex)}
    with pytest.raises(mg.errors.MinigradError, match="complex"):
        models.load_pretrained(model, complex_)
    assert not changed(model, before)
    models.load_pretrained(model, good, strict=True)
    assert len(changed(model, before)) == len(before)


@pytest.mark.parametrize("version", [1, 2])
def test_v1_is_no_v2(version: int) -> None:
    kinds = [models.ConvNeXt, models.ConvNeXtV2]
    source, model = kinds[version - 1](**TINY), kinds[2 - version](**TINY)
    with pytest.raises(StateError, match=rf"grn\.gamma is .*grn={version == 2}"):
        models.load_pretrained(model, source.state_dict())


def test_weights_of_another_kind_of_model_are_refused_as_that() -> None:
    """Not for an option that they decide and that model does not have."""
    convnext = models.ConvNeXt(**TINY).state_dict()
    mednext = models.MedNeXt(1, 2, 2, 2, 3, block_counts=(1,) * 9, do_res=True, dim="2d")
    for name, weights in (("mednext_s", convnext), ("convnext_atto", mednext.state_dict())):
        with pytest.raises(StateError, match="the weights are of another model than this"):
            models.load_pretrained(name, weights)
        with pytest.raises(StateError, match="the weights are of another model than this"):
            models.create_model(name, pretrained=weights)
    with pytest.raises(OptionError, match="unknown MedNeXt option 'patch_size'"):
        models.load_pretrained("mednext_s", mednext.state_dict(), patch_size=4)


def test_half_precision_and_options() -> None:
    source = {
        k: v.numpy().astype(np.float16) for k, v in models.ConvNeXt(**TINY).state_dict().items()
    }
    model, report = models.load_pretrained(None, source, drop_path_rate=0.1, dtype=mg.float64)
    assert report.complete
    assert model.head.weight.dtype == mg.float64
    assert model.stages[1][0].drop_path.drop_prob == 0.1
    with pytest.raises(OptionError, match=r"num_classes cannot be changed in a model that stands"):
        models.load_pretrained(model, source, num_classes=4)
    with pytest.raises(StateError, match=r"Linear has no ConvNeXt in it"):
        models.load_pretrained(mg.nn.Linear(2, 2), source)


def test_an_average_is_taken_when_asked_for() -> None:
    file = Path(__file__).parents[2] / "golden" / "ctr_fb_training.pth"
    model, _ = models.load_pretrained(None, file)
    average, _ = models.load_pretrained(None, file, select="model_ema")
    np.testing.assert_array_equal(
        2.0 * average.head.weight.numpy(force=True), model.head.weight.numpy(force=True)
    )


def test_a_unet_takes_its_encoder(tmp_path: Path) -> None:
    sizes = {"depths": (1, 1, 1, 1), "dims": (8, 12, 16, 20)}
    source = models.ConvNeXt(**sizes)
    model = models.UNet(models.ConvNeXt(**sizes), num_classes=2)
    before = snapshot(model)
    _, report = models.load_pretrained(model, models.export_state_dict(source))
    assert {name.split(".")[1][:5] for name in report.loaded} == {"stage", "downs"}
    assert all(name.startswith("encoder.") for name in changed(model, before))
    assert all("norm" in name for name in report.missing)


@pytest.mark.parametrize("naming", ["facebook", "timm", "torchvision", "huggingface", "keras_h5"])
def test_an_encoder_goes_out(naming: str) -> None:
    """Under any names; the norms of its maps where there are names for them."""
    sizes = {"depths": (1, 1, 1, 1), "dims": (8, 12, 16, 20)}
    unet = models.UNet(models.ConvNeXt(**sizes), num_classes=2)
    out = models.export_state_dict(unet, naming)
    maps = [name for name in out if "norm3" in name or "hidden_states_norms.stage4" in name]
    assert len(maps) == (2 if naming in ("facebook", "huggingface") else 0)
    other = models.UNet(models.ConvNeXt(**sizes), num_classes=2)
    _, report = models.load_pretrained(other, out)
    assert (report.naming, report.unexpected) == (naming, ())
    for name in report.loaded:
        np.testing.assert_array_equal(
            other.state_dict()[name].numpy(), unet.state_dict()[name].numpy()
        )


def test_the_report() -> None:
    _, report = models.load_pretrained(
        None, models.ConvNeXtV2(**TINY).state_dict(), in_channels=1, num_classes=2
    )
    assert str(report).splitlines() == [
        "30 weights of ConvNeXtV2 from a mapping (facebook)",
        "  licence: CC BY-NC 4.0 if it is one of Meta's releases of ConvNeXt V2; else its maker's",
        "  adapted: 1: 3 → 1 input channels (repeat)",
        "  drawn anew: head.weight, head.bias",
    ]


def test_a_licence_in_the_file_is_told(tmp_path: Path) -> None:
    weights = {k: v.numpy() for k, v in models.ConvNeXt(**TINY).state_dict().items()}
    io.save_file(weights, tmp_path / "a.safetensors", {"license": "MIT"})
    assert models.load_pretrained(None, tmp_path / "a.safetensors")[1].licence == "MIT"


def mutant(weights: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """Return weights with something wrong: names, shapes, kinds of numbers."""
    weights = dict(weights)
    for _ in range(rng.choice((1, 1, 2, 4))):
        key = rng.choice(list(weights))
        array, place = weights[key], rng.randrange(len(key))
        shape = [rng.choice((0, 1, 2, 3, 8, 300)) for _ in range(rng.randrange(4))]
        changes = [
            (key, np.zeros(shape, np.float32)),
            (key, array.reshape(-1)),
            (key, np.ones(array.shape, rng.choice((np.int8, np.float16, complex, bool)))),
            (key[:place] + rng.choice("0123456789.abw_") + key[place + 1 :], array),
            (key.replace("0", rng.choice(("1", "7", "999999")), 1), array[..., None]),
        ]
        weights.pop(key)
        if rng.random() < 0.9:
            name, changed = rng.choice(changes)
            weights[name] = changed
    return weights


def test_wrong_weights_are_loaded_or_refused() -> None:
    rng, sizes = random.Random(0), TINY | {"depths": (1, 2)}
    good = [models.export_state_dict(models.ConvNeXtV2(**sizes), n) for n in ("facebook", "timm")]
    good += [models.export_state_dict(models.ConvNeXt(**sizes), n) for n in ("keras", "keras_h5")]
    mednext = models.MedNeXt(1, 2, 2, 2, 3, block_counts=(1,) * 9, do_res=True, dim="2d")
    good.append(models.export_state_dict(mednext, "mednext"))
    refused = 0
    for _ in range(300):
        try:
            models.load_pretrained(None, mutant(rng.choice(good), rng))
        except MinigradError:
            refused += 1
    assert 50 < refused < 250


def test_a_file_cannot_ask_for_a_model_much_larger_than_itself() -> None:
    weights = {k: v.numpy() for k, v in models.ConvNeXt(**TINY).state_dict().items()}
    weights["stages.0.0.dwconv.weight"] = np.zeros((100_000, 1, 1, 1), np.float32)
    with pytest.raises(MinigradError, match="would make the model larger than it may be"):
        models.load_pretrained(None, weights)


@pytest.mark.parametrize("what", ["float32", "float16", "facebook.pth", "whole"])
def test_loading_takes_the_memory_of_the_model(tmp_path: Path, what: str) -> None:
    """Neither the file nor a converted copy of it is in memory beside the model."""
    if not Path("/proc/self/status").exists():
        pytest.skip("only Linux says how much memory a process has had")
    with mg.nn.init.skip_random():
        model = models.ConvNeXt(num_classes=2, depths=(3,), dims=(1024,))  # 100 MB
    for parameter in model.parameters():
        parameter.data = mg.ones(parameter.shape)
    weights = {name: value.numpy() for name, value in model.state_dict().items()}
    if what == "whole":
        mg.save(model, tmp_path / what)
    elif what == "facebook.pth":
        io.save_torch({"model": weights}, tmp_path / what)
    else:
        io.save_file({n: a.astype(what) for n, a in weights.items()}, tmp_path / what)
    load = "mg.load(path)" if what == "whole" else "mg.models.load_pretrained(None, path)"
    code = (
        "import re, sys\nimport minigrad as mg\nimport minigrad.models\n"
        "def peak():\n"
        "    return int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])\n"
        f"path = sys.argv[1]\nbefore = peak()\nkept = {load}\nprint(peak() - before)"
    )
    words = [sys.executable, "-c", code, str(tmp_path / what)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    size = sum(array.nbytes for array in weights.values()) / 1024
    assert 0.9 * size < int(done.stdout) < 1.1 * size + 20_000, "kB; 20 MB are one piece, and code"
