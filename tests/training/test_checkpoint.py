"""Checkpoints: their checksum, what is refused, and which one a run continues from."""

import json
import os
import pathlib
import random
import zipfile

import keras
import numpy as np
import pytest

from mpvn.training import RunFolder
from mpvn.training.checkpoint import CheckpointError, read_checkpoint, save_checkpoint


def trained_model(units: int = 3) -> keras.Model:
    """Return a model with automatic layer names, after a batch of Adam."""
    inputs = keras.Input((4,))
    outputs = keras.layers.Dense(2)(keras.layers.Dropout(0.5)(keras.layers.Dense(units)(inputs)))
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.Adam(0.1), "mse")
    model.train_on_batch(np.ones((2, 4)), np.ones((2, 2)))
    return model


def values(model: keras.Model) -> list[np.ndarray]:
    return [np.array(each) for each in (*model.variables, *model.optimizer.variables)]


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return trained_model()


@pytest.fixture
def saved(model: keras.Model, tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "last.npz"
    save_checkpoint(path, model, [model.optimizer], {"step": 1})
    return path


def test_a_model_built_later_in_the_process_takes_the_state(
    model: keras.Model, saved: pathlib.Path
) -> None:
    """Once, slots were known by the paths of layers, which Keras numbers by process: dense_7."""
    other = trained_model()
    assert other.layers[1].name != model.layers[1].name
    for each in (*other.variables, *other.optimizer.variables):
        each.assign(np.full_like(each, 7))
    stored = read_checkpoint(saved)
    stored.restore(other, [other.optimizer])
    assert stored.about == {"step": 1}
    for actual, expected in zip(values(other), values(model), strict=True):
        np.testing.assert_array_equal(actual, expected)


def test_other_optimizers_and_networks_are_refused(model: keras.Model, saved: pathlib.Path) -> None:
    sgd = keras.optimizers.SGD(0.1, momentum=0.9)
    sgd.build(model.trainable_variables)
    before = values(model)
    with pytest.raises(ValueError, match=r"has unknown optimizer\|0\|Adam"):
        read_checkpoint(saved).restore(model, [sgd])
    wide = trained_model(units=5)
    with pytest.raises(ValueError, match=r"model\|0\|kernel is float32 \[4, 3\], not .*\[4, 5\]"):
        read_checkpoint(saved).restore(wide)
    for old, new in zip(before, values(model), strict=True):
        np.testing.assert_array_equal(old, new)


def test_every_flipped_byte_is_found_or_changes_nothing(saved: pathlib.Path) -> None:
    content, before = saved.read_bytes(), read_checkpoint(saved)
    chance = random.Random(3)
    found = 0
    for _ in range(150):
        damaged = bytearray(content)
        damaged[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        saved.write_bytes(damaged)
        try:
            read = read_checkpoint(saved)
        except CheckpointError as error:
            assert str(error).startswith(f"{saved} is damaged: it")
            found += 1
            continue
        for name, array in before.arrays.items():  # a time, or a flag of the archive
            np.testing.assert_array_equal(read.arrays[name], array)
    assert found > 75


@pytest.mark.parametrize("length", [0, 1, 100, -1, -50])
def test_a_cut_file_is_named(length: int, saved: pathlib.Path) -> None:
    saved.write_bytes(saved.read_bytes()[:length])
    with pytest.raises(CheckpointError, match="last.npz is damaged: it is cut"):
        read_checkpoint(saved)


@pytest.fixture
def arrays(saved: pathlib.Path) -> dict[str, np.ndarray]:
    """Return the arrays of the file, to write it again with changes."""
    with np.load(saved) as stored:
        return dict(stored)


def test_a_changed_array_does_not_have_the_checksum(
    saved: pathlib.Path, arrays: dict[str, np.ndarray]
) -> None:
    """Also where the archive itself is whole: another value, another name, another `about`."""
    renamed = {name.replace("model|0", "model|9"): value for name, value in arrays.items()}
    about = np.frombuffer(json.dumps({"step": 2}).encode(), np.uint8)
    for changed in (
        arrays | {"model|0|kernel": arrays["model|0|kernel"] + 1},
        arrays | {"model|0|kernel": arrays["model|0|kernel"].T},
        arrays | {"about": about},
        renamed,
    ):
        np.savez(saved, **changed)
        with pytest.raises(CheckpointError, match="does not have the checksum"):
            read_checkpoint(saved)


def test_files_of_earlier_versions_and_missing_ones_are_refused(
    saved: pathlib.Path, arrays: dict[str, np.ndarray]
) -> None:
    np.savez(saved, **{name: value for name, value in arrays.items() if name != "checksum"})
    with pytest.raises(CheckpointError, match="no checksum.* earlier version.* in a new folder"):
        read_checkpoint(saved)
    with zipfile.ZipFile(saved, "w") as archive:
        archive.writestr("notes.txt", "none of ours")
    with pytest.raises(CheckpointError, match="last.npz is damaged|has no checksum"):
        read_checkpoint(saved)
    saved.unlink()
    with pytest.raises(CheckpointError, match="Expected a checkpoint. Received: nothing at .*last"):
        read_checkpoint(saved)


# --- the last one and the one before ------------------------------------------------------------


def test_a_whole_checkpoint_exists_at_each_moment(
    model: keras.Model, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder(tmp_path)
    folder.last.parent.mkdir()
    rename, moments = os.replace, []

    def found() -> list[int]:
        paths = [path for path in (folder.last, folder.previous) if path.exists()]
        return [read_checkpoint(path).about["step"] for path in paths]

    def watched(*paths: str) -> None:
        moments.append(found())
        rename(*paths)
        moments.append(found())

    monkeypatch.setattr(os, "replace", watched)
    for step in (1, 2, 3):
        save_checkpoint(folder.last, model, [], {"step": step}, folder.previous)
    assert moments[:2] == [[], [1]]
    assert moments[2:] == [[1], [1], [1], [2, 1], [2, 1], [2], [2], [3, 2]]


def test_a_run_goes_on_from_the_one_before_a_damaged_one(
    model: keras.Model, tmp_path: pathlib.Path
) -> None:
    folder = RunFolder(tmp_path)
    folder.last.parent.mkdir()
    assert folder.restore(model, [model.optimizer]) == {}
    for step in (1, 2):
        save_checkpoint(folder.last, model, [model.optimizer], {"step": step}, folder.previous)
    assert folder.restore(model, [model.optimizer]) == {"step": 2}
    folder.last.write_bytes(b"cut")
    with pytest.warns(RuntimeWarning, match="from the checkpoint before .*last.npz is damaged"):
        assert folder.restore(model, [model.optimizer]) == {"step": 1}
    # The whole one has taken its place, so the next one does not move a damaged one over it.
    assert read_checkpoint(folder.last).about == {"step": 1}
    assert not folder.previous.exists()
    folder.last.rename(folder.previous)  # killed between two renames
    assert folder.restore(model, [model.optimizer]) == {"step": 1}
    folder.last.write_bytes(b"")
    with pytest.raises(CheckpointError, match="last.npz is damaged"):
        folder.restore(model, [model.optimizer])
