"""The network that all scripts of this benchmark train, and its trainers.

Simple-CNN on frames of 64x64. It is a chain, so Sideways, GPipe and back-propagation can all train
it, and its convolutions are dense enough that computing takes the time, not TensorFlow's overhead.
"""

from typing import Any

SIZE = 64
CLASSES = 10
LEARNING_RATE = 1e-3


def frame_model(width: float) -> Any:
    """Build Simple-CNN, from frames `[B, 64, 64, 3]` to logits `[B, 10]`.

    This sets no seed: setting one makes TensorFlow drop its compiled kernels, and whatever runs
    next is slow.
    """
    from mpvn.models.simple_cnn import simple_cnn

    return simple_cnn((SIZE, SIZE, 3), classes=CLASSES, width=width)


def clip_and_targets(batch: int, frames: int) -> tuple[Any, Any]:
    """Return random frames `[B, T, 64, 64, 3]` and class indices `[B, T]`, as arrays."""
    import numpy as np

    random = np.random.default_rng(0)
    clip = random.standard_normal((batch, frames, SIZE, SIZE, 3), "float32")
    return clip, random.integers(CLASSES, size=(batch, frames), dtype="int32")


def compiled(model: Any) -> Any:
    """Compile `model` with gradient descent and one loss per step, without XLA; return it."""
    import keras

    def loss(targets: Any, logits: Any) -> Any:
        return keras.losses.sparse_categorical_crossentropy(targets, logits, from_logits=True)

    model.compile(keras.optimizers.SGD(LEARNING_RATE), loss, jit_compile=False)
    return model


def trainer(method: str, network: Any) -> Any:
    """Return a compiled trainer: "Sideways", "back-propagation" on single frames, or "GPipe"."""
    from mpvn import training

    trainers = {
        "Sideways": training.SidewaysTrainer,
        "back-propagation": training.BackPropagationTrainer,
        "GPipe": training.GPipeTrainer,
    }
    return compiled(trainers[method](network))
