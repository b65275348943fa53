from __future__ import annotations

import re

import pytest

from minigrad.errors import OptionError
from minigrad.viz import timeline_svg


def test_bars_stand_where_their_times_are() -> None:
    """The longest takes the whole width, half of the time half of it."""
    drawn = timeline_svg([("a", "whole", 0.0, 4.0), ("b", "late", 2.0, 4.0)], "title")
    bars = re.findall(r'<rect x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="20"', drawn)
    (left, top, width), (middle, below, half) = [tuple(map(float, bar)) for bar in bars]
    assert (middle, below, half) == (left + width / 2, top + 30, width / 2)
    assert "title" in drawn


def test_a_span_that_ends_before_it_starts_is_refused() -> None:
    with pytest.raises(OptionError, match=r"'x' of 'a' goes from 2\.0 to 1\.0"):
        timeline_svg([("a", "x", 2.0, 1.0)])
    with pytest.raises(OptionError, match="no span"):
        timeline_svg([])
