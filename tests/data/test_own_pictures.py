"""A folder or table of one's own pictures: looked at, checked, divided, and changed at random."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from minigrad.data import (
    ConcatDataset,
    ImageFolder,
    Kept,
    PictureTable,
    RandomAffine,
    RandomTint,
    Repeated,
    check_folder,
    check_table,
    duplicates,
    load_split,
    mono,
    stratified_split,
    survey,
    symmetries,
)
from minigrad.data.check import ACROSS, TORN, TWICE
from minigrad.data.tint import turned_hue
from minigrad.errors import DataError, OptionError, RangeError, ShapeError
from minigrad.viz import folder_page, save_png

RNG = np.random.default_rng


def save(path: Path, pixels: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.asarray(pixels, np.uint8))


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """30 dark cats and 10 light dogs of 8×8, in colour."""
    rng = RNG(0)
    for name, count, low in (("cat", 30, 0), ("dog", 10, 120)):
        for i in range(count):
            save(tmp_path / name / f"{i:02}.npy", rng.integers(low, low + 120, (8, 8, 3)))
    return tmp_path


# ---- dividing ---------------------------------------------------------------------------------


def test_every_class_is_held_out_in_proportion(pets: Path) -> None:
    save(pets / "eel" / "1.npy", np.zeros((8, 8, 3)))
    data = ImageFolder(pets)
    train, test = stratified_split(data, 0.2, seed=3)
    labels = [label for _, label in data.samples]
    assert np.bincount([labels[i] for i in test.indices]).tolist() == [6, 2]
    assert sorted([*train.indices, *test.indices]) == list(range(41))
    assert stratified_split(data, 0.2, seed=3)[1].indices.tolist() == test.indices.tolist()
    with pytest.raises(OptionError, match="share must lie between 0 and 1, got 1"):
        stratified_split(data, 1)


def test_a_folder_of_single_pictures_cannot_be_divided(tmp_path: Path) -> None:
    for name in "ab":
        save(tmp_path / name / "1.npy", np.zeros((8, 8, 3)))
    with pytest.raises(DataError, match="one picture is not enough, a class needs two"):
        load_split(str(tmp_path))


def test_data_sets_one_after_the_other() -> None:
    both = ConcatDataset([[0, 1], [2, 3, 4]])
    assert [both[i] for i in (0, 1, 2, 4, -1, -5)] == [0, 1, 2, 4, 4, 0]
    with pytest.raises(RangeError, match="no sample 5 among 5"):
        both[5]
    assert [Repeated([5, 6], 2)[i] for i in range(4)] == [5, 6, 5, 6]


def test_kept_pictures_are_read_once_and_the_same_again(pets: Path) -> None:
    kept = Kept(ImageFolder(pets), 16)
    first, label = kept[0]
    (pets / "cat" / "00.npy").unlink()
    again, _ = kept[0]
    assert first.shape == (3, 16, 16)
    assert label == 0
    np.testing.assert_array_equal(first, again)


# ---- changing ---------------------------------------------------------------------------------


def test_affine_without_a_change_and_by_half_a_turn() -> None:
    image = RNG(0).random((3, 7, 9), np.float32)
    np.testing.assert_allclose(RandomAffine()(image, RNG(0)), image, atol=1e-6)
    assert RandomAffine(180, 0.5, p=0)(image, RNG(0)) is image

    class Half(np.random.Generator):
        def uniform(self, low=0.0, high=1.0, size=None):  # type: ignore[no-untyped-def]
            return high if size is None else np.zeros(size)

    turned = RandomAffine(180)(image, Half(np.random.PCG64(0)))
    np.testing.assert_allclose(turned, image[:, ::-1, ::-1], atol=1e-5)
    with pytest.raises(ShapeError, match="a picture is"):
        RandomAffine(10)(image[0], RNG(0))
    with pytest.raises(OptionError, match="degrees must lie in"):
        RandomAffine(181)


def test_tint_keeps_greys_grey_and_turns_hues_round() -> None:
    image = RNG(0).random((3, 4, 4), np.float32)
    np.testing.assert_allclose(turned_hue(image, 2 * np.pi), image, atol=1e-5)
    np.testing.assert_allclose(turned_hue(image, 2 * np.pi / 3), image[[2, 0, 1]], atol=1e-5)
    grey = RandomTint()(np.repeat(image[:1], 3, 0), RNG(1))
    np.testing.assert_allclose(grey[0], grey[2], atol=1e-5)
    assert RandomTint(0.5)(image[:1], RNG(0)).shape == (1, 4, 4)
    with pytest.raises(OptionError, match="strength and p"):
        RandomTint(2)


def test_mono_sees_neither_which_colours_nor_which_is_darker() -> None:
    shape = np.zeros((6, 6), np.float32)
    shape[1:3, 1:4] = 1
    seen = []
    for one, other in (([1, 0, 0], [0, 0, 1]), ([0.1, 0.9, 0.4], [1, 1, 1]), ([0] * 3, [1] * 3)):
        a, b = (np.array(colour, np.float32)[:, None, None] for colour in (one, other))
        seen += [mono(a + (b - a) * shape), mono(b + (a - b) * shape)]
    for image in seen:
        np.testing.assert_allclose(image, seen[0], atol=0.2)
        assert image[0, 1, 1] > 1
    assert np.abs(mono(np.full((3, 4, 4), 0.3, np.float32))).max() < 1e-3


# ---- looking ----------------------------------------------------------------------------------


def drawn(kind: str, count: int = 40) -> tuple[list[np.ndarray], list[int]]:
    """Two classes of 16×16 pictures that differ in one thing alone."""
    rng, images, labels = RNG(5), [], []
    for i in range(count):
        label = i % 2
        image = np.full((3, 16, 16), 0.5, np.float32)
        top, left = rng.integers(1, 9, 2)
        colour = rng.random(3)
        if kind == "hue":
            colour = [0.9, 0.2, 0.1] if label else [0.1, 0.2, 0.9]
        if kind == "invert":
            image[:] = 0.1
        if kind == "mirror":  # an L, and its mirror image
            image[:, top : top + 6, left] = image[:, top + 5, left : left + 4] = rng.random()
            image = image[..., ::-1] if label else image
        elif kind == "turn":
            size = (2, 6) if label else (6, 2)
            image[:, top : top + size[0], left : left + size[1]] = rng.random()
        else:
            image[:, top : top + 5, left : left + 5] = np.reshape(colour, (3, 1, 1))
        images.append(image + rng.normal(0, 0.02, image.shape).astype(np.float32))
        labels.append(label)
    return images, labels


@pytest.mark.parametrize("kind", ["hue", "invert", "mirror", "turn"])
def test_what_tells_classes_apart_is_no_symmetry_and_all_else_is(kind: str) -> None:
    found = symmetries(*drawn(kind))
    assert found[kind] < 0.001
    if kind in ("hue", "turn"):
        assert found["mirror"] > 0.01


def test_a_survey_says_what_there_is(pets: Path) -> None:
    save(pets / "dog" / "twin.npy", np.load(pets / "cat" / "00.npy"))
    found = survey(load_split(str(pets)))
    assert found.counts == {"cat": 24, "dog": 9}
    assert (found.count, found.held_out, found.side, found.sizes, found.grey) == (
        33,
        8,
        8,
        1,
        False,
    )
    assert set(found.symmetries) == {"mirror", "turn", "invert", "hue"}
    assert found.keeps("mirror")
    assert "few pictures of dog (9)" in found.warnings[0]
    assert "two classes" in found.warnings[-1]


def test_pictures_on_both_sides_and_lone_classes_are_warned_of(tmp_path: Path) -> None:
    for part in ("train", "val"):
        save(tmp_path / part / "cat" / "a.npy", np.ones((8, 8, 3)))
    save(tmp_path / "train" / "cat" / "b.npy", np.zeros((8, 8, 3)))
    found = survey(load_split(str(tmp_path)))
    assert "there is one class, cat" in found.warnings[0]
    assert "1 pictures are both among those to train on and those held out" in found.warnings[-1]
    assert not found.symmetries
    assert not found.keeps("mirror")


def test_grey_pictures_are_known_as_such(tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    for i in range(4):
        (tmp_path / "ab"[i % 2]).mkdir(exist_ok=True)
        pixels = np.repeat(RNG(i).integers(0, 255, (6, 6, 1), dtype=np.uint8), 3, 2)
        save_png(tmp_path / "ab"[i % 2] / f"{i}.png", pixels)
    assert survey(load_split(str(tmp_path))).grey
    pixels[0, 0, 0] ^= 255
    save_png(tmp_path / "b" / "3.png", pixels)
    save_png(tmp_path / "b" / "1.png", pixels)
    assert not survey(load_split(str(tmp_path))).grey


# ---- checking ---------------------------------------------------------------------------------


def test_a_check_finds_everything_in_one_pass(pets: Path) -> None:
    (pets / "cat" / "bad.npy").write_bytes(b"nothing")
    (pets / "dog" / "notes.txt").write_text("…")
    save(pets / "loose.npy", np.zeros((8, 8)))
    save(pets / "dog" / "grey.npy", np.full((4, 6), 7))
    save(pets / "dog" / "twin.npy", np.load(pets / "cat" / "00.npy"))
    save(pets / "cat" / "again.npy", np.load(pets / "cat" / "01.npy"))
    (pets / "eel").mkdir()
    found = check_folder(pets)
    assert not found.ok
    assert found.counts() == {"cat": {"": 31}, "dog": {"": 12}}
    assert [file.path.name for file in found.bad] == ["bad.npy"]
    assert found.sizes() == {(8, 8): 42, (4, 6): 1}
    assert found.channels() == {"in colour": 42, "grey": 1}
    assert [(what, len(group)) for group, what in found.twins] == [(TORN, 2), (TWICE, 2)]
    assert sorted(path.name for path, _ in found.strays) == ["loose.npy", "notes.txt"]
    assert any("eel has no pictures" in text for text in found.warnings)
    text, page = str(found), folder_page(found)
    for word in ("bad.npy", "notes.txt", "again.npy", "loose.npy", "eel"):
        assert word in text
        assert word in page
    assert page.count("<img") == 2 + 16  # twins, and eight of each class
    assert "http" not in page


def test_a_check_of_a_divided_folder(tmp_path: Path) -> None:
    same = RNG(0).integers(0, 255, (8, 8, 3))
    for part in ("train", "val"):
        save(tmp_path / part / "cat" / "a.npy", same)
    save(tmp_path / "val" / "fox" / "b.npy", np.zeros((8, 8, 3)))
    found = check_folder(tmp_path)
    assert found.counts() == {"cat": {"train": 1, "val": 1}, "fox": {"val": 1}}
    assert [what for _, what in found.twins] == [ACROSS]
    assert "class fox is only in val: nothing is learned about it" in found.warnings
    with pytest.raises(DataError, match="no such folder"):
        check_folder(tmp_path / "none")


def test_only_files_of_one_length_are_read(tmp_path: Path) -> None:
    for name, text in (("a", "12"), ("b", "12"), ("c", "21"), ("d", "1")):
        (tmp_path / name).write_text(text)
    (found,) = duplicates(tmp_path.iterdir())
    assert [path.name for path in found] == ["a", "b"]


# ---- tables -----------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for i in range(10):
        save(tmp_path / "pictures" / f"{i}.npy", np.full((4, 4, 3), 20 * i))
    return tmp_path


def table(folder: Path, header: str, rows: list[str]) -> Path:
    path = folder / "table.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


@pytest.mark.parametrize(
    ("header", "row", "kind", "classes", "target"),
    [
        ("path,species", "pictures/{i}.npy,{abc}", "class", ("a", "b"), 0),
        ("image,label", "pictures/{i}.npy,{i}", "class", tuple("0123456789"), 0),
        ("file,tags", "pictures/{i}.npy,{abc}|z", "labels", ("a", "b", "z"), [1, 0, 1]),
        ("file,red,big", "pictures/{i}.npy,1,0", "labels", ("red", "big"), [1, 0]),
        ("file,age", "pictures/{i}.npy,{i}.5", "numbers", ("age",), [0.5]),
        ("file,x,y", "pictures/{i}.npy,{i},-3e1", "numbers", ("x", "y"), [0, -30]),
    ],
)
def test_what_columns_are(
    folder: Path, header: str, row: str, kind: str, classes: tuple[str, ...], target: object
) -> None:
    rows = [row.format(i=i, abc="ab"[i % 2]) for i in range(10)]
    data = PictureTable(table(folder, header, rows))
    assert (data.targets, data.classes, len(data)) == (kind, classes, 10)
    image, found = data[0]
    assert image.shape == (3, 4, 4)
    np.testing.assert_array_equal(found, target)


def test_a_table_is_divided_by_its_column_or_by_chance(folder: Path) -> None:
    rows = [f"pictures/{i}.npy,{'ab'[i % 2]},{'val' if i > 6 else 'train'}" for i in range(10)]
    split = load_split(str(table(folder, "path,class,split", rows)), side=4)
    assert (len(split.train), len(split.test), split.spec.size) == (7, 3, 4)
    rows = [f"pictures/{i}.npy,{2 * i}" for i in range(10)]
    split = load_split(str(table(folder, "path,age", rows)))
    assert (len(split.train), len(split.test)) == (8, 2)
    (mean, deviation), *_ = split.spec.scales
    ages = [split.train[i][1][0] for i in range(8)]
    np.testing.assert_allclose((mean, deviation), (np.mean(ages), np.std(ages)))


@pytest.mark.parametrize(
    ("header", "rows", "message"),
    [
        ("path,class", [], "a header and one line for each picture"),
        ("name,class", ["a,b"], "no column says where the pictures are; call it path"),
        ("path,class", ["pictures/0.npy"], "line 2 has 1 fields, but the header has 2"),
        ("path,class", ["pictures/0.npy,a", "x.npy,b"], r"line 3: .*x\.npy.: no such picture"),
        ("path", ["pictures/0.npy"], "a column must say what the pictures show"),
        ("path,path", ["a,b"], "every column needs a name of its own"),
        ("path,class", ["pictures/0.npy,"], "line 2: class is empty"),
        ("path,x,y", ["pictures/0.npy,1,big"], "y must be a number, got 'big'"),
        ("path,class,split", ["pictures/0.npy,a,dev"], "line 2: a picture is for train, val or"),
        ("path,class,split", ["pictures/0.npy,a,val"], "all pictures are for val"),
    ],
)
def test_bad_tables(folder: Path, header: str, rows: list[str], message: str) -> None:
    with pytest.raises((DataError, OptionError), match=message):
        load_split(str(table(folder, header, rows)))


def test_a_check_of_a_table_finds_every_line_that_is_wrong(folder: Path) -> None:
    (folder / "pictures" / "bad.npy").write_bytes(b"nothing")
    save(folder / "pictures" / "twin.npy", np.full((4, 4, 3), 0))
    rows = [f"pictures/{i}.npy,{'ab'[i % 2]},{'val' if i > 6 else 'train'}" for i in range(10)]
    rows[3:3] = ["pictures/0.npy,b,val", "pictures/x.npy,a,train", "pictures/1.npy,a", ""]
    rows += ["pictures/bad.npy,b,train", "pictures/2.npy,,train", "pictures/4.npy,a,dev",
             "pictures/twin.npy,a,val", "pictures/5.npy,b,train"]  # fmt: skip
    found = check_table(table(folder, "path,class,split", rows))
    assert not found.ok
    assert [file.fault.split(":")[0].split(" has")[0] for file in found.bad] == [
        "line 6", "line 7", "line 16", "line 17", "line 18",
    ]  # fmt: skip
    faults = " ".join(file.fault for file in found.bad)
    for message in ("x.npy': no such picture", "has 2 fields", "no .npy array", "class is empty",
                    "a picture is for train, val or test, got 'dev'"):  # fmt: skip
        assert message in faults
    assert found.counts() == {"a": {"train": 4, "val": 2}, "b": {"train": 4, "val": 3}}
    said = [what for _, what in found.twins]
    assert said[0] == f"{TORN} (lines 2 and 5)"
    assert said[1] == f"{TWICE} (lines 11 and 20)"
    assert said[2] == TORN  # 0.npy and twin.npy are the same file
    text, page = str(found), folder_page(found)
    for word in ("lines are wrong", "line 16", "line 18", "twin.npy", "lines 11 and 20"):
        assert word in text
        assert word in page
    with pytest.raises(DataError, match=r"line 6: .*x\.npy.*; 2 more lines are wrong"):
        PictureTable(folder / "table.csv")


def test_a_check_of_labels_and_of_numbers(folder: Path) -> None:
    rows = [f"pictures/{i}.npy,{'red|big' if i % 2 else 'big'}" for i in range(9)]
    found = check_table(table(folder, "path,tags", [*rows, "pictures/9.npy,"]))
    assert found.counts() == {"big": {"": 9}, "no label": {"": 1}, "red": {"": 4}}
    assert str(found).splitlines()[0].endswith("10 pictures with 3 labels")
    assert "<h3>red</h3>" in folder_page(found)
    rows = [f"pictures/{i}.npy,{i % 2},1" for i in range(10)]
    found = check_table(table(folder, "path,red,big", rows))
    assert found.counts() == {"big": {"": 10}, "red": {"": 5}}
    rows = [f"pictures/{i}.npy,{i},{i / 2}" for i in range(9)]
    found = check_table(table(folder, "path,age,size", [*rows, "pictures/9.npy,3,large"]))
    assert found.notes == ["age: 0 to 8, mean 4", "size: 0 to 4, mean 2"]
    assert [file.fault for file in found.bad] == ["line 11: size must be a number, got 'large'"]
    assert "<h2>Numbers</h2>" in folder_page(found)
    rows = [f"pictures/{i % 10}.npy,{i}" for i in range(20)]
    found = check_table(table(folder, "path,age", [*rows[:12], "pictures/2.npy,n/a", *rows[12:]]))
    assert any("age holds numbers but for line 14, 'n/a'" in text for text in found.warnings)
    found = check_table(table(folder, "path,class", ["x.npy,a", "y.npy"]))
    assert len(found.bad) == 2
    assert "2 lines are wrong" in str(found)
    assert "x.npy" in folder_page(found)
    for header, message in (("name,class", "no column says where"), ("path", "a column must say")):
        with pytest.raises(DataError, match=message):
            check_table(table(folder, header, ["a,b"[: len(header)]]))


def test_a_folder_has_one_class_for_each_picture(pets: Path) -> None:
    with pytest.raises(OptionError, match="numbers stand in a table"):
        load_split(str(pets), targets="numbers")
    with pytest.raises(OptionError, match="mono is for pictures of one size"):
        load_split(str(pets), mono=True)
