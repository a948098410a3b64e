"""The cache of compiled models costs no correctness, whatever happens to its files."""

import pathlib

import keras
import numpy as np
import pytest
from keras import layers

from mpvn import VideoNetwork
from mpvn.runtime import cache

FRAME = np.random.default_rng(0).normal(size=(1, 3)).astype("float32")


@pytest.fixture
def folder(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    monkeypatch.setenv("MPVN_CACHE", str(tmp_path / "new" / "cache"))
    return tmp_path / "new" / "cache"


@pytest.fixture
def network() -> VideoNetwork:
    frame = keras.Input((3,))
    return VideoNetwork(keras.Model(frame, layers.Dense(2, activation="tanh")(frame)))


def outputs(network: VideoNetwork, **settings: object) -> np.ndarray:
    compiled = network.compile_inference(runtime="openvino", **settings)
    return compiled.step(FRAME, compiled.initial_state(1))[0]


def test_models_are_found_by_content(folder: pathlib.Path, network: VideoNetwork) -> None:
    expected = outputs(network)
    (file,) = folder.iterdir()
    written = file.stat().st_mtime_ns
    np.testing.assert_array_equal(outputs(network), expected)
    other = keras.models.clone_model(network.frame_model)
    other.set_weights(network.frame_model.get_weights())
    np.testing.assert_array_equal(outputs(VideoNetwork(other)), expected)
    assert [*folder.iterdir()] == [file]
    assert file.stat().st_mtime_ns > written, "it was not read"
    network.frame_model.layers[1].kernel.assign_add(np.ones((3, 2)))
    assert np.abs(outputs(network) - expected).max() > 0.1
    outputs(network, threads=1)
    assert len([*folder.iterdir()]) == 3


@pytest.mark.parametrize("damage", ["truncated", "changed", "foreign", "empty"])
def test_damaged_files_are_as_good_as_none(
    folder: pathlib.Path, network: VideoNetwork, damage: str
) -> None:
    expected = outputs(network)
    (file,) = folder.iterdir()
    data = file.read_bytes()
    match damage:
        case "truncated":
            file.write_bytes(data[:-100])
        case "changed":
            file.write_bytes(data[:400] + bytes(100) + data[500:])
        case "foreign":
            cache.write_cached(file.stem, b"not a model")
        case "empty":
            file.write_bytes(b"")
    np.testing.assert_array_equal(outputs(network), expected)
    assert cache.read_cached(file.stem) not in (None, b"not a model"), "it was not written again"


def test_a_folder_that_cannot_be_written_is_no_fault(
    folder: pathlib.Path, network: VideoNetwork
) -> None:
    folder.parent.write_text("a file, not a folder")
    assert np.isfinite(outputs(network)).all()


def test_the_oldest_files_make_room(folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "LIMIT", 1000)
    folder.mkdir(parents=True)
    (folder / "of_a_user.txt").write_bytes(bytes(2000))
    for name in ("a", "b", "c"):
        cache.write_cached(name, bytes(400))
    assert cache.read_cached("a") is None
    assert cache.read_cached("b") == cache.read_cached("c") == bytes(400)
    assert (folder / "of_a_user.txt").exists()


def test_an_empty_variable_turns_the_cache_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPVN_CACHE", "")
    cache.write_cached("a", b"a")
    assert cache.cache_folder() is cache.read_cached("a") is None
    monkeypatch.delenv("MPVN_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache.cache_folder() == pathlib.Path("/somewhere/mpvn")
