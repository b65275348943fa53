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
