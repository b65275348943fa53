"""FCMAE: masks, patches, the encoder that sees only visible patches, the loss, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad import models
from minigrad.autograd import gradcheck
from minigrad.errors import MinigradError
from minigrad.models.fcmae import patchify, random_mask, unpatchify
from minigrad.nn import functional as F

SMALL: dict[str, Any] = {"depths": (1, 2), "dims": (4, 6), "patch_size": 2}


def encoder(d: int = 2, channels: int = 1, **options: Any) -> models.ConvNeXtV2:
    """Build a small V2 whose GRN is not the identity."""
    model = models.ConvNeXtV2(channels, 3, spatial_dims=d, **SMALL | options)
    for name, p in model.named_parameters():
        if ".grn." in name:
            p.data = mg.randn(*p.shape, dtype=p.dtype)
    return model


def autoencoder(d: int = 2, **options: Any) -> models.FCMAE:
    return models.FCMAE(encoder(d, dtype=mg.float64), decoder_embed_dim=5, dtype=mg.float64,
                        **options)  # fmt: skip


def dense(model: models.FCMAE, x: Any, mask: Any) -> Any:
    """Return the encoder's map by masks on whole images: the definition."""
    grid = tuple(n // model.patch_size for n in x.shape[2:])

    def keep(like: Any) -> Any:
        cells = (1 - mask).reshape(len(x), 1, *grid)
        for axis, (n, g) in enumerate(zip(like.shape[2:], grid, strict=True), start=2):
            cells = mg.repeat_interleave(cells, n // g, dim=axis)
        return cells

    for downsample, stage in zip(model.encoder.downsample_layers, model.encoder.stages,
                                 strict=True):  # fmt: skip
        x = downsample(x)
        for block in stage:
            k = keep(x).movedim(1, -1)
            y = block.norm(block.dwconv(x * keep(x)).movedim(1, -1))
            y = F.gelu(block.pwconv1(y))
            axes = tuple(range(1, y.ndim - 1))
            axes = (0, *axes) if model.encoder.grn_statistic == "batch" else axes
            g = mg.norm(y * k, dim=axes, keepdim=True)
            r = g / (g.mean(-1, keepdim=True) + 1e-6)
            y = y + block.grn.gamma * (y * r) + block.grn.beta
            x = x + block.pwconv2(y).movedim(-1, 1)
    return x * keep(x)


# --- masks and patches -------------------------------------------------------------------------


@given(st.integers(1, 4), st.integers(2, 60), st.floats(0.05, 0.95), st.integers(0, 2**31))
def test_masks(samples: int, patches: int, ratio: float, seed: int) -> None:
    mg.manual_seed(seed)
    kept = int(patches * (1 - ratio) + 1e-9)
    if not 0 < kept < patches:
        with pytest.raises(MinigradError, match="mask_ratio"):
            random_mask(samples, patches, ratio)
        return
    mask = random_mask(samples, patches, ratio).numpy()
    assert set(np.unique(mask)) == {0.0, 1.0}
    assert (mask.sum(1) == patches - kept).all()


def test_masks_at_full_size_are_the_official_ones() -> None:
    mg.manual_seed(0)
    mask = random_mask(400, 49).numpy()
    assert (mask.sum(1) == 30).all()  # 19 of 49 stay
    share = mask.mean(0)  # every patch is removed as often: 30/49 = 0.61 ± 0.024
    assert share.min() > 0.5
    assert share.max() < 0.72
    assert len(np.unique(mask, axis=0)) == 400
    mg.manual_seed(0)
    np.testing.assert_array_equal(random_mask(400, 49), mask)


@settings(max_examples=30)
@given(st.lists(st.integers(1, 3), min_size=1, max_size=3), st.integers(1, 3), st.integers(1, 3))
def test_patches_and_back(grid: list[int], patch: int, channels: int) -> None:
    x = mg.randn(2, channels, *[g * patch for g in grid])
    rows = patchify(x, patch)
    assert rows.shape == (2, np.prod(grid), patch ** len(grid) * channels)
    np.testing.assert_array_equal(unpatchify(rows, patch, channels, grid), x)


def test_order_of_pixels_is_the_official_one() -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 8, 12))
    cut = x.reshape(2, 3, 2, 4, 3, 4)
    expected = np.einsum("nchpwq->nhwpqc", cut).reshape(2, 6, 48)
    np.testing.assert_array_equal(patchify(mg.tensor(x), 4), expected)


# --- the network -------------------------------------------------------------------------------


@pytest.mark.parametrize("d", [1, 2, 3])
@pytest.mark.parametrize("statistic", ["batch", "sample"])
def test_visible_patches_are_the_masked_convolution(d: int, statistic: str) -> None:
    mg.manual_seed(d)
    model = autoencoder(d, grn_statistic=statistic)
    x = mg.randn(2, 1, *(16, 12, 8)[:d], dtype=mg.float64)
    mask = random_mask(2, int(np.prod((4, 3, 2)[:d])), 0.5).double()
    weights = list(model.encoder.parameters())
    found, expected = model.forward_encoder(x, mask), dense(model, x, mask)
    np.testing.assert_allclose(found.detach(), expected.detach(), atol=1e-12)
    probe = mg.randn(*found.shape, dtype=mg.float64)
    for a, b in zip(
        mg.autograd.grad((found * probe).sum(), weights),
        mg.autograd.grad((expected * probe).sum(), weights),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_what_is_hidden_is_not_seen() -> None:
    mg.manual_seed(0)
    model = autoencoder()
    x, mask = mg.randn(3, 1, 12, 8, dtype=mg.float64), random_mask(3, 6, 0.5)
    pixels = mask.reshape(3, 1, 3, 2).repeat_interleave(4, 2).repeat_interleave(4, 3).double()
    other = x + pixels * mg.randn(*x.shape, dtype=mg.float64)
    with mg.no_grad():
        a, b = model.forward_encoder(x, mask), model.forward_encoder(other, mask)
        assert bool((a == b).all())
        c = model.forward_encoder(x + 0.1 * (1 - pixels), mask)
        assert not bool((a == c).all())
    empty = mask.reshape(3, 1, 3, 2).expand(*a.shape).bool()
    assert bool((a[empty] == 0).all())


def test_masks_with_different_counts() -> None:
    """The batch's statistic takes any; the samples' one needs the same number in each."""
    mask = mg.tensor([[1.0, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 0]])
    x = mg.randn(2, 1, 12, 8, dtype=mg.float64)
    model = autoencoder()
    found = model.forward_encoder(x, mask)
    np.testing.assert_allclose(found.detach(), dense(model, x, mask.double()).detach(), atol=1e-12)
    with pytest.raises(MinigradError, match="as many visible patches in every sample, got 1 to 5"):
        autoencoder(grn_statistic="sample").forward_encoder(x, mask)


@pytest.mark.parametrize("normed", [True, False])
def test_the_loss_looks_at_removed_patches_only(normed: bool) -> None:
    mg.manual_seed(0)
    model = autoencoder(norm_pix_loss=normed)
    x, mask = mg.randn(2, 1, 12, 8, dtype=mg.float64), random_mask(2, 6, 0.5)
    pred = mg.randn(2, 16, 3, 2, dtype=mg.float64)
    rows = x.numpy().reshape(2, 3, 4, 2, 4).swapaxes(2, 3).reshape(2, 6, 16)
    if normed:
        var = rows.var(-1, keepdims=True, ddof=1)
        rows = (rows - rows.mean(-1, keepdims=True)) / np.sqrt(var + 1e-6)
    error = ((pred.numpy().reshape(2, 16, 6).swapaxes(1, 2) - rows) ** 2).mean(-1)
    expected = error[mask.numpy() == 1].mean()
    np.testing.assert_allclose(model.forward_loss(x, pred, mask).item(), expected, rtol=1e-12)


@pytest.mark.parametrize("normed", [True, False])
def test_a_perfect_prediction_reconstructs_the_image(normed: bool) -> None:
    model = autoencoder(norm_pix_loss=normed)
    x, mask = mg.randn(2, 1, 12, 8, dtype=mg.float64), random_mask(2, 6, 0.5)
    target, _, _ = model._target(x)
    pred = target.movedim(1, -1).reshape(2, 16, 3, 2)
    assert model.forward_loss(x, pred, mask).item() == pytest.approx(0, abs=1e-20)
    np.testing.assert_allclose(model.reconstruct(x, pred, mask), x, atol=1e-12)
    rough = model.reconstruct(x, pred * 0 + 0.5, mask)
    kept = mask.reshape(2, 1, 3, 2).repeat_interleave(4, 2).repeat_interleave(4, 3) == 0
    assert bool((rough[kept] == x[kept]).all())
    assert not bool((rough == x).all())


@pytest.mark.parametrize("statistic", ["batch", "sample"])
def test_gradcheck(statistic: str) -> None:
    mg.manual_seed(0)
    net = models.ConvNeXtV2(1, 0, (1,), (2,), patch_size=2, kernel_size=3, dtype=mg.float64)
    model = models.FCMAE(net, 1, 3, norm_pix_loss=True, grn_statistic=statistic, dtype=mg.float64)
    for p in model.parameters():
        p.data = mg.randn(*p.shape, dtype=mg.float64)
    mask = mg.tensor([[1.0, 0, 0, 1], [0, 1, 0, 1]])
    x = mg.randn(2, 1, 4, 4, dtype=mg.float64, requires_grad=True)
    assert gradcheck(lambda x, *_: model(x, mask)[0], (x, *model.parameters()))


def test_names_are_the_official_ones() -> None:
    names = set(autoencoder().state_dict())
    assert {"mask_token", "proj.weight", "pred.bias", "decoder.0.grn.gamma"} <= names
    assert {n.split(".")[0] for n in names} == {"encoder", "mask_token", "proj", "decoder", "pred"}
    assert not any(n.startswith("encoder.norm") or "head" in n for n in names)
    model = models.FCMAE(models.ConvNeXtV2(num_classes=0, depths=(1,) * 4, dims=(8,) * 4))
    assert (model.patch_size, model.mask_ratio, model.norm_pix_loss) == (32, 0.6, True)
    assert model.mask_token.shape == (1, 512, 1, 1)
    assert model.pred.weight.shape == (3072, 512, 1, 1)


def test_initial_values() -> None:
    mg.manual_seed(0)
    model = models.FCMAE(models.ConvNeXtV2(**SMALL), decoder_embed_dim=64)
    for name, p in model.named_parameters():
        values = p.detach().numpy()
        if name == "mask_token" or (p.ndim > 1 and ".grn." not in name):
            assert values.std() == pytest.approx(0.02, rel=0.3), name
        else:
            assert (values == (1.0 if name.endswith("norm.weight") or ".0.1.weight" in name
                               or ".1.0.weight" in name else 0.0)).all(), name  # fmt: skip


def test_pre_training_trains_the_model_itself() -> None:
    """The autoencoder holds the model's own layers, and learns to fill in a simple picture."""
    mg.manual_seed(0)
    model = models.ConvNeXtV2(1, 3, **SMALL)
    fcmae = models.FCMAE(model, decoder_embed_dim=16, norm_pix_loss=False)
    assert fcmae.encoder.stages[1][0].dwconv.weight is model.stages[1][0].dwconv.weight
    ramp = mg.arange(16.0).reshape(1, 1, 1, 16).expand(8, 1, 16, 16) / 16
    optimizer = mg.optim.AdamW(fcmae.parameters(), lr=1e-2)
    before = model.stages[0][0].pwconv1.weight.numpy(force=True).copy()
    losses = []
    for _ in range(60):
        loss, _, _ = fcmae(ramp)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-5:]) < 0.2 * losses[0]
    assert not (model.stages[0][0].pwconv1.weight.detach().numpy() == before).all()
    weights = models.from_fcmae(fcmae.state_dict())
    fresh = models.ConvNeXtV2(1, 3, **SMALL)
    assert set(fresh.load_state_dict(weights, strict=False).missing) == {
        "norm.weight", "norm.bias", "head.weight", "head.bias",
    }  # fmt: skip


def test_from_fcmae_refuses_what_has_no_encoder() -> None:
    with pytest.raises(MinigradError, match=r"no weight of a masked autoencoder's encoder.*head"):
        models.from_fcmae({"head.weight": mg.ones(2)})
    with pytest.raises(MinigradError, match=r"stages\.0\.0\.dwconv\.kernel has 48 positions"):
        models.from_fcmae({"encoder.stages.0.0.dwconv.kernel": mg.ones(48, 8)})
