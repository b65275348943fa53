"""Every argument of a public call refuses what is of another kind, before anything is done."""

from __future__ import annotations

import inspect
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import data, distributed, nn, runs, train
from minigrad.errors import MinigradError

PLACES = ("data", "distributed", "io", "models", "optim", "random", "runs", "train", "viz")
SMALL = {"epochs": 1, "depths": (1,), "dims": (4,), "batch_size": 512}
CALLS = {  # with the arguments that have no default
    "data.ConcatDataset": "datasets=[digits]",
    "data.DataLoader": "dataset=digits",
    "data.DataLoader(digits).resized": "batch_size=2",
    "data.ImageFolder": "root=pets",
    "data.Kept": "dataset=digits, size=8",
    "data.PictureTable": "path=table",
    "data.Repeated": "dataset=digits, times=2",
    "data.RepeatedSampler": "population=4",
    "data.ShuffledShards": "lengths=[2, 3]",
    "data.Subset": "dataset=digits, indices=[0]",
    "data.TarShards": "paths='shard.tar'",
    "data.WeightedRandomSampler": "weights=[1.0, 2.0]",
    "data.check_folder": "root=pets",
    "data.check_table": "path=table",
    "data.class_weights": "labels=np.array([0, 1]), classes=2",
    "data.duplicates": "paths=[table]",
    "data.load_split": "name=str(pets)",
    "data.mono": "image=np.ones((3, 4, 4), np.float32)",
    "data.random_split": "dataset=digits, lengths=[0.5, 0.5]",
    "data.read_dicom": "path=pets",
    "data.read_volume": "path=table",
    "data.stratified_folds": "dataset=digits, folds=2",
    "data.stratified_split": "dataset=digits, share=0.5",
    "data.survey": "split=data.load_split(str(pets))",
    "data.symmetries": "images=[np.ones((1, 8, 8))] * 2, labels=[0, 0]",
    "distributed.GradientBuckets": "params=[weight], group=group",
    "distributed.ShardedOptimizer": "optimizer=optim.SGD([weight], 0.1), group=group",
    "distributed.launch": "ranks=2, words=['-V']",
    "distributed.synchronise_batch_norm": "model=model, group=group",
    "io.write_volume": "path=pets / 'a.nii', volume=volume",
    "models.Ensemble": "models=[model]",
    "models.Ensemble([model]).forward": "x=image",
    "models.Tiled": "model=model, tile=4",
    "models.Tiled(model, 4).forward": "x=image",
    "models.sliding_window_inference": "inputs=scan, roi_size=4, predictor=model[0]",
    "models.average_weights": "states=[model.state_dict()]",
    "optim.create": "name='sgd', params=[weight]",
    "optim.options_of": "name='sgd'",
    "random.Generator(0).branch": "number=1",
    "runs.Comparison": "runs=[runs.read_run(folder)]",
    "runs.Findings().save": "folder=folder",
    "runs.compare": "folders=[folder, folder]",
    "runs.cross_validate": "task=runs.tasks['train'], wanted={**SMALL, 'folds': 2}",
    "runs.evaluate": "trained=runs.load_trained(folder / 'checkpoint.safetensors', 'cpu')",
    "runs.find": "task=runs.tasks['train'], wanted=SMALL, what='lr'",
    "runs.read_run": "folder=folder",
    "runs.report": "folder=folder",
    "runs.run": "task=runs.tasks['train'], wanted=SMALL",
    "runs.soup": "runs=[str(folder)] * 2, output=folder / 'soup.safetensors'",
    "train.BestCheckpoint": "path=folder / 'best.safetensors'",
    "train.BestCheckpoint('best.safetensors').restore": "trainer=train.Trainer(model)",
    "train.Calibration": "",
    "train.Calibration().merge": "other=train.Calibration()",
    "train.Checkpoint": "path=folder / 'a.safetensors'",
    "train.Checkpoint('a.safetensors').save": "trainer=train.Trainer(model)",
    "train.ClassReport": "classes=['a'], hits=one, true=one, predicted=one",
    "train.ConfusionMatrix": "classes=2",
    "train.ConfusionMatrix(2).merge": "other=train.ConfusionMatrix(2)",
    "train.ConfusionMatrix(2).report": "",
    "train.EarlyStopping": "",
    "train.Freeze": "model=model, parts=['0']",
    "train.Freeze(model, ['0']).frozen": "epoch=1",
    "train.Log": "folder=folder",
    "train.TensorBoard": "folder=folder",
    "train.Trackio": "name='a'",
    "train.Trainer": "model=model",
    "train.best_epoch": "history=history, monitor='val_loss'",
    "train.find_batch_size": "trainer=train.Trainer(model), loader=data.DataLoader(digits)",
    "train.find_lr": "trainer=train.Trainer(model), loader=data.DataLoader(digits)",
    "train.read_history": "path=folder / 'log.jsonl'",
    "viz.calibration_svg": "calibration=calibration",
    "viz.class_report_svg": "report=confusion.report()",
    "viz.comparison_svg": "histories={'a': history}",
    "viz.confusion_svg": "matrix=confusion",
    "viz.curves_svg": "history=history",
    "viz.folder_page": "found=data.check_folder(pets)",
    "viz.grad_cam": "model=model, images=image, layer='0'",
    "viz.layer_cam": "model=model, images=image, layers=['0']",
    "viz.timeline_svg": "spans=[('a', 'b', 0.0, 1.0)]",
}
WRONG: list[Any] = ["no", 3, math.nan, None, ["no"], [3], np.zeros(2), object()]
ANY = {
    "Any",
    "Sequence",
    "Iterable",
    "NDArray",
    "Dataset",
    "Tensor",
}  # what is in them is another matter


def may_fit(value: Any, argument: str, annotation: str) -> bool:
    words = set(re.findall(r"\w+", annotation))
    if value is None:
        return bool(words & {"None", "Any"}) or argument == "device"  # the CPU
    if isinstance(value, str):
        return bool(words & {"str", "Any"})
    if isinstance(value, int):
        return bool(words & {"int", "float", "bool", "Tensor"})
    if isinstance(value, float):
        return bool(words & {"float", "Tensor"})
    return isinstance(value, list | np.ndarray) and bool(words & ANY)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    root = tmp_path_factory.mktemp("kinds")
    pets = root / "pets"
    for name in "ab":
        (pets / name).mkdir(parents=True)
        for i in range(2):
            np.save(pets / name / f"{i}.npy", np.full((4, 6), i, np.uint8))
    table = root / "pets.csv"
    table.write_text("path,class\npets/a/0.npy,a\npets/b/1.npy,b\n")
    calibration, confusion = train.Calibration(2), train.ConfusionMatrix(2)
    calibration.update(np.array([[0.9, 0.1]]), np.array([0]))
    confusion.update(np.array([0, 1]), np.array([0, 0]))
    return {
        **{name: getattr(mg, name) for name in PLACES},
        "np": np,
        "SMALL": SMALL,
        "calibration": calibration,
        "confusion": confusion,
        "digits": data.digits(train=False),
        "folder": runs.run(runs.tasks["train"], SMALL, output=root),
        "group": distributed.Group(),
        "history": [{"epoch": 1, "val_loss": 0.5}],
        "image": mg.ones(1, 1, 4, 4),
        "model": nn.Sequential(
            nn.Conv2d(1, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2)
        ),
        "scan": np.ones((1, 1, 8, 8), np.float32),
        "one": np.ones(1, np.int64),
        "pets": pets,
        "table": table,
        "volume": data.Volume(np.ones((2, 3, 4), np.uint8), np.eye(4), (1.0, 1.0, 1.0)),
        "weight": mg.ones(2, requires_grad=True),
    }


@pytest.mark.parametrize("name", CALLS)
def test_what_is_of_another_kind_is_refused(
    name: str, world: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    call = eval(name, dict(world))
    needed = eval(f"dict({CALLS[name]})", dict(world))
    faults = []
    for argument, parameter in inspect.signature(call).parameters.items():
        for value in WRONG:
            if may_fit(value, argument, str(parameter.annotation)):
                continue
            said = f"{name}({argument}={value!r})"
            try:
                call(**{**needed, argument: value})
            except MinigradError:
                pass
            except Exception as error:
                faults.append(f"{said}: {type(error).__name__}: {error}")
            else:
                faults.append(f"{said} is accepted")
    assert not faults, "\n".join(faults)
