"""Gradients of a network under test, against central differences of the NumPy reference."""

import numpy as np
import tensorflow as tf
from network_data import map_weights, variables_by_name
from reference import Array, interpret
from video_subject import Subject


def gradients(subject: Subject, clips: dict[str, Array], executor: str) -> dict[str, Array]:
    """Return the gradients of a random weighting of all outputs, by name of the weight."""
    variables = variables_by_name(subject.model, subject.network.nodes)
    subject.video.executor = executor
    with tf.GradientTape() as tape:
        outputs = subject.video(subject.structured(clips))
        outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
        weightings = _weightings([tuple(y.shape) for y in outputs])
        loss = tf.add_n([tf.reduce_sum(w * y) for w, y in zip(weightings, outputs, strict=True)])
    computed = tape.gradient(
        loss,
        [variable.value for variable in variables.values()],
        unconnected_gradients=tf.UnconnectedGradients.ZERO,
    )
    return {name: np.asarray(g) for name, g in zip(variables, computed, strict=True)}


def _weightings(shapes: list[tuple[int, ...]]) -> list[Array]:
    rng = np.random.default_rng(0)
    return [rng.normal(size=shape) for shape in shapes]


def assert_gradients_follow_reference(subject: Subject, batch_size: int, steps: int) -> None:
    """Check that the gradients of all executors are equal, and the reference's along a direction.

    The reference has no gradients: central differences along one random direction stand for them.
    """
    clips = subject.network.clips(batch_size, steps, seed=steps)
    first, *others = [gradients(subject, clips, executor) for executor in subject.executors]
    for other in others:
        for name, gradient in first.items():
            scale = max(1.0, np.abs(gradient).max())
            np.testing.assert_allclose(other[name], gradient, rtol=0, atol=1e-9 * scale)
    rng = np.random.default_rng(1)
    direction = {name: rng.normal(size=gradient.shape) for name, gradient in first.items()}

    def loss(step: float) -> float:
        nodes = map_weights(subject.network.nodes, lambda name, w: w + step * direction[name])
        outputs = interpret(nodes, subject.network.outputs, subject.placement, clips)
        weightings = _weightings([y.shape for y in outputs])
        return sum(np.sum(w * y) for w, y in zip(weightings, outputs, strict=True))

    step = 1e-6
    slope = (loss(step) - loss(-step)) / (2 * step)
    along = sum(np.sum(first[name] * direction[name]) for name in first)
    np.testing.assert_allclose(along, slope, rtol=1e-5, atol=1e-5)
