"""Targets and weights of each step, compared with a loop over the definition."""

import doctest

import numpy as np
import pytest
import tensorflow as tf
from small_models import chain

import mpvn.tasks.task
from mpvn import Plan, VideoNetwork
from mpvn.tasks import ActionRecognition, Autoencoding, FutureFrame, Keypoints, MultiLabelActions


def numbered(steps: int, batch: int = 2) -> dict[str, np.ndarray]:
    """Return clips whose pixels and joints are the number of the frame, plus 100 per clip."""
    number = np.arange(steps)[None] + 100 * np.arange(batch)[:, None]
    pixels = np.broadcast_to(number[:, :, None, None, None], (batch, steps, 4, 6, 3))
    joints = np.broadcast_to(number[:, :, None, None, None], (batch, steps, 1, 2, 3))
    return {
        "frames": pixels.astype("float32"),
        "label": np.arange(batch) % 2,
        "labels": np.tile(np.eye(2, dtype="float32"), (batch, 1))[:batch],
        "joints": joints.astype("float32"),
    }


def by_definition(steps: int, latency: int, ahead: int, first: int) -> list[int | None]:
    """Return the frame that is the target of each step; None for steps without weight."""
    targets: list[int | None] = []
    for step in range(steps):
        frame = step - latency
        target = frame + ahead
        exists = 0 <= frame < steps and 0 <= target < steps
        targets.append(target if exists and step >= first else None)
    return targets


TASKS = {
    "autoencoding": Autoencoding,
    "future": lambda **kwargs: FutureFrame(3, **kwargs),
    "keypoints": lambda **kwargs: Keypoints(2, (4, 6), **kwargs),
    "action": lambda **kwargs: ActionRecognition(2, **kwargs),
    "multi_label": lambda **kwargs: MultiLabelActions(2, **kwargs),
}
every_task = pytest.mark.parametrize("name", TASKS)


def test_docstring_examples_run() -> None:
    results = doctest.testmod(mpvn.tasks.task)
    assert results.attempted > 0
    assert results.failed == 0


@pytest.mark.parametrize("latency", [0, 1, 2, 3, 4, 5])
@every_task
def test_targets_are_delayed_by_latency_and_steps_without_target_have_no_weight(
    name: str, latency: int
) -> None:
    task, batch = TASKS[name](latency=latency), numbered(9)
    inputs, targets, weights = task.prepare(batch)
    expected = by_definition(9, latency, 3 if name == "future" else 0, 0)
    np.testing.assert_array_equal(inputs, batch["frames"])
    weighted = [step for step, frame in enumerate(expected) if frame is not None]
    for clip in range(2):
        for step in range(9):
            if step not in weighted:
                assert weights[clip, step] == 0
                continue
            np.testing.assert_allclose(weights[clip, step], 9 / len(weighted))
            labels = {"action": batch["label"], "multi_label": batch["labels"]}
            value = labels[name][clip] if name in labels else 100 * clip + expected[step]
            np.testing.assert_array_equal(targets[clip, step], np.full(targets.shape[2:], value))


def test_the_example_of_the_module_docstring() -> None:
    _, targets, weights = Autoencoding(latency=2).prepare(numbered(6, batch=1))
    assert targets[0, 2:, 0, 0, 0].numpy().tolist() == [0, 1, 2, 3]
    assert weights.numpy().tolist() == [[0, 0, 1.5, 1.5, 1.5, 1.5]]


@pytest.mark.parametrize(("latency", "first"), [(0, 3), (2, 3), (5, 5)])
def test_uninformed_steps_can_be_masked(latency: int, first: int) -> None:
    network = VideoNetwork(model := chain(2, 2, 2, 2), Plan(model, 4))
    task = Autoencoding(latency, first_informed_step=network.first_informed_step)
    weights = task.prepare(numbered(8))[2]
    expected = [frame is not None for frame in by_definition(8, latency, 0, first)]
    assert (weights[0].numpy() > 0).tolist() == expected
    unmasked = Autoencoding(latency).prepare(numbered(8))[2]
    assert (unmasked[0].numpy() > 0).tolist() == [step >= latency for step in range(8)]


@every_task
def test_prepare_maps_data_sets_of_unknown_sizes(name: str) -> None:
    task = TASKS[name](latency=2)
    signature = {
        "frames": tf.TensorSpec((None, None, None, None, 3), tf.float32),
        "label": tf.TensorSpec((None,), tf.int64),
        "labels": tf.TensorSpec((None, 2), tf.float32),
        "joints": tf.TensorSpec((None, None, 1, 2, 3), tf.float32),
    }
    clips = [numbered(steps) for steps in (5, 7)]
    data = tf.data.Dataset.from_generator(lambda: iter(clips), output_signature=signature)
    for prepared, batch in zip(data.map(task.prepare), clips, strict=True):
        for value, expected in zip(prepared, task.prepare(batch), strict=True):
            np.testing.assert_array_equal(value, expected)


@every_task
def test_prepare_keeps_static_shapes(name: str) -> None:
    data = tf.data.Dataset.from_tensors(numbered(6)).map(TASKS[name](latency=1).prepare)
    frames, targets, weights = data.element_spec
    assert frames.shape == (2, 6, 4, 6, 3)
    assert targets.shape[:2] == weights.shape == (2, 6)
    assert frames.dtype == weights.dtype == tf.float32


def test_clips_too_short_for_a_weighted_step_raise() -> None:
    with pytest.raises(ValueError, match="at least 4 frames. Received frames: 3"):
        Autoencoding(latency=3).prepare(numbered(3))
    with pytest.raises(ValueError, match="targets 8 frames ahead.*at least 9 .* frames: 8"):
        FutureFrame().prepare(numbered(8))
    with pytest.raises(ValueError, match="at least 9 frames. Received frames: 8"):
        FutureFrame(latency=2).prepare(numbered(8))
    masked = Autoencoding(first_informed_step=3)
    with pytest.raises(ValueError, match="first step that counts 3.* at least 4 .* frames: 3"):
        masked.prepare(numbered(3))
    for task, steps in [(Autoencoding(latency=3), 4), (FutureFrame(), 9), (masked, 4)]:
        assert np.count_nonzero(task.prepare(numbered(steps))[2][0]) == 1


def test_short_clips_of_unknown_length_raise_while_running() -> None:
    signature = {"frames": tf.TensorSpec((None, None, 4, 6, 3), tf.float32)}
    short = {"frames": numbered(3)["frames"]}
    data = tf.data.Dataset.from_generator(lambda: iter([short]), output_signature=signature)
    with pytest.raises(tf.errors.InvalidArgumentError, match="clips of at least 4 frames"):
        next(iter(data.map(Autoencoding(latency=3).prepare)))


def test_invalid_batches_raise() -> None:
    task = Autoencoding()
    with pytest.raises(ValueError, match="a batch with 'frames'. Received: label"):
        task.prepare({"label": np.zeros(1, int)})
    with pytest.raises(ValueError, match=r"'frames' with 5 axes.*\(4, 6, 3\)"):
        task.prepare({"frames": np.zeros((4, 6, 3), "float32")})
    with pytest.raises(ValueError, match="floats between -1 and 1. Received: uint8"):
        task.prepare({"frames": np.zeros((1, 4, 4, 6, 3), "uint8")})


@pytest.mark.parametrize("latency", [-1, 1.0, True])
def test_latency_must_be_a_nonnegative_int(latency: object) -> None:
    with pytest.raises(ValueError, match="latency must be an int of at least 0"):
        Autoencoding(latency)  # type: ignore[arg-type]


def test_other_numbers_of_steps_are_checked_too() -> None:
    with pytest.raises(ValueError, match="first_informed_step must be an int of at least 0"):
        Autoencoding(first_informed_step=-1)
    with pytest.raises(ValueError, match="ahead must be an int of at least 1. Received: 0"):
        FutureFrame(0)
