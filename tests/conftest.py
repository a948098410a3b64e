"""Fixtures of all tests: quiet TensorFlow, seeds, optional data, dtype policies, memory."""

import ctypes
import functools
import gc
import importlib
import os
import pathlib
import resource
import signal
from collections.abc import Callable, Iterator
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MPVN_CACHE", "")  # off

import keras
import numpy as np
import pytest

LIBC = ctypes.CDLL(None)
gc.set_threshold(10_000)  # by default, collecting takes a twentieth of the time
FEW_BLOCKS = {
    "par_densenet.MINIBLOCKS": (2, 4, 4, 4),
    "resnet.STAGES": {50: (2, 2, 2, 1), 101: (1, 1, 3, 1)},
    "tsm.DEEP_STAGE": 3,
    "mobilenet.STAGES": ((1, 16, 1, 1), (6, 24, 2, 2), (6, 64, 3, 2), (6, 320, 1, 2)),
}
SHARED = pathlib.Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(autouse=True, scope="session")
def signals() -> None:
    """Let Ctrl-C arrive: a shell starts processes in the background without it."""
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_IGN:
            handler = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, handler)


@pytest.fixture(autouse=True)
def seed() -> int:
    """Seed Python, NumPy and TensorFlow before each test; return the seed."""
    keras.utils.set_random_seed(20)
    return 20


@pytest.fixture(autouse=True, scope="module")
def release_memory() -> Iterator[None]:
    """Free the graphs of a module after its tests.

    Models, layers and traced functions refer to each other in circles, and glibc keeps freed pages:
    without this, a worker grows with every module until the machine swaps.

    What is alive then, such as TensorFlow itself, stays. The collector need not look at it again:
    it would do so for seconds, several times in each module.
    """
    gc.freeze()
    yield
    keras.backend.clear_session()
    gc.collect()
    if hasattr(LIBC, "malloc_trim"):
        LIBC.malloc_trim(0)


@pytest.fixture
def rng(seed: int) -> np.random.Generator:
    """Return a source of random inputs."""
    return np.random.default_rng(seed)


@pytest.fixture
def restore_dtype_policy() -> Iterator[None]:
    """Let a test set the global dtype policy."""
    policy = keras.config.dtype_policy()
    yield
    keras.config.set_dtype_policy(policy)


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train and evaluate without tracing, which takes longer than a few batches."""
    always = property(lambda _: True, lambda *_: None)
    monkeypatch.setattr(keras.src.trainers.trainer.Trainer, "run_eagerly", always)


@pytest.fixture
def short_par_densenet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Build Par-DenseNet with 3 miniblocks instead of 26: tracing takes most of a short run."""
    module = importlib.import_module("mpvn.models.par_densenet")  # the function has this name, too
    monkeypatch.setattr(module, "MINIBLOCKS", (1, 2))


@pytest.fixture
def short_mobilenet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Build the first blocks of MobileNetV2 and its classifier: two of them are residual."""
    build = keras.applications.MobileNetV2

    @functools.wraps(build)
    def short(*arguments: Any, **options: Any) -> keras.Model:
        whole = build(*arguments, **options)
        x = keras.layers.GlobalAveragePooling2D()(whole.get_layer("block_4_add").output)
        scores = keras.layers.Dense(1000, "softmax", name="predictions")(x)
        return keras.Model(whole.input, scores, name=whole.name)

    monkeypatch.setattr(keras.applications, "MobileNetV2", short)


@pytest.fixture
def few_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Build every stage and kind of block of the published networks, but fewer blocks of a kind."""
    for name, depths in FEW_BLOCKS.items():
        module, constant = name.split(".")
        monkeypatch.setattr(importlib.import_module(f"mpvn.models.{module}"), constant, depths)


@pytest.fixture(scope="module")
def double_precision() -> Iterator[None]:
    """Make all models of a module compute in float64, so that no tolerance hides an error."""
    floatx, policy = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx(floatx)
    keras.config.set_dtype_policy(policy)


@pytest.fixture
def small_disk() -> Iterator[Callable[[int], None]]:
    """Return a function that limits the size of files, in bytes, as a full disk does."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.fixture(scope="session")
def shared() -> pathlib.Path:
    """Return the folder of optional data beside the repository."""
    if not SHARED.is_dir():
        pytest.skip(f"optional data: there is no folder {SHARED}")
    return SHARED
