"""Settings for the whole test suite, and the marker that says what a test needs."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Generator, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from _pytest.doctest import DoctestModule
from hypothesis import HealthCheck, settings

# Workers inherit this before they load NumPy: with one process per core, BLAS needs one thread.
if "numpy" not in sys.modules:
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, "1")

# The machine may be busy: nothing is held against the clock on the wall. Every run draws the same
# cases; ``--hypothesis-profile=explore`` draws others, and more of them.
settings.register_profile(
    "minigrad",
    max_examples=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "explore", settings.get_profile("minigrad"), max_examples=300, derandomize=False
)
settings.load_profile("minigrad")

PROGRAMS = {"bash", "g++", "git"}

# CI does not do the same work twice: one run notes what passed, in the file that this names and one
# for the slow ones, and a later run leaves those out by --not-again.
NOTED = os.environ.pop("TESTS_PASSED", None)  # taken away: a test's own pytest notes nothing


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--not-again", type=Path, help="a file of names of tests to leave out")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if NOTED and report.when == "call" and report.passed:
        with open(NOTED + ("-slow" if "slow" in report.keywords else ""), "a") as file:
            print(report.nodeid, file=file)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--not-again"):
        passed = set(config.getoption("--not-again").read_text().splitlines())
        out = [item for item in items if item.nodeid in passed]
        config.hook.pytest_deselected(items=out)
        items[:] = [item for item in items if item.nodeid not in passed]


@pytest.hookimpl(wrapper=True)
def pytest_collect_file() -> Generator[None, list[pytest.Collector], list[pytest.Collector]]:
    """Collect no doctests here, so that a file is imported once and a helper only when used.

    pytest keeps a module whose import ended in a skip, and the next import finds half of it.
    """
    return [found for found in (yield) if not isinstance(found, DoctestModule)]


def needed(item: pytest.Item) -> Iterator[str]:
    """Yield what a test needs beside the extra `test`: packages and programs."""
    for mark in item.iter_markers("needs"):
        yield from mark.args
    if hasattr(item, "callspec") and "bfloat16" in item.callspec.id.split("-"):
        yield "ml_dtypes"


def pytest_runtest_setup(item: pytest.Item) -> None:
    for name in needed(item):
        if (shutil.which if name in PROGRAMS else find_spec)(name) is None:
            pytest.skip(f"needs {name}, which is not installed")


@pytest.fixture(scope="session")
def repo() -> Path:
    """Return the root of the repository."""
    return Path(__file__).resolve().parents[1]
