from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import io, models, nn, optim
from minigrad.errors import DataError
from minigrad.nn import functional as F
from minigrad.train import Trainer

SMALL: dict[str, Any] = {"depths": (1, 1), "dims": (4, 8), "num_classes": 3, "in_channels": 1}
IMAGES = np.random.default_rng(0).normal(size=(8, 1, 16, 16)).astype(np.float32)
LABELS = np.arange(8) % 3


def layers() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding="same", dtype=mg.float64),
        nn.Sequential({"norm": nn.BatchNorm2d(4, dtype=np.float64), "act": nn.GELU("tanh")}),
        nn.Flatten(),
    )


def unet() -> nn.Module:
    small = models.ConvNeXtFeatures(models.ConvNeXt(1, 0, (1, 1, 1), (4, 4, 8)))
    return models.UNet(small, num_classes=2, encoder_depth=3, decoder_filters=(8, 4, 4))


MODELS = {
    "class": lambda: models.ConvNeXtV2(**SMALL),
    "renamed option": lambda: models.ConvNeXt(**SMALL, drop_path=0.1),
    "name": lambda: models.create_model("convnext_atto", num_classes=3, in_channels=1),
    "factory": lambda: models.convnextv2_atto(num_classes=3, in_channels=1),
    "isotropic": lambda: models.ConvNeXtIsotropic(1, 3, depth=2, dim=4),
    "layers": layers,
    "a model in a model": unet,
    "encoder by name": lambda: models.UNet("convnext_atto", in_channels=1, num_classes=2),
    "masked autoencoder": lambda: models.FCMAE(
        models.ConvNeXtV2(**SMALL | {"num_classes": 0}), decoder_embed_dim=8
    ),
    "mednext": lambda: models.MedNeXt(1, 4, 2, exp_r=2, kernel_size=3, spatial_dims=2),
    "timm": lambda: models.TimmConvNeXt(1, 3, depths=(1, 1), dims=(4, 8)),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_comes_back_as_it_was(name: str, tmp_path: Path) -> None:
    model = MODELS[name]().eval()
    mg.save(model, tmp_path / "m")
    again = mg.load(tmp_path / "m")
    assert type(again) is type(model)
    assert repr(again) == repr(model)
    assert not again.training
    assert again.state_dict().keys() == model.state_dict().keys()
    for key, value in model.state_dict().items():
        assert again.state_dict()[key].dtype == value.dtype
        np.testing.assert_array_equal(again.state_dict()[key].numpy(), value.numpy())
    mg.save(again, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "m").read_bytes()


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
def test_every_float_is_kept(dtype: str, tmp_path: Path) -> None:
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes")
    model = models.ConvNeXt(**SMALL)
    model.stages.to(getattr(mg, dtype))  # the rest stays float32
    mg.save(model, tmp_path / "m")
    again = mg.load(tmp_path / "m")
    for key, value in model.state_dict().items():
        assert again.state_dict()[key].dtype == value.dtype
        assert again.state_dict()[key].numpy().tobytes() == value.numpy().tobytes()


def test_frozen_parameters_and_the_mode_are_kept(tmp_path: Path) -> None:
    model = models.ConvNeXt(**SMALL).train()
    model.stages[0].requires_grad_(False)
    mg.save(model, tmp_path / "m")
    again = mg.load(tmp_path / "m")
    assert again.training
    flags = [p.requires_grad for p in model.parameters()]
    assert [p.requires_grad for p in again.parameters()] == flags
    assert set(flags) == {True, False}


def test_random_numbers_stand_where_they_stood(tmp_path: Path) -> None:
    model = models.ConvNeXt(**SMALL)
    before = mg.get_rng_state()
    mg.save(model, tmp_path / "m")
    mg.load(tmp_path / "m")
    assert json.dumps(mg.get_rng_state(), default=str) == json.dumps(before, default=str)


def test_a_container_is_saved_by_what_it_holds_now(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    model[2] = nn.Linear(4, 3)
    model.append(model[1])  # one layer, twice
    mg.save(model, tmp_path / "m")
    x = mg.randn(5, 4)
    np.testing.assert_array_equal(mg.load(tmp_path / "m")(x).detach(), model(x).detach())


def test_a_state_is_a_state(tmp_path: Path) -> None:
    model = models.ConvNeXt(**SMALL)
    mg.save(model.state_dict(), tmp_path / "m")
    models.ConvNeXt(**SMALL).load_state_dict(mg.load(tmp_path / "m"))
    own = {"architecture": "mine", "x": (1, mg.ones(2).numpy())}
    mg.save(own, tmp_path / "own")
    assert mg.load(tmp_path / "own")["architecture"] == "mine"


@pytest.mark.needs("safetensors")
def test_the_library_reads_the_weights(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    model = models.ConvNeXt(**SMALL)
    mg.save(model, tmp_path / "m")
    found = load_file(tmp_path / "m")
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(found[f"model.{name}"], value.numpy())


def test_other_readers_take_the_weights_out(tmp_path: Path) -> None:
    model = models.ConvNeXt(**SMALL)
    mg.save(model, tmp_path / "m")
    assert io.load_weights(tmp_path / "m").keys() == model.state_dict().keys()
    _, report = models.load_pretrained(None, tmp_path / "m")
    assert report.complete


def test_other_weights_come_as_tensors_by_name(tmp_path: Path) -> None:
    weights = {"a.weight": mg.ones(2, 3), "a.bias": mg.zeros(2)}
    io.save_torch({"model": {k: v.numpy() for k, v in weights.items()}, "epoch": 3}, tmp_path / "t")
    io.save_file({k: v.numpy() for k, v in weights.items()}, tmp_path / "s")
    for name in "ts":
        found = mg.load(tmp_path / name)
        assert list(found) == list(weights)
        found["a.weight"].add_(1.0)  # they are one's own
        np.testing.assert_array_equal(found["a.weight"].numpy(), np.full((2, 3), 2.0))
    (tmp_path / "n").write_bytes(b"no weights")
    with pytest.raises(DataError, match="no checkpoint that is known"):
        mg.load(tmp_path / "n")


def test_what_weights_decided_is_kept_and_their_file_is_not_needed(tmp_path: Path) -> None:
    first = tmp_path / "first"
    io.save(models.ConvNeXtV2(**SMALL).state_dict(), first)
    model, _ = models.load_pretrained(None, first)
    named = models.create_model("convnextv2_atto", pretrained=_atto(tmp_path), num_classes=2)
    unet = models.UNet("convnextv2_atto", encoder_options={"pretrained": _atto(tmp_path)})
    for number, each in enumerate((model, named, unet)):
        mg.save(each, tmp_path / f"m{number}")
    first.unlink()
    _atto(tmp_path).unlink()
    for number, each in enumerate((model, named, unet)):
        again = mg.load(tmp_path / f"m{number}").state_dict()
        for name, value in each.state_dict().items():
            np.testing.assert_array_equal(again[name].numpy(), value.numpy())


def _atto(folder: Path) -> Path:
    if not (folder / "atto").exists():
        io.save(models.convnextv2_atto(num_classes=2).state_dict(), folder / "atto")
    return folder / "atto"


# ---- trainers -----------------------------------------------------------------------------------


def trainer(**options: Any) -> Trainer:
    mg.manual_seed(1)
    model = models.ConvNeXt(**SMALL, drop_path_rate=0.3)
    optimizer = optim.AdamW(optim.param_groups(model, 0.1), lr=0.01, betas=(0.8, 0.9))
    made: dict[str, Any] = {
        "schedule": optim.WarmupCosineLR(optimizer, 12, warmup_steps=3),
        "ema": optim.ModelEma(model, 0.9),
        "clip_grad": 1.0,
    }
    return Trainer(model, optimizer, **made | options)


def steps(trainer: Trainer, count: int = 4) -> list[float]:
    batch = mg.tensor(IMAGES), mg.tensor(LABELS)
    return [trainer.train_on_batch(*batch)["loss"] for _ in range(count)]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"loss": nn.CrossEntropyLoss(weight=mg.tensor([1.0, 2.0, 0.5]), label_smoothing=0.1)},
        {"schedule": None, "ema": None, "val_loss": "cross_entropy", "metrics": {}},
    ],
    ids=["all", "a layer as loss", "few"],
)
def test_a_trainer_goes_on_as_if_nothing_had_been(options: dict[str, Any], tmp_path: Path) -> None:
    one = trainer(**options)
    steps(one)
    mg.save(one, tmp_path / "t")
    expected, end = steps(one), one.model.state_dict()
    rates = [group["lr"] for group in one.optimizer.param_groups]
    mg.manual_seed(99)
    two = mg.load(tmp_path / "t")
    assert steps(two) == expected
    assert [group["lr"] for group in two.optimizer.param_groups] == rates
    assert (two.clip_grad, two.step, list(two.metrics)) == (one.clip_grad, 8, list(one.metrics))
    for name, value in end.items():
        np.testing.assert_array_equal(two.model.state_dict()[name].numpy(), value.numpy())
    if one.ema is not None:
        for name, value in one.ema.state_dict().items():
            np.testing.assert_array_equal(two.ema.state_dict()[name].numpy(), value.numpy())


@pytest.mark.parametrize("loss", ["cross_entropy", "a layer"])
def test_what_was_loaded_is_not_tied_to_its_file(loss: str, tmp_path: Path) -> None:
    weighted = nn.CrossEntropyLoss(weight=mg.tensor([1.0, 2.0, 0.5]))
    one = trainer(loss=weighted) if loss == "a layer" else trainer()
    steps(one)
    mg.save(one, tmp_path / "t")
    expected = steps(one)
    two = mg.load(tmp_path / "t")
    with (tmp_path / "t").open("r+b") as file:  # the same file, not one in its place
        file.write(b"\xff" * (tmp_path / "t").stat().st_size)
    assert steps(two) == expected


OPTIMIZERS = [optim.SGD, optim.Adam, optim.AdamW, optim.RMSprop, optim.Adadelta]
SCHEDULES = {
    "step": lambda o: optim.StepLR(o, 2, gamma=0.5),
    "cosine": lambda o: optim.CosineAnnealingLR(optimizer=o, T_max=9),
    "one cycle": lambda o: optim.OneCycleLR(o, 0.1, total_steps=20, cycle_momentum=False),
}


@pytest.mark.parametrize("kind", OPTIMIZERS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_optimizer_and_schedule(kind: Any, schedule: str, tmp_path: Path) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(256, 3))
    optimizer = kind([{"params": list(model.named_parameters()), "weight_decay": 0.01}], lr=0.01)
    one = Trainer(model, optimizer, schedule=SCHEDULES[schedule](optimizer))
    steps(one)
    mg.save(one, tmp_path / "t")
    assert steps(mg.load(tmp_path / "t")) == steps(one)


def test_a_trainer_of_a_function_with_options(tmp_path: Path) -> None:
    from functools import partial

    one = trainer(loss=partial(F.cross_entropy, label_smoothing=0.1))
    mg.save(one, tmp_path / "t")
    assert mg.load(tmp_path / "t").loss.keywords == {"label_smoothing": 0.1}


def test_what_a_run_loads_is_in_the_file_too(tmp_path: Path) -> None:
    one, two = trainer(), trainer()
    steps(one)
    mg.save(one, tmp_path / "t")
    two.load_state_dict(mg.train.load_checkpoint(tmp_path / "t"))
    assert two.step == one.step


# ---- refusals -----------------------------------------------------------------------------------


class Own(nn.Module):
    def __init__(self, width: int) -> None:
        self.layer = nn.Linear(width, 2)


def test_ones_own_class_is_refused_until_it_is_registered(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"Own is made by code .*load_state_dict.*models\.register"):
        mg.save(Own(3), tmp_path / "m")
    with pytest.raises(DataError, match="Own"):
        mg.save(nn.Sequential(Own(3)), tmp_path / "m")
    assert not (tmp_path / "m").exists()

    @models.register(family="tests of saving")
    class Known(Own):
        pass

    @models.register(family="tests of saving")
    def made_by_a_function(width: int = 5) -> nn.Module:
        return Own(width)

    for model in (Known(4), models.create_model("made_by_a_function", width=6)):
        mg.save(model, tmp_path / "m")
        assert repr(mg.load(tmp_path / "m")) == repr(model)


def test_a_model_that_was_changed_is_refused(tmp_path: Path) -> None:
    model = models.ConvNeXt(**SMALL)
    model.head = nn.Linear(8, 5)
    with pytest.raises(DataError, match=r"changed after it was made: .*head: Linear.*=5.*=3"):
        mg.save(model, tmp_path / "m")
    tied = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    tied[1].weight = tied[0].weight
    with pytest.raises(DataError, match="changed"):
        mg.save(tied, tmp_path / "m")
    with pytest.raises(DataError, match=r"an argument of models\.ConvNeXt|block of models"):
        mg.save(models.ConvNeXt(**SMALL, block=lambda *a, **k: models.Block(*a, **k)), tmp_path)
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"loss": lambda o, t: o.mean()}, "its loss <lambda> is none of"),
        ({"metrics": {"mine": lambda o, t: 0.0}}, "its metric <lambda> is none of accuracy"),
    ],
)
def test_a_trainer_of_ones_own_functions_is_refused(
    options: dict[str, Any], why: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=f"{why}.*trainer.state_dict"):
        mg.save(trainer(**options), tmp_path / "t")


def test_a_schedule_of_functions_is_refused(tmp_path: Path) -> None:
    one = trainer(schedule=None)
    one.schedule = optim.LambdaLR(one.optimizer, lambda step: 0.5)
    with pytest.raises(DataError, match=r"schedule is a LambdaLR.*trainer\.state_dict"):
        mg.save(one, tmp_path / "t")


def test_an_optimizer_of_ones_own_is_refused(tmp_path: Path) -> None:
    class Mine(optim.SGD):
        pass

    model = nn.Linear(2, 2)
    with pytest.raises(DataError, match=r"optimizer is a Mine.*trainer\.state_dict"):
        mg.save(Trainer(model, Mine(model.parameters())), tmp_path / "t")
    other = nn.Linear(2, 2)
    with pytest.raises(DataError, match="parameters that are not the model's"):
        mg.save(Trainer(model, optim.SGD(other.parameters())), tmp_path / "t")


def changed(tmp_path: Path, **entries: Any) -> Path:
    mg.save(nn.Linear(2, 2), tmp_path / "m")
    io.save({**io.load(tmp_path / "m"), **entries}, tmp_path / "m")
    return tmp_path / "m"


def call(name: Any, *arguments: Any, **options: Any) -> dict[str, Any]:
    return {"class": name, "arguments": list(arguments), "options": options}


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"version": 2}, r"version 2, which a newer minigrad wrote; .* up to version 1"),
        ({"version": "1"}, "expected, found 'model' of version '1'"),
        ({"architecture": call("os.system", "true")}, r"it names os\.system, which is unknown"),
        ({"architecture": call("nn.init.empty", 2)}, "unknown here"),
        ({"architecture": call("models.create_model", "x")}, "unknown here"),
        ({"architecture": call("optim.SGD", [])}, "unknown here"),
        ({"architecture": call("no_such_model")}, "unknown model 'no_such_model'"),
        ({"architecture": call("convnext_atto", pretrained="/etc/passwd")}, "option pretrained"),
        ({"architecture": call("nn.Linear", 10_000, 10_000)}, "larger"),
        ({"architecture": call("nn.Linear", 2)}, "cannot be built"),
        ({"architecture": 3}, "cannot be built"),
        ({"model": {"weight": mg.ones(2, 2)}}, "missing: bias"),
        ({"frozen": ["nothing"]}, "nothing"),
        ({"training": "yes"}, "mode must be"),
    ],
)
def test_a_file_that_is_wrong_says_how(
    entries: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=f"(?s)m: .*{message}"):
        mg.load(changed(tmp_path, **entries))


def test_an_interrupted_save_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m"
    mg.save(nn.Linear(2, 2), path)
    before = path.read_bytes()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(DataError, match="No space left"):
        mg.save(nn.Linear(3, 3), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["m"]
