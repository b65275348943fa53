"""Every code block of dl_techniques' two ConvNeXt pages, as it is written with minigrad.

What changes: the imports. ``import keras`` becomes ``from minigrad.compat import keras``,
``from convnext_v2 import`` and ``from dl_techniques.models.convnext.convnext_v2 import`` become
``from minigrad.compat.dl_techniques import``. Sides are smaller where 2 cores ask for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from minigrad.compat import keras
from minigrad.compat.dl_techniques import (
    ConvNeXtV1,
    ConvNeXtV2,
    create_convnext_v1,
    create_convnext_v2,
)
from minigrad.models import ConvNeXtFeatures
from minigrad.nn.init import skip_random


@pytest.fixture
def policy() -> Iterator[None]:
    yield
    keras.mixed_precision.set_global_policy("float32")


# --- "ConvNeXt Models: A Comparative Overview" -------------------------------------------------


def test_overview_1_standard_model_for_imagenet(capsys: pytest.CaptureFixture[str]) -> None:
    with skip_random():
        model = create_convnext_v1(variant="base", num_classes=1000)
    assert model.count_params() == 88_591_464
    assert model.input_shape == (None, None, None, 3)
    assert model.output_shape == (None, 1000)

    model = create_convnext_v1(variant="tiny", num_classes=1000, input_shape=(128, 128, 3))
    model.summary()
    assert "Total params: 28,589,128" in capsys.readouterr().out


def test_overview_2_custom_data_of_small_images(capsys: pytest.CaptureFixture[str]) -> None:
    """The stem and the downsampling adjust themselves to 32 × 32, as the text says."""
    cifar_model = create_convnext_v2(variant="tiny", num_classes=10, input_shape=(32, 32, 3))
    cifar_model.summary()
    assert "1 × 768 × 4 × 4" in capsys.readouterr().out
    # With the stem of large images it has the count of the official sizes.
    with skip_random():
        plain = create_convnext_v2("tiny", 10, input_shape=(32, 32, 3), strides=4)
    assert plain.count_params() == 27_874_186
    assert cifar_model.count_params() == 27_874_186 - 96 * 3 * (4 * 4 - 3 * 3)


def test_overview_3_micro_variant(capsys: pytest.CaptureFixture[str]) -> None:
    pico_model = create_convnext_v2(variant="pico", num_classes=100, input_shape=(96, 96, 3))
    print(f"Pico model params: {pico_model.count_params():,}")
    assert capsys.readouterr().out == "Pico model params: 8,604,580\n"


def test_overview_4_feature_extractor(capsys: pytest.CaptureFixture[str]) -> None:
    with skip_random():
        feature_extractor = create_convnext_v1(
            variant="large",
            include_top=False,  # This is the key argument
            input_shape=(256, 256, 3),
        )
    assert feature_extractor.output_shape == (None, 8, 8, 1536)
    feature_extractor = create_convnext_v1("tiny", include_top=False, input_shape=(128, 128, 3))
    feature_extractor.summary()
    assert "ConvNeXt" in capsys.readouterr().out


def test_overview_5_compiling_and_training(capsys: pytest.CaptureFixture[str]) -> None:
    mg.manual_seed(0)
    # 1. Create the model
    model = create_convnext_v2(variant="atto", num_classes=10, input_shape=(48, 48, 3))

    # 2. Compile the model. The loss expects probabilities and the model gives logits: Keras says
    # nothing, minigrad warns and computes it from the logits.
    with pytest.warns(UserWarning, match="expects probabilities"):
        model.compile(
            optimizer="adamw",  # AdamW is often recommended for ConvNeXt
            loss="categorical_crossentropy",
            metrics=["accuracy"],
        )

    # 3. Prepare dummy data: tf.random.normal and tf.one_hot there, NumPy here
    dummy_images = np.random.default_rng(0).normal(size=(16, 48, 48, 3)).astype(np.float32)
    dummy_labels = np.eye(10)[np.zeros(16, np.int64)]

    # 4. Train the model
    model.fit(dummy_images, dummy_labels, epochs=3)
    lines = capsys.readouterr().out.splitlines()
    assert lines[::2] == ["Epoch 1/3", "Epoch 2/3", "Epoch 3/3"]
    assert "accuracy: 1.0000" in lines[-1]


# --- "ConvNeXt: A Modern ConvNet Architecture" -------------------------------------------------


def test_quick_start(capsys: pytest.CaptureFixture[str]) -> None:
    """Section 5."""
    # 1. Create a tiny ConvNeXtV2 model for CIFAR-10 (32x32 images, 10 classes)
    model = create_convnext_v2(
        variant="atto",  # A very small and fast V2 variant
        num_classes=10,
        input_shape=(32, 32, 3),
    )

    # 2. Compile the model
    model.compile(
        optimizer=keras.optimizers.AdamW(learning_rate=1e-3, weight_decay=1e-4),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    print("✅ ConvNeXtV2 model created and compiled successfully!")
    model.summary()

    # 3. Create dummy data for a forward pass
    batch_size = 16
    dummy_images = np.random.rand(batch_size, 32, 32, 3).astype("float32")
    dummy_labels = np.random.randint(0, 10, batch_size)

    # 4. Train for one step
    loss, acc = model.train_on_batch(dummy_images, dummy_labels)
    print(f"\n✅ Training step complete! Loss: {loss:.4f}, Accuracy: {acc:.4f}")

    # 5. Run inference
    predictions = model.predict(dummy_images)
    print(f"Predictions shape: {predictions.shape}")  # (batch_size, num_classes)

    text = capsys.readouterr().out
    assert "✅ ConvNeXtV2 model created and compiled successfully!" in text
    assert "✅ Training step complete! Loss: " in text
    assert text.endswith("Predictions shape: (16, 10)\n")


def test_components() -> None:
    """Section 6: the names of its tables, and where they are here."""
    from minigrad.models import Block

    assert issubclass(ConvNeXtV1, keras.Model)
    assert issubclass(ConvNeXtV2, keras.Model)
    assert type(create_convnext_v1("cifar10")) is ConvNeXtV1
    assert type(create_convnext_v2("cifar10")) is ConvNeXtV2
    # ConvNextV1Block(kernel_size=7, filters=64), ConvNextV2Block: one class here
    for grn in (False, True):
        assert Block(64, kernel_size=7, grn=grn)(mg.zeros(1, 64, 8, 8)).shape == (1, 64, 8, 8)


def test_variants() -> None:
    """Section 7: depths and dims of both tables."""
    large = [3, 3, 27, 3]
    assert {k: v for k, v in ConvNeXtV1.MODEL_VARIANTS.items() if k != "cifar10"} == {
        "tiny": {"depths": [3, 3, 9, 3], "dims": [96, 192, 384, 768]},
        "small": {"depths": large, "dims": [96, 192, 384, 768]},
        "base": {"depths": large, "dims": [128, 256, 512, 1024]},
        "large": {"depths": large, "dims": [192, 384, 768, 1536]},
        "xlarge": {"depths": large, "dims": [256, 512, 1024, 2048]},
    }
    assert {k: v for k, v in ConvNeXtV2.MODEL_VARIANTS.items() if k != "cifar10"} == {
        "atto": {"depths": [2, 2, 6, 2], "dims": [40, 80, 160, 320]},
        "femto": {"depths": [2, 2, 6, 2], "dims": [48, 96, 192, 384]},
        "pico": {"depths": [2, 2, 6, 2], "dims": [64, 128, 256, 512]},
        "nano": {"depths": [2, 2, 8, 2], "dims": [80, 160, 320, 640]},
        "tiny": {"depths": [3, 3, 9, 3], "dims": [96, 192, 384, 768]},
        "base": {"depths": large, "dims": [128, 256, 512, 1024]},
        "large": {"depths": large, "dims": [192, 384, 768, 1536]},
        "huge": {"depths": large, "dims": [352, 704, 1408, 2816]},
    }


def test_example_1_backbone(capsys: pytest.CaptureFixture[str]) -> None:
    """Section 8."""
    with skip_random():
        backbone = create_convnext_v1(variant="base", include_top=False, input_shape=(512, 512, 3))
    assert backbone.output_shape == (None, 16, 16, 1024)

    # The same run on a side of 128, a sixteenth of the work.
    backbone = create_convnext_v1(variant="tiny", include_top=False, input_shape=(128, 128, 3))
    dummy_images = np.random.rand(2, 128, 128, 3).astype("float32")
    features = backbone.predict(dummy_images)
    print(f"Output shape: {features.shape}")
    backbone.summary()
    assert capsys.readouterr().out.startswith("Output shape: (2, 4, 4, 768)\n")


def test_example_2_micro_variant(capsys: pytest.CaptureFixture[str]) -> None:
    """Section 8."""
    pico_model = create_convnext_v2(variant="pico", num_classes=100, input_shape=(96, 96, 3))
    print(f"Pico model params: {pico_model.count_params():,}")
    pico_model.summary()
    text = capsys.readouterr().out
    assert text.startswith("Pico model params: 8,604,580\n")
    assert "Total params: 8,604,580" in text


def test_pattern_1_fine_tuning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Section 9, with atto for base: the file is made here, as no weights come with minigrad."""
    path = tmp_path / "convnext_v2_atto_imagenet.keras"
    create_convnext_v2("atto", num_classes=1000, input_shape=(224, 224, 3)).save(path)

    # 1. Create a new model for a custom task
    fine_tune_model = create_convnext_v2(
        variant="atto",
        num_classes=20,  # Different number of classes
        input_shape=(128, 128, 3),  # Different input shape
        pretrained=path,
    )
    text = capsys.readouterr().out
    assert "2 mismatched" in text
    assert "head.weight has (1000, 320), expected (20, 320)" in text

    # 2. The model will load the backbone weights and skip the original classifier.
    saved = mg.load(path).state_dict()
    name = "net.stages.3.1.pwconv2.weight"
    np.testing.assert_array_equal(fine_tune_model.state_dict()[name], saved[name])
    with pytest.warns(UserWarning, match="expects probabilities"):
        fine_tune_model.compile(
            optimizer=keras.optimizers.AdamW(learning_rate=1e-5),  # Use a low learning rate
            loss="categorical_crossentropy",
            metrics=["accuracy"],
        )
    print("✅ Model ready for fine-tuning!")
    fine_tune_model.summary()
    assert "✅ Model ready for fine-tuning!" in capsys.readouterr().out


@pytest.mark.usefixtures("policy")
def test_mixed_precision() -> None:
    """Section 10."""
    # Enable mixed precision globally before compiling the model
    keras.mixed_precision.set_global_policy("mixed_float16")

    # Create model (will automatically use mixed precision)
    model = create_convnext_v2("atto", num_classes=10, input_shape=(32, 32, 3))
    model.compile("adamw", "cross_entropy", metrics=["accuracy"])

    # model.fit() scales the loss automatically
    images, labels = np.random.rand(4, 32, 32, 3).astype("float32"), np.arange(4)
    model.fit(images, labels, epochs=1, verbose=0)
    assert model.trainer.precision == "float16"
    assert model.trainer.scaler.is_enabled()
    assert {p.dtype for p in model.parameters()} == {mg.float32}  # master weights
    assert model.predict(images).dtype == np.float32  # the head


def test_drop_path_rate() -> None:
    """Section 11: a linearly increasing rate."""
    model = create_convnext_v1("cifar10", num_classes=10, drop_path_rate=0.2)
    rates = [block.drop_path.drop_prob for stage in model.net.stages for block in stage]
    np.testing.assert_allclose(rates, np.linspace(0, 0.2, 10))


def test_saving_and_loading(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Section 12, with the cifar10 variant for tiny."""
    # Create and train model
    model = create_convnext_v1("cifar10", num_classes=10, input_shape=(8, 8, 3))
    model.compile("adamw", "cross_entropy")
    images, labels = np.random.rand(8, 8, 8, 3).astype("float32"), np.arange(8)
    model.fit(images, labels, verbose=0)

    # Save the entire model to a single file
    model.save(tmp_path / "my_convnext_model.keras")

    # Load the model in a new session, including its architecture, weights, and optimizer state.
    loaded_model = keras.models.load_model(tmp_path / "my_convnext_model.keras")
    print("✅ Model loaded successfully!")
    np.testing.assert_array_equal(loaded_model.predict(images), model.predict(images))
    assert loaded_model.train_on_batch(images, labels) == model.train_on_batch(images, labels)
    np.testing.assert_array_equal(loaded_model.predict(images), model.predict(images))
    assert capsys.readouterr().out == "✅ Model loaded successfully!\n"


def test_unit_tests(capsys: pytest.CaptureFixture[str]) -> None:
    """Section 13, both functions."""

    def test_creation_all_variants() -> None:
        for variant in ConvNeXtV1.MODEL_VARIANTS:
            model = ConvNeXtV1.from_variant(variant, num_classes=10, input_shape=(64, 64, 3))
            assert model is not None
            print(f"✓ ConvNeXtV1-{variant} created successfully")

        for variant in ConvNeXtV2.MODEL_VARIANTS:
            model = ConvNeXtV2.from_variant(variant, num_classes=10, input_shape=(64, 64, 3))
            assert model is not None
            print(f"✓ ConvNeXtV2-{variant} created successfully")

    def test_forward_pass_shape() -> None:
        model = ConvNeXtV2.from_variant("tiny", num_classes=10, input_shape=(128, 128, 3))
        dummy_input = np.random.rand(4, 128, 128, 3).astype("float32")
        output = model.predict(dummy_input)
        assert output.shape == (4, 10)
        print("✓ Forward pass has correct shape")

    with skip_random():  # two thousand million weights are made but not drawn
        test_creation_all_variants()
    test_forward_pass_shape()
    print("\n✅ All tests passed!")
    text = capsys.readouterr().out
    assert text.count("created successfully") == 15
    assert text.endswith("✓ Forward pass has correct shape\n\n✅ All tests passed!\n")


def test_question_multi_scale_features() -> None:
    """Section 14: a pyramid for detection and segmentation is one call here."""
    model = create_convnext_v1("cifar10", include_top=False, input_shape=(32, 32, 3))
    maps = ConvNeXtFeatures(model.net)(mg.zeros(1, 3, 32, 32))
    assert [f.shape for f in maps] == [(1, 96, 32, 32), (1, 192, 16, 16)]


def test_drop_path_keeps_or_drops_whole_samples() -> None:
    """Section 15: noise of shape (B, 1, 1, 1)."""
    mg.manual_seed(0)
    drop = create_convnext_v1("cifar10", drop_path_rate=0.5).net.stages[1][4].drop_path
    y = drop(mg.ones(64, 2, 3, 3)).numpy().reshape(64, -1)
    assert (y == y[:, :1]).all()
    assert set(y[:, 0]) == {0.0, 2.0}


def test_the_documented_position_of_grn() -> None:
    """Section 15 puts GRN behind the projection and divides by the sum: both are options."""
    options = {"grn_position": "projection", "grn_norm": "sum"}
    model = create_convnext_v2("cifar10", num_classes=10, input_shape=(32, 32, 3), **options)
    grn = model.net.stages[0][0].grn
    assert (grn.dim, grn.norm) == (96, "sum")
    assert model.predict(np.zeros((1, 32, 32, 3), np.float32)).shape == (1, 10)
