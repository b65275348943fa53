"""The three U-Nets: sizes, options, gradients beside PyTorch's, inputs of any size, refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import models, nn
from minigrad.autograd import gradcheck
from minigrad.models import unet_blocks as blocks

COUNTS = json.loads(
    (Path(__file__).resolve().parents[1] / "golden" / "param_counts.json").read_text()
)
KINDS: dict[str, Any] = {
    "UNet": models.UNet,
    "AttentionUNet": models.AttentionUNet,
    "UNetPlusPlus": models.UNetPlusPlus,
}
NORMS = ("batch", "layer", "group", "instance", "unit", "sync_batch", "none")


def encoder(spatial_dims: int = 2, stages: int = 3, **options: Any) -> models.ConvNeXt:
    sizes: dict[str, Any] = {"depths": (1,) * stages, "dims": (4, 6, 8, 10)[:stages]}
    return models.ConvNeXtV2(
        2, 0, patch_size=2, kernel_size=3, spatial_dims=spatial_dims, **sizes | options
    )


def count(model: nn.Module) -> tuple[int, int]:
    """Return all numbers, batch-norm statistics included, and those that are trained."""
    trained = sum(p.numel() for p in model.parameters())
    kept = sum(b.numel() for name, b in model.named_buffers() if "running" in name)
    return trained + kept, trained


def build(kind: str, name: str, dims: str, **options: Any) -> Any:
    with nn.init.skip_random():
        return KINDS[kind](
            encoder_name=name.replace("convnext_v2", "convnextv2"),
            input_shape=(*[96] * int(dims[0]), int(dims[3])),
            num_classes=3,
            **options,
        )


# --- sizes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_parameter_counts(kind: str) -> None:
    seen = 0
    for key, expected in COUNTS["segmentation_depth4_3classes"].items():
        own, name, dims, block = key.split("/")
        if own == kind:
            model = build(kind, name, dims, encoder_depth=4, decoder_block_type=block)
            assert count(model)[0] == expected, key
            seen += 1
    for key, expected in COUNTS["segmentation_depth3_3classes_2d_3ch_upsampling"].items():
        own, name = key.split("/")
        if own == kind:
            assert count(build(kind, name, "2d_3ch", encoder_depth=3))[0] == expected, key
            seen += 1
    assert seen == 98


def test_what_medicai_printed() -> None:
    assert count(build("UNet", "convnext_tiny", "3d_4ch", encoder_depth=4))[0] == 43_644_483
    for key, facts in COUNTS["segmentation_ran"].items():
        kind, name, dims, block = key.split("/")
        channels = {"2d": 3, "3d": 4, "3d_c1": 1}[dims]
        model = build(
            kind, name, f"{dims[:2]}_{channels}ch", encoder_depth=4, head_upsample=2,
            decoder_block_type=block,
        )  # fmt: skip
        assert count(model) == (facts["total"], facts["trainable"]), key
        batch, *sides, classes = facts["output"]
        assert model.output_shape == (batch, classes, *sides), key


# --- beside PyTorch ----------------------------------------------------------------------------


def compare(model: Any, *size: int, seed: int = 0) -> None:
    """Outputs, input gradient and all parameter gradients equal those of the PyTorch twin."""
    torch = pytest.importorskip("torch")
    from tests.models.torch_unet import twin

    rng = np.random.default_rng(seed)
    for p in model.parameters():  # also those that begin as zero or one
        p.detach().copy_(mg.tensor(p.numpy(force=True) + 0.1 * rng.standard_normal(p.shape)))
    their = twin(model)
    image = rng.standard_normal((2, model.in_channels, *size))
    x = mg.tensor(image, requires_grad=True)
    tx = torch.tensor(image, requires_grad=True)
    y, ty = model(x), their(tx)
    assert y.shape == tuple(ty.shape)
    np.testing.assert_allclose(y.numpy(force=True), ty.detach().numpy(), rtol=1e-9, atol=1e-10)
    g = rng.standard_normal(y.shape)
    y.backward(mg.tensor(g))
    ty.backward(torch.tensor(g))
    scale = float(tx.grad.abs().max())
    np.testing.assert_allclose(x.grad.numpy(), tx.grad.numpy(), rtol=1e-7, atol=1e-9 * scale)
    theirs = dict(their.named_parameters())
    assert set(theirs) == {name for name, _ in model.named_parameters()}
    for name, p in model.named_parameters():
        expected = theirs[name].grad
        if expected is None:
            assert p.grad is None, name
            continue
        atol = 1e-8 * max(1.0, float(expected.abs().max()))
        np.testing.assert_allclose(
            p.grad.numpy(), expected.numpy(), rtol=1e-6, atol=atol, err_msg=name
        )
    for name, b in model.named_buffers():
        np.testing.assert_allclose(b.numpy(), dict(their.named_buffers())[name], err_msg=name)


@pytest.mark.parametrize("block", blocks.BLOCK_TYPES)
@pytest.mark.parametrize("spatial_dims", [1, 2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_pytorchs(kind: str, spatial_dims: int, block: str) -> None:
    mg.manual_seed(spatial_dims)
    model = KINDS[kind](
        encoder(spatial_dims, dtype=mg.float64),
        num_classes=2,
        decoder_filters=(8, 6, 4),
        decoder_block_type=block,
        head_upsample=2,
        classifier_activation="softmax",
    )
    compare(model, *((32, 16, 8) if spatial_dims < 3 else (16, 8, 8))[:spatial_dims])


@pytest.mark.parametrize("norm", NORMS)
def test_norms_are_pytorchs(norm: str) -> None:
    model = models.UNet(
        encoder(dtype=mg.float64),
        decoder_filters=(16, 8, 4),
        decoder_normalization=norm,
        decoder_activation="silu",
        head_upsample=(1, 2),
    )
    assert model.decoder_normalization == norm
    compare(model, 16, 32)


def test_paper_widths_are_pytorchs() -> None:
    model = models.UNetPlusPlus(
        encoder(dtype=mg.float64, stages=4), decoder_filters=(16, 8, 6, 4), paper_widths=True
    )
    assert model.decoder.out_channels == 4
    compare(model, 16, 16)


# --- gradcheck of the blocks -------------------------------------------------------------------


def checked(module: nn.Module, *inputs: Any) -> bool:
    """Check the gradients of a module with respect to its inputs and all its parameters."""
    params = dict(module.named_parameters())

    def run(*values: Any) -> Any:
        return module(*values[: len(inputs)])

    return gradcheck(run, [*inputs, *params.values()], fast_mode=True)


def leaf(*shape: int) -> mg.Tensor:
    return mg.randn(*shape, dtype=mg.float64, requires_grad=True)


@pytest.mark.parametrize("spatial_dims", [1, 2, 3])
def test_blocks_pass_gradcheck(spatial_dims: int) -> None:
    mg.manual_seed(1)
    side, twice = (2,) * spatial_dims, (4,) * spatial_dims
    at: dict[str, Any] = {"spatial_dims": spatial_dims, "dtype": mg.float64}
    x, skip = leaf(2, 4, *side), leaf(2, 3, *twice)
    for norm in ("layer", "unit", "batch"):
        block = blocks.ConvNormAct(4, 4, norm, "gelu", **at)
        assert checked(block, x)
    assert checked(blocks.AttentionGate(3, 4, 2, **at), skip, x)
    for kind in blocks.BLOCK_TYPES:
        block = blocks.DecoderBlock(4, 3, 4, kind, True, "layer", "tanh", **at)
        assert checked(block, x, skip)
        grid = blocks.UNetPlusPlusDecoder((3, 4), (4, 2), kind, "layer", "tanh", **at)
        assert checked(_Maps(grid), skip, x)


class _Maps(nn.Module):
    """A decoder that takes its maps one by one."""

    def __init__(self, decoder: nn.Module) -> None:
        self.decoder = decoder

    def forward(self, *maps: mg.Tensor) -> Any:
        return self.decoder(list(maps))


# --- options -----------------------------------------------------------------------------------


def test_the_two_forms_build_the_same_model() -> None:
    common: dict[str, Any] = {"decoder_filters": (8, 8, 8), "encoder_depth": 3, "num_classes": 2}
    with nn.init.skip_random():
        a = models.UNet(encoder_name="ConvNeXtV2_Atto", input_shape=(None, 64, 32, 1), **common)
        b = models.UNet("convnextv2_atto", in_channels=1, spatial_dims=3, **common)
    assert {k: v.shape for k, v in a.state_dict().items()} == {
        k: v.shape for k, v in b.state_dict().items()
    }
    assert a.output_shape == (None, 2, None, 32, 16)
    assert b.output_shape == (None, 2, None, None, None)
    assert a.input_shape == (None, 64, 32, 1)
    assert b.input_shape is None


def test_encoder_options_and_all_levels_by_default() -> None:
    with nn.init.skip_random():
        model = models.UNet("convnextv2_atto", encoder_options={"drop_path_rate": 0.2})
    assert model.encoder_depth == 4
    assert len(model.decoder.blocks) == 4
    rates = [m.drop_prob for m in model.encoder.modules() if isinstance(m, nn.DropPath)]
    assert rates[-1] == pytest.approx(0.2)


def test_an_encoder_is_shared() -> None:
    trunk = encoder()
    model = models.UNet(trunk, decoder_filters=(8, 8, 8))
    assert model.encoder.stages is trunk.stages
    again = models.UNetPlusPlus(models.ConvNeXtFeatures(trunk), decoder_filters=(8, 8, 8))
    assert again.encoder.stages is trunk.stages


def test_any_module_with_feature_info_is_an_encoder() -> None:
    class Pyramid(nn.Module):
        in_channels, spatial_dims = 1, 2
        feature_info = tuple(
            models.Feature(f"P{i + 1}", 4 * (i + 1), 2 ** (i + 1), "") for i in range(5)
        )

        def __init__(self) -> None:
            self.convs = nn.ModuleList(
                nn.Conv2d(4 * i or 1, 4 * (i + 1), 2, stride=2) for i in range(5)
            )

        def forward(self, x: mg.Tensor) -> list[mg.Tensor]:
            maps = [x]
            for conv in self.convs:
                if min(maps[-1].shape[2:]) > 1:
                    maps.append(conv(maps[-1]))
            return maps[1:]

    model = models.UNet(Pyramid(), encoder_depth=5, decoder_filters=(8, 8, 8, 8, 8))
    assert model(mg.randn(1, 1, 32, 64)).shape == (1, 1, 32, 64)
    shallow = models.AttentionUNet(Pyramid(), encoder_depth=3)
    assert shallow(mg.randn(1, 1, 32, 40)).shape == (1, 1, 32, 40)


@pytest.mark.parametrize("kind", KINDS)
def test_padding_takes_any_side_and_gives_it_back(kind: str) -> None:
    mg.manual_seed(0)
    model = KINDS[kind](
        encoder(), decoder_filters=(8, 6, 4), head_upsample="auto", pad=True, num_classes=2
    ).eval()
    assert model.head_upsample == (1.0, 1.0)
    x = mg.randn(2, 2, 13, 26)
    y = model(x)
    assert y.shape == (2, 2, 13, 26)
    filled = mg.zeros(2, 2, 16, 32)
    filled[:, :, :13, :26] = x
    np.testing.assert_allclose(
        y.detach(), model(filled)[:, :, :13, :26].detach(), rtol=1e-5, atol=1e-6
    )


def test_half_precision_is_classified_in_float32() -> None:
    model = models.UNet(encoder(), decoder_filters=(8, 6, 4)).eval().half()
    y = model(mg.randn(1, 2, 16, 16, dtype=mg.float16))
    assert y.dtype == mg.float32
    assert bool(((y > 0) & (y < 1)).all())
    double = models.UNet(encoder(dtype=mg.float64), decoder_filters=(8, 6, 4))
    assert double(mg.randn(2, 2, 16, 16, dtype=mg.float64)).dtype == mg.float64


def test_seeds_decide_and_refusals_draw_nothing() -> None:
    def weights() -> Any:
        return models.UNet(encoder(), decoder_filters=(8, 6, 4)).head.weight.numpy(force=True)

    first = [weights() for _ in range(2) if mg.manual_seed(3)]
    np.testing.assert_array_equal(*first)
    state = mg.get_rng_state()
    with pytest.raises(ValueError, match="P5"):
        models.UNet("convnextv2_atto", encoder_depth=5)
    with pytest.raises(ValueError, match="head_upsample"):
        models.UNet("convnextv2_atto", head_upsample=0)
    assert bool((mg.get_rng_state() == state).all())


def test_a_saved_model_is_loaded_and_trains() -> None:
    mg.manual_seed(0)
    model = models.AttentionUNet(
        encoder(), decoder_filters=(8, 6, 4), classifier_activation=None, head_upsample="auto"
    )
    target = mg.zeros(2, 1, 16, 16)
    target[0, :, 4:12, 2:8] = target[1, :, 8:, 8:] = 1.0
    x = mg.cat([target, -target], 1) + 0.1 * mg.randn(2, 2, 16, 16)
    optimizer = mg.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(25):
        loss = nn.functional.binary_cross_entropy_with_logits(model(x), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    other = models.AttentionUNet(
        encoder(), decoder_filters=(8, 6, 4), classifier_activation=None, head_upsample="auto"
    )
    other.load_state_dict(model.state_dict())
    np.testing.assert_array_equal(model.eval()(x).detach(), other.eval()(x).detach())
