"""A frozen model: the results of the model, and a refusal where they could be others."""

from __future__ import annotations

import copy
import gc
import pickle
import threading
from typing import Any, NamedTuple

import numpy as np
import pytest

import minigrad as mg
from minigrad import models, nn
from minigrad.backend import use_kernels
from minigrad.errors import GraphError, MinigradError, OptionError
from minigrad.kernels.constants import Constants, are_constant, laid_out
from minigrad.models import create_model


def small(grn: bool = False) -> nn.Module:
    mg.manual_seed(0)
    return models.ConvNeXt(
        depths=(1, 1, 2, 1), dims=(16, 24, 32, 48), num_classes=5, grn=grn
    ).eval()


@pytest.mark.parametrize("grn", [False, True])
@pytest.mark.parametrize("kernels", ["fast", "reference"])
@pytest.mark.parametrize("shape", [(1, 3, 32, 32), (3, 3, 64, 96)])
def test_it_gives_what_the_model_gives(grn: bool, kernels: str, shape: tuple[int, ...]) -> None:
    if kernels == "fast":
        pytest.importorskip("numba")
    with use_kernels(kernels):
        model, x = small(grn), mg.randn(*shape)
        frozen = mg.freeze(model)
        for inputs in (x, mg.randn(*shape), x):
            want = mg.no_grad().run(model, inputs)
            np.testing.assert_allclose(frozen(inputs).array, want.array, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_it_keeps_the_type_of_the_model(dtype: str) -> None:
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes")
    model, x = small().to(dtype), mg.randn(2, 3, 32, 32).to(dtype)
    y, want = mg.freeze(model)(x), mg.no_grad().run(model, x)
    assert y.dtype == want.dtype
    np.testing.assert_allclose(
        y.double().array, want.double().array, rtol=0, atol=0.05 if dtype == "bfloat16" else 1e-12
    )


def test_a_photo_in_the_size_of_a_checkpoint() -> None:
    """Rows few and many: the last stage of one picture takes another road than packed weights."""
    model = create_model("convnextv2_atto", num_classes=7).eval()
    frozen = mg.freeze(model)
    for batch in (1, 3):
        x = mg.randn(batch, 3, 224, 224)
        want = mg.no_grad().run(model, x)
        np.testing.assert_allclose(frozen(x).array, want.array, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", [models.UNet, models.UNetPlusPlus, models.AttentionUNet])
def test_networks_for_segmentation(kind: Any) -> None:
    model = kind(encoder_name="convnextv2_atto", num_classes=2).eval()
    x = mg.randn(1, 3, 64, 64)
    want = mg.no_grad().run(model, x)
    np.testing.assert_allclose(mg.freeze(model)(x).array, want.array, rtol=1e-3, atol=1e-4)


def test_autocast_is_part_of_what_is_frozen() -> None:
    pytest.importorskip("ml_dtypes")
    model, x = small(), mg.randn(1, 3, 32, 32)
    frozen = mg.freeze(model)
    plain = frozen(x)
    with mg.autocast("cpu", mg.bfloat16), mg.no_grad():
        half, want = frozen(x), model(x)
    assert half.dtype == want.dtype
    np.testing.assert_allclose(half.double().array, want.double().array, atol=0.05)
    assert (frozen(x).array == plain.array).all()


# ---- what a model may return, and take ----------------------------------------------------------


class Both(NamedTuple):
    first: Any
    rest: dict[str, Any]


class Many(nn.Module):
    def __init__(self) -> None:
        self.weight = nn.Parameter(mg.arange(3.0))

    def forward(self, x: mg.Tensor, y: mg.Tensor) -> Any:
        doubled = self.weight * 2
        return Both(
            x + doubled, {"both": [x @ y.mT, y], "weight": doubled, "word": "w", "none": None}
        )


def test_results_keep_their_form() -> None:
    model, x, y = Many().eval(), mg.randn(2, 3), mg.randn(4, 3)
    got, want = mg.freeze(model)(x, y), model(x, y)
    assert type(got) is Both
    assert got.rest.keys() == want.rest.keys()
    assert (got.rest["word"], got.rest["none"]) == ("w", None)
    np.testing.assert_array_equal(got.first.array, want.first.detach().array)
    np.testing.assert_array_equal(got.rest["both"][0].array, want.rest["both"][0].array)
    np.testing.assert_array_equal(got.rest["both"][1].array, y.array)


def test_a_constant_result_is_the_callers_own() -> None:
    frozen, x, y = mg.freeze(Many().eval()), mg.randn(2, 3), mg.randn(4, 3)
    frozen(x, y).rest["weight"].add_(100)
    np.testing.assert_array_equal(frozen(x, y).rest["weight"].array, [0, 2, 4])


class Difference(nn.Module):
    def forward(self, x: mg.Tensor, y: mg.Tensor) -> mg.Tensor:
        return x * 2 - y


def test_one_tensor_for_two_inputs_is_not_taken_for_one_input() -> None:
    model, x, y = Difference().eval(), mg.randn(3), mg.randn(3)
    frozen = mg.freeze(model)
    for pair in ((x, x), (x, y), (y, x)):
        np.testing.assert_array_equal(frozen(*pair).array, model(*pair).array)


def test_a_weight_may_be_an_input() -> None:
    model = nn.Linear(3, 3).eval()
    frozen = mg.freeze(model)
    for x in (model.weight.detach(), mg.ones(3, 3)):
        want = mg.no_grad().run(model, x)
        np.testing.assert_allclose(frozen(x).array, want.array, rtol=1e-6)


@pytest.mark.filterwarnings("error")
def test_what_is_not_finite_comes_out_as_it_does() -> None:
    model = nn.Linear(2, 2).eval()
    x = mg.tensor([[float("nan"), 1.0], [2.0, 3.0], [-float("inf"), 0.5], [1e3, 4.0]])
    np.testing.assert_allclose(mg.freeze(model)(x).array, model(x).detach().array, rtol=1e-6)


@pytest.mark.parametrize(
    "again", [copy.deepcopy, lambda frozen: pickle.loads(pickle.dumps(frozen))]
)
def test_a_copy_has_a_model_of_its_own(again: Any) -> None:
    frozen, x = mg.freeze(nn.Linear(3, 2).eval()), mg.randn(4, 3)
    want, other = frozen(x).array, again(frozen)
    mg.no_grad().run(other.model.weight.mul_, 2)
    np.testing.assert_array_equal(frozen(x).array, want)
    with pytest.raises(GraphError, match="has changed since"):
        other(x)


def test_layout_is_part_of_the_kind() -> None:
    model, x = small(), mg.randn(2, 3, 32, 32)
    frozen = mg.freeze(model)
    turned = mg.tensor(x.array.transpose(0, 2, 3, 1).copy()).permute(0, 3, 1, 2)
    np.testing.assert_allclose(frozen(x).array, frozen(turned).array, rtol=1e-4, atol=1e-5)


# ---- refusals -----------------------------------------------------------------------------------


def in_place(model: nn.Module, x: mg.Tensor) -> None:
    mg.no_grad().run(model.head.weight.mul_, 2)


def loaded(model: nn.Module, x: mg.Tensor) -> None:
    model.load_state_dict(model.state_dict())


def another_type(model: nn.Module, x: mg.Tensor) -> None:
    model.double()


def stepped(model: nn.Module, x: mg.Tensor) -> None:
    optimizer = mg.optim.SGD(model.parameters(), lr=0.1)
    model(x).sum().backward()
    optimizer.step()


def replaced(model: nn.Module, x: mg.Tensor) -> None:
    model.head = nn.Linear(48, 5).eval()


@pytest.mark.parametrize("change", [in_place, loaded, another_type, stepped, replaced])
def test_changed_weights_are_noticed(change: Any) -> None:
    model, x = small(), mg.randn(1, 3, 32, 32)
    frozen = mg.freeze(model)
    frozen(x)
    change(model, x)
    with pytest.raises(GraphError, match="has changed since"):
        frozen(x)
    model.float()
    np.testing.assert_allclose(mg.freeze(model)(x).array, model(x).detach().array, atol=1e-4)


def test_training_mode_is_refused() -> None:
    with pytest.raises(GraphError, match="the model is in training mode"):
        mg.freeze(small().train())
    model = small()
    model.head.train()
    with pytest.raises(GraphError, match="head is in training mode"):
        mg.freeze(model)


def test_what_it_does_not_take() -> None:
    frozen = mg.freeze(small())
    with pytest.raises(OptionError, match="not ndarray"):
        frozen(np.zeros((1, 3, 32, 32), np.float32))
    with pytest.raises(GraphError, match="requires a gradient"):
        frozen(mg.randn(1, 3, 32, 32, requires_grad=True))
    with pytest.raises(OptionError, match="not function"):
        mg.freeze(stepped)  # type: ignore[arg-type]
    with pytest.raises(MinigradError):
        frozen(mg.randn(1, 4, 32, 32))
    with pytest.raises(TypeError):
        frozen()


@pytest.mark.parametrize(
    "forward",
    [
        lambda self, x: x + mg.randn(3),
        lambda self, x: x * 2 if x[0] > 0 else -x,
        lambda self, x: x + mg.tensor(x.numpy() * 3),
        lambda self, x: x[x.argsort()],
        lambda self, x: x.argmax(),
        lambda self, x: x * (x > 0),
    ],
    ids=["chance", "decision", "past the operations", "index", "argmax", "comparison"],
)
def test_what_no_list_of_operations_says_is_refused(forward: Any) -> None:
    model = type("Odd", (nn.Module,), {"forward": forward})().eval()
    with pytest.raises(GraphError, match="for other values"):
        mg.freeze(model)(mg.tensor([1.0, 2.0, -3.0]))


def test_a_change_in_place_is_refused() -> None:
    class InPlace(nn.Module):
        def forward(self, x: mg.Tensor) -> mg.Tensor:
            y = x * 2
            y.add_(1)
            return y * y

    with pytest.raises(GraphError, match="in place"):
        mg.freeze(InPlace().eval())(mg.randn(3))


# ---- memory and threads -------------------------------------------------------------------------


def test_what_is_not_needed_is_let_go() -> None:
    frozen, x = mg.freeze(small()), mg.randn(1, 3, 32, 32)
    y = frozen(x)
    gc.disable()
    try:
        (program,) = frozen._programs.values()
        assert sum(len(step.last) for step in program.steps) == len(program.steps)
        del y
        assert frozen(x).shape == (1, 5)
    finally:
        gc.enable()


def test_many_sizes_do_not_pile_up() -> None:
    model = nn.Sequential(nn.Linear(4, 4)).eval()
    frozen = mg.freeze(model)
    for rows in range(1, 40):
        x = mg.randn(rows, 4)
        np.testing.assert_allclose(frozen(x).array, model(x).detach().array, atol=1e-6)
    assert len(frozen._programs) <= 16


def test_threads_share_one() -> None:
    model = small(grn=True)
    frozen = mg.freeze(model)
    images = [mg.randn(1, 3, 32, 32) for _ in range(8)]
    wanted = [frozen(x).array for x in images]
    found: list[Any] = [None] * len(images)

    def work(i: int) -> None:
        for _ in range(5):
            found[i] = frozen(images[i]).array

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(images))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for got, want in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(got, want)


def test_an_error_leaves_no_constants_behind() -> None:
    frozen = mg.freeze(small())
    weight = frozen.model.head.weight.array
    with pytest.raises(MinigradError):
        frozen(mg.randn(1, 4, 32, 32))
    assert not are_constant(weight)


def test_arrays_of_one_number_are_told_apart() -> None:
    constants, one, two = Constants(), np.zeros(3), np.ones(3)
    constants.add(one)
    with constants.used():
        assert laid_out(np.negative, (one,)) is laid_out(np.negative, (one,))
        assert laid_out(np.negative, (two,)) is not laid_out(np.negative, (two,))
        assert are_constant(laid_out(np.negative, (one,)))
    assert not are_constant(one)
