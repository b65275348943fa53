"""Capture: a training step recorded once as a CUDA graph and launched as one.

A small model keeps a GPU waiting: a step is hundreds of kernels, and each is started from Python.
A CUDA graph starts all of them at once, on the same memory every time. What changes from step to
step must therefore lie in that memory: the batch, the learning rate and the step count of Adam, the
masks of dropout and drop path, the scale of the loss. Python computes them, as in an ordinary step
and in the same order, and writes them there before each launch. So a replayed step is the ordinary
step, number for number.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from minigrad import backend, optim
from minigrad.amp import GradScaler
from minigrad.errors import DeviceError, MinigradError
from minigrad.modes import state
from minigrad.nn import Module
from minigrad.tensor import Tensor

__all__ = ["Capture", "CapturedStep", "check_gpu"]


class Capture:
    """Work of a GPU that is recorded and not done, to be launched as often as one likes.

    Parameters
    ----------
    device : str
        A GPU.
    """

    def __init__(self, device: str) -> None:
        self._device = backend.Device(device)
        self._cupy = backend.namespace(self._device)
        # Memory of its own: another pool would give it away, and a launch writes to it.
        self._pool = self._cupy.cuda.MemoryPool()
        self._inputs: list[tuple[Any, Callable[[], Any]]] = []
        self._graph: Any = None

    def capture(self, work: Callable[[], Any]) -> Any:
        """Run `work` without doing what it asks of the GPU; return what it returns.

        Raises
        ------
        MinigradError
            If it waits for the GPU or copies from the host.
        """
        cupy, before = self._cupy, state.capture
        with backend.guard(self._device):
            stream = backend.new_stream()
            with cupy.cuda.using_allocator(self._pool.malloc), stream:
                stream.begin_capture()
                state.capture = self
                try:
                    result = work()
                    self._graph = stream.end_capture()
                except Exception as error:
                    _abandon(stream)
                    raise MinigradError(
                        f"cuda_graph: the step cannot be captured ({error}); what waits for the "
                        "GPU (item(), if on a tensor) or draws random numbers other than dropout "
                        "and drop path cannot be part of it: train with cuda_graph=False"
                    ) from error
                finally:
                    state.capture = before
        return result

    def input(self, shape: tuple[int, ...], dtype: Any, values: Callable[[], Any]) -> Any:
        """Return device memory into which ``values()`` is written before each launch."""
        buffer = self._cupy.empty(shape, dtype)
        self._inputs.append((buffer, values))
        return buffer

    def launch(self) -> None:
        """Write the inputs, in the order in which they were asked for; start the work."""
        with backend.guard(self._device):
            for buffer, values in self._inputs:
                buffer.set(np.array(values(), buffer.dtype, order="C"))
            self._graph.launch()


def _abandon(stream: Any) -> None:
    """End a capture that failed; CUDA says so a second time."""
    try:
        stream.end_capture()
    except Exception:
        return


class Steps(Protocol):
    """What takes the steps that are captured: a `Trainer`."""

    model: Module
    optimizer: optim.Optimizer
    scaler: GradScaler
    ema: optim.ModelEma | None
    clip_grad: float | None

    def _gradients(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]: ...

    def _change(self) -> None: ...


class CapturedStep:
    """The step of a `Trainer` for batches of one shape, as one graph.

    With a loss scale it is two graphs: whether the second one, the optimizer's step, is launched
    depends on the gradients.

    Parameters
    ----------
    trainer : Trainer
        Whose step; it must have taken one already, in which kernels were compiled and the state of
        the optimizer was made.
    inputs, targets : Tensor
        A batch.
    """

    def __init__(self, trainer: Steps, inputs: Tensor, targets: Tensor) -> None:
        self._inputs, self._targets = inputs.clone(), targets.clone()
        self._key = _key(trainer)
        self._params = list(trainer.model.parameters())
        scaler = trainer.scaler

        def gradients() -> tuple[Tensor, Tensor]:
            found = trainer._gradients(self._inputs, self._targets)
            scaler.unscale_(trainer.optimizer)
            return found

        def all_of_it() -> tuple[Tensor, Tensor]:
            found = gradients()
            trainer._change()
            return found

        first, second = Capture(str(inputs.device)), Capture(str(inputs.device))
        if scaler.is_enabled():
            self.outputs, self.loss = first.capture(gradients)
            self._progress = scaler._optimizers.pop(trainer.optimizer)
            second.capture(trainer._change)
            self._graphs = [first, second]
        else:
            self.outputs, self.loss = first.capture(all_of_it)
            self._graphs = [first]
        self._grads = [p.grad for p in self._params]
        self.outputs, self.loss = self.outputs.detach(), self.loss.detach()

    def fits(self, trainer: Steps) -> bool:
        """Return True while options, and the memory of weights and state, are those captured."""
        return _same(self._key, _key(trainer))

    def start(self, inputs: Tensor, targets: Tensor) -> None:
        """Launch the graph on a batch; with a loss scale, as far as the gradients."""
        self._inputs.array[...] = inputs.array
        self._targets.array[...] = targets.array
        self._graphs[0].launch()
        for p, grad in zip(self._params, self._grads, strict=True):
            p.grad = grad
            p._version[0] += 1

    def finish(self, trainer: Steps) -> None:
        """Launch the optimizer's step where `start` left it out."""
        if trainer.scaler.is_enabled():
            self._progress.again()
            trainer.scaler._optimizers[trainer.optimizer] = self._progress
            if not self._progress.overflow():
                self._graphs[1].launch()


def _key(trainer: Steps) -> list[Any]:
    """Return all that a graph takes for granted."""
    key: list[Any] = [trainer.clip_grad, trainer.ema and trainer.ema.decay]
    for group in trainer.optimizer.param_groups:
        key += [group[name] for name in trainer.optimizer.frozen if name in group]
    for p in trainer.model.parameters():
        key += [p.array, p.requires_grad]
    for kept in trainer.optimizer.state.values():
        key += [value for value in kept.values() if hasattr(value, "dtype")]
    return key


def _same(a: list[Any], b: list[Any]) -> bool:
    if len(a) != len(b):
        return False
    plain = (bool, int, float)
    return all(x is y or (isinstance(x, plain) and x == y) for x, y in zip(a, b, strict=True))


def check_gpu(device: str) -> None:
    """Refuse to capture what does not run on a GPU.

    Raises
    ------
    DeviceError
        Names the device.
    """
    if backend.Device(device).type != "cuda":
        raise DeviceError(
            f"cuda_graph=True: the model is on {str(device)!r}, and only a GPU has CUDA graphs; "
            "move it first, model.to('cuda'), or leave cuda_graph out"
        )
