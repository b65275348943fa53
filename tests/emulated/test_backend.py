"""Devices: what is said where one is missing, and what can be asked of one."""

from __future__ import annotations

import sys
import types
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import backend
from minigrad.cli import main
from minigrad.errors import DeviceError, GraphError, MissingExtra
from tests.emulated.conftest import REAL

emulated = pytest.mark.skipif(REAL, reason="needs the stand-in")

# ---- no GPU -------------------------------------------------------------------------------------


@pytest.fixture
def no_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Absent(), *sys.meta_path])
    monkeypatch.setattr(backend, "_namespaces", {np.ndarray: np})


class Absent:
    """A finder for which CuPy is not installed."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name == "cupy":
            raise ModuleNotFoundError("No module named 'cupy'", name="cupy")
        return None


ENTRIES = {
    "tensor": lambda: mg.tensor([1.0], device="cuda"),
    "zeros": lambda: mg.zeros(2, device="cuda:0"),
    "randn": lambda: mg.randn(2, device="cuda"),
    "to": lambda: mg.ones(2).to("cuda"),
    "cuda": lambda: mg.ones(2).cuda(),
    "module": lambda: mg.nn.Linear(2, 2).cuda(),
    "layer": lambda: mg.nn.Linear(2, 2, device="cuda"),
    "synchronize": lambda: backend.synchronize("cuda"),
    "stream": lambda: backend.new_stream(),
    "memory": lambda: backend.memory_info(),
}


@pytest.mark.parametrize("entry", ENTRIES)
def test_without_cupy_the_error_names_the_command(entry: str, no_cupy: None) -> None:
    with pytest.raises(MissingExtra) as caught:
        ENTRIES[entry]()
    text = str(caught.value)
    assert "CuPy, which is not installed" in text
    assert "pip install 'minigrad[cuda12]'" in text
    assert "minigrad[cuda13]" in text
    assert "device='cpu'" in text
    assert not backend.cuda_is_available()
    assert backend.why_no_cuda() == text


def _without_driver() -> int:
    raise RuntimeError("cudaErrorInsufficientDriver: CUDA driver version is insufficient")


@emulated
@pytest.mark.parametrize("count", [_without_driver, lambda: 0])
def test_cupy_without_a_gpu(cupy: Any, monkeypatch: pytest.MonkeyPatch, count: Any) -> None:
    monkeypatch.setattr(cupy.cuda.runtime, "getDeviceCount", count)
    with pytest.raises(DeviceError, match=r"finds no usable GPU.*nvidia-smi, or use device='cpu'"):
        mg.ones(1, device="cuda")
    assert not backend.cuda_is_available()


@emulated
def test_a_gpu_that_is_not_there(cupy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DeviceError, match="'cuda:3': this machine has one GPU, 'cuda:0'"):
        mg.ones(1, device="cuda:3")
    monkeypatch.setattr(cupy.cuda.runtime, "getDeviceCount", lambda: 2)
    with pytest.raises(DeviceError, match="this machine has 2 GPUs, 'cuda:0' to 'cuda:1'"):
        mg.ones(1, device="cuda:2")


def test_a_cupy_that_does_not_load(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(Absent):
        def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
            if name == "cupy":
                raise ImportError("libcublas.so.12: cannot open shared object file")
            return None

    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    with pytest.raises(DeviceError, match=r"cannot be loaded \(libcublas.so.12.*cuda13"):
        mg.ones(1, device="cuda")


@emulated
def test_doctor_tells_of_the_gpu(cupy: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "Emulated device" in out
    assert "80.0 GiB" in out
    assert f"CuPy {cupy.__version__}" in out


def test_doctor_tells_what_is_missing(no_cupy: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    assert "pip install 'minigrad[cuda12]'" in capsys.readouterr().out


# ---- a GPU --------------------------------------------------------------------------------------


def test_tensors_go_there_and_back(cupy: Any) -> None:
    x = mg.tensor([[1.0, 2.0]], device="cuda")
    assert x.device == "cuda:0"
    assert isinstance(x.array, cupy.ndarray)
    assert x.cpu().tolist() == [[1.0, 2.0]]
    assert x.to("cuda") is x
    assert repr(x) == "tensor([[1., 2.]], device='cuda:0')"
    with pytest.raises(GraphError, match=r"x.cpu\(\).numpy\(\)"):
        x.numpy()
    with pytest.raises(DeviceError, match=r"cpu, cuda:0\); move them to one with x.to\(device\)"):
        x + mg.ones(1, 2)


def test_the_order_of_axes_in_memory_is_kept(cupy: Any) -> None:
    """CuPy alone would write C order both ways."""
    host = np.zeros((2, 4, 5, 3), np.float32).transpose(0, 3, 1, 2)
    there = mg.Tensor(host).to("cuda")
    assert there.array.strides == host.strides
    assert there.cpu().array.strides == host.strides
    np.testing.assert_array_equal(there.cpu().numpy(), host)


def test_gradients_are_added_in_the_order_of_their_memory(cupy: Any) -> None:
    """CuPy alone would write C order, and channels-last would be lost where branches meet."""
    a = cupy.ones((2, 4, 5, 3), np.float32).transpose(0, 3, 1, 2)
    assert backend.add(a, cupy.ones(a.shape, np.float32)).strides == a.strides
    assert (a + a).flags.c_contiguous
    x = mg.ones(2, 5, 3, device="cuda", requires_grad=True)
    y = x.movedim(-1, 1)
    mg.cat([y, y]).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [[[2.0] * 3] * 5] * 2


def test_an_array_of_cupy_becomes_a_tensor(cupy: Any) -> None:
    x = mg.Tensor(cupy.ones(3, np.float32), requires_grad=True)
    (x * x).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [2.0, 2.0, 2.0]


def test_random_numbers_do_not_depend_on_the_device(cupy: Any) -> None:
    draws = {
        "rand": lambda d: mg.rand(5, device=d),
        "randn": lambda d: mg.randn(5, device=d),
        "randint": lambda d: mg.randint(9, (5,), device=d),
        "randperm": lambda d: mg.randperm(5, device=d),
        "trunc_normal": lambda d: mg.random.trunc_normal((5,), device=d),
        "dropout": lambda d: mg.dropout(mg.ones(50, device=d), 0.5),
        "drop_path": lambda d: mg.drop_path(mg.ones(50, 1, device=d), 0.5, True),
        "bernoulli": lambda d: mg.bernoulli(mg.full((50,), 0.5, device=d)),
        "multinomial": lambda d: mg.multinomial(mg.ones(9, device=d), 4),
        "kaiming": lambda d: mg.nn.Conv2d(2, 3, 3, device=d).weight.detach(),
    }
    for name, draw in draws.items():
        found = []
        for device in ("cpu", "cuda"):
            mg.manual_seed(3)
            drawn = draw(device)
            assert drawn.device.type == device, name
            found.append(drawn.tolist())
        assert found[0] == found[1], name


def test_a_random_state_may_come_from_the_gpu(cupy: Any) -> None:
    state = mg.get_rng_state()
    first = mg.rand(3).tolist()
    mg.set_rng_state(state.to("cuda"))
    assert mg.rand(3).tolist() == first


@emulated
def test_tf32_switches_what_cublas_computes_in(cupy: Any) -> None:
    kind = np.dtype(np.float32)
    mg.ones(1, device="cuda")
    assert not backend.tf32_allowed()
    with backend.allow_tf32():
        assert backend.tf32_allowed()
        assert cupy._core.get_compute_type(kind) == 7  # COMPUTE_TYPE_TF32
        with backend.allow_tf32(False):
            assert cupy._core.get_compute_type(kind) == 1  # COMPUTE_TYPE_DEFAULT
        assert cupy._core.get_compute_type(kind) == 7
    assert cupy._core.get_compute_type(kind) == 1


@emulated
def test_tf32_asked_for_before_the_first_use_of_the_gpu(cupy: Any) -> None:
    backend.allow_tf32()
    mg.ones(1, device="cuda")
    assert cupy._core.get_compute_type(np.dtype(np.float32)) == 7
    backend.allow_tf32(False)


def test_memory_is_reported_and_given_back(cupy: Any) -> None:
    before = backend.memory_info()
    x = mg.zeros(1 << 16, device="cuda")
    assert backend.memory_info().allocated >= before.allocated + x.nbytes
    del x
    backend.free_memory()
    after = backend.memory_info()
    assert after.allocated <= before.allocated
    assert after.reserved >= after.allocated
    assert after.total >= after.free > 0
    with pytest.raises(DeviceError, match="memory_info"):
        backend.memory_info("cpu")


def test_streams_and_synchronisation(cupy: Any) -> None:
    backend.synchronize("cpu")
    backend.synchronize("cuda")
    backend.synchronize()
    stream = backend.new_stream()
    with stream:
        assert backend.current_stream() == stream
        y = mg.ones(3, device="cuda") * 2.0
    stream.synchronize()
    assert y.tolist() == [2.0, 2.0, 2.0]


@emulated
def test_two_gpus(cupy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.emulated.fake_cupy import devices

    monkeypatch.setattr(devices, "COUNT", [2])
    x = mg.ones(3, device="cuda:1")
    assert x.device == "cuda:1"
    with backend.guard("cuda:1"):
        assert (x + 1.0).device == "cuda:1"
    assert x.to("cuda:0").device == "cuda:0"
    assert x.cpu().tolist() == [1.0] * 3


# ---- memory shared with others ------------------------------------------------------------------


def test_torch_takes_tensors_of_the_cpu_through_dlpack() -> None:
    torch = pytest.importorskip("torch")
    x = mg.arange(6, dtype=mg.float32).reshape(2, 3)
    there = torch.from_dlpack(x)
    there[0, 0] = 7.0
    assert x[0, 0].item() == 7.0
    back = mg.from_dlpack(torch.ones(2))
    assert back.tolist() == [1.0, 1.0]
    with pytest.raises(GraphError, match=r"x.detach\(\)"):
        torch.from_dlpack(mg.ones(2, requires_grad=True))


@emulated
def test_dlpack_of_a_gpu_tensor_waits_on_the_consumers_stream(cupy: Any) -> None:
    x = mg.ones(3, device="cuda")
    assert tuple(x.__dlpack_device__()) == (2, 0)
    producer, consumer = backend.new_stream(), backend.new_stream()
    with producer:
        x.__dlpack__(stream=consumer.ptr)
    assert [event.stream for event in consumer.waits] == [producer]
    assert mg.from_dlpack(x).device == "cuda:0"


def test_cuda_array_interface_names_memory_and_stream(cupy: Any) -> None:
    x = mg.ones(2, 3, device="cuda")
    stream = backend.new_stream()
    with stream:
        interface = x.__cuda_array_interface__
    assert (interface["shape"], interface["typestr"]) == ((2, 3), "<f4")
    assert interface["stream"] == stream.ptr
    assert interface["data"][0] == x.array.data.ptr
    assert not hasattr(mg.ones(2), "__cuda_array_interface__")
    assert not hasattr(mg.ones(2, requires_grad=True), "__cuda_array_interface__")
    with pytest.raises(GraphError, match=r"x.detach\(\)"):
        mg.ones(2, device="cuda", requires_grad=True).__cuda_array_interface__  # noqa: B018


@emulated
def test_objects_with_a_cuda_array_interface_become_tensors(cupy: Any) -> None:
    """A tensor of another library is wrapped by CuPy, not kept as it is."""
    array = cupy.ones(3, np.float32)
    other = types.SimpleNamespace(
        __cuda_array_interface__=array.__cuda_array_interface__, dtype=array.dtype
    )
    x = mg.Tensor(other)
    assert isinstance(x.array, cupy.ndarray)
    assert x.tolist() == [1.0] * 3
