"""What every test file shares: quiet TensorFlow, seeds, optional data, no leaking dtype policy."""

import os
import pathlib
from collections.abc import Iterator

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import pytest

SHARED = pathlib.Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(autouse=True)
def seed() -> int:
    """Seeds Python, NumPy and TensorFlow before each test; the seed itself."""
    keras.utils.set_random_seed(20)
    return 20


@pytest.fixture
def rng(seed: int) -> np.random.Generator:
    """A source of random inputs."""
    return np.random.default_rng(seed)


@pytest.fixture
def restore_dtype_policy() -> Iterator[None]:
    """Lets a test set the global dtype policy."""
    policy = keras.config.dtype_policy()
    yield
    keras.config.set_dtype_policy(policy)


@pytest.fixture(scope="session")
def shared() -> pathlib.Path:
    """The folder of optional data beside the repository."""
    if not SHARED.is_dir():
        pytest.skip(f"optional data: there is no folder {SHARED}")
    return SHARED
