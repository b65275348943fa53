from __future__ import annotations

import base64
import io
import xml.etree.ElementTree as ET
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import minigrad as mg
from minigrad.errors import ShapeError
from minigrad.viz import SVG, images_svg

NAMESPACE = "{http://www.w3.org/2000/svg}"


def pictures(drawing: SVG) -> list[NDArray[Any]]:
    pillow = pytest.importorskip("PIL.Image")
    hrefs = [image.attrib["href"] for image in ET.fromstring(drawing).iter(f"{NAMESPACE}image")]
    data = [base64.b64decode(href.removeprefix("data:image/png;base64,")) for href in hrefs]
    return [np.asarray(pillow.open(io.BytesIO(each))) for each in data]


def texts(drawing: SVG) -> list[str | None]:
    return [element.text for element in ET.fromstring(drawing).iter(f"{NAMESPACE}text")]


def test_all_pictures_share_a_scale_and_the_key_says_which() -> None:
    drawing = images_svg(np.array([[[0.0, 1.0]], [[2.0, 4.0]]]), ["a & b"], title="two")
    first, second, key = pictures(drawing)
    assert (first.tolist(), second.tolist()) == ([[0, 64]], [[128, 255]])
    assert (key[0, 0], key[0, -1]) == (0, 255)
    assert texts(drawing) == ["two", "a & b", "0", "4"]


def test_signs_are_colours_and_size_is_strength() -> None:
    (picture, _key) = pictures(images_svg([mg.tensor([[-2.0, 0.0, 4.0]], requires_grad=True)]))
    blue, nothing, red = picture[0].astype(int)
    assert blue[2] > blue[0]
    assert red[0] > red[2]
    assert (blue[3], nothing[3], red[3]) == (128, 0, 255)


def test_colour_pictures_need_no_key_and_keep_their_channels() -> None:
    image = np.zeros((1, 3, 2, 2))
    image[0, 1] = 1
    (picture,) = pictures(images_svg(image))
    assert picture[0, 0].tolist() == [0, 255, 0]


def test_pixels_of_pictures_of_different_sizes_have_one_size_and_numbers() -> None:
    drawing = images_svg([np.eye(2), np.ones((1, 4, 4)) * 0.25], side=80, numbers=True)
    small, large, _key = ET.fromstring(drawing).iter(f"{NAMESPACE}image")
    assert (small.attrib["width"], large.attrib["width"]) == ("40", "80")
    assert texts(drawing).count("0.25") == 16
    assert len(set(pictures(images_svg(np.full((1, 2, 2), 7.0)))[0].reshape(-1))) == 1


def test_maps_lie_over_their_pictures_in_one_scale_from_zero() -> None:
    maps, digits = [[[0.5, 2.0]], [[0.0, 1.0]]], np.eye(2)[None].repeat(2, 0)
    drawing = images_svg(maps, under=digits)
    ground, first, _, second, key = pictures(drawing)
    assert ground.tolist() == [[255, 0], [0, 255]]
    assert first[0, :, 3].tolist() == [64, 255]
    assert second[0, :, 3].tolist() == [0, 128]
    assert key[0, 0, 3] == 0
    assert texts(drawing)[-2:] == ["0", "2"]
    widths = {i.attrib["width"] for i in list(ET.fromstring(drawing).iter(f"{NAMESPACE}image"))[:4]}
    assert widths == {"96"}


def test_maps_over_pictures_of_both_signs_or_all_zero() -> None:
    assert texts(images_svg([[[-1.0, 0.5]]], under=[np.eye(2)]))[-2:] == ["-1", "1"]
    assert not pictures(images_svg(np.zeros((1, 2, 2)), under=[np.eye(2)]))[1][..., 3].any()
    with pytest.raises(ShapeError, match="1 images but 2 pictures under them"):
        images_svg(np.zeros((1, 2, 2)), under=np.zeros((2, 2, 2)))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([], "no picture"),
        (np.zeros((4, 4)), "several are"),
        (np.zeros((1, 2, 4, 4)), r"\(2, 4, 4\)"),
    ],
)
def test_what_is_no_picture_is_refused(images: Any, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        images_svg(images)
