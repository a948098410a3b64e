"""Fixtures for tests of the published networks."""

import importlib

import pytest

FEW_BLOCKS = {
    "par_densenet.MINIBLOCKS": (2, 4, 4, 4),
    "resnet.STAGES": {50: (2, 2, 2, 1), 101: (1, 1, 3, 1)},
    "tsm.DEEP_STAGE": 3,
    "mobilenet.STAGES": ((1, 16, 1, 1), (6, 24, 2, 2), (6, 64, 3, 2), (6, 320, 1, 2)),
}


@pytest.fixture
def few_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Build every stage and kind of block, with fewer blocks of a kind, which cost as much each."""
    for name, depths in FEW_BLOCKS.items():
        module, constant = name.split(".")
        monkeypatch.setattr(importlib.import_module(f"mpvn.models.{module}"), constant, depths)
