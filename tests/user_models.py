"""Frame models as people write them: small, with everything that Keras lets them use.

`MODELS` holds a function for each, by name. The first part of a name is its kind.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

MODELS: dict[str, Callable[[], keras.Model]] = {}
FRAME = (8, 8, 3)


def register(function: Callable[[], keras.Model]) -> Callable[[], keras.Model]:
    MODELS[function.__name__] = function
    return function


def serializable(kind: type) -> type:
    return keras.saving.register_keras_serializable(package="user_models")(kind)


def image(name: str = "image") -> keras.KerasTensor:
    return keras.Input(FRAME, name=name)


def conv(filters: int = 4) -> layers.Layer:
    return layers.Conv2D(filters, 3, padding="same")


# --- calls of their own -----------------------------------------------------------------------


@serializable
class Mirrored(keras.Model):
    """A functional model that averages over the frame and its mirror image."""

    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        return (super().call(inputs) + super().call(ops.flip(inputs, axis=2))) / 2


@serializable
class Residual(keras.Sequential):
    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        return super().call(inputs, training=training) + inputs


@serializable
class Detector(keras.Model):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.conv, self.score = conv(), layers.Dense(2)

    def build(self, input_shape: Any) -> None:
        self.conv.build(input_shape)
        self.score.build((None, 4))

    def call(self, inputs: Any, scale: float = 1.0, training: Any = None) -> Any:
        maps = self.conv(inputs) * scale
        return {"maps": maps, "scores": [self.score(ops.max(maps, axis=(1, 2)))], "raw": inputs}


@register
def own_call_mirrored() -> keras.Model:
    inside, frame = image(), image()
    mirrored = Mirrored(inside, layers.Dense(3)(layers.Flatten()(conv()(inside))))
    return keras.Model(frame, layers.Dense(2)(mirrored(conv(3)(frame))))


@register
def own_call_sequential() -> keras.Model:
    frame = image()
    block = Residual([layers.Dense(4, activation="tanh"), layers.Dropout(0.5)])
    return keras.Model(frame, conv()(block(conv()(frame))))


@register
def own_call_arguments() -> keras.Model:
    frame = image()
    found = Detector()(frame, scale=3.0)
    return keras.Model(frame, [found["scores"][0], conv(2)(found["maps"]) + found["raw"][..., :1]])


# --- attention and masks ----------------------------------------------------------------------


@register
def attention_causal() -> keras.Model:
    tokens = keras.Input((6, 4))
    attention = layers.MultiHeadAttention(2, 3)
    values, scores = attention(tokens, tokens, use_causal_mask=True, return_attention_scores=True)
    return keras.Model(tokens, {"values": layers.Dense(2)(values), "scores": scores})


@register
def attention_computed_mask() -> keras.Model:
    tokens = keras.Input((6, 4))
    mask = ops.expand_dims(ops.mean(tokens, axis=-1) > -0.5, axis=1)
    x = layers.Dense(4)(tokens)
    y = layers.MultiHeadAttention(2, 3)(x, x, attention_mask=mask)
    return keras.Model(tokens, layers.LayerNormalization()(x + y))


@register
def attention_two_masked_sequences() -> keras.Model:
    inputs = [keras.Input((length,), dtype="int32") for length in (6, 5)]
    embed = layers.Embedding(5, 4, mask_zero=True)
    query, value = map(embed, inputs)
    outputs = layers.AdditiveAttention()([layers.Dense(4)(query), value])
    return keras.Model(inputs, [outputs, layers.Attention(use_scale=True)([value, query])])


@serializable
class PositiveRows(layers.Layer):
    """Attaches a mask of its own."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        return inputs * 2

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return ops.any(inputs > 0.5, axis=-1)


@register
def masks_own_and_merged() -> keras.Model:
    rows = keras.Input((6, 4))
    masked = layers.Dense(4)(PositiveRows()(rows))
    both = layers.Concatenate()([masked, layers.Add()([masked, PositiveRows()(rows)])])
    return keras.Model(rows, layers.SimpleRNN(3)(layers.Dropout(0.5)(both)))


@register
def masks_enter_a_nested_model() -> keras.Model:
    inside, words = keras.Input((6, 4)), keras.Input((6,), dtype="int32")
    summary = keras.Model(inside, layers.GRU(3)(layers.Dense(4)(inside)))
    embedded = layers.Embedding(5, 4, mask_zero=True)(words)
    return keras.Model(words, layers.Dense(2)(summary(embedded)))


# --- other tensors in place of the batch ------------------------------------------------------


@register
def batch_grid_attention() -> keras.Model:
    """Attention between pixels of the same place in all windows, as in MaxViT."""
    frame = image()
    x = ops.transpose(ops.reshape(frame, (-1, 2, 4, 2, 4, 3)), (0, 2, 4, 1, 3, 5))
    x = ops.reshape(x, (-1, 4, 3))
    x = ops.reshape(layers.MultiHeadAttention(1, 3)(x, x), (-1, 4, 4, 2, 2, 3))
    x = ops.reshape(ops.transpose(x, (0, 3, 1, 4, 2, 5)), (-1, *FRAME))
    return keras.Model(frame, layers.Dense(2)(x + frame))


@register
def batch_views() -> keras.Model:
    views = keras.Input((3, *FRAME))
    x = layers.GlobalAveragePooling2D()(conv()(ops.reshape(views, (-1, *FRAME))))
    return keras.Model(views, layers.Dense(2)(ops.max(ops.reshape(x, (-1, 3, 4)), axis=1)))


@register
def batch_after_heads() -> keras.Model:
    tokens = keras.Input((6, 8))
    x = ops.transpose(ops.reshape(layers.Dense(8)(tokens), (-1, 6, 2, 4)), (2, 0, 1, 3))
    x = ops.transpose(ops.matmul(x, ops.swapaxes(x, -1, -2)), (1, 0, 2, 3))
    return keras.Model(tokens, layers.Dense(2)(x))


# --- structures -------------------------------------------------------------------------------


@register
def structure_unsorted() -> keras.Model:
    inputs = {"z": image("z"), "a": keras.Input((4,), name="a")}
    maps, dense = conv()(inputs["z"]), layers.Dense(4)(inputs["a"])
    rest = {"s": layers.GlobalMaxPooling2D()(maps), "r": [dense, inputs["a"]]}
    return keras.Model(inputs, (maps * dense[:, None, None, :], rest))


@register
def structure_deep() -> keras.Model:
    inputs = [{"b": image("q"), "a": keras.Input((2,), name="r")}, (keras.Input((3,), name="t"),)]
    score = layers.Dense(2)(layers.Flatten()(inputs[0]["b"])) + inputs[0]["a"]
    return keras.Model(inputs, [score, {"t": inputs[1][0]}])


@register
def structure_repeated_outputs() -> keras.Model:
    frame = image()
    x = layers.Dense(2)(frame)
    return keras.Model(frame, [x, x, frame, x + 0.0])


@serializable
class Blend(layers.Layer):
    """A layer whose arguments and outputs are structures."""

    def call(self, x: Any, context: Any, scale: float = 1.0, pair: Any = ()) -> Any:
        return {"b": x * scale + context["c"], "a": (pair[0] - pair[1], x[..., :1])}


@register
def structure_of_a_layer() -> keras.Model:
    frame = image()
    context, pair = {"c": frame + 2, "none": None}, [frame + 1, conv(3)(frame)]
    outputs = Blend()(conv(3)(frame), context=context, scale=3.0, pair=pair)
    return keras.Model(frame, [outputs["b"] - outputs["a"][0], outputs["a"][1]])


# --- nested models ----------------------------------------------------------------------------


def difference(structure: Callable) -> keras.Model:
    """A model whose inputs must not be swapped."""
    z, a = image("z"), image("a")
    return keras.Model(structure(z, a), [z - conv(3)(a), z * 2])


@register
def nested_by_keyword() -> keras.Model:
    frame = image()
    return keras.Model(frame, difference(lambda z, a: [z, a])(inputs=[frame * 2, frame]))


@register
def nested_by_name() -> keras.Model:
    frame = image()
    outputs = difference(lambda z, a: [z, a])({"a": frame, "more": frame, "z": conv(3)(frame)})
    return keras.Model(frame, outputs)


@register
def nested_with_a_further_key() -> keras.Model:
    """Keras, which goes by position here, takes `c` for `z`."""
    frame = image()
    outputs = difference(lambda z, a: {"z": z, "a": a})({"a": frame, "c": frame * 9, "z": frame})
    return keras.Model(frame, outputs)


@register
def nested_twins() -> keras.Model:
    encode = keras.Sequential([image(), conv(), layers.GlobalAveragePooling2D()])
    inputs = {"left": image("left"), "right": image("right")}
    distance = ops.norm(encode(inputs["left"]) - encode(inputs["right"]), axis=-1)
    return keras.Model(inputs, distance)


@register
def nested_of_another_size() -> keras.Model:
    inside, frame = keras.Input((None, None, 3)), image()
    shrink = keras.Model(inside, conv(3)(layers.MaxPooling2D()(inside)))
    return keras.Model(frame, [shrink(frame), shrink(shrink(frame))])


@register
def nested_sequential() -> keras.Model:
    inner = keras.Sequential([layers.ReLU(), keras.Sequential([conv(3), layers.ReLU()])])
    return keras.Sequential([image(), conv(), inner, layers.Flatten(), layers.Dense(2)])


# --- wrappers, recurrence, functions ----------------------------------------------------------


@register
def wrapped_models() -> keras.Model:
    inside, parts = image(), keras.Input((3, *FRAME))
    block = keras.Model(inside, layers.BatchNormalization()(conv(3)(inside)) + inside)
    return keras.Model(parts, ops.mean(layers.TimeDistributed(block)(parts), axis=(1, 2, 3)))


@register
def wrapped_norms() -> keras.Model:
    x = frame = image()
    x = layers.GroupNormalization(2)(layers.SpectralNormalization(conv())(x))
    x = layers.LayerNormalization(axis=(1, 2))(x)
    x = layers.RMSNormalization()(layers.UnitNormalization(axis=1)(x))
    return keras.Model(frame, layers.BatchNormalization(axis=2)(x))


@register
def recurrent_states() -> keras.Model:
    rows = keras.Input((5, 4))
    x, hidden, cell = layers.LSTM(3, return_state=True, return_sequences=True)(rows)
    return keras.Model(rows, [layers.LSTM(3)(rows, initial_state=[cell, hidden]), x])


@register
def function_lambda() -> keras.Model:
    frame = image()

    def weigh(x):
        return tf.math.cumsum(x, axis=1) * tf.cast(tf.shape(x)[1], x.dtype)

    return keras.Model(frame, layers.Lambda(weigh)(conv()(frame)))


@serializable
class Loops(layers.Layer):
    def call(self, x: Any) -> Any:
        doubled = ops.while_loop(lambda n, y: n < 3, lambda n, y: (n + 1, y * 1.5), (0, x))[1]
        rows = ops.transpose(x, (1, 0, 2))
        total = ops.scan(lambda carry, row: (carry + row, row), ops.zeros_like(x[:, 0]), rows)[0]
        return doubled + (total + ops.vectorized_map(lambda y: ops.max(y, axis=0), x))[:, None]


@register
def function_loops() -> keras.Model:
    rows = keras.Input((6, 4))
    return keras.Model(rows, Loops()(rows))


@register
def function_operations() -> keras.Model:
    frame = image()
    x = conv()(frame)
    best, values = ops.argmax(x, axis=-1), ops.top_k(ops.reshape(x, (-1, 256)), 3)[0]
    chosen = ops.where(x > 0.1, x, ops.full_like(x, -1.0))
    outer = ops.einsum("bhwc,bhwd->bcd", ops.one_hot(best, 4), chosen)
    outputs = {"best": best, "values": values, "outer": outer, "positive": x > 0.1}
    return keras.Model(frame, {**outputs, "part": ops.cumsum(x, axis=2)[:, ::2, 1:, -1]})


@register
def function_images() -> keras.Model:
    frame = image()
    patches = ops.image.extract_patches(ops.image.resize(frame, (4, 6)), (2, 2))
    y = ops.linspace(0.0, 1.0, 8)[None, :, None, None] * ops.ones_like(frame[..., :1])
    return keras.Model(frame, [patches, conv()(ops.concatenate([frame, y], axis=-1))])


# --- dtypes -----------------------------------------------------------------------------------


@register
def dtypes_of_inputs() -> keras.Model:
    picture = keras.Input(FRAME, dtype="uint8", name="picture")
    words = keras.Input((4,), dtype="int64", name="words")
    flag = keras.Input((1,), dtype="bool", name="flag")
    point = keras.Input((2,), name="point")
    inputs = {"picture": picture, "words": words, "flag": flag, "point": point}
    gate = layers.GlobalAveragePooling1D()(layers.Embedding(6, 4)(words))
    maps = conv()(layers.Rescaling(1 / 255)(picture)) * gate[:, None, None]
    outputs = [maps, picture, words, ops.where(flag, point, -point), ops.sum(words, axis=-1)]
    return keras.Model(inputs, outputs)


@register
def dtypes_integer() -> keras.Model:
    numbers = keras.Input((5,), dtype="int32")
    positions = ops.sort(numbers * 2 + 1, axis=-1)
    return keras.Model(numbers, [positions, ops.take(np.arange(40) * 0.3, positions)])


# --- sizes ------------------------------------------------------------------------------------


@serializable
class OneTooMany(layers.Layer):
    """Declares one token more than it computes."""

    def call(self, x: Any) -> Any:
        return ops.reshape(x, (-1, 64, x.shape[-1]))

    def compute_output_shape(self, shape: tuple) -> tuple:
        return shape[0], 65, shape[-1]


@serializable
class Unsized(layers.Layer):
    """Loses the size of its output while it is traced."""

    def call(self, x: Any) -> Any:
        return ops.reshape(x, (ops.shape(x)[0], -1, x.shape[-1]))


@register
def sizes_declared_wrong() -> keras.Model:
    frame = image()
    return keras.Model(frame, layers.Dense(2)(layers.Dense(3)(OneTooMany()(conv()(frame)))))


@register
def sizes_unknown() -> keras.Model:
    frame = image()
    mixed = layers.EinsumDense("bnc,cd->bnd", output_shape=(None, 3))(Unsized()(conv()(frame)))
    return keras.Model(frame, layers.Dense(2)(layers.ReLU()(mixed)))


@register
def sizes_none() -> keras.Model:
    number = keras.Input((), name="number")
    return keras.Model(number, [ops.sin(number * 2), number + 1])
