"""RandAugment against timm's pictures: of the same operations, and of the same draws."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from minigrad import io
from minigrad.data.augment import OPERATIONS, RandAugment, argument_of, changed
from minigrad.errors import OptionError, ShapeError
from tests.parity.test_libraries import library

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
ROWS: list[dict[str, Any]] = json.loads((GOLDEN / "randaugment.json").read_text())["rows"]
FILL = (124, 116, 104)


def ours(name: str) -> str:
    """Return our name of an operation of timm's increasing set."""
    return name.removesuffix("Increasing").removesuffix("Rel")


@pytest.mark.needs("PIL")
def test_every_operation_gives_the_pictures_of_timm() -> None:
    from PIL import Image

    golden = io.load_file(GOLDEN / "randaugment.safetensors")[0]
    assert {ours(row["operation"]) for row in ROWS} == set(OPERATIONS)
    for row in ROWS:
        name = ours(row["operation"])
        argument = argument_of(name, row["level"])
        picture = Image.fromarray(golden["picture"])
        found = np.asarray(changed(picture, name, argument, FILL))
        if row["key"] is None:  # Pillow refuses to keep no bit of a colour
            assert (name, argument) == ("Posterize", 1)
            assert len(np.unique(found)) == 2
            continue
        if row["arguments"]:
            assert argument == pytest.approx(row["arguments"][0])
        np.testing.assert_array_equal(found, golden[row["key"]], err_msg=row["key"])


@pytest.mark.needs("PIL", "torch", "timm")
def test_a_thousand_draws_give_the_pictures_of_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    library("timm")
    from PIL import Image, ImageOps
    from timm.data import auto_augment

    posterize = ImageOps.posterize

    def strict(image: Image.Image, bits: int) -> Image.Image:
        """Refuse to keep no bit of a colour, as Pillow 13 does; older ones return black."""
        if bits < 1:
            raise ValueError
        return posterize(image, bits)

    monkeypatch.setattr(ImageOps, "posterize", strict)
    policy = "rand-m9-mstd0.5-inc1"
    theirs = auto_augment.rand_augment_transform(
        policy, {"translate_const": 100, "img_mean": FILL, "interpolation": Image.BICUBIC}
    )
    augment = RandAugment(policy)
    pixels = io.load_file(GOLDEN / "randaugment.safetensors")[0]["picture"]
    image = np.moveaxis(pixels, -1, 0) / np.float32(255)
    same = 0
    for seed in range(1000):
        rng = np.random.default_rng(seed)
        draws = SimpleNamespace(random=rng.random, gauss=rng.normal)
        choice = SimpleNamespace(choice=lambda ops, n, **_: [ops[i] for i in rng.choice(15, n)])  # noqa: B023
        monkeypatch.setattr(auto_augment, "random", draws)
        monkeypatch.setattr(auto_augment, "np", SimpleNamespace(random=choice))
        try:
            wanted = np.asarray(theirs(Image.fromarray(pixels)))
        except ValueError:  # it asks Pillow to keep no bit of a posterized picture
            assert ("Posterize", 1) in augment.draw(np.random.default_rng(seed))
            continue
        found = augment(image, np.random.default_rng(seed))
        assert np.array_equal(np.moveaxis(np.rint(found * 255), 0, -1), wanted), seed
        same += 1
    assert same > 950


@pytest.mark.needs("PIL")
def test_a_grey_picture_keeps_its_channel_and_others_are_refused() -> None:
    augment = RandAugment("rand-m9-n15-p1")
    image = np.random.default_rng(0).random((1, 9, 7), np.float32)
    found = augment(image, np.random.default_rng(0))
    assert (found.shape, found.dtype) == (image.shape, image.dtype)
    assert 0 <= found.min() < found.max() <= 1
    with pytest.raises(ShapeError, match="1 or 3 channels"):
        augment(np.zeros((4, 5, 5), np.float32), np.random.default_rng(0))


@pytest.mark.needs("PIL")
@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ("augmix-m3", "begins with 'rand'"),
        ("rand-x9", "unknown part of the policy 'rand-x9' 'x9'"),
        ("rand-m9-inc0", "only inc1 is here"),
        ("rand-m11", r"m must lie in \[0, 10\]"),
    ],
)
def test_policies_that_make_no_sense(policy: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        RandAugment(policy)
