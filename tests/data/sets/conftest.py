"""Fixtures of the tests of data sets."""

from pathlib import Path

import pytest
from fake_sets import FakeSet


@pytest.fixture
def fake(tmp_path: Path) -> FakeSet:
    """A fake data set in the empty folder `set`."""
    (tmp_path / "set").mkdir()
    return FakeSet(tmp_path / "set")
