"""What the tables time: streams in chunks of steps, and updates on a clip."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import mpvn
from mpvn import executors, training

LEARNING_RATE = 1e-4

TRAINERS = {
    "Sideways": training.SidewaysTrainer,
    "GPipe": training.GPipeTrainer,
    "back-propagation": training.BackPropagationTrainer,
}


def stream_runner(model: keras.Model, plan: mpvn.Plan, batch: int, chunk: int) -> Callable[[], Any]:
    """Return a function that runs one chunk of a stream, its steps laid out in one graph.

    Args:
        model: the frame model.
        plan: its plan, with devices.
        batch: number of streams.
        chunk: number of steps, a multiple of the plan's period.
    """
    plan = mpvn.VideoNetwork(model, plan).plan
    shape = (batch, *plan.graph.tensors[plan.graph.inputs[0]].shape)
    frames = tf.constant(np.random.default_rng(0).standard_normal((chunk, *shape), "float32"))
    tf.get_logger().setLevel("ERROR")  # a function is traced for each row, and warns of it
    slots = {}
    for name, spec in plan.histories.specs.items():
        with tf.device(plan.histories.devices[name] or plan.devices[0]):
            slots[name] = tf.Variable(tf.zeros((batch, *spec.shape[1:]), spec.dtype))

    @tf.function(autograph=False)
    def run(frames: tf.Tensor) -> tf.Tensor:
        state = {slot: variable.read_value() for slot, variable in slots.items()}
        outputs = []
        for number, frame in enumerate(tf.unstack(frames)):
            (output, *_), state = executors.step(plan, [frame], state, number)
            outputs.append(output)
        for slot, variable in slots.items():
            variable.assign(state[slot])
        return tf.stack(outputs)

    traced = run.get_concrete_function(frames)
    return lambda: traced(frames).numpy()


def training_runner(
    method: str, model: keras.Model, plan: mpvn.Plan, batch: int, frames: int, **options: Any
) -> Callable[[], float]:
    """Return a function that updates a network on one clip, and returns the loss.

    Args:
        method: one of `TRAINERS`; or `"whole clips"`, back-propagation through time.
        model: the frame model, with one output, the logits.
        plan: its plan, with devices.
        batch: number of clips.
        frames: number of frames of each.
        options: further arguments of `VideoNetwork`.
    """
    tf.get_logger().setLevel("ERROR")
    random = np.random.default_rng(0)
    size, classes = model.input_shape[1:], model.output_shape[-1]
    clip = tf.constant(random.standard_normal((batch, frames, *size), "float32"))
    targets = tf.constant(random.integers(classes, size=(batch, frames), dtype="int32"))
    network = mpvn.VideoNetwork(model, plan, **options)
    trained = TRAINERS[method](network) if method in TRAINERS else network

    def loss(targets: Any, logits: Any) -> Any:
        return keras.losses.sparse_categorical_crossentropy(targets, logits, from_logits=True)

    trained.compile(keras.optimizers.SGD(LEARNING_RATE), loss, jit_compile=False)
    return lambda: float(trained.train_on_batch(clip, targets))
