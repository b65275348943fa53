from __future__ import annotations

from typing import Any

import pytest

from minigrad import models, nn
from minigrad.errors import OptionError
from minigrad.models import registry


@pytest.fixture
def empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_models", {})


def one(width: int = 2) -> nn.Module:
    return nn.Linear(width, 1)


@pytest.mark.usefixtures("empty")
def test_register_create_list() -> None:
    assert models.register(family="toys")(one) is one
    assert models.list_models() == models.list_models("Toys") == ["one"]
    made: Any = models.create_model("ONE", width=5)
    assert made.in_features == 5
    with pytest.raises(OptionError, match="unknown model family 'toy'; did you mean 'toys'"):
        models.list_models("toy")


@pytest.mark.usefixtures("empty")
def test_a_name_is_given_once() -> None:
    models.register(family="toys")(one)
    models.register(family="toys")(one)  # a module that is loaded again

    def other() -> nn.Module:
        return nn.ReLU()

    other.__name__, other.__module__ = "one", "elsewhere"
    with pytest.raises(OptionError, match="'one' is registered already"):
        models.register(family="toys")(other)


def test_unknown_models_get_a_suggestion() -> None:
    with pytest.raises(
        OptionError, match="unknown model 'convnextv2_ato'; did you mean 'convnextv2_atto'"
    ):
        models.create_model("convnextv2_ato")


@pytest.mark.parametrize(
    "name",
    [
        "convnextv2_tiny",
        "convnext_v2_tiny",
        "ConvNeXtV2Tiny",
        "CONVNEXT-V2-TINY",
        "ConvNeXtV2_tiny",
    ],
)
def test_case_and_separators_do_not_matter(name: str) -> None:
    with nn.init.skip_random():
        model: Any = models.create_model(name, num_classes=0)
    assert type(model) is models.ConvNeXtV2
    assert model.dims == (96, 192, 384, 768)


@pytest.mark.usefixtures("empty")
def test_aliases_types_and_families() -> None:
    models.register(family="Toys", name="Bear", aliases=("teddy",))(one)
    models.register(name="seg", type="segmentation", allowed_families=["TOYS"])(one)
    assert models.list_models("toys") == ["bear"]
    assert models.list_models() == ["bear", "seg"]
    made: Any = models.create_model("Teddy", width=3)
    assert made.in_features == 3
    for wrong in (
        {"type": "segmentation"},
        {"family": "toys", "allowed_families": ["toys"]},
        {"family": "toys", "type": "segmentation", "allowed_families": ["toys"]},
        {},
    ):
        with pytest.raises(OptionError, match="a backbone has a family and no allowed_families"):
            models.register(**wrong)
    with pytest.raises(OptionError, match="unknown model type 'head'"):
        models.register(family="toys", type="head")

    def other() -> nn.Module:
        return nn.ReLU()

    with pytest.raises(OptionError, match="'teddy' is registered already"):
        models.register(family="toys", aliases=["teddy"])(other)
    assert "other" not in models.list_models()


CATALOG = """\
                  Model Registry Catalog
┏━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━┓
┃ Segmentor        ┃ Backbone Family ┃ Variants           ┃
┡━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━┩
│ • attention_unet │ convnext        │ • convnext_base    │
│ • unet           │                 │ • convnext_large   │
│ • unet_plus_plus │                 │ • convnext_small   │
│                  │                 │ • convnext_tiny    │
│                  │                 │ • convnext_xlarge  │
│                  │                 │ • convnextv2_atto  │
│                  │                 │ • convnextv2_base  │
│                  │                 │ • convnextv2_femto │
│                  │                 │ • convnextv2_huge  │
│                  │                 │ • convnextv2_large │
│                  │                 │ • convnextv2_nano  │
│                  │                 │ • convnextv2_pico  │
│                  │                 │ • convnextv2_small │
│                  │                 │ • convnextv2_tiny  │
└──────────────────┴─────────────────┴────────────────────┘"""


def test_the_catalog_is_the_source_documents_table() -> None:
    found = models.list_models(family="ConvNeXt")
    assert repr(found) == str(found) == CATALOG
    assert len(found) == 14
    assert found[0] == "convnext_base"
    assert [name for name in found if name.startswith("convnextv2_a")] == ["convnextv2_atto"]
    every = repr(models.list_models()).splitlines()
    families = {entry.family for entry in registry._models.values()} - {None}
    assert sum(line.startswith("├") for line in every) == len(families) - every.count(every[-1])
    assert every.count(every[-1]) == 1


def test_the_catalog_in_a_notebook() -> None:
    import xml.etree.ElementTree as ET

    table = ET.fromstring(
        models.list_models(family="convnext")._repr_html_().replace("<br>", "<br/>")
    )
    assert table.findtext("caption") == "Model Registry Catalog"
    assert [th.text for th in table.iter("th")] == ["Segmentor", "Backbone Family", "Variants"]
    (row,) = table.findall("tbody/tr")
    lines = ["".join(td.itertext()) for td in row]
    assert lines[1] == "convnext"
    assert lines[0] == "• attention_unet• unet• unet_plus_plus"
    assert lines[2].count("•") == 14


def test_features_only_needs_stages() -> None:
    with (
        nn.init.skip_random(),
        pytest.raises(OptionError, match="convnext_isotropic_small has no stages"),
    ):
        models.create_model("convnext_isotropic_small", features_only=True)
