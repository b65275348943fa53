from __future__ import annotations

import json
import math
import os
import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim
from minigrad.data import ArrayDataset, DataLoader, TensorDataset, default_collate
from minigrad.data import transforms as T
from minigrad.errors import DataError, MinigradError, OptionError
from minigrad.train import Callback, Checkpoint, Log, Trainer, load_checkpoint

EPOCHS = 3


def data(count: int = 100) -> ArrayDataset:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, count)
    images = rng.normal(size=(count, 1, 4, 4)) + labels[:, None, None, None]
    return ArrayDataset(images.astype(np.float32), labels)


def loader(num_workers: int = 0) -> DataLoader:
    return DataLoader(data(), 16, shuffle=True, transform=T.RandomCrop(1), num_workers=num_workers)


def trainer(*callbacks: Callback, ema: float | None = 0.9) -> Trainer:
    """A trainer with everything that has state: schedule, average, dropout, batch norm."""
    mg.manual_seed(7)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.3),
        nn.Linear(16, 3),
    )  # fmt: skip
    optimizer = optim.AdamW(optim.param_groups(model, 0.05), lr=0.01)
    schedule = optim.WarmupCosineLR(optimizer, EPOCHS * 7, 3)
    average = None if ema is None else optim.ModelEma(model, ema)
    return Trainer(
        model, optimizer, schedule=schedule, ema=average, clip_grad=1.0, callbacks=callbacks
    )


def bits(state: Any, path: str = "") -> dict[str, Any]:
    """Flatten a state to comparable values; seconds differ between runs."""
    if isinstance(state, mg.Tensor):
        state = state.detach().numpy()
    if isinstance(state, np.ndarray):
        return {path: (state.dtype, state.shape, state.tobytes())}
    items: Any = ()
    if isinstance(state, dict):
        items = ((k, v) for k, v in state.items() if k != "seconds")
    elif isinstance(state, list | tuple):
        items = enumerate(state)
    else:
        return {path: state}
    return {key: v for k, item in items for key, v in bits(item, f"{path}.{k}").items()}


class StopAt(Callback):
    """Leave the training after some steps, as a crash would."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, trainer: Trainer) -> None:
        if trainer.step == self.step:
            raise ConnectionAbortedError


@pytest.fixture(scope="module")
def whole() -> dict[str, Any]:
    """The state after a run that nobody disturbed."""
    run = trainer()
    run.fit(loader(), loader(), EPOCHS)
    return bits(run.state_dict())


def test_learns_and_logs_a_row_per_epoch() -> None:
    run = trainer(ema=None)
    history = run.fit(loader(), DataLoader(data(), 50), EPOCHS)
    assert [row["epoch"] for row in history] == [1, 2, 3]
    assert set(history[0]) == {
        "epoch", "lr", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "seconds",
    }  # fmt: skip
    assert history[-1]["train_loss"] < history[0]["train_loss"]
    assert history[-1]["val_accuracy"] > 0.45  # a third is chance
    assert run.step == 21
    assert history[-1]["lr"] == pytest.approx(0.0)


def test_the_same_run_twice_has_the_same_bits(whole: dict[str, Any]) -> None:
    run = trainer()
    run.fit(loader(num_workers=3), loader(), EPOCHS)
    assert bits(run.state_dict()) == whole


@pytest.mark.parametrize("step", [1, 5, 7, 10, 20])
def test_resume_from_any_step_has_the_same_bits(
    whole: dict[str, Any], tmp_path: Path, step: int
) -> None:
    path = tmp_path / "a"
    with pytest.raises(ConnectionAbortedError):
        trainer(Checkpoint(path, every=1), StopAt(step)).fit(loader(), loader(), EPOCHS)
    run = trainer()
    mg.manual_seed(99)  # must not matter
    run.load_state_dict(load_checkpoint(path))
    assert run.step == step - (step % 7 == 0)  # an epoch's last step is saved with the epoch
    run.fit(loader(), loader(), EPOCHS)
    assert bits(run.state_dict()) == whole


def test_a_finished_run_does_nothing_more(whole: dict[str, Any], tmp_path: Path) -> None:
    run = trainer(Checkpoint(tmp_path / "a"))
    run.fit(loader(), loader(), EPOCHS)
    again = trainer()
    again.load_state_dict(load_checkpoint(tmp_path / "a"))
    again.fit(loader(), loader(), EPOCHS)
    assert bits(again.state_dict()) == whole


def test_checkpoint_every_so_many_steps(tmp_path: Path) -> None:
    saved = []

    class Note(Checkpoint):
        def save(self, trainer: Trainer) -> None:
            saved.append(trainer.step)

    trainer(Note(tmp_path / "a", every=3)).fit(loader(), None, 2)
    assert saved == [3, 6, 7, 9, 12, 14]
    with pytest.raises(OptionError, match="every must be 0 or more"):
        Checkpoint(tmp_path / "a", every=-1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_saves_between_two_steps(
    whole: dict[str, Any], tmp_path: Path, number: signal.Signals
) -> None:
    class Press(Callback):
        def on_step_end(self, trainer: Trainer) -> None:
            if trainer.step == 10:
                os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    path = tmp_path / "a"
    with pytest.raises(KeyboardInterrupt):
        trainer(Press(), Checkpoint(path)).fit(loader(), loader(), EPOCHS)
    assert signal.getsignal(number) is before
    run = trainer()
    run.load_state_dict(load_checkpoint(path))
    assert (run.epoch, run.batch, run.step) == (1, 3, 10)
    run.fit(loader(), loader(), EPOCHS)
    assert bits(run.state_dict()) == whole


def test_fit_works_in_a_thread_without_signals() -> None:
    run = trainer(ema=None)
    thread = threading.Thread(target=run.fit, args=(loader(), None, 1))
    thread.start()
    thread.join()
    assert run.epoch == 1


def test_evaluate_uses_the_average_and_changes_nothing() -> None:
    run = trainer()
    run.fit(loader(), None, 1)
    before = bits(run.state_dict())
    assert run.evaluate(DataLoader(data(), 30)) == run.evaluate(DataLoader(data(), 30))
    outputs = run.predict(DataLoader(data(), 30))
    assert outputs.shape == (100, 3)
    assert run.ema is not None
    images = mg.tensor(np.stack([data()[i][0] for i in range(100)]))
    with mg.no_grad():
        np.testing.assert_allclose(outputs, run.ema.module(images).numpy(), rtol=1e-5, atol=1e-6)
    assert bits(run.state_dict()) == before
    assert mg.is_grad_enabled()


def test_train_on_batch_returns_loss_and_metrics() -> None:
    run = trainer(ema=None)
    x, y = next(iter(loader()))
    values = run.train_on_batch(x, y)
    assert set(values) == {"loss", "accuracy"}
    assert values["loss"] == pytest.approx(math.log(3), abs=0.8)


def test_a_loss_that_is_not_finite_stops_the_run_with_the_old_weights() -> None:
    run = trainer(ema=None)
    run.model[0].weight.data.fill_(math.nan)
    before = bits(run.model[5].weight)
    with pytest.raises(MinigradError, match=r"the loss is nan at step 0 \(epoch 1, batch 1\)"):
        run.fit(loader(), None, 1)
    assert bits(run.model[5].weight) == before


def test_misspelt_names_and_bad_numbers() -> None:
    model = nn.Linear(2, 2)
    with pytest.raises(OptionError, match="did you mean 'cross_entropy'"):
        Trainer(model, loss="cros_entropy")
    with pytest.raises(OptionError, match="did you mean 'adamw'"):
        Trainer(model, optimizer="adamww")
    with pytest.raises(OptionError, match="epochs must be 0 or more"):
        Trainer(model).fit(loader(), None, -1)


def test_a_checkpoint_of_another_trainer_is_refused() -> None:
    state = trainer().state_dict()
    with pytest.raises(DataError, match="has a ema, but this trainer has no ema"):
        trainer(ema=None).load_state_dict(state)


def test_other_files_are_refused(tmp_path: Path) -> None:
    mg.io.save(nn.Linear(2, 2).state_dict(), tmp_path / "weights")
    with pytest.raises(DataError, match="no checkpoint of a Trainer"):
        load_checkpoint(tmp_path / "weights")


def test_failing_disk_stops_the_run_and_keeps_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trainer(Checkpoint(tmp_path / "a"))
    run.fit(loader(), None, 1)
    good = (tmp_path / "a").read_bytes()

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match="No space left on device"):
        run.fit(loader(), None, 2)
    assert (tmp_path / "a").read_bytes() == good
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_logs_hold_every_epoch_once_after_a_resume(tmp_path: Path) -> None:
    first = trainer(Checkpoint(tmp_path / "a"), Log(tmp_path), StopAt(17))
    with pytest.raises(ConnectionAbortedError):
        first.fit(loader(), None, EPOCHS)
    run = trainer(Log(tmp_path))
    run.load_state_dict(load_checkpoint(tmp_path / "a"))
    run.fit(loader(), None, EPOCHS)
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert rows == run.history
    lines = (tmp_path / "log.csv").read_text().splitlines()
    assert lines[0] == "epoch,lr,train_loss,train_accuracy,seconds"
    assert [line.split(",")[0] for line in lines[1:]] == ["1", "2", "3"]


# --- loaders that train nothing ----------------------------------------------------------------


def _loader(samples: int, batch_size: int) -> DataLoader:
    x = np.zeros((samples, 1, 1), np.float32)
    return DataLoader(TensorDataset(x, np.zeros(samples, int)), batch_size, drop_last=True)


def test_a_loader_without_batches_is_refused_before_anything_happens() -> None:
    subject = Trainer(nn.Sequential(nn.Flatten(), nn.Linear(1, 2)), "sgd")
    full, none = _loader(8, 8), _loader(5, 8)
    for call in (
        lambda: subject.fit(none, epochs=2),
        lambda: subject.fit(full, none),
        lambda: subject.evaluate(none),
        lambda: subject.predict(none),
    ):
        with pytest.raises(DataError, match=r"no batches: 5 samples make no whole batch of 8"):
            call()
    assert (subject.step, subject.history, subject.epochs) == (0, [], 0)
    with pytest.raises(OptionError, match="a DataLoader is needed, got list"):
        subject.fit([])  # type: ignore[arg-type]
    assert len(subject.fit(full, full)) == 1


@pytest.mark.parametrize(
    ("sample", "found"),
    [
        ((np.zeros(1), 0, 1), "Tensor, Tensor, Tensor"),
        ({"x": np.zeros(1)}, "dict"),
        (np.zeros(1), "Tensor"),
        ((np.zeros(1), {"label": 1}), "Tensor, dict"),
    ],
)
def test_batches_that_are_no_pair_are_refused(sample: Any, found: str) -> None:
    subject = Trainer(nn.Linear(1, 2), "sgd")
    with pytest.raises(DataError, match=rf"two Tensors.*got \({found}\)"):
        subject.fit(DataLoader([sample], 1))


def test_float_targets_train_a_regression() -> None:
    data = [(np.array([i / 8], np.float32), [2 * i / 8]) for i in range(8)]
    loader = DataLoader(data, 8, collate_fn=lambda s: default_collate([(x, y[0]) for x, y in s]))
    net = nn.Sequential(nn.Linear(1, 1), nn.Flatten(0))
    subject = Trainer(net, optim.SGD(net.parameters(), 0.5), "mse")
    row = subject.fit(loader, epochs=200)[-1]
    assert row["train_loss"] < 1e-3
    assert "train_accuracy" not in row  # targets are no classes


@pytest.mark.parametrize("epochs", [-1, 2.5, "2", None, True])
def test_epochs_are_a_whole_number(epochs: Any) -> None:
    subject = Trainer(nn.Sequential(nn.Flatten(), nn.Linear(1, 2)), "sgd")
    with pytest.raises(OptionError, match="fit: epochs must be"):
        subject.fit(_loader(8, 8), epochs=epochs)
    assert (subject.step, subject.epochs) == (0, 0)


def weights_after(batch_size: int, accumulate: int, metrics: list[float]) -> dict[str, Any]:
    """Return the weights of a ConvNeXt in float64 after two epochs of 3 steps, the last smaller."""
    mg.manual_seed(1)
    model = mg.models.ConvNeXt(1, 3, (1, 1), (4, 6), patch_size=2, dtype=mg.float64)
    rng = np.random.default_rng(2)
    for p in model.parameters():
        p.data = mg.tensor(rng.normal(0, 0.3, p.shape))
    samples = TensorDataset(
        mg.tensor(rng.normal(size=(22, 1, 8, 8))), mg.tensor(rng.integers(0, 3, 22))
    )
    optimizer = optim.AdamW(model.parameters(), lr=0.01)
    fitting = Trainer(model, optimizer, accumulate=accumulate, clip_grad=1.0, clip_value=0.1)
    history = fitting.fit(DataLoader(samples, batch_size, shuffle=True), epochs=2)
    assert fitting.step == 6
    metrics += [row["train_loss"] for row in history]
    return {name: value.numpy() for name, value in model.state_dict().items()}


def test_accumulated_gradients_are_those_of_the_large_batch() -> None:
    losses: list[list[float]] = [[], []]
    large, parts = weights_after(8, 1, losses[0]), weights_after(2, 4, losses[1])
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-12)
    for name, value in large.items():
        np.testing.assert_allclose(parts[name], value, rtol=1e-12, atol=1e-12, err_msg=name)


def test_a_run_that_accumulates_resumes_exactly(tmp_path: Path) -> None:
    def fitting(*callbacks: Callback) -> Trainer:
        made = trainer(*callbacks)
        made.schedule = optim.WarmupCosineLR(made.optimizer, EPOCHS * 3, 2)
        made.accumulate = 3
        return made

    undisturbed = fitting()
    undisturbed.fit(loader(), epochs=EPOCHS)
    path = tmp_path / "state.safetensors"
    stopped = fitting(Checkpoint(path, every=1), StopAt(5))
    with pytest.raises(ConnectionAbortedError):
        stopped.fit(loader(), epochs=EPOCHS)
    resumed = fitting()
    resumed.load_state_dict(load_checkpoint(path))
    assert (resumed.step, resumed.batch) == (5, 6)
    resumed.fit(loader(), epochs=EPOCHS)
    assert bits(resumed.state_dict()) == bits(undisturbed.state_dict())


def test_gradients_are_clipped_by_value() -> None:
    model = nn.Linear(2, 1, bias=False)
    model.weight.data = mg.zeros(1, 2)
    fitting = Trainer(model, optim.SGD(model.parameters(), lr=1.0), "mse", clip_value=0.5)
    fitting.train_on_batch(mg.tensor([[10.0, -0.1]]), mg.tensor([[1.0]]))
    np.testing.assert_allclose(model.weight.detach().numpy(), [[0.5, -0.2]], rtol=1e-6)


def test_a_callback_may_end_the_training() -> None:
    class Enough(Callback):
        def on_epoch_end(self, trainer: Trainer) -> None:
            trainer.stopping = trainer.epoch == 2

    fitting = trainer(Enough())
    assert len(fitting.fit(loader(), epochs=EPOCHS)) == 2
