"""A trained run that many tests read; tests that change it copy it first."""

import pathlib
import shutil

import pytest
from small_runs import small_config

from mpvn.training import RunFolder, train


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """The finished run of `small_config()`. Do not change it."""
    return train(small_config(), tmp_path_factory.mktemp("trained") / "run")


@pytest.fixture
def copied(trained: RunFolder, tmp_path: pathlib.Path) -> RunFolder:
    """A copy of `trained` that a test may change."""
    shutil.copytree(trained.path, tmp_path / "copied")
    return RunFolder(tmp_path / "copied")
