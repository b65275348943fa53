"""Every extra of pyproject.toml, alone in an empty environment: it brings what it promises.

    python3 extras.py         the extras that a machine without a GPU can try, from pyproject.toml
    python extras.py NAME     import what the extra installs, and use it; `none` is minigrad alone

An extra without a row in the table below fails. `.ci/run` makes the environments; minigrad is the
installed one, never the source beside this file.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NEEDS_GPU = "cuda"  # how the names of those begin
# Its wheel for CUDA is not imported beside a PyTorch without; Keras wants a backend chosen first.
UNTRIED = ("torchvision", "timm", "keras", "open_clip", "open_clip_train")
PROGRAMS = ("mpich",)  # brings a program and libraries, no module


def names() -> list[str]:
    """Return the extras that can be tried."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [name for name in project["optional-dependencies"] if not name.startswith(NEEDS_GPU)]


def modules(extra: str) -> Iterator[str]:
    """Yield the modules of the packages that an extra asks for."""
    provided = importlib.metadata.packages_distributions().items()
    for line in importlib.metadata.requires("minigrad") or ():
        if re.search(rf"""extra == ["']{extra}["']""", line):
            package = re.split(r"[\[<>=!~; ]", line)[0]
            wanted = _plain(package)
            public = (item for item in provided if not item[0].startswith("_"))  # not its parts
            found = [module for module, owners in public if wanted in map(_plain, owners)]
            assert found or package in PROGRAMS, f"{package} is not installed, or holds no module"
            yield from found


def _plain(package: str) -> str:
    return re.sub(r"[-_.]+", "-", package).lower()


# ---- what each promises -----------------------------------------------------------------------


def cli() -> None:
    """Bars and tables in colour."""
    from rich.console import Console

    import minigrad.models as models
    from minigrad.train.progress import _rich_bar
    from minigrad.viz import summary

    assert _rich_bar(sys.stdout) is not None
    table = summary(models.create_model("convnextv2_atto"), (3, 32, 32))
    console = Console(force_terminal=True)
    with console.capture() as shown:
        console.print(table)
    assert "\x1b[" in shown.get()


def signals() -> None:
    from minigrad.data import mnist1d

    assert len(mnist1d()) == 4000


def images() -> None:
    from PIL import Image

    from minigrad.data.folder import read_image

    with tempfile.TemporaryDirectory() as folder:
        for suffix in ("jpg", "png", "tiff", "webp"):
            path = Path(folder, f"red.{suffix}")
            Image.new("RGB", (8, 8), "red").save(path)
            assert abs(read_image(path)[0].mean() - 1) < 0.02


def volumes() -> None:
    """FreeSurfer's format, which the reader of NIfTI leaves to nibabel."""
    import nibabel
    import numpy as np

    from minigrad.data.nifti import read_nifti

    values = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "volume.mgz")
        nibabel.save(nibabel.MGHImage(values, np.eye(4)), path)
        np.testing.assert_array_equal(read_nifti(path), values)


def hub() -> None:
    """Its absence is not what keeps a name from being fetched."""
    import minigrad.models as models
    from minigrad.errors import DataError

    os.environ["HF_HUB_OFFLINE"] = "1"
    said = ""
    try:
        models.load_pretrained(None, "timm/no-such-model")
    except DataError as error:
        said = str(error)
    assert "fetch https://huggingface.co/timm/no-such-model/resolve/main/" in said


def bfloat16() -> None:
    import minigrad as mg

    x = mg.ones(2, dtype=mg.bfloat16, requires_grad=True)
    (x * 3).sum().backward()
    assert x.grad is not None
    assert x.grad.dtype == mg.bfloat16


def fast() -> None:
    import numpy as np

    from minigrad.backend import use_kernels
    from minigrad.kernels import is_compiled, pick

    x = np.linspace(-3, 3, 99, dtype=np.float32)
    assert is_compiled("gelu", x)
    compiled = pick("gelu", x)(x)
    with use_kernels("reference"):
        np.testing.assert_allclose(compiled, pick("gelu", x)(x), rtol=1e-5, atol=1e-6)


def keras() -> None:
    """Weights in Keras's files, which come back."""
    import minigrad as mg
    import minigrad.models as models

    model = models.ConvNeXt(num_classes=2, depths=(1,), dims=(8,))
    with tempfile.TemporaryDirectory() as folder:
        for naming, name in (("keras", "a.weights.h5"), ("keras_h5", "a.h5")):
            path = Path(folder, name)
            mg.io.save_keras(models.export_state_dict(model, naming), path)
            assert models.load_pretrained(None, path, strict=True)[1].naming == naming


def loggers() -> None:
    """A run's curves, as TensorBoard and trackio read them."""
    with tempfile.TemporaryDirectory() as folder:
        around = os.environ | {"TRACKIO_DIR": folder}  # trackio looks when it is imported
        for name in ("tensorboard", "trackio"):
            words = f"train --epochs 1 --depths 1 --dims 4 --batch-size 256 --log-to {name}"
            command = [sys.executable, "-m", "minigrad", *words.split(), "--output", folder]
            subprocess.run(command, env=around, cwd=folder, check=True)
        assert list(Path(folder).glob("digits/tensorboard/events.out.tfevents.*"))
        assert Path(folder, "minigrad.db").is_file()


def ranks() -> None:
    """Two ranks sum their gradients."""
    script = (
        "import minigrad as mg\n"
        "group, w = mg.distributed.init(), mg.zeros(1, requires_grad=True)\n"
        "with mg.distributed.GradientBuckets([w], group).summing():\n"
        "    (w * (group.rank + 1)).sum().backward()\n"
        "assert group.size == 2 and w.grad.item() == 3, (group.size, w.grad)\n"
    )
    program = (
        "import sys; from minigrad.distributed import launch; sys.exit(launch(2, sys.argv[1:]))"
    )
    subprocess.run([sys.executable, "-c", program, "-c", script], check=True)


def onnx() -> None:
    import minigrad as mg

    with tempfile.TemporaryDirectory() as folder:
        mg.onnx.export(mg.nn.Linear(3, 2), Path(folder, "layer.onnx"), mg.ones(1, 3))
        assert mg.onnx.load_weights(Path(folder, "layer.onnx")).keys() == {"weight", "bias"}


def emulate() -> None:
    """NVIDIA's compiler takes a kernel of ours."""
    from minigrad.kernels.cuda.launcher import declarations, expression, source

    place = ROOT / "tests" / "kernels" / "cuda" / "nvrtc.py"
    spec = importlib.util.spec_from_file_location("nvrtc", place)
    assert spec is not None
    assert spec.loader is not None
    nvrtc = sys.modules["nvrtc"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(nvrtc)
    assert nvrtc.missing() is None
    kernel = declarations()["gelu"]
    names = [expression("gelu", ["float"] * len(kernel.classes), [1] * len(kernel.numbers))]
    assert nvrtc.compile_kernels(source("gelu"), names, 80)


def parity() -> None:
    import numpy as np
    import torch
    from safetensors.numpy import save_file

    import minigrad as mg

    x = np.linspace(-3, 3, 7)
    np.testing.assert_allclose(mg.sin(mg.tensor(x)).numpy(), torch.from_numpy(x).sin().numpy())
    with tempfile.TemporaryDirectory() as folder:
        save_file({"x": x}, Path(folder, "x.safetensors"))
        np.testing.assert_array_equal(mg.io.load(Path(folder, "x.safetensors"))["x"].numpy(), x)


def zoo() -> None:
    """Their ConvNeXts, which `tests/parity/test_libraries.py` fills."""
    from transformers import ConvNextConfig

    import minigrad.models as models

    config = ConvNextConfig()
    model = models.ConvNeXt(depths=config.depths, dims=config.hidden_sizes)
    assert "convnext.layernorm.weight" in models.export_state_dict(model, "huggingface")


def dev() -> None:
    for program in ("ruff", "mypy", "lint-imports", "pre-commit"):
        path = shutil.which(program, path=str(Path(sys.executable).parent))
        assert path is not None, program
        subprocess.run([path, "--help"], check=True, stdout=subprocess.DEVNULL)


def none() -> None:
    """NumPy alone: data and sources come along, and the command."""
    import minigrad as mg
    import minigrad.models as models
    from minigrad.cli import main
    from minigrad.data import digits
    from minigrad.data.imagenet import imagenet_classes
    from minigrad.kernels.cuda.launcher import declarations

    assert len(digits()) == 1797
    assert len(imagenet_classes()) == 1000
    assert declarations()
    assert models.create_model("convnextv2_atto")(mg.ones(1, 3, 32, 32)).shape == (1, 1000)
    assert main(["doctor"]) == 0
    assert not {"rich", "PIL", "numba", "ml_dtypes"} & sys.modules.keys()


def readme() -> None:
    """The README's own command uses it, in an environment of its own."""


PROMISES: dict[str, Callable[[], None]] = {
    "none": none,
    "cli": cli,
    "signals": signals,
    "volumes": volumes,
    "images": images,
    "hub": hub,
    "bfloat16": bfloat16,
    "fast": fast,
    "ranks": ranks,
    "loggers": loggers,
    "keras": keras,
    "onnx": onnx,
    "docs": readme,
    "test": readme,
    "emulate": emulate,
    "parity": parity,
    "zoo": zoo,
    "dev": dev,
}


def main(extra: str) -> None:
    assert extra in PROMISES, f"say in {__file__} what the extra {extra!r} promises"
    for module in modules(extra):
        if module not in UNTRIED:
            importlib.import_module(module)
    PROMISES[extra]()
    import minigrad

    assert ROOT not in Path(minigrad.__file__).parents, "this is the source, not what was installed"


if __name__ == "__main__":
    main(sys.argv[1]) if sys.argv[1:] else print(*names())
