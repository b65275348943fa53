"""Time in tests: nothing is measured by a clock on the wall, and whoever waits, waits long."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

HANG = 600  # seconds after which a test that still waits has failed


def until(condition: Callable[[], Any]) -> Any:
    """Wait until a condition is met, and return what it gave."""
    for _ in range(HANG * 500):
        if found := condition():
            return found
        time.sleep(0.002)
    raise AssertionError("still waiting: this hangs")
