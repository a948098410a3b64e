"""The network that both scripts train, and what trains it.

Simple-CNN on frames of 64x64: a chain, so that Sideways, GPipe and back-propagation are all defined
for it, and of convolutions dense enough that computing, not TensorFlow, takes the time.
"""

from typing import Any

SIZE = 64
CLASSES = 10
LEARNING_RATE = 1e-3


def frame_model(width: float) -> Any:
    """Frames `[B, 64, 64, 3]` to logits.

    It sets no seed: with one TensorFlow drops what it has compiled, and whatever runs next is slow.
    """
    from mpvn.models.simple_cnn import simple_cnn

    return simple_cnn((SIZE, SIZE, 3), classes=CLASSES, width=width)


def clip_and_targets(batch: int, frames: int) -> tuple[Any, Any]:
    """Random frames `[B, T, 64, 64, 3]` and classes `[B, T]`, as arrays."""
    import numpy as np

    random = np.random.default_rng(0)
    clip = random.standard_normal((batch, frames, SIZE, SIZE, 3), "float32")
    return clip, random.integers(CLASSES, size=(batch, frames), dtype="int32")


def compiled(model: Any) -> Any:
    """`model`, ready for `fit`: gradient descent, a loss for each step, no XLA."""
    import keras

    def loss(targets: Any, logits: Any) -> Any:
        return keras.losses.sparse_categorical_crossentropy(targets, logits, from_logits=True)

    model.compile(keras.optimizers.SGD(LEARNING_RATE), loss, jit_compile=False)
    return model


def trainer(method: str, network: Any) -> Any:
    """What trains `network`: by Sideways, back-propagation on single frames, or GPipe."""
    from mpvn import training

    trainers = {
        "Sideways": training.SidewaysTrainer,
        "back-propagation": training.BackPropagationTrainer,
        "GPipe": training.GPipeTrainer,
    }
    return compiled(trainers[method](network))
