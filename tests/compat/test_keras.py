"""Keras's methods: compile, fit, evaluate, predict, saving; losses that fit the outputs or warn."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import io, models, nn
from minigrad.compat import keras
from minigrad.compat.dl_techniques import ConvNeXtV1, ConvNeXtV2, create_convnext_v1
from minigrad.compat.keras.losses import find_loss
from minigrad.compat.medicai import ConvNeXtBackbone, UNet
from minigrad.errors import DataError, OptionError, ShapeError
from minigrad.nn import functional as F

SMALL: dict[str, Any] = {"depths": (1, 1), "dims": (4, 8), "num_classes": 3}
RNG = np.random.default_rng(0)
Y = RNG.integers(0, 3, 12)
X = (RNG.normal(size=(3, 16, 16, 3))[Y] + 0.1 * RNG.random((12, 16, 16, 3))).astype(np.float32)


def small(**options: Any) -> ConvNeXtV2:
    mg.manual_seed(0)
    return ConvNeXtV2(input_shape=(16, 16, 3), **(SMALL | options))


def ready(loss: Any = "cross_entropy", **options: Any) -> ConvNeXtV2:
    model = small(**options)
    model.compile(keras.optimizers.AdamW(learning_rate=1e-2), loss, metrics=["accuracy"])
    return model


# --- calls -------------------------------------------------------------------------------------


def test_channels_last_is_the_network_with_its_axes_moved() -> None:
    model = small().eval()
    expected = model.net(mg.tensor(X).permute(0, 3, 1, 2)).detach().numpy()  # where it lies
    np.testing.assert_array_equal(model.predict(X), expected)
    np.testing.assert_array_equal(model(X).detach(), expected)
    top = small(include_top=False)
    assert top.output_shape == (None, 8, 8, 8)
    assert top(X).shape == (12, 8, 8, 8)


def test_axes_cost_nothing() -> None:
    """The channels-last array reaches the network without a copy."""
    model, seen = small(), []
    model.net.register_forward_pre_hook(lambda m, a: seen.append(a[0].array))
    model(X)
    assert np.shares_memory(seen[0], X)
    assert seen[0].shape == (12, 3, 16, 16)


def test_training_goes_through_the_trainer_and_learns() -> None:
    model = ready()
    history = model.fit(X, Y, batch_size=4, epochs=30, verbose=0)
    assert history.history.keys() == {"loss", "accuracy"}
    assert history.epoch == list(range(30))
    assert history.history["loss"][-1] < 0.5 * history.history["loss"][0]
    more = model.fit(X, Y, epochs=2, verbose=0, validation_data=(X, Y))
    assert more.epoch == [30, 31]
    assert more.history.keys() == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert isinstance(model.trainer, mg.train.Trainer)
    loss, accuracy = model.evaluate(X, Y)
    assert (loss, accuracy) == (more.history["val_loss"][-1], more.history["val_accuracy"][-1])
    in_batches = model.evaluate(X, Y, batch_size=5, return_dict=True)["loss"]
    assert in_batches == pytest.approx(loss, abs=1e-6)  # of float32 scores
    assert accuracy == (model.predict(X, batch_size=5).argmax(1) == Y).mean()


def test_train_on_batch_returns_loss_and_metrics_before_the_step() -> None:
    """Behaviour 7."""
    model = ready()
    before = model.test_on_batch(X, Y)
    loss, accuracy = model.train_on_batch(X, Y)
    assert [loss, accuracy] == pytest.approx(before, abs=1e-6)
    assert model.train_on_batch(X, Y, return_dict=True).keys() == {"loss", "accuracy"}
    model.compile("sgd", "cross_entropy")
    assert isinstance(model.train_on_batch(X, Y), float)


def test_predict_is_in_evaluation_mode() -> None:
    model = small(dropout_rate=0.5, drop_path_rate=0.9)
    np.testing.assert_array_equal(model.predict(X, 5)[:5], model.predict_on_batch(X[:5]))
    assert model.training


def test_output_of_fit(capsys: pytest.CaptureFixture[str]) -> None:
    ready().fit(X, Y, epochs=2)
    lines = capsys.readouterr().out.splitlines()
    assert lines[::2] == ["Epoch 1/2", "Epoch 2/2"]
    assert all("loss: " in line and "accuracy: " in line for line in lines[1::2])


def test_summary_names_blocks_and_drop_rates(capsys: pytest.CaptureFixture[str]) -> None:
    small(drop_path_rate=0.25, name="mine").summary(depth=1)
    text = capsys.readouterr().out
    assert 'Model: "mine"' in text
    assert "Blocks: 1 + 1, drop path 0 to 0.25" in text
    assert f"Total params: {small().count_params():,}" in text


@pytest.mark.parametrize("name", ["adamw", "AdamW", "adam", "sgd"])
def test_optimizers_by_name(name: str) -> None:
    """Behaviour 7."""
    model = small()
    model.compile(name, "cross_entropy")
    assert type(model.trainer.optimizer).__name__.lower() == name.lower()
    assert np.isfinite(model.train_on_batch(X, Y))


def test_an_optimizer_of_minigrad_and_a_loss_of_minigrad() -> None:
    model = small()
    optimizer = mg.optim.SGD(model.parameters(), lr=0.1)
    model.compile(optimizer, nn.CrossEntropyLoss(label_smoothing=0.1))
    assert model.fit(X, Y, verbose=0).history.keys() == {"loss"}
    assert model.trainer.optimizer is optimizer
    assert np.isfinite(model.train_on_batch(X, Y))


# --- losses ------------------------------------------------------------------------------------

HOT = np.eye(3, dtype=np.float32)[Y]
Z = mg.tensor(RNG.normal(size=(12, 3)))
P = F.softmax(Z, 1)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_losses_are_the_same_from_logits_and_from_probabilities(smoothing: float) -> None:
    expected = F.cross_entropy(Z, mg.tensor(Y), label_smoothing=smoothing).item()
    sparse, hot = keras.losses.SparseCategoricalCrossentropy, keras.losses.CategoricalCrossentropy
    targets = {sparse: mg.tensor(Y), hot: mg.tensor(HOT)}
    for kind, target in targets.items():
        assert kind(True, smoothing)(Z, target).item() == pytest.approx(expected)
        assert kind(False, smoothing)(P, target).item() == pytest.approx(expected, abs=1e-6)
    assert sparse(True, smoothing)(Z, mg.tensor(Y[:, None])).item() == pytest.approx(expected)
    yes = mg.tensor((Y > 0)[:, None].astype(np.float64))
    from_logits = keras.losses.BinaryCrossentropy(True, smoothing)(Z[:, :1], yes)
    from_chances = keras.losses.BinaryCrossentropy(False, smoothing)(F.sigmoid(Z[:, :1]), yes)
    assert from_logits.item() == pytest.approx(from_chances.item(), abs=1e-6)


def test_losses_of_maps_have_their_classes_last() -> None:
    z, labels = mg.tensor(RNG.normal(size=(2, 4, 5, 3))), mg.tensor(RNG.integers(0, 3, (2, 4, 5)))
    expected = F.cross_entropy(z.reshape(-1, 3), labels.reshape(-1)).item()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    assert loss(z, labels).item() == pytest.approx(expected)
    for own in ("cross_entropy", nn.CrossEntropyLoss()):
        assert find_loss(own, None)(z, labels).item() == pytest.approx(expected)
    hot = F.one_hot(labels, 3).to(z.dtype)
    assert find_loss(nn.CrossEntropyLoss(), None)(z, hot).item() == pytest.approx(expected)
    assert keras.losses.MeanSquaredError()(z, z + 2).item() == pytest.approx(4)
    assert keras.losses.MeanAbsoluteError()(z, z + 2).item() == pytest.approx(2)


def test_a_unet_learns_from_a_loss_of_minigrad() -> None:
    mg.manual_seed(0)
    shape = (32, 32, 1)
    options: dict[str, Any] = {"encoder_depth": 3, "head_upsample": 2, "num_classes": 2}
    model = UNet(
        encoder_name="convnextv2_atto", input_shape=shape, classifier_activation=None, **options
    )
    x = RNG.random((4, *shape)).astype(np.float32)
    y = (x[..., 0] > 0.5).astype(np.int64)
    model.compile("adamw", nn.DiceCELoss(), metrics=["accuracy"])
    first, accuracy = model.train_on_batch(x, y)
    assert 0.2 < accuracy < 0.8
    for _ in range(3):
        last, _ = model.train_on_batch(x, y)
    assert last < first
    assert model.predict(x).shape == (4, 32, 32, 2)


def test_a_loss_of_probabilities_on_logits_is_warned_about() -> None:
    """Behaviour 7: a name is then computed from the logits, an object does as it is told."""
    model = small()
    with pytest.warns(
        UserWarning, match=r"'categorical_crossentropy' expects probabilities.*logit"
    ):
        model.compile("adamw", "categorical_crossentropy", ["accuracy"])
    loss = model.evaluate(X, HOT)[0]
    expected = F.cross_entropy(mg.tensor(model.predict(X)), mg.tensor(Y)).item()
    assert loss == pytest.approx(expected, rel=1e-5)
    with pytest.warns(UserWarning, match=r"expects probabilities, .* pass from_logits=True"):
        model.compile("adamw", keras.losses.SparseCategoricalCrossentropy())


@pytest.mark.parametrize(
    "loss", ["cross_entropy", keras.losses.CategoricalCrossentropy(from_logits=True)]
)
def test_a_loss_of_logits_on_probabilities_is_warned_about(loss: Any) -> None:
    model = small(classifier_activation="softmax")
    with pytest.warns(UserWarning, match="expects logits, but .* went through softmax"):
        model.compile("adamw", loss)


def test_losses_that_fit_do_not_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for activation, loss in [
            (None, "cross_entropy"),
            (None, keras.losses.BinaryCrossentropy(from_logits=True)),
            (None, "mse"),
            ("softmax", "categorical_crossentropy"),
            ("softmax", keras.losses.SparseCategoricalCrossentropy()),
            ("sigmoid", "binary_crossentropy"),
            ("sigmoid", "mean_absolute_error"),
            ("softmax", nn.NLLLoss()),
        ]:
            assert callable(find_loss(loss, activation))


def test_probabilities_train_as_logits_do() -> None:
    losses = []
    for activation, loss in [
        (None, "cross_entropy"),
        ("softmax", "sparse_categorical_crossentropy"),
    ]:
        model = ready(loss, classifier_activation=activation)
        losses.append([model.train_on_batch(X, Y)[0] for _ in range(5)])
    np.testing.assert_allclose(losses[0], losses[1], rtol=2e-4)


def test_accuracy_of_yes_and_no() -> None:
    scores, truth = mg.tensor([[-1.0], [0.2], [3.0]]), mg.tensor([0, 1, 1])
    logits = keras.metrics.find_metrics(["accuracy"], None)["accuracy"]
    chances = keras.metrics.find_metrics(["acc"], "sigmoid")["acc"]
    assert logits(scores, truth) == 1.0
    assert chances(scores, truth) == pytest.approx(2 / 3)
    both = keras.metrics.find_metrics(["mse", "mae"], None)
    assert both["mse"](scores, truth) == pytest.approx((1 + 0.64 + 4) / 3)
    assert both["mae"](scores, truth) == pytest.approx((1 + 0.8 + 2) / 3)


# --- files -------------------------------------------------------------------------------------


def test_whole_models_keep_architecture_weights_and_optimizer(tmp_path: Path) -> None:
    """Behaviour 9: training goes on as if nothing had been."""
    path = tmp_path / "my_model.keras"
    model = ready(drop_path_rate=0.2)
    model.fit(X, Y, epochs=2, verbose=0)
    model.save(path)
    loaded: Any = keras.models.load_model(path)
    assert type(loaded) is ConvNeXtV2
    assert loaded.get_config() == model.get_config()
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    state = mg.random.get_rng_state()
    first = model.train_on_batch(X, Y), model.predict(X)
    mg.random.set_rng_state(state)
    again = loaded.train_on_batch(X, Y), loaded.predict(X)
    assert first[0] == again[0]
    np.testing.assert_array_equal(first[1], again[1])
    assert loaded.trainer.epoch == 2


@pytest.mark.parametrize(
    "loss",
    ["cross_entropy", keras.losses.CategoricalCrossentropy(True, 0.1)],
    ids=["name", "object"],
)
def test_losses_and_optimizers_are_kept(tmp_path: Path, loss: Any) -> None:
    model = small()
    model.compile(keras.optimizers.SGD(learning_rate=0.5, momentum=0.9, global_clipnorm=1.0), loss)
    model.save(tmp_path / "m")
    trainer = keras.models.load_model(tmp_path / "m").trainer
    assert trainer.optimizer.param_groups[0]["lr"] == 0.5
    assert trainer.clip_grad == 1.0
    assert trainer.loss == model.trainer.loss


def test_models_of_medicai_are_saved_too(tmp_path: Path) -> None:
    trunk = ConvNeXtBackbone(
        depths=(1, 1), projection_dims=(4, 8), input_shape=(8, 8, 8, 2), grn=True
    )
    trunk.save(tmp_path / "trunk")
    x = np.zeros((1, 8, 8, 8, 2), np.float32)
    loaded = keras.models.load_model(tmp_path / "trunk")
    np.testing.assert_array_equal(loaded.predict(x), trunk.predict(x))
    assert loaded.name == "ConvNeXtBackboneV23D"
    unet = UNet(encoder_name="convnextv2_atto", encoder_depth=3, input_shape=(32, 32, 1))
    unet.save(tmp_path / "unet")
    y = RNG.random((1, 32, 32, 1)).astype(np.float32)
    again = keras.models.load_model(tmp_path / "unet")
    np.testing.assert_array_equal(again.predict(y), unet.predict(y))


def test_what_cannot_be_saved_or_loaded_says_so(tmp_path: Path) -> None:
    net = models.ConvNeXt(**SMALL)
    with pytest.raises(OptionError, match="put together by hand"):
        keras.Model(net, (16, 16, 3), (3,)).save(tmp_path / "m")
    io.save(net.state_dict(), tmp_path / "bare")
    with pytest.raises(DataError, match="no model that"):
        keras.models.load_model(tmp_path / "bare")
    evil = {"class": "os.system", "arguments": [], "options": {}}
    io.save({"kind": "model", "version": 1, "architecture": evil, "model": {}}, tmp_path / "evil")
    with pytest.raises(DataError, match=r"os\.system, which is unknown here"):
        keras.models.load_model(tmp_path / "evil")


def test_a_compiled_function_is_not_kept_but_the_model_is(tmp_path: Path) -> None:
    model = small()
    model.compile("adamw", lambda output, target: output.mean())
    model.save(tmp_path / "m")
    assert keras.models.load_model(tmp_path / "m").trainer is None


def test_weights_alone(tmp_path: Path) -> None:
    model, other = small(), ConvNeXtV2(input_shape=(16, 16, 3), **SMALL)
    model.save(tmp_path / "m")
    other.load_weights(tmp_path / "m")
    np.testing.assert_array_equal(other.predict(X), model.predict(X))


# --- pretrained --------------------------------------------------------------------------------


def test_pretrained_skips_a_head_of_another_shape_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Behaviour 6."""
    path = tmp_path / "weights.safetensors"
    source = create_convnext_v1("cifar10", num_classes=4, input_shape=(32, 32, 3))
    io.save(source.net.state_dict(), path)
    model = create_convnext_v1("cifar10", 7, input_shape=(48, 48, 3), pretrained=path)
    text = capsys.readouterr().out
    assert "2 mismatched" in text
    assert "head.weight has (4, 192), expected (7, 192)" in text
    ours, theirs = model.net.state_dict(), source.net.state_dict()
    for name in ours:
        if not name.startswith("head"):
            np.testing.assert_array_equal(ours[name], theirs[name])
    source.save(tmp_path / "whole.keras")
    create_convnext_v1("cifar10", 4, input_shape=(32, 32, 3), pretrained=tmp_path / "whole.keras")
    assert capsys.readouterr().out == ""


def test_pretrained_that_cannot_be_had_or_fits_nowhere_raises(tmp_path: Path) -> None:
    """Behaviour 6."""
    with pytest.raises(DataError, match="no weights of ConvNeXtV1 'cifar10' come with minigrad"):
        create_convnext_v1("cifar10", pretrained=True)
    with pytest.raises(DataError, match="missing"):
        create_convnext_v1("cifar10", pretrained=tmp_path / "missing.safetensors")
    io.save({"other": mg.ones(2)}, tmp_path / "other")
    with pytest.raises(DataError, match="no value fits"):
        create_convnext_v1("cifar10", pretrained=tmp_path / "other")


# --- refusals ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: small().fit(X, Y), OptionError, r"fit: call model\.compile"),
        (lambda: ready().fit(X), OptionError, "labels are missing"),
        (lambda: ready().fit(X, Y[:5]), ShapeError, "12 samples cannot have 5 labels"),
        (lambda: small()(X.transpose(0, 3, 1, 2)), ShapeError, r"\(None, 16, 16, 3\), got \(12, 3"),
        (lambda: small().compile("adamm"), OptionError, "did you mean 'adamw'|did you mean 'adam'"),
        (lambda: small().compile(loss="crossentropy"), OptionError, "did you mean 'cross_entropy'"),
        (lambda: small().compile(metrics=["acuracy"]), OptionError, "did you mean 'accuracy'"),
        (lambda: keras.optimizers.AdamW(learning_rte=1), OptionError, "mean 'learning_rate'"),
        (
            lambda: keras.mixed_precision.set_global_policy("mixed_flot16"),
            OptionError,
            "unknown mixed precision policy 'mixed_flot16'; did you mean 'mixed_float16'",
        ),
        (lambda: ConvNeXtV1.from_variant("tyny"), OptionError, "did you mean 'tiny'"),
        (lambda: ConvNeXtV1.from_variant("tiny", dims=(2,)), OptionError, "sets depths and dims"),
        (lambda: small(drop_pth_rate=0.1), OptionError, "did you mean 'drop_path_rate'"),
    ],
)
def test_refusals(make: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        make()
