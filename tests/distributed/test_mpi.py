"""Two real ranks: processes that MPI connects."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clock import HANG

pytestmark = pytest.mark.needs("mpi4py")

START = "import sys; from minigrad.distributed import launch; sys.exit(launch(2, sys.argv[1:]))"
ROOT = Path(__file__).resolve().parents[2]

TRAIN = """
import sys, numpy as np, minigrad as mg
mg.backend.use_kernels("reference")  # nothing to compile
from minigrad import nn
from minigrad.train import Callback, Checkpoint, Trainer, load_checkpoint

class Curve(Callback):
    def on_fit_start(self, trainer): self.losses = []
    def on_step_end(self, trainer): self.losses.append(trainer.means.values()["loss"])

class Stop(Callback):
    def on_step_end(self, trainer):
        if trainer.step == 3: raise KeyboardInterrupt

def trainer(group, *more):
    mg.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 16, bias=False), nn.BatchNorm1d(16),
                          nn.ReLU(), nn.Linear(16, 10))
    return Trainer(model, mg.optim.SGD(model.parameters(), lr=0.5, momentum=0.9), group=group,
                   ema=mg.optim.ModelEma(model, 0.9), shard_optimizer=True,
                   callbacks=[Curve(), *more])

def fit(trainer):
    train, val = (mg.data.Subset(mg.data.digits(), range(*r)) for r in ((0, 330), (330, 400)))
    trainer.fit(mg.data.DataLoader(train, 60, True), mg.data.DataLoader(val, 20), 2)
    return trainer

ranks, alone = mg.distributed.init(), mg.distributed.Group()
assert (ranks.size, alone.size) == (2, 1)
assert sys.stdin.read() == ""
two = fit(trainer(ranks))
state = b"".join(v.numpy().tobytes() for v in two.ema.state_dict().values())
assert len(set(ranks.all_gather(state))) == 1
try:
    fit(trainer(ranks, Checkpoint(sys.argv[1], 2), Stop()))
except KeyboardInterrupt:
    pass
if ranks.rank == 0:
    one = fit(trainer(alone))
    np.testing.assert_allclose(two.callbacks[0].losses, one.callbacks[0].losses, rtol=2e-5)
    for a, b in zip(two.history, one.history):
        np.testing.assert_allclose(list(a.values())[:-1], list(b.values())[:-1], rtol=1e-4)
    resumed = trainer(alone)
    resumed.load_state_dict(load_checkpoint(sys.argv[1]))
    assert (resumed.step, resumed.batch) == (2, 2)
    np.testing.assert_allclose(fit(resumed).history[-1]["val_loss"], one.history[-1]["val_loss"],
                               rtol=1e-4)
    print("equal")
"""

DIE = """
import os, sys
from minigrad.cli import _failed
from minigrad.distributed import init
from minigrad.errors import MinigradError
group = init()
if sys.argv[1] == "killed":
    group.rank == 1 and os.kill(os.getpid(), 9)
elif sys.argv[1] == "left":
    group.rank == 1 and sys.exit(0)
elif sys.argv[1] == "alike" or group.rank == 1:
    _failed("the picture is damaged", 2)
try:
    group.all_gather(None)
except MinigradError as error:
    _failed(str(error), 1)
"""

COMMAND = """
import sys, minigrad as mg
from minigrad.cli import main
mg.backend.use_kernels("reference")
sys.exit(main(["train", "--depths", "1", "--dims", "4", "--output", *sys.argv[1:]]))
"""


def started(*words: str) -> subprocess.Popen[str]:
    """Run Python on two ranks."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", START, "-c", *words]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=env)


def launched(*words: str) -> subprocess.CompletedProcess[str]:
    """Wait for what they say."""
    with started(*words) as process:
        out, err = process.communicate(timeout=HANG)
    return subprocess.CompletedProcess(words, process.returncode, out, err)


def test_two_ranks_train_as_one_does_and_one_goes_on(tmp_path: Path) -> None:
    """Losses, averages, evaluation; sharded state in one file, from which one rank resumes."""
    done = launched(TRAIN, str(tmp_path / "checkpoint.safetensors"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "equal\n", "")


@pytest.mark.parametrize(
    ("how", "status", "said"),
    [
        ("killed", 137, "minigrad: a rank was ended by SIGKILL, and the other ranks with it\n"),
        ("one", 2, "minigrad: rank 1 of 2: the picture is damaged\n"),
        ("alike", 2, "minigrad: the picture is damaged\n"),
        (
            "left",
            1,
            "minigrad: rank 1 has ended, and the others wait for it: all ranks take the same "
            "steps; none may leave before the last one\n",
        ),
    ],
)
def test_a_rank_that_fails_ends_all_with_one_message(how: str, status: int, said: str) -> None:
    done = launched(DIE, how)
    assert (done.returncode, done.stderr) == (status, said)


@pytest.mark.parametrize("how", ["SIGTERM", "nobody reads"])
def test_all_ranks_stop_after_the_same_step(how: str, tmp_path: Path) -> None:
    with started(COMMAND, str(tmp_path), "--epochs", "10000") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith("convnextv2 with ")
        assert process.stdout.readline().startswith("epoch     1/10000 ")
        said = ""
        if how == "SIGTERM":
            process.send_signal(signal.SIGTERM)
            said = process.stdout.read()
        process.stdout.close()
        assert process.wait(HANG) == 130
        assert process.stderr.read() == "minigrad: interrupted\n"
    assert "mpiexec" not in said
    assert ("stopped; go on with: minigrad train " in said) == (how == "SIGTERM")
    assert (tmp_path / "digits" / "checkpoint.safetensors").is_file()


def test_folds_are_told_once(tmp_path: Path) -> None:
    words = ["--folds", "2", "--epochs", "1", "--batch-size", "512"]
    done = launched(COMMAND, str(tmp_path), *words)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line for line in done.stdout.splitlines() if line.startswith("fold")] == [
        "fold 1 of 2",
        "fold 2 of 2",
    ]
    assert len((tmp_path / "digits-folds.csv").read_text().splitlines()) == 3
