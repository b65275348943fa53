"""Training in mixed precision: as accurate, resumed exactly, unharmed by an overflow."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim
from minigrad.data import ArrayDataset, DataLoader
from minigrad.errors import DataError, MinigradError, OptionError
from minigrad.nn import functional as F
from minigrad.runs import PretrainConfig, TrainConfig, prepare
from minigrad.train import Callback, Checkpoint, Trainer, load_checkpoint

pytest.importorskip("ml_dtypes")
HALF = ("bfloat16", "float16")


def batch() -> tuple[mg.Tensor, mg.Tensor]:
    rng = np.random.default_rng(0)
    return mg.tensor(rng.normal(size=(8, 1, 2, 2)), dtype=mg.float32), mg.tensor(np.arange(8) % 3)


def trainer(precision: str, *callbacks: Callback, clip_grad: float | None = 1.0) -> Trainer:
    mg.manual_seed(0)
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(4, 8), nn.LayerNorm(8), nn.GELU(), nn.Linear(8, 3)
    )
    optimizer = optim.AdamW(model.parameters(), lr=0.01)
    return Trainer(model, optimizer, clip_grad=clip_grad, callbacks=callbacks, precision=precision)


@pytest.mark.parametrize("precision", ["float32", *HALF])
def test_digits_are_learned_as_well(precision: str) -> None:
    config = TrainConfig(
        epochs=4, depths=(1, 1), dims=(16, 32), kernel_size=3, warmup_epochs=1.0,
        precision=precision,
    )  # fmt: skip
    experiment = prepare(config)
    row = experiment.fit()[-1]
    assert row["val_accuracy"] > 0.93
    assert all(p.dtype == "float32" for p in experiment.trainer.model.parameters())


@pytest.mark.parametrize("clip_grad", [None, 1.0])
def test_a_step_is_the_loop_that_users_write(clip_grad: float | None) -> None:
    x, y = batch()
    ours, other = (trainer("float16", clip_grad=clip_grad) for _ in range(2))
    scaler = mg.amp.GradScaler("cpu")
    for _ in range(3):
        ours.train_on_batch(x, y)
        with mg.autocast("cpu", mg.float16):
            loss = F.cross_entropy(other.model(x), y)
        other.optimizer.zero_grad()
        scaler.scale(loss).backward()
        if clip_grad:
            scaler.unscale_(other.optimizer)
            optim.clip_grad_norm_(other.model.parameters(), clip_grad)
        scaler.step(other.optimizer)
        scaler.update()
    pairs = zip(ours.model.parameters(), other.model.parameters(), strict=True)
    for p, q in pairs:
        np.testing.assert_array_equal(p.detach(), q.detach())


def test_an_overflow_is_skipped_and_halves_the_scale() -> None:
    x, y = batch()
    subject = trainer("float16")
    subject.train_on_batch(x, y)
    assert math.isfinite(subject.train_on_batch(x, y)["loss"])
    assert subject.scaler.get_scale() == 65536.0
    weights = [p.detach().clone() for p in subject.model.parameters()]
    values = subject.train_on_batch(x * 1e6, y)  # 1e6 is infinite in float16
    assert not math.isfinite(values["loss"])
    assert subject.scaler.get_scale() == 32768.0
    for p, before in zip(subject.model.parameters(), weights, strict=True):
        np.testing.assert_array_equal(p.detach(), before)
    assert math.isfinite(subject.train_on_batch(x, y)["loss"])
    assert not np.array_equal(subject.model[1].weight.detach(), weights[0])


def test_a_loss_that_stays_infinite_is_an_error_in_the_end() -> None:
    x, y = batch()
    subject = trainer("float16")
    for _ in range(16):  # 65536 is 2**16
        subject.train_on_batch(x * math.nan, y)
    with pytest.raises(MinigradError, match="the loss is nan at step 16"):
        subject.train_on_batch(x * math.nan, y)
    with pytest.raises(MinigradError, match="the loss is nan at step 0"):
        trainer("bfloat16").train_on_batch(x * math.nan, y)


class Stop(Callback):
    def on_step_end(self, trainer: Trainer) -> None:
        if trainer.step == 4:
            raise KeyboardInterrupt


@pytest.mark.parametrize("precision", HALF)
def test_a_run_is_resumed_with_the_same_bits(precision: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 1, 2, 2)).astype(np.float32)
    x[17] = 1e6  # infinite in float16: one step of every epoch is skipped
    data = DataLoader(ArrayDataset(x, np.arange(40) % 3), 8, shuffle=True)
    calm = trainer(precision)
    calm.fit(data, epochs=3)
    file = tmp_path / "checkpoint.safetensors"
    with pytest.raises(KeyboardInterrupt):
        trainer(precision, Checkpoint(file, every=1), Stop()).fit(data, epochs=3)
    again = trainer(precision)
    again.load_state_dict(load_checkpoint(file))
    assert again.step == 4
    again.fit(data, epochs=3)
    assert again.scaler.state_dict() == calm.scaler.state_dict()
    if precision == "float16":
        assert again.scaler.get_scale() == 65536.0 / 8
        assert math.isfinite(again.history[0]["train_loss"])
    for p, q in zip(again.model.parameters(), calm.model.parameters(), strict=True):
        np.testing.assert_array_equal(p.detach(), q.detach())


def test_a_state_of_another_precision_is_refused() -> None:
    state = trainer("float32").state_dict()
    with pytest.raises(DataError, match=r"of a run in 'float32', but .* precision='bfloat16'"):
        trainer("bfloat16").load_state_dict(state)
    del state["precision"], state["scaler"]  # as saved before there was a choice
    trainer("float32").load_state_dict(state)


def test_outputs_come_in_float32() -> None:
    x, _ = batch()
    subject = trainer("bfloat16")
    out = subject.predict(DataLoader(ArrayDataset(x.numpy(), np.zeros(8, int)), 4))
    assert out.dtype == "float32"
    with mg.autocast("cpu", "bfloat16"), mg.no_grad():
        np.testing.assert_array_equal(out, subject.model(x).float())


def test_unknown_precisions_are_refused() -> None:
    for make in (trainer, lambda name: TrainConfig.from_values({"precision": name})):
        with pytest.raises(OptionError, match="unknown precision 'bf16'"):
            make("bf16")


@pytest.mark.parametrize("precision", HALF)
def test_pre_training_too(precision: str) -> None:
    values: dict[str, Any] = {"depths": (1, 1), "dims": (8, 8), "decoder_dim": 8, "epochs": 1}
    exact = prepare(PretrainConfig(**values)).fit()
    near = prepare(PretrainConfig(**values, precision=precision)).fit()
    np.testing.assert_allclose(near[0]["train_loss"], exact[0]["train_loss"], rtol=0.02)


@pytest.mark.parametrize("precision", HALF)
@pytest.mark.parametrize("options", [
    {}, {"decoder_block_type": "transpose"}, {"decoder_normalization": "layer"},
    {"decoder_normalization": "group"}, {"decoder_normalization": "instance"},
    {"decoder_normalization": "unit"}, {"decoder_normalization": "sync_batch"},
])  # fmt: skip
@pytest.mark.parametrize("kind", ["UNet", "AttentionUNet", "UNetPlusPlus"])
def test_segmentation_too(kind: str, options: dict[str, Any], precision: str) -> None:
    mg.manual_seed(0)
    trunk = mg.models.ConvNeXtV2(2, 0, (1, 1, 1), (4, 6, 8), patch_size=2, kernel_size=3)
    model = getattr(mg.models, kind)(
        trunk, num_classes=3, decoder_filters=(8, 8, 8), encoder_depth=3,
        classifier_activation=None, **options,
    )  # fmt: skip
    x, y = mg.randn(2, 2, 32, 32), mg.randint(0, 3, (2, 32, 32))
    losses = []
    for enabled in (False, True):
        with mg.autocast("cpu", precision, enabled=enabled):
            out = model(x)
            out = F.interpolate(out, size=(32, 32))
            loss = F.cross_entropy(out, y) + F.dice_loss(out, y)
        loss.backward()
        losses.append(loss.item())
        assert all(p.grad is None or p.grad.dtype == "float32" for p in model.parameters())
        model.zero_grad()
    np.testing.assert_allclose(losses[1], losses[0], rtol=0.03)
